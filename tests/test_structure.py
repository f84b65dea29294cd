"""Who may import whom, what each package stays free of, and names that occur once."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import defaultdict

import pytest
from forked import Forker
from package_graph import MODULES, ROOT, TOPS, cycle, edges, imports_of, package_of, tree_of

from search_spaces import OWN_MODULES

EVERYWHERE = {
    "nas.errors",
    "nas._version",
    "leaderboard.errors",
    "leaderboard.deprecated",
    "leaderboard.names",
    "leaderboard.untrusted",
    "search_spaces.errors",
}
"""Modules that any package may import; they import none."""

CORE = "nas.core nas.cost"
TRAINED = f"{CORE} nas.data nas.executors nas.training search_spaces"
MAY_IMPORT = {
    "nas": "nas.core search_spaces",
    "nas.__main__": "nas.cli",
    "nas.core": "search_spaces",
    "nas.imaging": "",
    "nas.metrics": "nas.core",
    "nas.cost": "nas.core search_spaces",
    "nas.data": "nas.core nas.imaging",
    "nas.samplers": "leaderboard.fronts search_spaces",
    "nas.pruning": "nas.cost search_spaces",
    "nas.training": "nas.core nas.data nas.imaging nas.metrics nas.pruning search_spaces",
    "nas.executors": "nas.core nas.training search_spaces",
    "nas.networks": f"leaderboard.store {CORE} nas.training search_spaces",
    "nas.evaluation": "leaderboard.sources leaderboard.store leaderboard.tables leaderboard.views "
    "nas.cost nas.data nas.imaging nas.metrics nas.networks search_spaces",
    "nas.export": f"leaderboard.store {CORE} nas.evaluation nas.training search_spaces",
    "nas.measuring": f"leaderboard.store {CORE} nas.data nas.export search_spaces",
    "nas.upscale": f"{CORE} nas.data nas.export nas.imaging",
    "nas.recipes": f"leaderboard.store {TRAINED} nas.metrics nas.samplers",
    "nas.search": f"leaderboard.fronts leaderboard.store {TRAINED} nas.recipes nas.samplers",
    "nas.retraining": f"leaderboard.fronts leaderboard.store {TRAINED} nas.recipes nas.search",
    "nas.calibration": f"leaderboard.fronts leaderboard.store {TRAINED} nas.recipes nas.samplers nas.search",
    "nas.tuning": f"leaderboard.store leaderboard.tables {TRAINED} nas.networks nas.recipes nas.search",
    "nas.compression": f"leaderboard.store {TRAINED} nas.evaluation nas.export nas.metrics nas.pruning "
    "nas.recipes nas.search",
    "nas.simulation": "leaderboard.fronts leaderboard.store leaderboard.tables leaderboard.views "
    f"{TRAINED} nas.calibration nas.evaluation nas.recipes nas.samplers nas.search",
    "nas.cli": "leaderboard.page leaderboard.site leaderboard.sources leaderboard.store leaderboard.tables "
    f"leaderboard.views {TRAINED} nas.calibration nas.compression nas.evaluation nas.export nas.imaging "
    "nas.measuring nas.metrics nas.networks nas.recipes nas.retraining nas.search nas.simulation "
    "nas.tuning nas.upscale",
    "search_spaces": "search_spaces.axes search_spaces.genotype search_spaces.space search_spaces.trusted",
    "search_spaces.trusted": "",
    "search_spaces.extending": "search_spaces.axes search_spaces.blocks",
    "search_spaces.blocks": "",
    "search_spaces.axes": "",
    "search_spaces.genotype": "search_spaces.axes",
    "search_spaces.space": "search_spaces.axes search_spaces.genotype",
    "search_spaces.compressed": "search_spaces search_spaces.axes search_spaces.blocks "
    "search_spaces.genotype",
    "search_spaces.lightweight": "search_spaces.axes search_spaces.blocks search_spaces.extending "
    "search_spaces.genotype",
    "search_spaces.networks": "search_spaces.axes search_spaces.blocks search_spaces.genotype",
    "search_spaces.published": "search_spaces.genotype search_spaces.lightweight search_spaces.networks",
    "search_spaces.named": "search_spaces.axes search_spaces.genotype search_spaces.published",
    "search_spaces.describe": "search_spaces.axes search_spaces.genotype search_spaces.lightweight "
    "search_spaces.published search_spaces.space",
    "leaderboard": "leaderboard.store",
    "leaderboard.crops": "",
    "leaderboard.fronts": "",
    "leaderboard.store": "",
    "leaderboard.tables": "leaderboard.fronts leaderboard.store",
    "leaderboard.views": "leaderboard.fronts leaderboard.tables",
    "leaderboard.sources": "leaderboard.store leaderboard.tables leaderboard.views",
    "leaderboard.page": "leaderboard.crops leaderboard.fronts leaderboard.sources leaderboard.store "
    "leaderboard.tables leaderboard.views",
    "leaderboard.site": "leaderboard.crops leaderboard.page leaderboard.sources leaderboard.store "
    "leaderboard.tables leaderboard.views",
}
"""Package -> the packages that it may import. ``search_spaces`` means all of it for the packages of
``nas``.
"""

GATHERING = {
    *("nas.data", "nas.executors", "nas.samplers", "nas.training", "search_spaces"),
    *("leaderboard.page", "leaderboard.site", "leaderboard.store", "leaderboard.views"),
}
"""Packages that offer the names of their modules; importing any other one loads nothing heavy."""
HEAVY = {"torch", "optuna", "pandas", "sqlalchemy", "plotly", "dash", "matplotlib", "scipy", "numpy"}


def imported(package: str, name: str) -> str:
    """The word of the table for what a package imports."""
    return "search_spaces" if package.startswith("nas") and name.startswith("search_spaces") else name


@pytest.mark.parametrize("package", sorted({package_of(module) for module in MODULES} - EVERYWHERE))
def test_a_package_imports_what_the_table_allows(package: str) -> None:
    found = {imported(package, name) for name in edges()[package] - EVERYWHERE}
    assert found <= set(MAY_IMPORT[package].split()), f"{package}: not in MAY_IMPORT"


def test_the_table_names_packages_that_are_there_and_has_no_cycle() -> None:
    assert set(MAY_IMPORT) | EVERYWHERE == {package_of(module) for module in MODULES}
    assert cycle({package: set(others.split()) for package, others in MAY_IMPORT.items()}) == []


def test_modules_that_all_may_import_import_none() -> None:
    assert not any(edges()[module] for module in EVERYWHERE)


@pytest.mark.parametrize(
    ("package", "banned"),
    [
        ("search_spaces", {"nas", "leaderboard", "optuna", "sqlalchemy", "pandas", "plotly", "dash"}),
        ("leaderboard", {"nas", "search_spaces", "torch", "optuna"}),
        ("nas", {"sqlalchemy"}),
    ],
)
def test_a_package_stays_free_of_what_is_not_its_job(package: str, banned: set[str]) -> None:
    for module in MODULES:
        if module.split(".")[0] == package:
            assert not {name.split(".")[0] for name in imports_of(module)} & banned, module


def test_only_samplers_search_and_tuning_know_optuna() -> None:
    for module in MODULES:
        if package_of(module) not in ("nas.samplers", "nas.search", "nas.tuning"):
            assert "optuna" not in {name.split(".")[0] for name in imports_of(module)}, module


def test_only_the_command_line_prints_or_exits() -> None:
    for module in MODULES:
        if package_of(module) in ("nas.cli", "nas.__main__"):
            continue
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "exit", "sys.exit", "quit"), f"{module} calls {called}"


def test_nothing_is_imported_from_the_package_nas_itself() -> None:
    for module in MODULES:
        assert "nas" not in imports_of(module), module


FRESHLY = f"""
import gc, importlib, os, sys

def forked(work):
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def import_alone(package, modules):
    importlib.import_module(package)  # as the import of any of its modules begins
    for name in modules:
        if forked(lambda: importlib.import_module(name)):
            raise ImportError(name)

for name in list(sys.modules):
    if name.split(".")[0] in {TOPS!r}:
        del sys.modules[name]
gc.freeze()
packages = {{}}
for name in sys.argv[1:]:
    packages.setdefault(name.rpartition(".")[0] or name, []).append(name)
failed = [package for package in packages if forked(lambda: import_alone(package, packages[package]))]
sys.exit(" ".join(failed) or 0)
"""


@pytest.mark.parametrize(
    "part",
    [
        *("search_spaces", "nas.cli"),
        *(pytest.param(top, marks=pytest.mark.thorough) for top in ("leaderboard", "nas")),
    ],
)
def test_no_cycle_hides_behind_a_late_import(part: str, forker: Forker) -> None:
    """Each module alone can be imported first, in a process that holds nothing of this project."""
    names = [name for name in MODULES if f"{name}.".startswith(f"{part}.") and name != "nas.__main__"]
    assert len(names) > 10
    process = forker.python(FRESHLY, *names, cwd=ROOT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def test_importing_a_package_does_no_work() -> None:
    packages = {module for module, path in MODULES.items() if path.name == "__init__.py"}
    light = [
        name for name in sorted(packages) if not any(f"{name}.".startswith(f"{big}.") for big in GATHERING)
    ]
    assert len(light) > 15
    code = f"import {', '.join(light)}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not set(done.stdout.split()) & HEAVY


def test_the_folder_nas_shows_packages_and_four_files() -> None:
    shown = {
        path.name: path.is_dir()
        for path in (ROOT / "nas").iterdir()
        if path.name != "__pycache__"
        and not (path.is_dir() and all("__pycache__" in p.parts for p in path.rglob("*")))
    }
    files = {name for name, is_folder in shown.items() if not is_folder}
    assert files == {"__init__.py", "__main__.py", "_version.py", "errors.py"}
    packages = {package.removeprefix("nas.") for package in MAY_IMPORT if package.startswith("nas.")}
    assert set(shown) - files == (packages | {"tables", "weights"}) - {"__main__"}


def test_the_wheel_holds_all_packages_and_their_data() -> None:
    for path in MODULES.values():
        assert (path.parent / "__init__.py").exists(), path
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert settings["packages"]["find"]["include"] == [f"{top}*" for top in TOPS]
    data = {
        path.relative_to(ROOT)
        for folder in ("nas/tables", "nas/weights", "leaderboard/assets", "leaderboard/data")
        for path in (ROOT / folder).iterdir()
    }
    packed = {
        path.relative_to(ROOT)
        for top, patterns in settings["package-data"].items()
        for pattern in patterns
        for path in (ROOT / top).glob(pattern)
    }
    assert data and data <= packed


def test_no_class_name_occurs_twice() -> None:
    places = defaultdict(list)
    for module in MODULES:
        for node in tree_of(module).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_every_space_of_the_project_may_be_named_by_a_file() -> None:
    spaces: dict[str, str] = {}
    classes = [
        (module, node)
        for module in MODULES
        for node in tree_of(module).body
        if isinstance(node, ast.ClassDef)
    ]
    known = {"Genotype"}
    while more := [
        (module, node)
        for module, node in classes
        if node.name not in spaces and {ast.unparse(base) for base in node.bases} & known
    ]:
        spaces |= {node.name: module for module, node in more}
        known |= set(spaces)
    assert set(spaces.values()) == set(OWN_MODULES)


DIALECT = {"verdict", "agreement", "reach", "spread", "tally", "partners", "levels", "ladder"}
"""Words that no module and no class is named by: the field has its own."""


def test_modules_and_classes_have_the_names_of_the_field() -> None:
    named = {module: module.rsplit(".", 1)[-1].split("_") for module in MODULES}
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.ClassDef):
                words = re.findall("[A-Z][a-z0-9]*", node.name)
                named[f"{module}.{node.name}"] = [word.lower() for word in words]
    wrong = {name for name, words in named.items() if DIALECT & {*words, *(f"{word}s" for word in words)}}
    assert wrong == set()


def test_the_architecture_page_says_what_each_package_holds() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    packages = [module for module, path in MODULES.items() if path.name == "__init__.py"]
    for package in packages:
        first = str(ast.get_docstring(tree_of(package))).splitlines()[0]
        assert f"| `{package}` | {first} |" in page


def test_the_loop_has_no_subclass_and_no_file_of_the_search_is_long() -> None:
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.ClassDef):
                bases = {ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in node.bases}
                assert not bases & {"Loop", "ParetoSearch", "FixedSet", "DatabaseRecorder"}, node.name
        if module.startswith("nas.search"):
            assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= 300, module


def test_no_function_is_longer_than_a_screen() -> None:
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                assert lines < 60, f"{module}.{node.name}: {lines} lines"

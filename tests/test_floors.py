"""Who may import whom: three packages, one direction, and no module that nobody placed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("nas", "search_spaces", "leaderboard")

# Lowest floor first. A module imports only from lower floors; modules of one floor do not know each other,
# but for a package (its __init__ gathers its parts, which stand in their own order below).
FLOORS = [
    {
        "search_spaces.errors",
        "leaderboard.errors",
        "nas.errors",
        "leaderboard.store.schema",
        "leaderboard.fronts.dominance",
        "leaderboard.crops",
        "leaderboard.fronts.rank_correlation",
        "leaderboard.tables.reported",
    },
    {
        "leaderboard.fronts.pareto",
        "search_spaces.genotype",
        "leaderboard.store.database",
        "leaderboard.store.records",
        "leaderboard.store.owners",
        "nas.core.units",
        "nas.networks.pretrained",
    },
    {
        "search_spaces",
        "leaderboard.store.transactions",
        "leaderboard.tables.front",
        "leaderboard.views.terminal",
    },
    {"leaderboard.store.rows"},
    {
        "leaderboard.store.calibrations",
        "leaderboard.store.studies",
        "leaderboard.store.trials",
        "leaderboard.store.measurements",
        "leaderboard.store.requests",
        "leaderboard.store.runtimes",
        "leaderboard.store.trainings",
    },
    {
        "leaderboard.store.leases",
        "leaderboard.store.frames",
        "leaderboard.store.remote_workers",
        "leaderboard.store.contents",
    },
    {"leaderboard.store.merging"},
    {"leaderboard.store"},
    {"leaderboard.tables.paper", "leaderboard.views.show"},
    {"leaderboard.views.style"},
    {
        "leaderboard.views.points",
        "leaderboard.views.axes",
        "leaderboard.views.parts",
        "leaderboard.views.rejects",
    },
    {
        "leaderboard.views.front",
        "leaderboard.views.importance",
        "leaderboard.views.slices",
        "leaderboard.views.heatmap",
        "leaderboard.views.parallel",
    },
    {"leaderboard.views.rank_correlation", "leaderboard.views.benchmarks", "leaderboard.views.curves"},
    {"leaderboard.views.fronts", "leaderboard.views.progress", "leaderboard.views.proxies"},
    {"leaderboard.views.timeline", "leaderboard.views.effort"},
    {"leaderboard.views", "leaderboard.tables.trials"},
    {"leaderboard.tables.exchange"},
    {"leaderboard.sources"},
    {
        *(
            "leaderboard.views.static_png",
            "leaderboard.page.query",
            "leaderboard.page.parts",
            "leaderboard.page.diagram",
        ),
        *("leaderboard.page.network_data", "leaderboard.page.security", "leaderboard.page.rows"),
        "leaderboard.page.plain",
        *("leaderboard.site.markup", "leaderboard.site.folder"),
    },
    {"leaderboard.page.cached_store", "leaderboard.page.detail"},
    {
        *("leaderboard.page.context", "leaderboard.page.comparison", "leaderboard.page.layout"),
        "leaderboard.site.pages",
    },
    {
        *("leaderboard.page.drawing", "leaderboard.page.table", "leaderboard.page.selecting"),
        "leaderboard.site",
    },
    {"leaderboard.page.panel"},
    {"leaderboard.page.app"},
    {"leaderboard.page.serving"},
    {"leaderboard.page"},
    {"leaderboard"},
    # What can be built: parts, blocks of parts, networks of blocks.
    {
        "search_spaces.blocks.activations",
        "search_spaces.blocks.convolutions",
        "search_spaces.blocks.esrt",
        "search_spaces.blocks.norms",
        "search_spaces.blocks.sharing",
        "search_spaces.blocks.tails",
        "search_spaces.networks.means",
    },
    {
        "search_spaces.blocks.aggregation",
        "search_spaces.blocks.calibration",
        "search_spaces.blocks.fourier",
        "search_spaces.blocks.stems",
        "search_spaces.blocks.transformers",
    },
    {"search_spaces.blocks.attention"},
    {"search_spaces.blocks.lattice"},
    {"search_spaces.blocks.distillation"},
    {
        "search_spaces.networks.efrdn",
        "search_spaces.networks.esrt",
        "search_spaces.networks.f2srgan",
        "search_spaces.networks.latticenet",
        "search_spaces.networks.lbnet",
        "search_spaces.networks.swinir",
    },
    {"search_spaces.lightweight"},
    {"search_spaces.published"},
    {"search_spaces.describe", "search_spaces.named", "search_spaces.compressed"},
    # How we search.
    {"nas.core.files", "nas.calibration.rank_correlation"},
    {"nas.cost.cache"},
    {
        "nas.cost.counting",
        "nas.imaging.bicubic",
        "nas.metrics.fidelity",
        "nas.core.device",
        "nas.imaging.tiling",
    },
    {"nas.cost.cross_check", "nas.export.rewrites", "nas.pruning.tracing"},
    {"nas.export.onnx", "nas.export.python_code", "nas.pruning.dependencies"},
    {"nas.export.python_source"},
    {"nas.export.program", "nas.pruning.importance"},
    {"nas.pruning.structured"},
    {"nas.data.images", "nas.data.cache"},
    {"nas.data.sources"},
    {"nas.data.dataset"},
    {"nas.data.benchmarks", "nas.data.download"},
    {"nas.data.patches"},
    {"nas.data"},
    {
        "nas.training.crops",
        "nas.training.losses",
        "nas.training.distil",
        "nas.training.adversarial",
        "nas.training.checkpoint",
        "nas.training.validation",
        "nas.training.feed",
    },
    {"nas.training.plan", "nas.training.features", "nas.training.qat"},
    {"nas.training.job", "nas.training.step"},
    {"nas.training.ranks", "nas.training.curve", "nas.training.events", "nas.training.beginning"},
    {"nas.training.loop"},
    {"nas.training"},
    {"nas.compression.stages", "nas.calibration.zero_cost"},
    {"nas.executors.pool", "nas.search.promotion", "nas.cost.memory", "nas.cost.latency"},
    {"nas.executors.worker"},
    {"nas.executors.inline", "nas.executors.crew"},
    {"nas.executors.processes", "nas.executors.ray"},
    {"nas.samplers.candidates", "nas.samplers.improvement", "nas.samplers.process"},
    {"nas.samplers.encoding", "nas.samplers.starts", "nas.samplers.listed"},
    {"nas.samplers.proposing"},
    {"nas.samplers.evolution", "nas.samplers.guided", "nas.samplers.surrogate"},
    {"nas.samplers", "nas.executors"},
    {"nas.search.feasibility", "nas.search.baselines"},
    {"nas.recipes.recipe"},
    {
        "nas.recipes.protocol",
        "nas.search.progress",
        "nas.search.proposer",
        "nas.cost.measured_limits",
        "nas.recipes.jobs",
        "nas.calibration.design",
        "nas.calibration.fidelities",
    },
    {"nas.search.remote_workers", "nas.search.seeds", "nas.search.loop"},
    {"nas.search.pareto_search", "nas.search.join", "nas.calibration.sweep"},
    {"nas.simulation.objective", "nas.simulation.validate_table"},
    {"nas.simulation.table"},
    {"nas.simulation.executor", "nas.simulation.synthetic_bottleneck", "nas.simulation.tabular_objective"},
    {"nas.simulation.synthetic_landscape"},
    {"nas.retraining.selection", "nas.calibration.calibration_report"},
    {
        "nas.retraining.fixed_set",
        "nas.retraining.reproduce",
        "nas.networks.resolving",
        "nas.calibration.calibration",
        "nas.retraining.controls",
    },
    {"nas.networks.loading"},
    {"nas.evaluation.self_ensemble"},
    {"nas.export", "nas.measuring.measure"},
    {"nas.evaluation.benchmark_sets"},
    {"nas.simulation.build_table"},
    {"nas.evaluation.paper_tables", "nas.compression.source", "nas.compression.records"},
    {"nas.compression.pipeline"},
    {"nas.export.card"},
    {"nas.export.formats", "nas.upscale", "nas.upscale.decoding"},
    {"nas.upscale.bands"},
    {"nas.upscale.tiff_bands", "nas.upscale.png_bands"},
    {"nas.upscale.reading"},
    {"nas.upscale.writing"},
    {"nas.upscale.enlarging"},
    {"nas.simulation.replays"},
    {"nas.simulation.statistics"},
    {"nas.simulation.sampler_comparison", "nas.simulation.comparison_report"},
    {"nas.cli.options", "nas.cli.failures", "nas.cli.stop", "nas.cli.display"},
    {"nas.cli.longer", "nas.cli.scores", "nas.cli.replaying"},
    {
        "nas.cli.front",
        "nas.cli.board",
        "nas.cli.retrain",
        "nas.cli.rerun",
        "nas.cli.cost",
        "nas.cli.space",
        "nas.cli.evaluate",
        "nas.cli.data",
        "nas.cli.measure",
        "nas.cli.calibrate",
        "nas.cli.compress",
        "nas.cli.export",
        "nas.cli.upscale",
        "nas.cli.export_study",
        "nas.cli.exchange",
        *("nas.cli.simulate", "nas.cli.compare_samplers", "nas.cli.tabulate"),
    },
    {"nas.cli.search"},
    {"nas.cli"},
    {"nas.__main__"},
]
EVERYWHERE = {
    "nas",
    "nas.compression",
    "search_spaces.blocks",
    "search_spaces.networks",
}  # hold a docstring or a version, import nothing


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if "migrations" in path.parts:
                continue  # run by Alembic, imported by nobody
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports_of(path: Path) -> set[str]:
    """The modules of this project that a file imports, anywhere in it, as full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                found.add(deeper if deeper in MODULES else str(node.module))
    return {name for name in found if name.split(".")[0] in PACKAGES}


def floor_of(module: str) -> int:
    return next(level for level, floor in enumerate(FLOORS) if module in floor)


def test_every_module_has_exactly_one_floor() -> None:
    placed = [module for floor in FLOORS for module in floor] + sorted(EVERYWHERE)
    assert sorted(placed) == sorted(MODULES)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_from_lower_floors(module: str) -> None:
    if module in EVERYWHERE:
        assert imports_of(MODULES[module]) == set()
        return
    for imported in imports_of(MODULES[module]) - EVERYWHERE:
        assert floor_of(imported) < floor_of(module), f"{module} imports {imported} from a higher floor"


@pytest.mark.parametrize(
    ("package", "strangers"),
    [("search_spaces", {"nas", "leaderboard"}), ("leaderboard", {"nas", "search_spaces"})],
)
def test_the_two_bottom_packages_know_neither_each_other_nor_nas(package: str, strangers: set[str]) -> None:
    for module, path in MODULES.items():
        if module.split(".")[0] == package:
            assert not {name.split(".")[0] for name in imports_of(path)} & strangers, module


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("search_spaces", {"optuna", "sqlalchemy", "pandas", "plotly", "dash"}),
        ("leaderboard", {"torch", "optuna"}),
    ],
)
def test_a_bottom_package_stays_free_of_what_is_not_its_job(package: str, forbidden: set[str]) -> None:
    for module, path in MODULES.items():
        if module.split(".")[0] != package:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            assert not {name.split(".")[0] for name in names} & forbidden, module


def test_only_study_and_samplers_know_optuna_and_only_the_store_writes_sql() -> None:
    for module, path in MODULES.items():
        text = path.read_text(encoding="utf-8")
        if module != "nas.search.proposer" and not module.startswith("nas.samplers"):
            assert "import optuna" not in text and "from optuna" not in text, module
        if module.startswith("nas"):
            assert "sqlalchemy" not in text, module


def test_only_the_command_line_prints_or_exits() -> None:
    for module, path in MODULES.items():
        if module.startswith("nas.cli") or module == "nas.__main__":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "exit", "sys.exit", "quit"), f"{module} calls {called}"


def test_no_cycle_hides_behind_a_late_import() -> None:
    """Each module alone can be imported first, in a fresh interpreter."""
    names = [name for name in MODULES if name != "nas.__main__"]
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    kept = {k: v for k, v in sys.modules.items() if k.split('.')[0] not in "
        f"{PACKAGES!r}}}\n"
        "    sys.modules.clear(); sys.modules.update(kept)\n"
        "    importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)

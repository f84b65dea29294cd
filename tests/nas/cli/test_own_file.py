"""A block in a file of one's own, found in the current folder: the lines of docs/extending.md."""

from __future__ import annotations

import json
import os
import pickle
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from leaderboard.store import Store
from nas.cli import main
from nas.executors.pool import Place
from search_spaces import (
    SpaceError,
    UntrustedSpaceError,
    load_space,
    trust_space,
    trusted,
    trusted_spaces,
)

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## A block from your own file")[2].partition("\n## ")[0]
MY_LAB = re.findall(r"```python\n(.*?)```", SECTION, flags=re.DOTALL)[0]
COMMANDS = [
    shlex.split(line)[1:] for line in re.findall(r"```sh\n(.*?)```", SECTION, flags=re.DOTALL)[0].splitlines()
]

HOSTILE = 'from pathlib import Path\n\nPath(__file__).with_name("imported").touch()\n' + MY_LAB
NETWORK = {"width": 16, "blocks": 1, "block": "twice", "kernel": "3x3", "attention": "none"}
USUAL = {"stem": "3x3", "aggregation": "plain", "transformers": 0, "tail": "pixel_shuffle", "skip": "none"}
SMALL = ("--scale", "2", "--device", "cpu", "--steps", "3", "--set", "proxy.batch=2")
LITTLE = (
    "--set",
    "proxy.lr_patch=12",
    "--set",
    "space.only.transformers=0",
    "--set",
    "space.only.blocks=1,2",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with my_lab.py and a genotype in its space; it is not on Python's path."""
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "my_lab.py").write_text(MY_LAB, encoding="utf-8")
    choices = {"space": "my_lab:MyLab", **NETWORK, **USUAL, "shallow_tail": False}
    (tmp_path / "net.json").write_text(json.dumps(choices), encoding="utf-8")
    monkeypatch.chdir(tmp_path / "lab")
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(Path.cwd()))])
    monkeypatch.setattr(trusted, "_trusted", {})
    monkeypatch.setattr(trusted, "_folders", {})
    yield tmp_path / "lab"
    sys.modules.pop("my_lab", None)


@pytest.fixture
def hostile(folder: Path) -> Path:
    """Another folder with a my_lab.py, which leaves a file behind when it is imported."""
    other = folder.with_name("other")
    other.mkdir()
    (other / "my_lab.py").write_text(HOSTILE, encoding="utf-8")
    return other


@pytest.fixture
def command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process, as a new one would: status, standard output, standard error."""

    def run(*words: str) -> tuple[int, str, str]:
        sys.modules.pop("my_lab", None)
        trusted._trusted.clear()
        trusted._folders.clear()
        monkeypatch.setattr("sys.argv", ["nas", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


Command = Callable[..., tuple[int, str, str]]


def test_the_pages_file_is_twenty_lines() -> None:
    assert len([line for line in MY_LAB.splitlines() if line]) <= 20
    assert all(words[0] != "nas" for words in COMMANDS) and len(COMMANDS) == 4


def test_the_file_in_the_current_folder_is_a_space(folder: Path) -> None:
    space = load_space("my_lab", trust=True)
    assert load_space("my_lab:MyLab") is space and space.space == "my_lab:MyLab"
    assert trusted_spaces() == (trusted.TrustedModule("my_lab", str(folder)),)
    genotype = space.from_dict({**NETWORK, **USUAL, "shallow_tail": False})
    assert genotype.build(2)(torch.rand(1, 3, 8, 9)).shape == (1, 3, 16, 18)
    assert pickle.loads(pickle.dumps(genotype)) == genotype
    assert len(genotype.id) == 12


@pytest.mark.thorough
def test_a_worker_elsewhere_imports_the_same_file(folder: Path, hostile: Path) -> None:
    genotype = load_space("my_lab", trust=True).from_dict({**NETWORK, **USUAL, "shallow_tail": False})
    parcel = pickle.dumps((Place(device=None, threads=1, spaces=trusted_spaces()), pickle.dumps(genotype)))
    code = (
        "import pickle, sys; place, genotype = pickle.loads(sys.stdin.buffer.read()); place.settle(); "
        "print(pickle.loads(genotype).id, sys.modules['my_lab'].__file__)"
    )
    done = subprocess.run(  # -c puts the current folder, which holds the other file, first on the path
        [sys.executable, "-c", code],
        input=parcel,
        capture_output=True,
        cwd=hostile,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=240,
    )
    assert done.stdout.decode().split() == [genotype.id, str(folder / "my_lab.py")], done.stderr.decode()
    assert not (hostile / "imported").exists()


def test_no_data_reaches_the_current_folder(
    command: Command, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hostile)
    for space in ("my_lab", "my_lab:MyLab"):
        with pytest.raises(UntrustedSpaceError, match="is code outside ParetoSR"):
            load_space(space)
    status, _, error = command("cost", "../net.json")
    assert (status, error.count("\n")) == (2, 1) and "--space my_lab:MyLab" in error
    assert not (hostile / "imported").exists()


def test_stored_trust_finds_its_own_file_and_no_other(
    command: Command, folder: Path, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, text, _ = command("trust-space", "my_lab")
    assert status == 0 and f"is imported from {folder} from now on" in text
    for place in (folder.parent, hostile):
        monkeypatch.chdir(place)
        for path in ([], [str(hostile)]):  # as python -m nas has it
            with monkeypatch.context() as changed:
                changed.setattr(sys, "path", [*path, *sys.path])
                status, text, error = command("cost", str(folder.parent / "net.json"))
                assert status == 0, error
                assert sys.modules["my_lab"].__file__ == str(folder / "my_lab.py")
    (folder / "my_lab.py").unlink()
    with monkeypatch.context() as changed:
        changed.setattr(sys, "path", [str(hostile), *sys.path])
        status, _, error = command("cost", str(folder.parent / "net.json"))
    assert (status, error.count("\n")) == (2, 1) and f"in {folder}, where it is trusted" in error
    assert not (hostile / "imported").exists()


def test_a_name_that_was_stored_without_a_folder_is_no_file_of_the_current_folder(
    command: Command, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hostile.parent / "cache").mkdir()
    listed = hostile.parent / "cache" / "trusted-spaces.txt"
    listed.write_text("my_lab\n", encoding="utf-8")
    listed.chmod(0o600)
    monkeypatch.chdir(hostile)
    for path in ([], [str(hostile)]):
        with monkeypatch.context() as changed:
            changed.setattr(sys, "path", [*path, *sys.path])
            assert command("cost", "../net.json")[0] == 2
    assert not (hostile / "imported").exists()


def test_what_a_person_names_is_found_here_before_the_stored_folder_and_else_there(
    command: Command, folder: Path, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("trust-space", "my_lab")[0] == 0
    monkeypatch.chdir(folder.parent)
    assert command("cost", "net.json", "--space", "my_lab")[0] == 0
    assert sys.modules["my_lab"].__file__ == str(folder / "my_lab.py")
    monkeypatch.chdir(hostile)
    assert command("cost", "../net.json", "--space", "my_lab")[0] == 0
    assert (hostile / "imported").exists()  # a person wrote it here


def test_an_installed_module_wins(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = tmp_path / "site"
    installed.mkdir()
    (installed / "my_lab.py").write_text(MY_LAB, encoding="utf-8")
    monkeypatch.syspath_prepend(installed)
    load_space("my_lab", trust=True)
    assert sys.modules["my_lab"].__file__ == str(installed / "my_lab.py")
    assert trusted_spaces() == (trusted.TrustedModule("my_lab"),)


def test_no_other_file_of_the_folder_can_be_imported(folder: Path) -> None:
    (folder / "beside.py").touch()
    (folder / "my_lab.py").write_text("import beside\n", encoding="utf-8")
    with pytest.raises(SpaceError, match="space 'my_lab' cannot be imported: No module named 'beside'"):
        load_space("my_lab", trust=True)


def test_a_package_in_the_current_folder_has_modules(folder: Path) -> None:
    (folder / "my_lab").mkdir()
    (folder / "my_lab.py").rename(folder / "my_lab" / "space.py")
    (folder / "my_lab" / "__init__.py").write_text("from . import space\n", encoding="utf-8")
    assert load_space("my_lab.space", trust=True).space == "my_lab.space:MyLab"
    for name in ("my_lab.space", "my_lab"):
        sys.modules.pop(name)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def :", "SyntaxError: invalid syntax"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        (MY_LAB.replace('"twice"', '"imdb"'), "block 'imdb' is there already"),
        (MY_LAB.partition("class MyLab")[0], "expected one Genotype in module my_lab, found none"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(text: str, told: str, command: Command, folder: Path) -> None:
    (folder / "my_lab.py").write_text(text, encoding="utf-8")
    status, _, error = command("space", "my_lab")
    assert (status, error.count("\n")) == (2, 1)
    assert told in error and "space 'my_lab'" in error


def test_a_space_that_is_nowhere_cannot_be_trusted(command: Command, folder: Path) -> None:
    status, _, error = command("trust-space", "my_lap")
    assert (status, error.count("\n")) == (2, 1)
    assert f"space 'my_lap' is neither installed nor a file in {folder}" in error
    trust_space("my_lap")
    with pytest.raises(SpaceError, match="unknown space 'my_lap'"):
        load_space("my_lap")


# Real processes, which have the current folder on their path as little as the command nas has


def _nas(*words: str, cwd: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "nas", *words],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _done(*words: str, cwd: Path) -> str:
    process = _nas(*words, cwd=cwd)
    text, error = process.communicate(timeout=400)
    assert process.returncode == 0 and "Traceback" not in error, error
    return text


@pytest.mark.thorough
def test_the_pages_commands_search_are_killed_go_on_retrain_and_export(
    folder: Path, hostile: Path, images: Path
) -> None:
    space, search, retrain, export = COMMANDS
    assert "twice" in _done(*space, cwd=folder)
    search = [*search, "--data", f"folder:{images}", *SMALL, *LITTLE, "--set", "space.only.block=twice"]
    search.remove("space.only.block=twice,rlfb")
    search.remove("--set")
    killed = _nas(*search, "--trials", "40", cwd=folder)
    while not list((folder / "runs").rglob("weights.safetensors")):
        assert killed.poll() is None, killed.communicate()[1]
        time.sleep(0.2)
    killed.send_signal(signal.SIGTERM)
    killed.communicate(timeout=120)
    with Store.at(folder / "runs" / "results.db") as store:
        trials = store.trials(store.study("mine").id, "search")
        before = len([trial for trial in trials if trial.evaluation is not None])
    assert 0 < before < 40
    _done(*search, "--trials", str(before + 2), cwd=folder)
    _done(*retrain, "--set", "retrain.batch=2", "--set", "retrain.lr_patch=12", "--steps", "3", cwd=folder)
    _done(*export, "--out", "net.py", cwd=folder)
    out = str(folder / "net.onnx")
    refused = _nas("export", "mine", "--runs", str(folder / "runs"), "--out", out, cwd=hostile)
    assert "is code outside ParetoSR" in refused.communicate(timeout=240)[1]
    _done("trust-space", "my_lab", cwd=folder)
    _done("export", "mine", "--runs", str(folder / "runs"), "--out", out, cwd=hostile)
    assert not (hostile / "imported").exists()
    code = "import net, torch; print(*net.network()(torch.rand(1, 3, 20, 17)).shape)"
    alone = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=240
    )
    assert alone.stdout.split() == ["1", "3", "40", "34"], alone.stderr

"""The real command in processes of its own, as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tomli_w
from forked import Forker, Process
from levels import mostly_thorough

from leaderboard.store import Store
from nas._version import __version__
from nas.cli import main
from nas.cost.budget import Cost
from nas.recipes.recipe import load_recipe
from search_spaces.lightweight import Lightweight

Nas = Callable[..., subprocess.CompletedProcess[str]]

RECIPE = """
scale = 2
data = "folder:{images}"
trials = {trials}
device = "cpu"
[space.only]
width = [16, 24]
blocks = [1, 2]
block = ["residual", "rlfb", "imdb"]
transformers = [0, 1]
transformer = ["channel"]
[budget]
params = "30k"
multi_adds = "8G"
[proxy]
plan = "quick"
steps = {steps}
batch = 2
lr_patch = 12
[retrain]
plan = "longer"
steps = 5
batch = 2
lr_patch = 12
"""


SIMPLE = Lightweight(block="residual").to_dict()


@pytest.fixture
def recipe(tmp_path: Path, images: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(images=images, trials=4, steps=3))
    return path


def test_help_comes_at_once_and_without_torch() -> None:
    code = (
        "import sys; sys.argv = ['nas', '--help']\n"
        "from nas.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "slow = {'torch', 'optuna', 'pandas', 'plotly', 'sqlalchemy', 'pydantic', 'numpy'}\n"
        "heavy = slow & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("search", "front", "board", "retrain", "evaluate", "data", "cost", "space"):
        assert command in done.stdout


def test_the_version_is_printed(nas: Nas) -> None:
    assert nas("--version").stdout == f"nas (ParetoSR) {__version__}\n"


def test_the_whole_job_from_search_to_page(nas: Nas, tmp_path: Path, recipe: Path) -> None:
    searched = nas("search", str(recipe))
    assert searched.returncode == 0, searched.stderr
    assert "[4/4]" in searched.stdout
    assert "bicubic" in searched.stdout
    assert "nas retrain tiny --top 1" in searched.stdout
    assert "\x1b" not in searched.stdout  # no terminal, no colours and no bars

    front = nas("front", "tiny", "--format", "json", "--png", "front.png")
    networks = json.loads(front.stdout)
    assert networks
    assert (tmp_path / "front.png").stat().st_size > 10_000
    assert [n["multi_adds"] for n in networks] == sorted(n["multi_adds"] for n in networks)
    assert [n["psnr_db"] for n in networks] == sorted(n["psnr_db"] for n in networks)
    for form in ("csv", "markdown", "latex", "table"):
        assert networks[0]["genotype"] in nas("front", "tiny", "--format", form).stdout

    retrained = nas("retrain", "tiny", "--top", "1")
    assert retrained.returncode == 0, retrained.stderr
    assert networks[-1]["genotype"] in retrained.stdout
    assert "over bicubic" in retrained.stdout
    longer = json.loads(nas("front", "tiny", "--protocol", "longer", "--format", "json").stdout)
    assert [n["genotype"] for n in longer] == [networks[-1]["genotype"]]

    board = nas("board", "--site", "page")
    assert board.returncode == 0, board.stderr
    page = (tmp_path / "page" / "index.html").read_text()
    assert networks[0]["genotype"] in page
    assert "page/index.html" in board.stdout

    cost = json.loads(nas("cost", networks[0]["genotype"][:6], "--scale", "2", "--json").stdout)
    assert (cost["params"], cost["multi_adds"]) == (networks[0]["params"], networks[0]["multi_adds"])
    kept = load_recipe(tmp_path / "runs" / "tiny" / "recipe.toml")
    assert kept.to_dict() == load_recipe(recipe).to_dict()


def test_cost_of_a_published_network_and_of_a_file(nas: Nas, tmp_path: Path) -> None:
    told = json.loads(nas("cost", "imdn", "--scale", "4", "--json").stdout)
    assert told["params"] == 715_176
    assert told["multi_adds"] == pytest.approx(40.9e9, rel=0.002)
    assert told["input"] == [320, 180]
    assert "715,176" in nas("cost", "imdn").stdout
    (tmp_path / "mine.toml").write_text(tomli_w.dumps(SIMPLE))
    assert "parameters" in nas("cost", "mine.toml").stdout


def test_cost_is_that_of_the_network_in_use_with_the_form_in_training_beside_it(nas: Nas) -> None:
    told = json.loads(nas("cost", "paretosr-1", "--scale", "2", "--json").stdout)
    assert (told["params"], told["multi_adds"]) == (181_004, 40_807_756_800)
    assert (told["in_training"]["params"], told["in_training"]["multi_adds"]) == (279_308, 63_456_998_400)
    lines = nas("cost", "paretosr-1", "--scale", "2").stdout.splitlines()
    assert (
        "  in training       279,308 parameters, 63.46G Multi-Adds: branches that are folded for use" in lines
    )
    assert "in_training" not in json.loads(nas("cost", "imdn", "--json").stdout)
    [row] = [line for line in nas("cost", "efrdn").stdout.splitlines() if "in its paper" in line]
    assert row.endswith("(convolutions only, with the branches of training)")


def test_space_lists_every_axis(nas: Nas) -> None:

    told = nas("space").stdout
    for axis in Lightweight.axes():
        assert axis.name in told
    assert "architectures" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "none.toml"], "none.toml: cannot be read"),
        (["search", "--max-params", "lots"], "params: 'lots' is no count"),
        (["search", "--space", "lightwight"], "did you mean 'lightweight'"),
        (["search", "--data", "folder:nowhere"], "nowhere is no folder"),
        (["search", "--device", "tpu"], "device 'tpu'"),
        pytest.param(
            ["search", "--max-params", "1k", "--name", "x"],
            "params cannot be met (smallest reachable: params",
            marks=pytest.mark.thorough,  # the whole space is looked through
        ),
        (["search", "--runs", "file/runs"], "file/runs: Not a directory"),
        (["front", "nobody"], "run `nas search` first"),
        (["retrain", "nobody"], "unknown run 'nobody'"),
        (["board", "--site", "page"], "run `nas search` first"),
        (["board"], "run `nas search` first"),
        (["cost", "imdm"], "did you mean 'imdn'"),
        (["cost", "imdn", "--scale", "5"], "scale 5 is not supported"),
        (["cost", "bad.json"], "bad.json: is no JSON"),
        (
            ["cost", "odd.toml"],
            "odd.toml: unknown axis of space 'lightweight': 'widht'; did you mean",
        ),
        (["cost", "half.toml"], "half.toml: attention is missing"),
        (["cost", "against.toml"], "depth = 2 contradicts the other choices"),
        (["space", "torch.nn"], "expected one Genotype"),
    ],
)
def test_a_mistake_is_one_clear_line_and_status_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nas", *arguments])
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "odd.toml").write_text("widht = 16\n")
    half = {axis: option for axis, option in SIMPLE.items() if axis != "attention"}
    (tmp_path / "half.toml").write_text(tomli_w.dumps(half))
    (tmp_path / "against.toml").write_text(tomli_w.dumps({**SIMPLE, "depth": 2}))
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in told
    assert told.startswith("nas: ")
    assert told.count("\n") == 1, told


def test_a_full_disk_is_one_clear_line(nas: Nas, recipe: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with full.open("w") as nowhere:
        done = subprocess.run(
            [sys.executable, "-m", "nas", "space"], stdout=nowhere, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_of_a_newer_schema_is_left_alone(nas: Nas, tmp_path: Path) -> None:
    import sqlite3

    (tmp_path / "runs").mkdir()
    path = tmp_path / "runs" / "results.db"
    Store.at(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    for arguments in (["search"], ["front", "demo"], ["board", "--site", "page"]):
        done = nas(*arguments)
        assert done.returncode == 2
        assert "newer" in done.stderr
        assert done.stderr.count("\n") == 1


def wait_for_results(path: Path, count: int, process: Process) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if path.exists():
            try:
                with Store.at(path, read_only=True) as store:
                    if (store.frame()["state"] == "finished").sum() >= count:
                        return
            except Exception:
                time.sleep(0.05)
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("no results came")


@pytest.mark.parametrize(
    "blow", mostly_thorough([signal.SIGKILL, signal.SIGINT, signal.SIGTERM], {signal.SIGKILL})
)
def test_a_killed_search_goes_on_by_the_same_command(
    nas: Nas, forker: Forker, tmp_path: Path, images: Path, blow: signal.Signals
) -> None:
    path = tmp_path / "long.toml"
    path.write_text(RECIPE.format(images=images, trials=4, steps=40))
    process = forker.nas("search", "long.toml", cwd=tmp_path)
    database = tmp_path / "runs" / "results.db"
    wait_for_results(database, 1, process)
    os.kill(process.pid, blow)
    told, errors = process.communicate(timeout=60)
    if blow == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert process.returncode == 128 + blow
        assert "the same command goes on" in told
        assert errors == ""
    with Store.at(database, read_only=True) as store:
        before = store.frame("long")
    done = before[before["state"] == "finished"]
    assert 1 <= len(done) < 4

    again = nas("search", "long.toml")
    assert again.returncode == 0, again.stderr
    with Store.at(database, read_only=True) as store:
        after = store.frame("long")
    finished = after[after["state"] == "finished"]
    assert len(finished) == 4
    assert finished["genotype"].is_unique
    assert not (after["state"] == "running").any()
    kept = finished[finished["genotype"].isin(done["genotype"])]
    assert sorted(kept["psnr_db"]) == sorted(done["psnr_db"])
    assert sorted(kept["finished_at"]) == sorted(done["finished_at"])
    budget = load_recipe(path).limits()
    for row in finished.itertuples():
        cost = Cost(
            params=row.params,
            multi_adds=row.multi_adds,
            conv_multi_adds=row.conv_multi_adds,
            activations=row.activations,
        )
        assert not budget.excess(cost)


def test_a_second_search_of_one_run_is_refused(
    nas: Nas, forker: Forker, tmp_path: Path, images: Path
) -> None:
    path = tmp_path / "long.toml"
    path.write_text(RECIPE.format(images=images, trials=3, steps=4000))
    first = forker.nas("search", "long.toml", cwd=tmp_path)
    try:
        wait_for_results(tmp_path / "runs" / "results.db", 0, first)
        second = nas("search", "long.toml")
        assert second.returncode == 2
        assert "is being searched by" in second.stderr
    finally:
        first.kill()
        first.communicate()


@pytest.mark.thorough
def test_a_terminal_gets_bars(tmp_path: Path, recipe: Path) -> None:
    import pty
    import select

    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "110", "LINES": "40"}
    process = subprocess.Popen(
        [sys.executable, "-m", "nas", "search", str(recipe)],
        cwd=tmp_path,
        stdout=child,
        stderr=child,
        env=environment,
    )
    os.close(child)
    told = b""
    while True:
        ready, _, _ = select.select([parent], [], [], 0.2)
        if ready:
            try:
                piece = os.read(parent, 65536)
            except OSError:
                break
            if not piece:
                break
            told += piece
        elif process.poll() is not None:
            break
    os.close(parent)
    assert process.wait(60) == 0
    assert b"\x1b[" in told
    for word in (b"search", b"training", b"front", b"rejected", b"elapsed", b"left about"):
        assert word in told


def test_the_live_page_answers_on_loopback(nas: Nas, forker: Forker, tmp_path: Path, recipe: Path) -> None:
    import socket
    import urllib.request

    assert nas("search", str(recipe)).returncode == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = forker.nas("board", "--port", str(port), cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_dash-layout", timeout=5) as answer:
                    assert answer.status == 200
                    break
            except OSError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
    finally:
        process.terminate()
        process.communicate()


def test_steps_that_the_rungs_overrule_are_refused(nas: Nas, tmp_path: Path) -> None:
    """They would have no effect, and a search ten times as long as asked for would be the answer."""
    words = ("search", "--plan", "short", "--name", "x", "--data", f"folder:{tmp_path}", "--device", "cpu")
    done = nas(*words, "--rungs", "20,60", "--steps", "8")
    assert done.returncode == 2
    assert "--steps 8: this search has rungs" in done.stderr and "--rungs 20,60" in done.stderr
    assert not (tmp_path / "runs").exists()
    assert "--steps" not in nas(*words, "--rungs", "20,60", "--steps", "60").stderr

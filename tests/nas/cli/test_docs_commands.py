"""The commands of two pages of docs, run from the first to the last in one folder, as a reader would."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from postgres_server import PostgresServer

from leaderboard.errors import LeaderboardError
from leaderboard.store import Store
from nas.executors import EXECUTORS

DOCS = Path(__file__).parents[3] / "docs"
Nas = Callable[..., subprocess.CompletedProcess[str]]


def blocks(language: str, page: str = "searching.md") -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def begin(words: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start a command behind the next one, which is meant for one that has begun to search."""
    command = [sys.executable, "-m", *words]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    name = words[words.index("--name") + 1]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(LeaderboardError), Store.at(folder / "runs" / "results.db", read_only=True) as store:
            if store.is_led(store.study(name).id):
                return process
        time.sleep(0.2)
    raise AssertionError("it did not begin")


@pytest.mark.thorough
def test_every_command_of_the_page_works(nas: Nas, tmp_path: Path, postgres: PostgresServer) -> None:
    [recipe] = blocks("toml")
    (tmp_path / "small.toml").write_text(recipe)
    address = postgres.new_database()
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) > 15
    printed = {}
    behind: list[subprocess.Popen[str]] = []
    for command in commands:
        if command.endswith("&"):
            behind.append(begin(shlex.split(command[:-1]), tmp_path))
            continue
        words = shlex.split(command.replace("postgresql+psycopg://HOST/DATABASE", address))
        done = nas(*words[1:], timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        printed[command] = done.stdout
    for process in behind:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    whole = "\n".join(printed.values())
    assert "rung 3: " in whole
    assert "+-" in whole
    assert "begins with" in whole


@pytest.mark.thorough
def test_every_command_of_the_page_on_retraining_works(
    nas: Nas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NAS_DATA", raising=False)
    (tmp_path / "sets" / "Set5").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((128, 96), Image.Resampling.BICUBIC)
    image.save(tmp_path / "sets" / "Set5" / "a.png")
    [recipe] = blocks("toml", "retraining.md")
    (tmp_path / "small.toml").write_text(recipe)
    commands = [line for block in blocks("sh", "retraining.md") for line in block.splitlines()]
    printed = {}
    for command in commands:
        done = nas(*shlex.split(command)[1:], timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        printed[command] = done.stdout
    assert "known already" in printed["nas retrain small --data-dir sets"]
    assert "  Set5 " in printed["nas retrain small --data-dir sets"]
    assert "2 at once (processes)" in printed["nas retrain small --top 2 --set steps=10 --workers 2"]
    table = printed["nas evaluate small --table"]
    assert "measured, y_float" in table and "reported rows" in table and "EFRDN" not in table
    assert "EFRDN" in printed["nas evaluate small --table --near all --format csv"]
    assert "bicubic" in printed[next(command for command in commands if "bicubic" in command)]
    assert r"\begin{tabular}" in printed["nas evaluate --table --scale 2 --format latex"]
    assert "mean of 8 flips and turns" in printed[commands[-1]]


@pytest.mark.nightly
def test_the_tracked_recipe_gives_the_same_on_every_executor(nas: Nas, tmp_path: Path) -> None:
    """At two steps a candidate: what differs between executors would differ there, too."""
    recipe = Path(__file__).parents[3] / "runs" / "x4-300k.toml"
    found = {}
    for executor in EXECUTORS:
        runs = tmp_path / executor
        options = ("--trials", "2", "--steps", "2", "--executor", executor, "--device", "cpu")
        done = nas("search", str(recipe), *options, "--runs", str(runs), timeout=300)
        assert done.returncode == 0, done.stderr
        with Store.at(runs / "results.db", read_only=True) as store:
            trials = store.trials(store.study("x4-300k").id, "search")
        found[executor] = [(t.genotype_id, t.state, t.evaluation and t.evaluation.psnr_db) for t in trials]
    assert len(found["inline"]) >= 2
    assert all(trials == found["inline"] for trials in found.values())

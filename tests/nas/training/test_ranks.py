"""One network trained by two processes that torchrun starts, over gloo on a CPU, against one process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from forked import Forker

from leaderboard.store import Store
from leaderboard.store.records import Evaluation
from nas.training.checkpoint import STATE, WEIGHTS, load_weights

Nas = Callable[..., subprocess.CompletedProcess[str]]

RECIPE = """
scale = 2
data = "folder:{images}"
trials = 2
device = "cpu"
[space.only]
width = [16]
blocks = [1]
block = ["residual"]
transformers = [0]
[proxy]
plan = "quick"
steps = 2
batch = 2
lr_patch = 12
[retrain]
plan = "longer"
steps = 60
batch = 4
lr_patch = 12
ema = 0.9
clip_norm = 0.5
"""


def torchrun(runs: Path, *options: str) -> list[str]:
    alone = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return [*alone, "-m", "nas", "retrain", "tiny", "--runs", str(runs), *options]


def result(runs: Path) -> tuple[Evaluation, dict[str, torch.Tensor]]:
    """The one re-trained network of ``runs``, and its weights."""
    with Store.at(runs / "results.db", read_only=True) as store:
        trials = store.trials(store.study("tiny").id, "retrain")
    assert len(trials) == 1
    evaluation = trials[0].evaluation
    assert evaluation is not None
    assert evaluation.checkpoint is not None
    return evaluation, load_weights(runs / evaluation.checkpoint)[0]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, images: Path, forker: Forker) -> Path:
    folder = tmp_path_factory.mktemp("search")
    (folder / "tiny.toml").write_text(RECIPE.format(images=images))
    done = forker.run_nas("search", str(folder / "tiny.toml"), "--runs", str(folder / "runs"))
    assert done.returncode == 0, done.stderr
    return folder / "runs"


@pytest.fixture
def searched(finished: Path, tmp_path: Path) -> Path:
    """The runs folder of a finished search."""
    return shutil.copytree(finished, tmp_path / "alone")


@pytest.mark.thorough
def test_two_processes_train_what_one_trains_and_one_of_them_writes_it(
    nas: Nas, searched: Path, tmp_path: Path
) -> None:
    together = shutil.copytree(searched, tmp_path / "together")
    alone = nas("retrain", "tiny", "--runs", str(searched))
    assert alone.returncode == 0, alone.stderr
    done = subprocess.run(torchrun(together), capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Re-training 1 of run 'tiny'") == 1
    assert "2 processes train together" in done.stdout
    (one, one_weights), (two, two_weights) = result(searched), result(together)
    assert two.psnr_db == pytest.approx(one.psnr_db, abs=1e-3)
    assert [step for step, _, _ in two.curve] == [step for step, _, _ in one.curve]
    for name, tensor in one_weights.items():
        torch.testing.assert_close(two_weights[name], tensor, rtol=1e-3, atol=1e-4)


@pytest.mark.thorough
def test_a_group_that_is_stopped_goes_on_by_the_same_command(searched: Path, tmp_path: Path) -> None:
    long = ("--steps", "100000", "--plan", "quick")
    group = subprocess.Popen(
        torchrun(searched, *long), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_words(group, "step ")
    group.send_signal(signal.SIGTERM)
    group.communicate(timeout=120)
    states = list(searched.rglob(STATE))
    assert len(states) == 1
    step = torch.load(states[0], weights_only=True)["step"]
    assert step > 0
    assert not list(searched.rglob(f"retrained/*/{WEIGHTS}"))
    again = subprocess.Popen(
        torchrun(searched, *long), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    first = wait_for_words(again, "step ")
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=120)
    assert int(first.split("step ")[1].split("/")[0]) > step


def wait_for_words(process: subprocess.Popen[str], words: str) -> str:
    """The first line with ``words`` that the process prints."""
    assert process.stdout is not None
    until = time.monotonic() + 120
    os.set_blocking(process.stdout.fileno(), True)
    while time.monotonic() < until:
        line = process.stdout.readline()
        if words in line:
            return line
        assert line or process.poll() is None, process.stderr and process.stderr.read()
    raise AssertionError(f"{words!r} was not printed")


@pytest.mark.thorough
def test_a_batch_that_cannot_be_divided_is_refused(searched: Path) -> None:
    recipe = searched / "tiny" / "recipe.toml"
    assert recipe.exists()
    done = subprocess.run(
        [*torchrun(searched)[:5], "3", *torchrun(searched)[6:]],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode != 0
    assert "a batch of 4 cannot be divided among 3 processes" in done.stderr + done.stdout

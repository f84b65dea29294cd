from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from forked import Forker

from leaderboard.page.network_data import again_command
from leaderboard.store import Store

RECIPE = """
name = "small"
scale = 2
data = "folder:{images}"
trials = 4
device = "cpu"
sampler = "random"
rungs = [2, 4]
[space.only]
width = [16, 24]
blocks = [1]
block = ["residual", "rlfb"]
transformers = [0]
[proxy]
plan = "steady"
batch = 2
lr_patch = 12
[retrain]
plan = "longer"
steps = 6
batch = 2
lr_patch = 12
"""

Nas = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def finished(forker: Forker, tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.toml").write_text(RECIPE.format(images=images))
    for command in (("search", "small.toml"), ("retrain", "small", "--top", "1")):
        assert forker.run_nas(*command, cwd=folder).returncode == 0
    return folder


@pytest.fixture
def searched(finished: Path, tmp_path: Path) -> Path:
    """A copy of a finished search and a re-training, in the folder of the test."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "runs" / "results.db"


@pytest.mark.thorough
def test_the_command_of_the_page_finds_every_number_again_to_the_last_bit(nas: Nas, searched: Path) -> None:
    """Also that of a candidate that went on from a lower rung, and of a re-training."""
    with Store.at(searched, read_only=True) as store:
        frame = store.frame("small")
    before = searched.read_bytes()
    done = frame[frame["state"] == "finished"]
    chosen = [done[done["stage"] == "retrain"].iloc[0], done[done["rung"] == 1].iloc[0], done.iloc[0]]
    for row in chosen:
        again = nas(*again_command(row).split()[1:])
        assert again.returncode == 0, again.stderr
        assert "The same, to the last bit." in again.stdout
        assert f"recorded  {row['psnr_db']:.6f} dB" in again.stdout
    assert searched.read_bytes() == before


@pytest.mark.thorough
def test_a_rescued_training_is_found_again_with_its_halvings(nas: Nas, searched: Path) -> None:
    """A rate that rises for as long as the training lasts, until it is too high."""
    changes = ("lr=0.6", "warmup_steps=600", "schedule=constant", "halvings=4")
    words = [word for change in changes for word in ("--set", change)]
    done = nas("retrain", "small", "--top", "1", "--steps", "200", *words)
    assert done.returncode == 0, done.stderr + done.stdout
    with Store.at(searched, read_only=True) as store:
        rescued = [trial for trial in store.trials(store.study("small").id, "retrain") if trial.number == 1]
        row = store.frame("small").set_index(["stage", "number"]).loc[("retrain", 1)]
    [[trial], halvings] = rescued, row["halvings"]
    assert trial.evaluation is not None
    assert trial.evaluation.halvings == halvings
    step, resumed, factor = halvings[0]
    said = f"rate halved at step {step} (resumed from {resumed}, rate x {factor:g})"
    assert f"\n  {said}" in done.stdout
    assert f"trial 1: {said}" in done.stdout
    again = nas("rerun", "small", trial.genotype_id, "--protocol", trial.evaluation.protocol_id)
    assert again.returncode == 0, again.stderr
    assert "The same, to the last bit." in again.stdout
    assert said.capitalize() in again.stdout


def test_what_cannot_be_run_again_is_one_line(nas: Nas, searched: Path, images: Path) -> None:
    with Store.at(searched, read_only=True) as store:
        genotype = store.frame("small")["genotype"].iloc[0]
    for arguments, words in (
        (["nobody", genotype], "unknown run 'nobody'"),
        (["small", "zzz"], "zzz"),
        (["small", genotype, "--seed", "7"], r"with seed 7 \(protocols: .*; seeds: 0\)"),
        (["small", genotype, "--protocol", "full"], "under protocol full"),
    ):
        done = nas("rerun", *arguments)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert re.search(words, done.stderr)


def test_other_images_are_refused(nas: Nas, searched: Path, images: Path, tmp_path: Path) -> None:
    with Store.at(searched, read_only=True) as store:
        frame = store.frame("small")
    copy = tmp_path / "moved"
    copy.mkdir()
    recipe = (
        (tmp_path / "small.toml").read_text().replace(str(images), str(copy)).replace('"small"', '"other"')
    )
    (tmp_path / "other.toml").write_text(recipe)
    for number, path in enumerate(sorted(images.iterdir())):
        (copy / path.name).write_bytes(path.read_bytes())
        last = number, copy / path.name
    assert nas("search", "other.toml", "--runs", "others").returncode == 0
    last[1].unlink()
    genotype = frame[frame["state"] == "finished"]["genotype"].iloc[0]
    done = nas("rerun", "other", genotype, "--runs", "others")
    assert done.returncode == 2
    assert "the images have digest" in done.stderr

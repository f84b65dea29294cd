"""The adversarial stage of a compression, from end to end; the weights of VGG19 are random here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_networks import SMALL, source, trained_weights

from leaderboard.errors import StudyMismatchError
from leaderboard.store import Store
from nas.cli.compress import _adversarial
from nas.compression.compression import Compression
from nas.compression.pipeline import ADVERSARIAL, Compressing, Pipeline
from nas.compression.stages import Stage
from nas.errors import CheckpointError, Interrupted, RecipeError
from nas.training import Job, Progress, named_plan, train
from nas.training.checkpoint import WEIGHTS, load_described, load_weights
from search_spaces.compressed import Compressed
from search_spaces.errors import SpaceError

Nas = Callable[..., subprocess.CompletedProcess[str]]

PLAN = named_plan("quick", steps=4, batch=2, lr_patch=12)


@pytest.fixture(scope="module")
def weights(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of a small network, and of a larger one that can teach it."""
    return trained_weights(images, tmp_path_factory.mktemp("trained"), PLAN)


def order(images: Path, **changes: Any) -> Compression:
    usual: dict[str, Any] = {
        "plan": PLAN,
        "adversarial": "ragan",
        "finetune_steps": 2,
        "data": f"folder:{images}",
        "max_drop_db": 20.0,
        "output": (96, 96),
    }
    return Compression(**usual | changes)


Make = Callable[..., Pipeline]


@pytest.fixture
def pipeline(images: Path, weights: dict[str, Path], features: Path, store: Store, tmp_path: Path) -> Make:
    def make(*, name: str = "sharp", file: Path | None = features, **changes: Any) -> Pipeline:
        asked = order(images, **changes)
        teacher = source(weights["big"]) if asked.plan.distil != "none" else None
        started = source(weights["small"])
        return Pipeline(name, asked, started, teacher, store=store, runs=tmp_path / "runs", features=file)

    return make


def silent(name: str, progress: Progress) -> None:
    """Report nothing."""


def silently(stage: Stage) -> None:
    """Tell nothing."""


@pytest.mark.thorough
def test_the_critic_comes_after_the_teacher_and_stays_to_the_integers(
    pipeline: Make, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: dict[str, Job] = {}

    def seen(job: Job, report: Any) -> Any:
        assert job.folder is not None
        jobs[job.folder.name] = job
        return train(job, report)

    monkeypatch.setattr("nas.compression.pipeline.train", seen)
    made = pipeline(plan=replace(PLAN, distil="output"), prune=0.6, quantise="int8", adversarial_steps=3)
    result = made.run(silent, silently)
    names = [stage.name for stage in result.stages]
    assert names == ["teacher", "original", "distilled", ADVERSARIAL, "pruned", "int8"]
    assert [stage.genotype.to_dict().get("trained_for") for stage in result.stages[2:]] == [
        None,
        *["perception"] * 3,
    ]
    told = [
        (name, job.plan.adversarial, job.plan.steps, job.plan.optimizer, job.plan.lr, job.features is None)
        for name, job in jobs.items()
    ]
    assert told == [
        ("2-distilled", "none", 4, "adam", 2e-3, True),
        ("3-adversarial", "ragan", 3, "adamw", 1e-4, False),
        ("4-pruned", "ragan", 2, "adamw", 1e-4, False),
        ("5-int8", "ragan", 2, "adamw", pytest.approx(1e-5), False),
    ]
    assert {job.plan.distil for job in jobs.values()} == {"output"}
    frame = store.frame("sharp")
    assert list(frame["genotype"]) == [stage.genotype.id for stage in result.stages]
    assert frame["genotype"].nunique() == 6  # before and after the critic: two rows, two points
    assert frame["protocol"].nunique() == 1
    assert list(frame["state"]) == ["finished"] * 6
    genotype, scale, _ = load_described(result.stages[3].folder / WEIGHTS)
    assert (genotype, scale) == (result.stages[3].genotype, 2)
    # what it began with and what it ended with differ, and a step of 1e-4 is small
    before, after = (load_weights(stage.folder / WEIGHTS)[0] for stage in result.stages[2:4])
    moved = max((after[name] - before[name]).abs().max().item() for name in before)
    assert 1e-5 < moved < 1e-3


@pytest.mark.thorough
def test_a_stage_that_was_cut_off_ends_with_the_same_bits(pipeline: Make) -> None:
    def stop(name: str, progress: Progress) -> None:
        if name == ADVERSARIAL and progress.step == 2:
            raise Interrupted("enough")

    whole = pipeline(name="whole").run(silent, silently)
    with pytest.raises(Interrupted):
        pipeline(name="cut").run(stop, silently)
    again = pipeline(name="cut").run(silent, silently)
    assert [stage.name for stage in again.stages] == ["original", ADVERSARIAL]
    a, b = (load_weights(result.stages[-1].folder / WEIGHTS)[0] for result in (whole, again))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert again.stages[-1].psnr_db == whole.stages[-1].psnr_db


def stage(name: str, psnr_db: float) -> Stage:
    return Stage(
        name=name,
        folder=Path(name),
        genotype=SMALL,
        cost={},
        psnr_db=psnr_db,
        ssim=0.9,
        bytes=1,
        per_image={},
    )


def test_drops_after_the_critic_are_counted_from_it_and_its_own_is_not_bounded() -> None:
    first, sharp = stage("original", 30.0), stage(ADVERSARIAL, 27.0)
    thin, small = stage("pruned", 26.8), stage("int8", 26.5)
    fine = Compressing(stages=(stage("teacher", 31.0), first, sharp, thin), max_drop_db=0.3)
    assert fine.stopped is None
    assert [fine.drop_db(one) for one in fine.stages] == [None, 0.0, 3.0, pytest.approx(0.2)]
    assert [fine.reference_of(one) for one in fine.stages] == [None, first, first, sharp]
    worse = Compressing(stages=(first, sharp, thin, small), max_drop_db=0.3)
    assert (worse.stopped, worse.good) == (small, thin)
    plain = Compressing(stages=(first, stage("pruned", 29.6)), max_drop_db=0.3)
    assert plain.stopped is plain.stages[1]


@pytest.mark.thorough
def test_features_belong_to_what_a_run_is(pipeline: Make, features: Path, tmp_path: Path) -> None:
    first = pipeline()
    moved = tmp_path / "moved.pth"
    moved.write_bytes(features.read_bytes())
    assert pipeline(file=moved).protocol.id == first.protocol.id
    held = torch.load(features, weights_only=True)
    torch.save({name: value * 1.1 for name, value in held.items()}, tmp_path / "other.pth")
    with pytest.raises(StudyMismatchError, match=r"compress\.features was"):
        pipeline(file=tmp_path / "other.pth")
    assert pipeline(name="else", file=tmp_path / "other.pth").protocol.id != first.protocol.id
    with pytest.raises(StudyMismatchError, match=r"compress\.adversarial was 'ragan', now 'rgan'"):
        pipeline(adversarial="rgan")


def test_without_the_stage_an_order_is_told_as_it_was_before_there_was_one(images: Path) -> None:
    told = order(images, adversarial=None, prune=0.5).to_dict()
    assert not any("adversarial" in name for name in (*told, *told["plan"]))
    assert Compressed(of="lightweight", choices=SMALL.to_dict()).to_dict().keys() == {"of", "choices"}
    with pytest.raises(SpaceError, match=r"trained_for = 'fun' \(allowed: pixels, perception\)"):
        Compressed(of="lightweight", choices=SMALL.to_dict(), trained_for="fun")


def test_what_cannot_be_is_said_before_anything_is_trained(
    pipeline: Make, images: Path, features: Path, store: Store, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=r"no file of them was given .nas compress --features FILE"):
        pipeline(file=None)
    with pytest.raises(RecipeError, match=r"gone\.pth: there is no such file, and an adversarial training"):
        pipeline(file=tmp_path / "gone.pth")
    (tmp_path / "bad.pth").write_bytes(features.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"bad\.pth: no readable weights of VGG19"):
        pipeline(file=tmp_path / "bad.pth")
    with pytest.raises(RecipeError, match=r"vgg19\.pth\) are of no use without an adversarial stage"):
        pipeline(adversarial=None, prune=0.5)
    with pytest.raises(RecipeError, match=r"batch = 1 with adversarial = 'ragan'"):
        order(images, plan=replace(PLAN, batch=1))
    with pytest.raises(RecipeError, match="unknown adversarial 'gan'"):
        order(images, adversarial="gan")
    with pytest.raises(RecipeError, match=r"adversarial_steps = 3 without an adversarial stage"):
        order(images, adversarial=None, adversarial_steps=3, prune=0.5)
    assert store.studies() == []


@pytest.mark.thorough
def test_the_command_sharpens_and_says_what_is_missing(
    images: Path, weights: dict[str, Path], features: Path, nas: Nas, tmp_path: Path
) -> None:
    words = [
        *(
            "compress",
            str(weights["small"]),
            "--adversarial",
            "--data",
            f"folder:{images}",
            "--name",
            "sharp",
        ),
        *("--plan", "quick", "--steps", "3", "--set", "batch=2", "--set", "lr_patch=12", "--output", "96x96"),
    ]
    for more, says in (
        ([], "no file of them was given (nas compress --features FILE)"),
        (["--features", "vgg19.pth"], "vgg19.pth: there is no such file"),
    ):
        refused = nas(*words, *more)
        assert refused.returncode == 2
        assert says in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
        assert not (tmp_path / "runs").exists()
    asked = [*words, "--features", str(features), "--max-drop-db", "0", "--set", "adversarial=rgan"]
    done = nas(*asked)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "adversarial: trained for perception, not for PSNR; --max-drop-db does not bound" in done.stdout
    told = json.loads(nas(*asked, "--json").stdout)
    assert [(row["name"], row["drop_from"]) for row in told["stages"]] == [
        ("original", "original"),
        (ADVERSARIAL, "original"),
    ]
    with pytest.raises(
        RecipeError, match="--set adversarial=rgan: says how --adversarial compares; give that"
    ):
        _adversarial(replace(PLAN, adversarial="rgan"), False)
    assert _adversarial(PLAN, True) == (PLAN, "ragan")
    assert _adversarial(PLAN, False) == (PLAN, None)

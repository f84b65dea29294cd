from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from nas.data import load_data
from nas.errors import CheckpointError, Interrupted, RecipeError, TrainingError
from nas.training import PLANS, Job, Plan, Progress, bicubic_baseline, named_plan, train
from nas.training.checkpoint import STATE, WEIGHTS, load_weights, save_weights
from nas.training.validation import mean_scores, validate
from search_spaces import Genotype, choice
from search_spaces.lightweight import Lightweight

TINY = Lightweight(
    width=16,
    blocks=1,
    block="residual",
    attention="none",
    kernel="3x3",
    aggregation="plain",
    transformers=0,
    skip="bicubic",
)


def job_of(images: Path, folder: Path | None = None, **changes: object) -> Job:
    plan = Plan(**{"steps": 8, "batch": 2, "lr_patch": 12, "lr": 1e-3, **changes})  # type: ignore[arg-type]
    return Job(genotype=TINY, scale=2, plan=plan, data=f"folder:{images}", folder=folder)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_weights(folder / WEIGHTS)[0]


def test_training_is_repeatable_to_the_last_bit_and_depends_on_the_seed(images: Path, tmp_path: Path) -> None:
    first = train(job_of(images, tmp_path / "a"))
    second = train(job_of(images, tmp_path / "b"))
    other = train(replace(job_of(images, tmp_path / "c"), seed=1))
    assert first.psnr_db == second.psnr_db != other.psnr_db
    assert first.curve == second.curve
    a, b = weights_of(tmp_path / "a"), weights_of(tmp_path / "b")
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_training_cut_off_at_any_step_ends_as_if_it_had_not_been(
    images: Path, tmp_path: Path, ema: float
) -> None:
    whole = train(job_of(images, tmp_path / "whole", ema=ema))
    for cut in (1, 4, 7):
        folder = tmp_path / f"cut{cut}"

        def stop(progress: Progress, cut: int = cut) -> None:
            if progress.step == cut:
                raise Interrupted("enough")

        with pytest.raises(Interrupted):
            train(job_of(images, folder, ema=ema), stop)
        assert (folder / STATE).exists()
        again = train(job_of(images, folder, ema=ema))
        assert again.psnr_db == whole.psnr_db
        assert again.curve == whole.curve
        a, b = weights_of(tmp_path / "whole"), weights_of(folder)
        assert all(torch.equal(a[name], b[name]) for name in a)
        assert sorted(path.name for path in folder.iterdir()) == [WEIGHTS]


def test_the_loss_falls_and_the_network_beats_bicubic_on_photographs(tmp_path: Path) -> None:
    plan = named_plan("quick", steps=60)
    outcome = train(Job(genotype=TINY, scale=4, plan=plan, data="photos", folder=tmp_path))
    data = load_data("photos", 4, plan.lr_patch)
    bicubic, _ = mean_scores(bicubic_baseline(data.valid, 4, "y_float"))
    assert outcome.psnr_db > bicubic + 0.05
    assert outcome.curve[-1][0] == 60
    assert set(outcome.per_image) == set(data.valid.names)
    weights, about = load_weights(tmp_path / WEIGHTS)
    assert about["choices"] == TINY.to_dict()
    network = TINY.build(4)
    network.load_state_dict(weights)
    again = validate(network, data.valid, 4, "y_float", torch.device("cpu"))
    assert mean_scores(again)[0] == pytest.approx(outcome.psnr_db, abs=1e-6)


@dataclass(frozen=True, kw_only=True)
class Exploding(Genotype):
    """A space of one network, whose output overflows."""

    power: int = choice(20)

    def build(self, scale: int) -> nn.Module:
        class Overflow(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return (1e30 * x) ** 2

        return nn.Sequential(nn.Conv2d(3, 3, 1), nn.Upsample(scale_factor=scale), Overflow())


def test_a_loss_that_is_no_number_ends_the_candidate_with_its_reason(images: Path) -> None:
    with pytest.raises(TrainingError, match=r"loss became (nan|inf).*lower learning rate"):
        train(replace(job_of(images), genotype=Exploding()))


def test_a_state_of_another_job_or_a_cut_off_one_is_refused(images: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        raise Interrupted("at once")

    with pytest.raises(Interrupted):
        train(job_of(images, tmp_path), stop)
    with pytest.raises(CheckpointError, match="another training"):
        train(job_of(images, tmp_path, lr=2e-3))
    state = tmp_path / STATE
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"state\.pt: no readable training state"):
        train(job_of(images, tmp_path))


def test_weights_that_blocks_share_are_kept_under_both_names(tmp_path: Path) -> None:
    """The mean and the deviation of EFRDN's block share layers, and safetensors writes no tensor twice."""
    network = replace(TINY, block="acdm", depth=1, share=0.25).build(2)
    weights = network.state_dict()
    assert len({tensor.data_ptr() for tensor in weights.values()}) < len(weights)
    save_weights(tmp_path / WEIGHTS, weights, {})
    again = weights_of(tmp_path)
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in weights.items())


def test_a_checkpoint_that_carries_code_is_not_run(images: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "owned").write_text, ("",))

    tmp_path.mkdir(exist_ok=True)
    torch.save({"identity": Evil()}, tmp_path / STATE)
    with pytest.raises(CheckpointError):
        train(job_of(images, tmp_path))
    assert not (tmp_path / "owned").exists()


def test_bf16_trains_and_stays_near_float32(images: Path) -> None:
    exact, rough = train(job_of(images)), train(job_of(images, precision="bf16"))
    assert rough.psnr_db == pytest.approx(exact.psnr_db, abs=0.5)


def test_the_cosine_begins_at_lr_and_ends_at_its_end() -> None:
    plan = Plan(steps=100, lr=1e-3, lr_end=1e-5, warmup_steps=10)
    assert plan.learning_rate(0) == pytest.approx(1e-4)
    assert plan.learning_rate(10) == pytest.approx(1e-3)
    assert plan.learning_rate(99) == pytest.approx(1e-5, rel=0.05)
    assert all(plan.learning_rate(s) >= plan.learning_rate(s + 1) for s in range(10, 99))
    assert Plan(steps=9, schedule="constant", lr=1e-3).learning_rate(8) == 1e-3


def test_the_full_plan_is_the_papers() -> None:
    full = PLANS["full"]
    assert (full.batch, full.lr_patch, full.lr, full.lr_end) == (16, 48, 2e-4, 6.25e-6)
    assert full.schedule == "cosine"


@pytest.mark.parametrize(
    "changes",
    [{"steps": 0}, {"steps": 1.5}, {"lr": math.nan}, {"lr": -1}, {"schedule": "linear"}, {"ema": 1.0}],
)
def test_a_plan_out_of_range_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=next(iter(changes))):
        Plan(**{"steps": 5, **changes})  # type: ignore[arg-type]


@pytest.mark.gpu
def test_a_gpu_trains_what_a_cpu_trains(images: Path) -> None:
    cpu = train(job_of(images, steps=30))
    gpu = train(replace(job_of(images, steps=30), device="cuda"))
    assert gpu.psnr_db == pytest.approx(cpu.psnr_db, abs=0.1)

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_networks import TINY
from torch import nn

from nas.data import Patches, load_data
from nas.errors import CheckpointError, DivergedError, Interrupted, OutOfMemoryError, RecipeError
from nas.training import PLANS, Job, Outcome, Plan, Progress, bicubic_baseline, named_plan, train
from nas.training.checkpoint import STATE, TRUNK, WEIGHTS, load_state, load_weights, save_weights
from nas.training.feed import ResidentFeed, make_feed
from nas.training.loop import _Run
from nas.training.losses import LOSSES
from nas.training.validation import mean_scores, validate
from search_spaces import Genotype, choice


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
        assert sorted(path.name for path in folder.iterdir()) == ["pictures", WEIGHTS]


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
    with pytest.raises(DivergedError, match=r"loss became (nan|inf).*lower learning rate") as caught:
        train(replace(job_of(images), genotype=Exploding()))
    assert caught.value.failure == "diverged"


@dataclass(frozen=True, kw_only=True)
class Runaway(Genotype):
    """Good for 25 steps, then ever further off, without ever leaving the numbers."""

    factor: int = choice(1, 100)

    def build(self, scale: int) -> nn.Module:
        factor = self.factor

        class Drift(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.steps = 0

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                self.steps += 1
                return x * factor if self.steps > 25 else x

        return nn.Sequential(nn.Conv2d(3, 3, 1), nn.Upsample(scale_factor=scale), Drift())


def test_a_loss_that_grows_without_end_ends_the_candidate_too(images: Path) -> None:
    job = job_of(images, steps=60, lr=1e-4)
    assert train(replace(job, genotype=Runaway(factor=1))).psnr_db > 0
    with pytest.raises(DivergedError, match=r"the loss grew from 0\.\d+ to \d+.* by step 50"):
        train(replace(job, genotype=Runaway(factor=100)))


@dataclass(frozen=True, kw_only=True)
class Greedy(Genotype):
    """Wants more memory than any machine has, from so many images on; the error is torch's own."""

    most: int = choice(1, 2)

    def build(self, scale: int) -> nn.Module:
        most = self.most

        class Hungry(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                if len(x) >= most and self.training:
                    torch.empty(2**52)
                return x

        return nn.Sequential(Hungry(), nn.Conv2d(3, 3, 3, padding=1), nn.Upsample(scale_factor=scale))


def test_too_little_memory_halves_the_batch_once_and_changes_nothing_else(images: Path) -> None:
    job = replace(job_of(images, batch=4), genotype=Greedy(most=1))
    with pytest.raises(OutOfMemoryError, match=r"allocate.*at half the batch as well") as caught:
        train(job)
    assert caught.value.failure == "out_of_memory"
    roomy = train(replace(job_of(images, batch=2), genotype=Greedy(most=2), device="cpu", seed=3))
    assert roomy.accumulate == 2


def test_a_batch_in_two_parts_trains_as_the_whole_one_does(images: Path) -> None:
    def weights(accumulate: int) -> dict[str, torch.Tensor]:
        run = _Run(job_of(images, batch=4, clip_norm=1.0), accumulate)
        run.finish(None)
        return run.network.state_dict()

    whole, halves = weights(1), weights(2)
    for name, tensor in whole.items():
        torch.testing.assert_close(halves[name], tensor, rtol=1e-3, atol=1e-5)


def test_a_longer_training_goes_on_from_a_shorter_one_as_if_there_had_been_no_stop(
    images: Path, tmp_path: Path
) -> None:
    steady = {"schedule": "constant", "ema": 0.99}
    whole = train(job_of(images, tmp_path / "whole", steps=75, **steady))
    first = train(replace(job_of(images, tmp_path / "first", steps=25, **steady), keep_state=True))
    second = replace(job_of(images, tmp_path / "second", steps=75, **steady), begin=first.state)
    seen: list[int] = []
    outcome = train(second, lambda progress: seen.append(progress.step))
    assert seen[0] == 26
    assert outcome.psnr_db == whole.psnr_db
    assert outcome.curve == whole.curve
    assert outcome.train_seconds > first.train_seconds
    a, b = weights_of(tmp_path / "whole"), weights_of(tmp_path / "second")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(*(next(iter(weights_of(tmp_path / f).values())) for f in ("first", "second")))
    assert first.state is not None
    assert first.state.exists()
    assert outcome.state is None


@pytest.mark.parametrize("killed_at", [None, 40, 60])
def test_a_decaying_rung_leaves_the_state_of_its_stable_part(
    images: Path, tmp_path: Path, killed_at: int | None
) -> None:
    wsd = {"schedule": "wsd", "decay_share": 0.25, "warmup_steps": 10, "ema": 0.99}
    whole = train(job_of(images, tmp_path / "whole", steps=90, **wsd))
    first = replace(job_of(images, tmp_path / "first", steps=70, **wsd), keep_state=True)
    if killed_at is not None:

        def stop(progress: Progress) -> None:
            if progress.step == killed_at:
                raise Interrupted("stop")

        with pytest.raises(Interrupted):
            train(first, stop)
    short = train(first)
    assert short.state is not None
    assert load_state(short.state)["step"] == 52 == first.plan.trunk_steps  # 70 less a quarter, rounded
    assert not (tmp_path / "first" / TRUNK).exists()
    seen: list[int] = []
    second = replace(job_of(images, tmp_path / "second", steps=90, **wsd), begin=short.state)
    outcome = train(second, lambda progress: seen.append(progress.step))
    assert seen[0] == 53
    assert outcome.psnr_db == whole.psnr_db
    a, b = weights_of(tmp_path / "whole"), weights_of(tmp_path / "second")
    assert all(torch.equal(a[name], b[name]) for name in a)
    again = train(first)  # a second attempt of a training that has ended ends alike, and keeps the state
    assert (again.psnr_db, load_state(short.state)["step"]) == (short.psnr_db, 52)


def test_a_cosine_leaves_no_state_to_resume_nor_resumes_one_that_is_further(
    images: Path, tmp_path: Path
) -> None:
    assert train(replace(job_of(images, tmp_path / "a"), keep_state=True)).state is None
    constant = train(replace(job_of(images, tmp_path / "c", schedule="constant"), keep_state=True))
    with pytest.raises(CheckpointError, match=r"another training \(plan was"):
        train(replace(job_of(images, tmp_path / "b", steps=20), begin=constant.state))
    with pytest.raises(CheckpointError, match="is of step 8, and this training ends at 4"):
        train(replace(job_of(images, tmp_path / "d", schedule="constant", steps=4), begin=constant.state))


def test_measuring_on_the_way_and_event_files_change_nothing(images: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain = train(job_of(images, tmp_path / "plain", steps=30, ema=0.9))
    watched = replace(job_of(images, tmp_path / "watched", steps=30, ema=0.9), validate_every=10, events=True)
    seen: list[Progress] = []
    outcome = train(watched, seen.append)
    assert outcome.psnr_db == plain.psnr_db
    assert [step for step, _, psnr in outcome.curve if psnr is not None] == [10, 20]
    assert all(psnr is None for _, _, psnr in plain.curve)
    assert seen[-1].psnr_db == outcome.curve[-3][2] or seen[-1].psnr_db == outcome.curve[1][2]
    assert (
        seen[-1].images_a_second == pytest.approx(2 * seen[-1].steps_a_second) and seen[-1].seconds_left == 0
    )
    log = EventAccumulator(str(tmp_path / "watched" / "events"))
    log.Reload()
    assert {"loss", "learning_rate", "psnr_db", "steps_a_second"} <= set(log.Tags()["scalars"])
    assert [point.step for point in log.Scalars("loss")] == [10, 20, 25, 30]


@pytest.mark.parametrize("precision", ["bf16", "fp16", "tf32"])
def test_lower_precision_trains_and_stays_near_float32(images: Path, precision: str) -> None:
    exact, rough = train(job_of(images)), train(job_of(images, precision=precision))
    assert rough.psnr_db == pytest.approx(exact.psnr_db, abs=0.5)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_trains(images: Path, loss: str) -> None:
    outcome = train(job_of(images, steps=50, loss=loss))
    assert outcome.curve[-1][1] < outcome.curve[0][1]


def test_losses_are_what_their_formulas_say() -> None:
    generator = torch.Generator().manual_seed(0)
    sr, hr = torch.rand(2, 2, 3, 8, 6, generator=generator, dtype=torch.float64)
    difference = (sr - hr).numpy()
    spectrum = np.fft.rfft2(sr.numpy()) - np.fft.rfft2(hr.numpy())
    parts = (np.abs(spectrum.real).mean() + np.abs(spectrum.imag).mean()) / 2
    expected = {
        "l1": np.abs(difference).mean(),
        "mse": (difference**2).mean(),
        "charbonnier": np.sqrt(difference**2 + 1e-6).mean(),
        "l1_fft": np.abs(difference).mean() + 0.05 * parts,
    }
    for name, loss in LOSSES.items():
        assert loss(sr, hr, 0.05).item() == pytest.approx(expected[name], rel=1e-9), name


def test_averaged_weights_are_the_average_of_the_weights(images: Path) -> None:
    plan = Plan(steps=6, batch=2, lr_patch=12, lr=1e-3, ema=0.9)
    run = _Run(replace(job_of(images), plan=plan), 1)
    expected = [p.detach().clone().double() for p in run.work.parameters]

    def follow(progress: Progress) -> None:
        decay = min(0.9, progress.step / (9 + progress.step))
        for average, parameter in zip(expected, run.work.parameters, strict=True):
            average.mul_(decay).add_(parameter.detach().double(), alpha=1 - decay)

    run.finish(follow)
    for average, found in zip(expected, run.work.average, strict=True):
        torch.testing.assert_close(found.double(), average, rtol=1e-5, atol=1e-7)


def test_patches_that_are_gathered_train_as_those_that_are_cut(images: Path) -> None:
    """The way of a GPU that holds all images, on a CPU; also when it goes on from inside a block."""
    job = job_of(images, steps=40)

    def run(gather: bool, state: torch.Tensor | None = None) -> _Run:
        made = _Run(job, 1)
        if gather:
            patches = Patches(
                made.dataset.train, scale=2, lr_patch=12, seed=0, device=made.device, way="gather"
            )
            made.feed = made.work.feed = make_feed(patches, job.plan.batch)
            assert isinstance(made.feed, ResidentFeed)
        return made

    cut, gathered = run(False), run(True)
    cut.finish(None)
    gathered.finish(None)
    assert cut.curve.entries == gathered.curve.entries
    assert torch.equal(cut.feed.state, gathered.feed.state)
    for name, tensor in cut.network.state_dict().items():
        assert torch.equal(tensor, gathered.network.state_dict()[name]), name
    gathered.feed.state = cut.feed.state
    for feed in (cut.feed, gathered.feed):
        feed.advance()
    assert all(torch.equal(a, b) for a, b in zip(cut.feed.batch(), gathered.feed.batch(), strict=True))


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


def test_the_cosine_begins_at_lr_and_ends_at_its_end() -> None:
    plan = Plan(steps=100, lr=1e-3, lr_end=1e-5, warmup_steps=10)
    assert plan.learning_rate(0) == pytest.approx(1e-4)
    assert plan.learning_rate(10) == pytest.approx(1e-3)
    assert plan.learning_rate(99) == pytest.approx(1e-5, rel=0.05)
    assert all(plan.learning_rate(s) >= plan.learning_rate(s + 1) for s in range(10, 99))
    assert Plan(steps=9, schedule="constant", lr=1e-3).learning_rate(8) == 1e-3
    halved = Plan(steps=9, schedule="drops", lr=1e-3, drop_every=3)
    assert [halved.learning_rate(step) for step in (2, 3, 8)] == [1e-3, 5e-4, 2.5e-4]


def test_the_full_plan_is_the_papers() -> None:
    full = PLANS["full"]
    assert (full.batch, full.lr_patch, full.lr, full.lr_end) == (16, 48, 2e-4, 6.25e-6)
    assert (full.schedule, full.loss, full.optimizer) == ("cosine", "l1", "adam")
    assert full.steps == 1000 * 1000
    assert full.learning_rate(full.steps) == pytest.approx(6.25e-6)


def test_a_plan_is_known_by_what_it_changes() -> None:
    assert PLANS["full"].identity() == {"steps": 1_000_000}
    assert Plan(steps=5, lr=2e-4).identity() == Plan(steps=5).identity()
    assert named_plan("quick", ema=0.9).identity() == {**PLANS["quick"].identity(), "ema": 0.9}


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"steps": 1.5},
        {"lr": math.nan},
        {"lr": -1},
        {"schedule": "exponential"},
        {"ema": 1.0},
        {"loss": "l2"},
        {"precision": "int8"},
        {"optimizer": "sgd"},
    ],
)
def test_a_plan_out_of_range_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=next(iter(changes))):
        Plan(**{"steps": 5, **changes})  # type: ignore[arg-type]


@pytest.mark.gpu
def test_a_gpu_trains_what_a_cpu_trains(images: Path) -> None:
    cpu = train(job_of(images, steps=30))
    gpu = train(replace(job_of(images, steps=30), device="cuda"))
    assert gpu.psnr_db == pytest.approx(cpu.psnr_db, abs=0.1)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_recorded_step_trains_as_steps_one_by_one(
    images: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = replace(job_of(images, steps=60, ema=0.9, clip_norm=1.0, precision=precision), device="cuda")
    recorded = train(job)
    monkeypatch.setattr(_Run, "_can_record", lambda run: False)
    stepped = train(job)
    assert (recorded.engine, stepped.engine) == ("graph", "steps")
    for (_, one, _), (_, other, _) in zip(recorded.curve, stepped.curve, strict=True):
        assert one == pytest.approx(other, rel=0.02)
    assert recorded.psnr_db == pytest.approx(stepped.psnr_db, abs=0.1)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.thorough
def test_bf16_as_the_engine_takes_it_trains_as_plain_float32_within_the_noise_of_seeds(
    images: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU: recorded graphs against one operation after another."""

    def trained(precision: str) -> list[Outcome]:
        job = replace(job_of(images, steps=150, precision=precision), device=device)
        return [train(replace(job, seed=seed)) for seed in range(3)]

    fast = trained("bf16")
    monkeypatch.setattr(_Run, "_can_record", lambda run: False)
    plain = trained("fp32")
    assert {one.engine for one in fast} == {"graph" if device == "cuda" else "steps"}
    for one, other in zip(fast, plain, strict=True):
        assert [step for step, _, _ in one.curve] == [step for step, _, _ in other.curve]
        for (_, loss, _), (_, exact, _) in zip(one.curve, other.curve, strict=True):
            assert loss == pytest.approx(exact, rel=0.05)
    noise = statistics.stdev(one.psnr_db for one in plain)
    means = [statistics.mean(one.psnr_db for one in some) for some in (fast, plain)]
    assert noise > 0
    assert abs(means[0] - means[1]) < max(2 * noise, 0.05)


@dataclass(frozen=True, kw_only=True)
class Asking(Genotype):
    """A network that asks the device something in each step, which cannot be recorded."""

    limit: int = choice(1000)

    def build(self, scale: int) -> nn.Module:
        limit = self.limit

        class Ask(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return x if x.abs().max().item() < limit else x * 0

        return nn.Sequential(Ask(), nn.Conv2d(3, 3, 1), nn.Upsample(scale_factor=scale))


@pytest.mark.gpu
def test_a_network_that_cannot_be_recorded_trains_all_the_same(images: Path) -> None:
    outcome = train(replace(job_of(images, steps=40), genotype=Asking(), device="cuda"))
    assert outcome.engine == "steps"
    assert outcome.curve[-1][1] < 1


@pytest.mark.gpu
def test_a_training_on_a_gpu_goes_on_near_where_it_was(images: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.step >= 50:
            raise Interrupted("enough")

    job = replace(job_of(images, tmp_path / "cut", steps=100), device="cuda")
    with pytest.raises(Interrupted):
        train(job, stop)
    again = train(job)
    whole = train(replace(job, folder=tmp_path / "whole"))
    assert [step for step, _, _ in again.curve] == [step for step, _, _ in whole.curve]
    assert again.psnr_db == pytest.approx(whole.psnr_db, abs=0.1)

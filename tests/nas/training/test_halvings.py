"""Trainings that diverge and resume from a good state at half the rate: real ones, with real rates."""

from __future__ import annotations

import itertools
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from levels import mostly_thorough
from torch import nn

from nas.errors import DivergedError, Interrupted
from nas.training import Job, Outcome, Plan, Progress, loop, named_plan, train
from nas.training.checkpoint import STATE, WEIGHTS, load_state, load_weights
from nas.training.curve import COLLAPSED_WINDOWS, WINDOW, LossCurve
from nas.training.good_states import EVERY, GoodStates
from search_spaces import Genotype, choice

STEPS = 240


@dataclass(frozen=True, kw_only=True)
class Steep(Genotype):
    """Learns well below a rate of about 0.02, and leaves the numbers above it after some tens of steps."""

    layers: int = choice(1, 2, 6)

    def build(self, scale: int) -> nn.Module:
        inner = [nn.Conv2d(16, 16, 3, padding=1) for _ in range(self.layers)]
        last = nn.Conv2d(16, 3 * scale**2, 3, padding=1)
        return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), *inner, last, nn.PixelShuffle(scale))


def job_of(images: Path, folder: Path | None = None, **changes: object) -> Job:
    plan = {"steps": STEPS, "batch": 2, "lr_patch": 12, "lr": 0.16, "warmup_steps": 400, "halvings": 4}
    plan |= {"schedule": "constant"} | changes
    made = Plan(**plan)  # type: ignore[arg-type]
    return Job(genotype=Steep(), scale=2, plan=made, data=f"folder:{images}", folder=folder, threads=1)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_weights(folder / WEIGHTS)[0]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Cut:
    """Ends a training at its report of that number: steps that are taken again count again."""

    def __init__(self, at: int, error: Callable[[], BaseException]) -> None:
        self.left, self._error = at, error

    def __call__(self, progress: Progress) -> None:
        self.left -= 1
        if self.left == 0:
            raise self._error()


CUTS = [(how, where) for how in ("stopped", "killed") for where in ("before", "after", "late")]


class Killed(BaseException):
    """Ends a training as a kill does: nothing saves the state, and what is on the disk is all there is."""


@pytest.fixture(scope="module", params=mostly_thorough([0.0, 0.99], [0.99]), ids=["plain", "ema"])
def ema(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture(scope="module")
def rescued(images: Path, ema: float, tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    """A training that diverged and was rescued."""
    folder = tmp_path_factory.mktemp("whole")
    return train(job_of(images, folder, ema=ema)), folder


def test_a_training_that_diverges_resumes_from_a_good_state_at_half_the_rate(
    images: Path, ema: float, rescued: tuple[Outcome, Path]
) -> None:
    with pytest.raises(DivergedError, match="the loss grew") as caught:
        train(job_of(images, halvings=0, ema=ema))
    outcome, _ = rescued
    assert outcome.halvings[0][0] == caught.value.step
    assert [factor for _, _, factor in outcome.halvings] == [
        0.5**n for n in range(1, len(outcome.halvings) + 1)
    ]
    for diverged, resumed, _ in outcome.halvings:
        assert diverged % WINDOW == 0 or diverged == STEPS
        assert resumed % EVERY == 0
        assert diverged - resumed >= EVERY or resumed == 0
    assert [step for step, _, _ in outcome.curve] == [*range(WINDOW, STEPS, WINDOW), STEPS]
    assert outcome.curve[-1][1] < outcome.curve[0][1]


def test_every_later_rate_is_half(images: Path, rescued: tuple[Outcome, Path], ema: float) -> None:
    job, seen = job_of(images, ema=ema), []
    train(job, seen.append)
    for now in seen:
        factor = now.halvings[-1][2] if now.halvings else 1.0
        assert now.learning_rate == job.plan.learning_rate(now.step - 1) * factor
    assert list(seen[-1].halvings) == rescued[0].halvings != []
    back = [two.step for one, two in itertools.pairwise(seen) if two.step <= one.step]
    assert back == [resumed + 1 for _, resumed, _ in rescued[0].halvings]


def reports(outcome: Outcome) -> int:
    """How many steps were taken, all in all; the last one of a window that diverged is not reported."""
    again = sum(diverged - 1 - resumed for diverged, resumed, _ in outcome.halvings)
    return STEPS + again


@pytest.mark.parametrize("cut_off", mostly_thorough(CUTS, [("killed", "after"), ("stopped", "late")]))
def test_a_rescued_training_cut_off_anywhere_ends_as_if_it_had_not_been(
    images: Path,
    tmp_path: Path,
    ema: float,
    rescued: tuple[Outcome, Path],
    cut_off: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (how, where), (whole, folder) = cut_off, rescued
    first = whole.halvings[0][0]
    cut = {"before": first - 7, "after": first + 3, "late": reports(whole) - 2}[where]
    job = job_of(images, tmp_path, ema=ema)
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0 if how == "killed" else 60.0)
    error = (lambda: Killed()) if how == "killed" else (lambda: Interrupted("enough"))
    with pytest.raises((Killed, Interrupted)):
        train(job, Cut(cut, error))
    state = load_state(tmp_path / STATE)
    assert bool(state["halvings"]) == (where != "before")
    again = train(job)
    assert again.halvings == whole.halvings
    assert again.curve == whole.curve
    assert again.psnr_db == whole.psnr_db
    assert same(weights_of(tmp_path), weights_of(folder))


def test_a_rescued_training_cut_off_again_and_again_is_the_same(
    images: Path, tmp_path: Path, rescued: tuple[Outcome, Path], ema: float
) -> None:
    whole, folder = rescued
    job, cuts = job_of(images, tmp_path, ema=ema), 0
    while True:
        try:
            outcome = train(job, Cut(33, lambda: Interrupted("enough")))
        except Interrupted:
            cuts += 1
        else:
            break
    assert cuts >= reports(whole) // 33 - 1
    assert (outcome.halvings, outcome.curve) == (whole.halvings, whole.curve)
    assert same(weights_of(tmp_path), weights_of(folder))


def test_measurements_on_the_way_do_not_change_where_a_training_is_rescued(
    images: Path, tmp_path: Path, rescued: tuple[Outcome, Path], ema: float
) -> None:
    whole, folder = rescued
    outcome = train(replace(job_of(images, tmp_path, ema=ema), validate_every=40))
    assert outcome.halvings == whole.halvings
    assert [step for step, _, psnr in outcome.curve if psnr is not None] == [40, 80, 120, 160, 200]
    assert same(weights_of(tmp_path), weights_of(folder))


def test_a_longer_training_continues_from_a_rescued_one_as_if_it_were_its_own(
    images: Path, tmp_path: Path, rescued: tuple[Outcome, Path], ema: float
) -> None:
    whole, folder = rescued
    middle = whole.halvings[0][0] + EVERY
    assert middle < STEPS
    short = replace(job_of(images, tmp_path / "short", ema=ema, steps=middle), keep_state=True)
    state = train(short).state
    outcome = train(replace(job_of(images, tmp_path / "long", ema=ema), begin=state))
    assert (outcome.halvings, outcome.curve) == (whole.halvings, whole.curve)
    assert same(weights_of(tmp_path / "long"), weights_of(folder))


@pytest.mark.parametrize("changes", [{}, {"ema": 0.99}, {"clip_norm": 0.5, "optimizer": "adamw"}])
def test_a_training_that_does_not_diverge_is_the_same_with_halvings_and_without(
    images: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    usual = {"lr": 1e-3, "warmup_steps": 0, **changes}
    without = train(job_of(images, tmp_path / "without", **{**usual, "halvings": 0}))
    with_two = train(job_of(images, tmp_path / "with", **{**usual, "halvings": 2}))
    assert with_two.halvings == without.halvings == []
    assert with_two.curve == without.curve
    assert with_two.psnr_db == without.psnr_db
    assert same(weights_of(tmp_path / "with"), weights_of(tmp_path / "without"))


def test_a_training_gives_up_after_its_halvings_and_says_what_to_change(images: Path) -> None:
    with pytest.raises(DivergedError) as caught:
        train(job_of(images, lr=0.9, halvings=1))
    text = str(caught.value)
    assert "\n" not in text
    assert "; it diverged at steps " in text
    assert text.endswith(" with lr = 0.9, 0.45: lower lr, or set clip_norm or warmup_steps")
    assert caught.value.step % WINDOW == 0
    assert f", {caught.value.step} with" in text
    travelled = pickle.loads(pickle.dumps(caught.value))
    assert (type(travelled), str(travelled), travelled.step) == (DivergedError, text, caught.value.step)


def test_the_identity_of_a_plan_without_halvings_is_what_it_was() -> None:
    assert "halvings" not in named_plan("longer").identity()
    assert named_plan("longer", halvings=2).identity()["halvings"] == 2


def test_a_state_of_an_older_version_is_resumed(images: Path, tmp_path: Path) -> None:
    job = job_of(images, tmp_path / "whole", lr=1e-3, halvings=0, steps=60)
    whole = train(job)
    cut = replace(job, folder=tmp_path / "cut")
    with pytest.raises(Interrupted):
        train(cut, Cut(30, lambda: Interrupted("enough")))
    state = load_state(tmp_path / "cut" / STATE)
    del state["judged"]
    torch.save(state, tmp_path / "cut" / STATE)
    assert train(cut).curve == whole.curve
    assert same(weights_of(tmp_path / "cut"), weights_of(tmp_path / "whole"))


def curve_of(losses: list[float], **options: bool) -> LossCurve:
    """A curve whose windows have these means; the first step has the first one."""
    total = torch.zeros(())
    curve = LossCurve(total, **options)
    total += losses[0]
    curve.saw_first_step()
    for number, loss in enumerate(losses[1:], start=1):
        total.fill_(WINDOW * loss)
        curve.close(number * WINDOW)
    return curve


def test_a_loss_that_stays_high_or_begins_high_diverges_only_where_it_can_be_rescued() -> None:
    stuck = [0.3, 0.2, 0.03, *[0.2] * COLLAPSED_WINDOWS]
    for losses, step, text in (
        (stuck, (len(stuck) - 1) * WINDOW, "the loss stayed at 0.2"),
        ([0.3, 7.0, 6.0], WINDOW, "the loss grew from 0.3 to 7"),
    ):
        curve_of(losses)
        curve_of(losses, strict=True, falls=False)
        with pytest.raises(DivergedError, match=text) as caught:
            curve_of(losses, strict=True)
        assert caught.value.step == step
    curve_of([*stuck[:-1], 0.04, *stuck[-3:]], strict=True)  # it came back in between
    curve_of([0.3, 0.9, 0.5], strict=True)
    assert curve_of([0.3, 0.2, 0.1, 0.25, 0.15]).risen == 3 * WINDOW


def test_no_state_is_good_that_the_loss_rose_after() -> None:
    live = torch.zeros(3)

    def state(step: int) -> Callable[[], dict[str, object]]:
        live.fill_(step)
        return lambda: {"step": step, "weights": live, "more": [live]}

    good = GoodStates(state(0)())
    good.keep(50, state(50), risen=0)
    assert good.last_good()["step"] == 0
    for step in (50, 100):  # the one that was taken last is forgotten with each return
        good.keep(step, state(step), risen=0)
    good.keep(150, state(150), risen=150)  # the loss rose before 150: neither 100 nor 150 is good
    good.keep(200, state(200), risen=175)
    good.keep(250, state(250), risen=175)
    saved = good.state()
    assert [each["step"] for each in saved] == [200, 250]
    good.keep(300, state(300), risen=275)
    back = good.last_good()
    assert back["step"] == 200
    assert back["weights"].tolist() == [200.0] * 3
    back["weights"].fill_(7)  # what is resumed from is a copy, since it may be needed once more
    assert good.last_good()["weights"].tolist() == [200.0] * 3


TOGETHER = """
import sys
from pathlib import Path

from nas.errors import Interrupted
from nas.training import ranks, train
from test_halvings import Cut, job_of

images, folder, cut = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
with ranks.joined() as rank:
    try:
        stop = Cut(cut, lambda: Interrupted("enough")) if cut and not rank else None
        outcome = train(job_of(images, folder), stop)
        print(f"process {rank}: {outcome.halvings} {outcome.curve} {outcome.psnr_db}", flush=True)
    except Interrupted:
        print(f"process {rank}: stopped", flush=True)
"""


@pytest.mark.thorough
def test_two_processes_go_back_together_also_when_they_were_cut_off(images: Path, tmp_path: Path) -> None:
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    alone = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    paths = [str(Path(__file__).parent), *sys.path]

    def run(folder: str, cut: int) -> list[str]:
        command = [*alone, str(script), str(images), str(tmp_path / folder), str(cut)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=240, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        said = dict(line.split(": ", 1) for line in done.stdout.splitlines() if line.startswith("process"))
        return [said["process 0"], said["process 1"]]

    whole = run("whole", 0)
    assert whole[0] == whole[1]
    assert whole[0].startswith("[(")
    state = tmp_path / "cut" / STATE
    for cut in (4, 4):
        assert run("cut", cut) == ["stopped", "stopped"]
    assert load_state(state)["halvings"]
    assert run("cut", 0) == whole
    assert same(weights_of(tmp_path / "cut"), weights_of(tmp_path / "whole"))

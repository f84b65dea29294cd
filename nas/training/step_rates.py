"""How fast a device trains in fp32 and in bf16: real steps of one network, measured in turns.

On cores with AMX or AVX512-BF16 bf16 may be faster; on other cores torch emulates it, which takes longer than
fp32. No list of processors says which it is: only a measurement does.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from nas.training.feed import Feed
from nas.training.plan import NONE, NOT_ADVERSARIAL, Plan
from nas.training.step import WARM_UP, CudaGraphStep, TrainingStep, rounded_products
from search_spaces import Genotype

GAIN = 1.05
"""Ratio of the two rates from which bf16 is chosen: below it, the noise of a measurement could decide."""

HOPELESS = 3.0
"""Ratio beyond which one patch already shows that bf16 is slower."""

SECONDS, ROUNDS = 3.0, (3, 30)
"""Time of a measurement, and the least and most rounds in it."""

ROUND_SECONDS, STEP_SECONDS = 0.1, 0.5
"""The least time of one precision in a round; about the most of one step, beyond which a batch is cut."""

PROBE_SIDE = 32
"""Side of the one patch that is measured first, in LR pixels, where the plan's is larger."""

Timer = Callable[[int], float]
"""Takes so many steps, and returns the seconds they took."""


@dataclass(frozen=True, kw_only=True)
class StepRates:
    """Steps a second in both precisions, of ``batch`` patches of ``lr_patch`` LR pixels a side.

    ``bf16`` is 0 where the device cannot train in it.
    """

    fp32: float
    bf16: float
    batch: int
    lr_patch: int

    @property
    def precision(self) -> str:
        """``bf16`` where it is clearly faster, otherwise ``fp32``."""
        return "bf16" if self.bf16 >= GAIN * self.fp32 else "fp32"

    def __str__(self) -> str:
        size = f"{self.batch} patch{'es' if self.batch > 1 else ''} of {self.lr_patch}x{self.lr_patch}"
        return f"fp32 {self.fp32:.3g}, bf16 {self.bf16:.3g} steps a second of {size}"


def measure_step_rates(
    genotype: Genotype, scale: int, plan: Plan, device: str, threads: int = 0
) -> StepRates:
    """The rates of ``genotype`` under ``plan`` on ``device``; takes a few seconds.

    The loss is the plan's without a teacher, a critic or quantisation. A single patch is measured first. If
    bf16 is hopeless there, that decides; otherwise its rate says how large a batch the time allows, at most
    the plan's.

    Args:
        genotype: The network.
        scale: Factor of super-resolution.
        plan: Says batch, patch, loss and optimiser. Its precision may be ``auto``.
        device: One device.
        threads: Threads of the CPU; 0 leaves torch's own.
    """
    plain = replace(
        plan,
        distil=NONE,
        distil_weight=None,
        adversarial=NOT_ADVERSARIAL,
        quantise_bits=0,
        group_lasso=0.0,
    )
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        probe = replace(plain, batch=1, lr_patch=min(plan.lr_patch, PROBE_SIDE))
        first = _rates(genotype, scale, probe, device, seconds=0.0)
        if first.bf16 * HOPELESS < first.fp32:
            return first
        pixels = int(probe.lr_patch**2 * first.fp32 * STEP_SECONDS)
        whole = _cut(plain, max(pixels, probe.lr_patch**2))
        try:
            return _rates(genotype, scale, whole, device, seconds=SECONDS)
        except RuntimeError:  # too large for the memory
            return first
    finally:
        torch.set_num_threads(before)


def best_rates(timers: Mapping[str, Timer], *, seconds: float = SECONDS) -> dict[str, float]:
    """The best steps a second of each timer over rounds in which they take turns.

    Other work on the machine slows some rounds of both; the best of each is free of it.
    """
    counts = {name: max(1, math.ceil(ROUND_SECONDS / timer(1))) for name, timer in timers.items()}
    best = dict.fromkeys(timers, 0.0)
    least, most = ROUNDS
    spent, done = 0.0, 0
    while done < least or (spent < seconds and done < most):
        for name, timer in timers.items():
            taken = timer(counts[name])
            best[name] = max(best[name], counts[name] / taken)
            spent += taken
        done += 1
    return best


def _rates(genotype: Genotype, scale: int, plan: Plan, device: str, *, seconds: float) -> StepRates:
    """The rates at the batch and patch of ``plan``."""
    place = torch.device(device)
    timers = {"fp32": _timer(genotype, scale, replace(plan, precision="fp32"), place)}
    with contextlib.suppress(RuntimeError):  # of a device without bf16
        timers["bf16"] = _timer(genotype, scale, replace(plan, precision="bf16"), place)
    best = best_rates(timers, seconds=seconds)
    return StepRates(fp32=best["fp32"], bf16=best.get("bf16", 0.0), batch=plan.batch, lr_patch=plan.lr_patch)


def _timer(genotype: Genotype, scale: int, plan: Plan, device: torch.device) -> Timer:
    """Steps on one batch that never changes, warmed up; on a GPU as one CUDA graph, as trainings do."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = genotype.build(scale).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        feed = FixedFeed(plan, scale, device)
    network.train()
    step = TrainingStep(network, plan, feed, device)
    take = step.take if device.type == "cpu" else CudaGraphStep(step.take, device)

    def timed(count: int) -> float:
        with rounded_products(allowed=plan.precision != "fp32"):
            _wait(device)
            start = time.perf_counter()
            for _ in range(count):
                take()
            _wait(device)
            return time.perf_counter() - start

    timed(1 if device.type == "cpu" else WARM_UP + 2)
    return timed


class FixedFeed(Feed):
    """One random batch, for measurements of steps."""

    def __init__(self, plan: Plan, scale: int, device: torch.device) -> None:
        sides = (plan.lr_patch, plan.lr_patch * scale)
        self._lr, self._hr = (
            torch.rand(plan.batch, 3, side, side).to(device, memory_format=torch.channels_last)
            for side in sides
        )

    def advance(self) -> None:
        """Nothing changes."""

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """LR and HR of the step."""
        return self._lr, self._hr


def _cut(plan: Plan, pixels: int) -> Plan:
    """The plan with a batch of at most so many LR pixels."""
    side = min(plan.lr_patch, max(8, math.isqrt(pixels)))
    return replace(plan, batch=min(plan.batch, max(1, pixels // side**2)), lr_patch=side)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

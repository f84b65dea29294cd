"""Training steps with branches: merged into one convolution, one after the other, and the plain convolution.

A step is the engine's (forward, L1, backward, fused Adam, averaged weights) on a batch that never changes,
of a network of residual blocks. The ways take turns; each one's best turn counts.

python tests/benchmarks/branches.py [--widths 16 32 64] [--batch 4] [--patch 24] [--threads 1] [--shares]

--shares: what merging costs beyond the plain step: the products of weights, Adam and the average on more
weights, and everything else, which is launching operations and copying.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch

from nas.training import Plan
from nas.training.step import TrainingStep
from nas.training.step_rates import FixedFeed
from search_spaces.blocks.branches import BRANCHES, Branched
from search_spaces.lightweight import Lightweight

SCALE = 4


def step_of(
    width: int, branches: str, given: argparse.Namespace, *, merged: bool = True
) -> Callable[[], None]:
    """A training step at ``width`` channels with these branches."""
    shape = BRANCHES.get(branches)
    kernel = shape.kernel if shape is not None else "3x3" if branches == "none" else branches
    genotype = Lightweight(
        width=width,
        blocks=given.blocks,
        block="residual",
        kernel=kernel,
        branches="none" if shape is None else branches,
        skip="bicubic",
    )
    torch.manual_seed(0)
    network: Any = genotype.build(SCALE).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for part in network.modules():
        if isinstance(part, Branched):
            part.one_by_one = not merged
    plan = Plan(steps=1_000_000, batch=given.batch, lr_patch=given.patch, schedule="constant", ema=0.999)
    device = torch.device("cpu")
    step = TrainingStep(network, plan, FixedFeed(plan, SCALE, device), device)
    step.set(1)
    return step.take


def milliseconds(step: Callable[[], None], steps: int) -> float:
    """Of the fastest of ``steps``."""
    best = float("inf")
    for _ in range(steps):
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best


class Shares:
    """The fastest step, the fastest products and the fastest updates of weights within steps."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step, self._updating = step, 0.0
        self._taken: list[tuple[float, float]] = []
        self._products: list[float] = []
        training: Any = step.__self__  # type: ignore[attr-defined]
        training.optimizer.step = self._timed(training.optimizer.step)
        training._move_average = self._timed(training._move_average)

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self._updating += time.perf_counter() - start

        return timed

    def take(self) -> None:
        """A step by the clock, and one under the profiler, which is slower in all but the products."""
        self._updating, start = 0.0, time.perf_counter()
        self._step()
        self._taken.append((time.perf_counter() - start, self._updating))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            self._step()
        products = [event for event in profile.key_averages() if event.key == "aten::bmm"]
        self._products.append(sum(event.self_cpu_time_total for event in products) / 1e6)

    def milliseconds(self) -> tuple[float, float, float]:
        """Of a step, of the products, of the updates."""
        steps, updates = zip(*self._taken, strict=True)
        step, products, updating = map(min, (steps, self._products, updates))
        return 1e3 * step, 1e3 * products, 1e3 * updating


def print_shares(given: argparse.Namespace) -> None:
    """The parts of what merging costs beyond the plain step."""
    print("milliseconds beyond the plain step (and as a share of it)")
    print(f"{'width':>5}  {'branches':<14}{'all':>14}{'products':>14}{'updates':>14}{'the rest':>14}")
    for width in given.widths:
        names = [name for name in given.only if name != "blueprint-rep"]
        every = {name: Shares(step_of(width, name, given)) for name in ["none", *names]}
        for _ in range(given.rounds):
            for shares in every.values():
                shares.take()
        plain, _, plain_update = every["none"].milliseconds()
        for name in names:
            step, products, update = every[name].milliseconds()
            beyond, update = step - plain, update - plain_update
            cells = (beyond, products, update, beyond - products - update)
            print(f"{width:>5}  {name:<14}" + "".join(f"{c:>7.2f} ({c / plain:>4.0%})" for c in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--only", nargs="+", default=[name for name in BRANCHES if name != "none"])
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=60, help="each of four steps of every way")
    parser.add_argument("--shares", action="store_true", help="what the time beyond the plain step is")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.shares:
        print_shares(given)
        return
    print("milliseconds of a step; ratio to the plain convolution of the same kernel shape")
    print(
        f"{'width':>5}  {'branches':<14}{'plain':>9}{'merged':>9}{'ratio':>7}{'one by one':>12}{'ratio':>7}"
    )
    for width in given.widths:
        steps: dict[tuple[str, str], Callable[[], None]] = {}
        for name in given.only:
            branches = BRANCHES[name]
            assert branches is not None
            plain = "none" if branches.kernel == "3x3" else branches.kernel
            steps.setdefault(("plain", plain), step_of(width, plain, given))
            steps["merged", name] = step_of(width, name, given)
            steps["one by one", name] = step_of(width, name, given, merged=False)
        best = dict.fromkeys(steps, float("inf"))
        for _ in range(given.rounds):
            for key, step in steps.items():
                best[key] = min(best[key], milliseconds(step, 4))
        for name in given.only:
            branches = BRANCHES[name]
            assert branches is not None
            plain = best["plain", "none" if branches.kernel == "3x3" else branches.kernel]
            merged, apart = best["merged", name], best["one by one", name]
            print(
                f"{width:>5}  {name:<14}{plain:>9.2f}{merged:>9.2f}{merged / plain:>7.2f}"
                f"{apart:>12.2f}{apart / plain:>7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

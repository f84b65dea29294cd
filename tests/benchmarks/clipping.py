"""What clipping and averaging add to a training step, as a ratio to the step without them.

A step is the engine's (forward, L1, backward, fused Adam) on a batch that never changes. The plans take
turns; the median of the ratios of neighbouring steps counts, with their quartiles.

python tests/benchmarks/clipping.py [--networks imdn small] [--batch 4] [--patch 24] [--rounds 40]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from networks import SCALE, wanted

from nas.training import Plan
from nas.training.step import WARM_UP, CudaGraphStep, TrainingStep
from nas.training.step_rates import FixedFeed
from search_spaces import Genotype

PLANS = {
    "plain": {},
    "clipped": {"clip_norm": 0.1},
    "averaged": {"ema": 0.999},
    "both": {"clip_norm": 0.1, "ema": 0.999},
}
"""Name -> fields of the plan; the first one is what the others are divided by."""


def main() -> None:
    """Print a line a network and plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["imdn", "small"])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print("| network | step | ms | ratio to plain | quartiles |\n|---|---|---|---|---|")
    for name, genotype in wanted(options.networks).items():
        for line in compared(name, genotype, options):
            print(line, flush=True)


def compared(name: str, genotype: Genotype, options: argparse.Namespace) -> list[str]:
    """A line a plan."""
    device = torch.device(options.device)
    steps = {plan: step_of(genotype, fields, options, device) for plan, fields in PLANS.items()}
    seconds: dict[str, list[float]] = {plan: [] for plan in steps}
    for _ in range(options.rounds):
        for plan, step in steps.items():
            seconds[plan].append(timed(step, device))
    lines = []
    for plan, taken in seconds.items():
        ratios = [a / b for a, b in zip(taken, seconds["plain"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        lines.append(
            f"| {name} | {plan} | {1000 * min(taken):.2f} | {middle:.3f} | {low:.3f} to {high:.3f} |"
        )
    return lines


def step_of(
    genotype: Genotype, fields: dict[str, float], options: argparse.Namespace, device: torch.device
) -> Callable[[], None]:
    """A training step, warmed up; on a GPU as one CUDA graph, as trainings take it."""
    plan = Plan(steps=1000, batch=options.batch, lr_patch=options.patch, lr=1e-4, **fields)  # type: ignore[arg-type]
    torch.manual_seed(0)
    network = genotype.build(SCALE).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    work = TrainingStep(network, plan, FixedFeed(plan, SCALE, device), device)
    work.set(500)
    step = CudaGraphStep(work.take, device) if device.type == "cuda" else work.take
    for _ in range(WARM_UP + 2):
        step()
    return step


def timed(step: Callable[[], None], device: torch.device) -> float:
    """Seconds of one step."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

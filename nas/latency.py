"""How long a network's inference takes, measured on the device at hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from nas.cost import OUTPUT, input_size

WARM_UP, RUNS = 2, 7


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds for one image: the median of the runs, their 5th and their 95th percentile."""

    median_ms: float
    p5_ms: float
    p95_ms: float


def measure_latency(
    build: Callable[[], nn.Module],
    scale: int,
    device: torch.device,
    output: tuple[int, int] = OUTPUT,
    *,
    runs: int = RUNS,
) -> Latency:
    """Time of one float32 inference of an image that is ``output`` (height, width) after enlarging.

    Channels last, no gradients, after WARM_UP runs that do not count; the device is waited for before and
    after each run. On a CPU with the threads that torch has now.
    """
    network = build().to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    x = torch.rand((1, 3, *input_size(scale, output)), generator=torch.Generator().manual_seed(0))
    x = x.to(device).contiguous(memory_format=torch.channels_last)
    taken = []
    with torch.no_grad():
        for number in range(WARM_UP + runs):
            _wait(device)
            start = time.perf_counter()
            network(x)
            _wait(device)
            if number >= WARM_UP:
                taken.append((time.perf_counter() - start) * 1e3)
    low, median, high = np.percentile(taken, (5, 50, 95))
    return Latency(median_ms=float(median), p5_ms=float(low), p95_ms=float(high))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

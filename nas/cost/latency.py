"""How long a network's inference takes, measured on the device at hand."""

from __future__ import annotations

import functools
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nas.cost.counting import OUTPUT, input_size
from search_spaces.blocks.folding import deployed

WARM_UP, RUNS = 2, 7


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds for one image: the median of the runs, their 5th and their 95th percentile."""

    median_ms: float
    p5_ms: float
    p95_ms: float

    @classmethod
    def of(cls, taken_ms: list[float]) -> Latency:
        """What runs of these times come to."""
        low, median, high = np.percentile(taken_ms, (5, 50, 95))
        return cls(median_ms=float(median), p5_ms=float(low), p95_ms=float(high))


def measure_latency(
    build: Callable[[], nn.Module],
    scale: int,
    device: torch.device,
    output: tuple[int, int] = OUTPUT,
    *,
    runs: int = RUNS,
) -> Latency:
    """Time of one float32 inference of an image that is ``output`` (height, width) after enlarging.

    The network is folded. Channels last, no gradients, after WARM_UP runs that do not count; the device is waited for before and
    after each run. On a CPU with the threads that torch has now.
    """
    network = deployed(build()).to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    x = torch.rand((1, 3, *input_size(scale, output)), generator=torch.Generator().manual_seed(0))
    x = x.to(device).contiguous(memory_format=torch.channels_last)
    taken = []
    with torch.no_grad():
        for number in range(WARM_UP + runs):
            took = timed_ms(lambda: network(x), device)
            if number >= WARM_UP:
                taken.append(took)
    return Latency.of(taken)


def timed_ms(run: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of one call, between two moments at which the device has nothing left to do."""
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return (time.perf_counter() - start) * 1e3


@functools.cache
def processor(device: torch.device) -> str:
    """What a runtime's device is called: the model of the GPU or of the CPU, without its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    models = [line.partition(":")[2].strip() for line in told.splitlines() if line.startswith("model name")]
    return f"cpu {models[0] if models else platform.processor() or platform.machine()}"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

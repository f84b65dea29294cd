"""How fast a training step could be on a device, and how far from that it is.

For each network: the floating-point operations of one step (forward, loss, backward, update) and the bytes
that its operations read and write, each operation by itself, as a library without fusion runs them. The
device's ceilings, measured here: a large matrix product in the training's precision, a large copy, and the
time that the host takes to hand over an operation. From these the floors of a step:

- arithmetic: operations over the product's rate; no step of this network is faster;
- bytes: all bytes over the copy's rate; only fused operations get below it;
- one by one: for every operation the larger of the two, added up;
- products alone: the same of convolutions and matrix products: what is left if all else is fused into them;
- hand-over: operations times what handing one over costs; only a recorded graph gets below it.

Then the step as it is, one operation after another and as the engine takes it, as multiples of "one by one",
and what a search and a full schedule take at that pace. --profile adds the operations in which the time goes.
--assume gives the floors of a device that is not at hand, from its ceilings: counted here, not measured.

python tests/benchmarks/roofline.py [--device cuda --precision bf16 --patch 48] [--networks imdn small random]
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from networks import SCALE, wanted
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from training import DTYPES, bare_step, begin, options, ours_pace, pace, seconds_of, sub_images

from nas.training import Plan
from search_spaces import Genotype

FREE = ("empty", "new_empty", "empty_strided", "new_empty_strided", "detach", "profiler", "lift")
"""Beginnings of the names of operations that move no data."""

ADAM = 7
"""Numbers moved a parameter: weight, gradient and two moments read, all but the gradient written."""


@dataclass
class Work:
    """What all operations of one name do in a step."""

    calls: int = 0
    flops: float = 0.0
    bytes: float = 0.0
    seconds: float = 0.0
    """The floor of each call, added up."""


@dataclass(frozen=True)
class Ceilings:
    """FLOP a second, bytes a second, seconds to hand over an operation."""

    flops: float
    bytes: float
    launch: float


class Counted(TorchDispatchMode):
    """Operations that pass by: each with the FLOP that torch has a formula for, and its bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, float, float]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        ins = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        outs = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        places = {x.untyped_storage().data_ptr() for x in ins}
        aliased = outs and all(x.untyped_storage().data_ptr() in places for x in outs)
        if name.startswith(FREE) or (aliased and not func._schema.is_mutable):
            return out
        formula = flop_registry.get(func._overloadpacket)
        if func._overloadpacket is torch.ops.aten.convolution_backward:
            flops = _backward(*args)
        else:
            flops = formula(*args, **(kwargs or {}), out_val=out) if formula else 0
        self.seen.append((name, float(flops), float(sum(_bytes(x) for x in (*ins, *outs)))))
        return out


def _backward(
    gradient: Tensor,
    x: Tensor,
    weight: Tensor,
    sizes: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    wanted: list[bool],
) -> float:
    """FLOP of a convolution's gradients: those of the input and of the weights cost as much as its output.

    torch's own formula counts the weights' as if there were one group.
    """
    once = 2.0 * (x if transposed else gradient).numel() * weight.numel() / weight.shape[0]
    return once * sum(wanted[:2])


def _bytes(x: Tensor) -> int:
    """Bytes of memory behind a tensor: a number that was spread over a shape is read once."""
    sizes = [size for size, stride in zip(x.shape, x.stride(), strict=True) if stride]
    count = 1
    for size in sizes:
        count *= size
    return (count if x.numel() else 0) * x.element_size()


def work_of(genotype: Genotype, lr: Tensor, hr: Tensor, precision: str, peak: Ceilings) -> dict[str, Work]:
    """The operations of one step by name."""
    network = genotype.build(SCALE).to(lr.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    dtype = DTYPES.get(precision)
    with Counted() as counted:
        with torch.autocast(lr.device.type, dtype=dtype, enabled=dtype is not None, cache_enabled=False):
            sr = network(lr)
        F.l1_loss(sr.float(), hr).backward()
    params = sum(p.numel() for p in network.parameters())
    counted.seen.append(("update (Adam)", 0.0, 4.0 * ADAM * params))
    found: dict[str, Work] = defaultdict(Work)
    for name, flops, moved in counted.seen:
        one = found[name]
        one.calls, one.flops, one.bytes = one.calls + 1, one.flops + flops, one.bytes + moved
        one.seconds += max(flops / peak.flops, moved / peak.bytes)
    return dict(found)


def measure_ceilings(device: torch.device, precision: str, rounds: int = 5) -> Ceilings:
    """The device's, from random numbers, the best of some rounds."""
    gpu = device.type == "cuda"
    side, count = (8192, 1 << 28) if gpu else (1024, 1 << 24)
    generator = torch.Generator(device).manual_seed(0)
    kind = DTYPES.get(precision, torch.float32)
    a, b = (torch.randn(side, side, device=device, generator=generator).to(kind) for _ in range(2))
    source = torch.randn(count, device=device, generator=generator)
    target, small = torch.empty_like(source), torch.zeros(8, device=device)
    torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"

    def best(work: Callable[[], object], times: int) -> float:
        work()
        several = [seconds_of(lambda: [work() for _ in range(times)], device) for _ in range(rounds)]
        return min(several) / times

    product, copy = best(lambda: a @ b, 10), best(lambda: target.copy_(source), 10)
    return Ceilings(2 * side**3 / product, 8 * count / copy, best(lambda: small.add_(1), 2000))


def tell(name: str, genotype: Genotype, root: Path, given: argparse.Namespace, peak: Ceilings) -> None:
    """The floors of a network's step, and what it takes."""
    device = torch.device(given.device)
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(given.batch, 3, given.patch, given.patch, generator=generator).to(device)
    hr = F.interpolate(lr, scale_factor=SCALE)
    lr, hr = (x.contiguous(memory_format=torch.channels_last) for x in (lr, hr))
    work = work_of(genotype, lr, hr, given.precision, peak)
    flops, moved, calls = (
        sum(getattr(one, of) for one in work.values()) for of in ("flops", "bytes", "calls")
    )
    floor = sum(one.seconds for one in work.values())
    floors = {
        "arithmetic": flops / peak.flops,
        "bytes": moved / peak.bytes,
        "one by one": floor,
        "products alone": sum(one.seconds for one in work.values() if one.flops),
        "hand-over": calls * peak.launch,
    }
    network = genotype.build(SCALE)
    print(f"\n{name} ({sum(p.numel() for p in network.parameters()):,} parameters)")
    print(f"  a step: {flops / 1e9:,.1f} GFLOP, {moved / 1e6:,.0f} MB, {calls} operations")
    print("  floors: " + ", ".join(f"{word} {1e3 * value:.2f} ms" for word, value in floors.items()))
    if not given.assume:
        tell_paces(genotype, network, (lr, hr), root, given, peak, (flops, moved, floor))
    print(f"  {'where the floor is':<44}{'calls':>6}{'GFLOP':>9}{'MB':>9}{'ms':>9}")
    for word, one in sorted(work.items(), key=lambda pair: -pair[1].seconds)[: given.top]:
        print(
            f"    {word:<42}{one.calls:>6}{one.flops / 1e9:>9.1f}{one.bytes / 1e6:>9.0f}"
            f"{1e3 * one.seconds:>9.3f}"
        )


def tell_paces(
    genotype: Genotype,
    network: nn.Module,
    pair: tuple[Tensor, Tensor],
    root: Path,
    given: argparse.Namespace,
    peak: Ceilings,
    counted: tuple[float, float, float],
) -> None:
    """What a step takes, against ``counted``: its FLOP, bytes and seconds one by one."""
    (lr, hr), (flops, moved, floor) = pair, counted
    device = lr.device
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    step = bare_step(network, lr, hr, fused=True, precision=given.precision)
    plan = Plan(
        steps=given.steps + given.skip, batch=given.batch, lr_patch=given.patch, precision=given.precision
    )
    ways = {
        "one operation after another": lambda: pace(step, given.steps, device),
        "the engine": lambda: ours_pace(
            genotype, f"div2k:{root}", plan, given.device, given.threads, given.skip
        ),
    }
    rates = {way: max(measure() for _ in range(given.rounds)) for way, measure in ways.items()}
    for way, rate in rates.items():
        print(
            f"  {way:<28}{1e3 / rate:>9.2f} ms a step, {1 / rate / floor:.2f} x its floor, "
            f"{flops * rate / peak.flops:.0%} of the product's rate, "
            f"{moved * rate / peak.bytes:.0%} of the copy's"
        )
    rate = rates["the engine"]
    print(
        f"  at the engine's pace, one at a time: 2,000 steps in {2000 / rate:.1f} s "
        f"({3600 * rate / 2000:,.0f} candidates an hour), 1,000,000 steps in {1e6 / rate / 60:,.0f} min"
    )
    if given.profile:
        profiled(step, device, given.top)


def profiled(step: Callable[[], object], device: torch.device, top: int) -> None:
    """In which operations a step's time goes, as torch's profiler sees it, and how busy the device is."""
    from torch.profiler import ProfilerActivity, profile

    gpu, steps = device.type == "cuda", 5
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if gpu else [])]
    for _ in range(3):
        step()
    start = time.perf_counter()
    with profile(activities=activities) as seen:
        seconds_of(lambda: [step() for _ in range(steps)], device)
    wall = time.perf_counter() - start
    attribute = "self_device_time_total" if gpu else "self_cpu_time_total"
    rows = sorted(seen.key_averages(), key=lambda row: -getattr(row, attribute))
    busy = sum(getattr(row, attribute) for row in rows) / 1e6
    whole = wall / steps * 1e3
    print(f"  profiled: {busy / steps * 1e3:.2f} ms of work a step, in {whole:.2f} ms with the profiler")
    for row in rows[:top]:
        print(
            f"    {row.key[:60]:<62}{row.count // steps:>6}{getattr(row, attribute) / steps / 1e3:>10.3f} ms"
        )


def main() -> None:
    parser = options(__doc__, ["imdn", "small"])
    parser.add_argument("--top", type=int, default=8, help="operations that are listed")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--assume", help="TFLOP/s, GB/s and microseconds to hand over: 790,4000,4")
    given = parser.parse_args()
    begin(given)
    if given.assume:
        flops, moved, launch = map(float, given.assume.split(","))
        peak = Ceilings(flops * 1e12, moved * 1e9, launch / 1e6)
    else:
        peak = measure_ceilings(torch.device(given.device), given.precision)
    kind = "assumed ceilings" if given.assume else "ceilings"
    print(
        f"{kind}: {peak.flops / 1e12:,.3f} TFLOP/s in a matrix product, {peak.bytes / 1e9:,.1f} GB/s in a "
        f"copy, {1e6 * peak.launch:.1f} us to hand over an operation"
    )
    with sub_images(given.images) as root:
        for name, genotype in wanted(given.networks).items():
            tell(name, genotype, root, given, peak)


if __name__ == "__main__":
    main()

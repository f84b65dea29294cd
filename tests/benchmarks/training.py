"""Training steps a second: ours, the bare cost of a step, and a plain loop with the field's usual loader.

Bare: forward, L1, backward and fused Adam on one batch that never changes, layout as ours. Usual: 480x480
sub-images as PNG decoded for every sample by DataLoader's workers, contiguous layout, torch's default Adam,
the loss read in every step. Ours: ``nas.training.train`` as a search calls it, patches and all. The
three take turns in one run, and each one's best turn counts.

python tests/benchmarks/training.py [--device cuda] [--precision bf16] [--networks imdn small random]
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from networks import SCALE, wanted
from patches import Usual, write_sub_images
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nas.training import Job, Plan, Progress, train
from search_spaces import Genotype

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""In which a plan's products are computed, where it is not float32."""


def pace(step: Callable[[], object], steps: int, device: torch.device) -> float:
    """Steps a second, after three that do not count."""
    for _ in range(3):
        step()
    return steps / seconds_of(lambda: [step() for _ in range(steps)], device)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device has done it."""
    wait(device)
    start = time.perf_counter()
    work()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def bare_step(
    network: nn.Module, lr: Tensor, hr: Tensor, *, fused: bool, precision: str = "fp32"
) -> Callable[[], Tensor]:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, fused=fused or None)
    dtype = DTYPES.get(precision)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(lr.device.type, dtype=dtype, enabled=dtype is not None):
            sr = network(lr)
        loss = F.l1_loss(sr.float(), hr)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def ours_pace(genotype: Genotype, data: str, plan: Plan, device: str, threads: int, skip: int) -> float:
    """Steps a second of the engine, from the report after ``skip`` steps to the last one."""
    seen: dict[int, float] = {}

    def report(now: Progress) -> None:
        seen[now.step] = now.seconds

    job = Job(genotype=genotype, scale=SCALE, plan=plan, data=data, device=device, threads=threads)
    train(job, report)
    first = min(step for step in seen if step >= skip)
    return (plan.steps - first) / (seen[plan.steps] - seen[first])


def compare(name: str, genotype: Genotype, root: Path, given: argparse.Namespace) -> None:
    """One line a way, each with its ratio to ours."""
    device, plan = (
        torch.device(given.device),
        Plan(
            steps=given.steps + given.skip, batch=given.batch, lr_patch=given.patch, precision=given.precision
        ),
    )
    generator = torch.Generator().manual_seed(0)
    lr = torch.rand(given.batch, 3, given.patch, given.patch, generator=generator).to(device)
    hr = F.interpolate(lr, scale_factor=SCALE)
    last = torch.channels_last
    loader: Iterator[list[Tensor]] = iter(
        DataLoader(Usual(root, given.patch), batch_size=given.batch, num_workers=given.workers)
    )
    network = genotype.build(SCALE).to(device)
    plain = bare_step(genotype.build(SCALE).to(device), lr, hr, fused=False)
    bare_last = bare_step(
        genotype.build(SCALE).to(device, memory_format=last),  # type: ignore[call-overload]
        lr.contiguous(memory_format=last),
        hr.contiguous(memory_format=last),
        fused=True,
        precision=given.precision,
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

    def usual() -> float:
        small, large = (tensor.to(device) for tensor in next(loader))
        optimizer.zero_grad()
        loss = F.l1_loss(network(small), large)
        loss.backward()
        optimizer.step()
        return loss.item()

    ways: dict[str, Callable[[], float]] = {
        "usual loop and loader": lambda: pace(usual, given.steps, device),
        "bare step, contiguous": lambda: pace(plain, given.steps, device),
        "bare step, channels last": lambda: pace(bare_last, given.steps, device),
        "ours": lambda: ours_pace(genotype, f"div2k:{root}", plan, given.device, given.threads, given.skip),
    }
    rates: dict[str, float] = dict.fromkeys(ways, 0.0)
    for _ in range(given.rounds):
        for way, measure in ways.items():
            rates[way] = max(rates[way], measure())
    size = sum(p.numel() for p in network.parameters())
    print(f"{name} ({size:,} parameters)")
    for way, rate in rates.items():
        print(f"  {way:<26}{rate:>9.2f} steps/s   ours is {rates['ours'] / rate:>6.2f} x", flush=True)
    if given.compile:
        compiled(genotype, lr, hr, given, rates["bare step, channels last"])


def compiled(genotype: Genotype, lr: Tensor, hr: Tensor, given: argparse.Namespace, rate: float) -> None:
    """What torch.compile costs and saves, and after how many steps it has paid for itself."""
    last, device = torch.channels_last, torch.device(given.device)
    network = torch.compile(genotype.build(SCALE).to(device, memory_format=last))  # type: ignore[call-overload]
    pair = lr.contiguous(memory_format=last), hr.contiguous(memory_format=last)
    step = bare_step(network, *pair, fused=True, precision=given.precision)
    start = time.perf_counter()
    step()
    wait(device)
    first = time.perf_counter() - start
    found = max(pace(step, given.steps, device) for _ in range(given.rounds))
    saved = 1 / rate - 1 / found
    repaid = f"repaid after {first / saved:,.0f} steps" if saved > 0 else "never repaid"
    print(f"  bare step, compiled       {found:>9.2f} steps/s   compiling took {first:.1f} s: {repaid}")


def options(about: str | None, networks: list[str]) -> argparse.ArgumentParser:
    """What every benchmark of a step may be told."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32", help="fp32, tf32, bf16, fp16")
    parser.add_argument("--networks", nargs="+", default=networks, help="imdn, small, random")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, default=48)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--skip", type=int, default=5, help="steps of ours that do not count (GPU: 50)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=40)
    return parser


def begin(given: argparse.Namespace) -> None:
    """Take the threads, and say what is measured where."""
    torch.set_num_threads(given.threads)
    card = torch.cuda.get_device_name() if given.device.startswith("cuda") else f"{given.threads} threads"
    print(f"{platform.machine()}, torch {torch.__version__}, {given.device} ({card}), {given.precision}")
    print(f"x{SCALE}, batches of {given.batch}, LR patches of {given.patch}")


@contextmanager
def sub_images(count: int) -> Iterator[Path]:
    """A folder of training images, with a cache of its own, while the block runs."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        os.environ["NAS_CACHE"] = str(root / "cache")
        write_sub_images(root, count)
        yield root


def main() -> None:
    parser = options(__doc__, ["small"])
    parser.add_argument("--workers", type=int, default=1, help="processes of the usual loader")
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    begin(given)
    print(f"{given.workers} loader worker(s)")
    with sub_images(given.images) as root:
        for name, genotype in wanted(given.networks).items():
            compare(name, genotype, root, given)


if __name__ == "__main__":
    main()

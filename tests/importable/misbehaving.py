"""Candidates that go wrong in every way, and work that costs nothing: importable, as a worker needs it."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from nas.errors import Interrupted, TrainingError
from nas.executors import Executor
from nas.training import Job, Outcome, Plan, Progress
from search_spaces import Genotype, choice


class UnpicklableError(Exception):
    """Holds something that cannot travel."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.held = lambda: text


def _kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _vanish() -> None:
    os._exit(3)


def _exit() -> None:
    sys.exit("no more")


def _hang() -> None:
    time.sleep(600)


def _raise_unpicklable() -> None:
    raise UnpicklableError("a reason\nand a second line")


def _raise_ours_unpicklable() -> None:
    error = TrainingError("ours")
    error.held = lambda: None  # type: ignore[attr-defined]
    raise error


def _fill_the_disk() -> None:
    raise OSError(28, "No space left on device", "state.pt")


def _within(bytes_more: int, take: Callable[[], object]) -> None:
    """``take`` memory while this process may have only so much more than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + bytes_more, hard))
    try:
        take()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _fill_memory_with_tensors() -> None:
    _within(2**28, lambda: torch.zeros(2**30))


def _fill_memory_with_bytes() -> None:
    _within(2**28, lambda: bytes(2**32))


def _fill_half_the_gpu() -> None:
    _, total = torch.cuda.mem_get_info()
    torch.zeros(total // 2, dtype=torch.uint8, device="cuda")


def _say_threads() -> None:
    raise RuntimeError(f"OMP {os.environ['OMP_NUM_THREADS']}, torch {torch.get_num_threads()}")


def _die_on_a_sign() -> None:
    sign = Path(os.environ["MISBEHAVING_SIGN"])
    sign.with_suffix(".waiting").touch()
    while not sign.exists():
        time.sleep(0.05)
    _kill_itself()


def _stop_by_itself() -> None:
    raise Interrupted("I had enough")


BEHAVIOURS: dict[str, Callable[[], None]] = {
    "kill": _kill_itself,
    "crash": _crash,
    "vanish": _vanish,
    "exit": _exit,
    "hang": _hang,
    "unpicklable": _raise_unpicklable,
    "ours": _raise_ours_unpicklable,
    "disk": _fill_the_disk,
    "tensors": _fill_memory_with_tensors,
    "bytes": _fill_memory_with_bytes,
    "gpu": _fill_half_the_gpu,
    "threads": _say_threads,
    "sign": _die_on_a_sign,
    "stop": _stop_by_itself,
}


@dataclass(frozen=True, kw_only=True)
class Misbehaving(Genotype):
    """A network that is never built."""

    how: str = choice(*BEHAVIOURS)

    def build(self, scale: int) -> nn.Module:
        BEHAVIOURS[self.how]()
        raise AssertionError(f"{self.how} did nothing")


class _Sleep(nn.Module):
    def __init__(self, milliseconds: int) -> None:
        super().__init__()
        self.seconds = milliseconds / 1000

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return x


@dataclass(frozen=True, kw_only=True)
class Slow(Genotype):
    """A small network whose every step takes a while, and whose numbers are a network's all the same."""

    milliseconds: int = choice(0, 50, 200, 3000)
    width: int = choice(4, 8)

    def build(self, scale: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, self.width, 3, padding=1),
            _Sleep(self.milliseconds),
            nn.Conv2d(self.width, 3 * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )


def job_of(genotype: Genotype, images: Path, folder: Path | None = None, **changes: object) -> Job:
    """A job of a few steps on a CPU."""
    plan = Plan(**{"steps": 8, "batch": 2, "lr_patch": 12, "lr": 1e-3, **changes})  # type: ignore[arg-type]
    return Job(genotype=genotype, scale=2, plan=plan, data=f"folder:{images}", folder=folder, threads=1)


def instantly(job: Job, report: Callable[[Progress], None]) -> Outcome:
    """What a training would give back, of nothing: the seed as PSNR. A file in the folder tells of it."""
    if job.folder is not None:
        (job.folder / f"{job.seed}").touch()
    return Outcome(psnr_db=float(job.seed), ssim=1.0, per_image={}, train_seconds=0.0)


def break_the_gpu(job: Job, report: Callable[[Progress], None]) -> Outcome:
    """The words of a GPU that answers this process no more, for jobs of an odd seed."""
    if job.seed % 2:
        raise RuntimeError("CUDA error: device-side assert triggered")
    return instantly(job, report)


class _OnlyAtHome:
    """Can be pickled, but unpickled nowhere else."""

    def __call__(self, job: Job, report: Callable[[Progress], None]) -> Outcome:
        return instantly(job, report)

    def __getstate__(self) -> dict[str, object]:
        return {"home": os.getpid()}

    def __setstate__(self, state: dict[str, object]) -> None:
        assert state["home"] == os.getpid(), "not here"


only_at_home = _OnlyAtHome()


def many(job: Job, count: int) -> list[Job]:
    """The same job with seeds from 0."""
    return [replace(job, seed=seed) for seed in range(count)]


def wait_for_workers(executor: Executor, count: int, images: Path) -> set[str]:
    """The names of ``count`` workers, once all of them have done a job and are free again."""
    names: set[str] = set()
    while len(names) < count:
        for key in range(count):
            executor.submit(key, job_of(Slow(milliseconds=50), images))
        names |= {executor.next_result(lambda seen: None).worker for _ in range(count)}
    return names

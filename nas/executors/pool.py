"""Interface of executors: Pool (their settings), Executor, Done (a finished job)."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import torch

from nas.core.device import cpu_threads, free_memory, pick_device, usable_cores
from nas.errors import NasError, RecipeError
from nas.training import Job, Outcome, Progress
from search_spaces import TrustedModule, trusted_spaces
from search_spaces.trusted import adopt

WORKERS_PER_CORE, LEAST_WORKERS = 4, 4
"""More processes than this many for each core, or than four in all, only take time from each other."""

WORKER_BYTES = 300 * 2**20
"""Memory that a worker process takes for itself: 255 MB were measured while a small network trained."""

Result = Outcome | NasError
"""Outcome of a job; an error is always one of nas.errors and can be pickled."""

Watch = Callable[[tuple[int, Progress] | None], None]
"""Called several times a second with a job's (key, progress), or None; may raise Interrupted."""

Work = Callable[[Job, Callable[[Progress], None]], Outcome]
"""Function that runs a job: ``nas.training.train``, or any importable function of its signature."""

SHARED_OUT = 0.95
"""Fraction of a GPU's memory that several workers divide; the rest is for their CUDA contexts."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """How many workers there are, and what each of them may take.

    ``devices`` are dealt out in turn; ``cuda`` stands for all that are visible, and none leaves each job its
    own. ``threads`` are a worker's CPU threads; 0 shares out this machine's cores. ``time_limit_seconds``
    holds for one attempt at one candidate. ``memory_share`` is a worker's part of its GPU's memory (0 to 1);
    None is an even part where several workers share one, otherwise all. ``ahead`` jobs wait ready beside the
    running ones, so that no worker idles while the next candidate is thought out; None is one for every two
    workers (at least one), and none for a single worker, whose candidates then come in the same order on
    every executor. ``grace_seconds`` is how long workers may take to save their state. ``ray_address`` None
    starts Ray on this machine, ``auto`` finds a running cluster; ``gpus_per_worker`` may be a fraction, None
    is one where the devices name ``cuda``, otherwise 0.
    """

    workers: int = 1
    devices: tuple[str, ...] = ()
    threads: int = 0
    time_limit_seconds: float | None = None
    memory_share: float | None = None
    ahead: int | None = None
    grace_seconds: float = 30.0
    ray_address: str | None = None
    gpus_per_worker: float | None = None

    def __post_init__(self) -> None:
        for field, least in (("workers", 1), ("threads", 0), ("ahead", 0), ("grace_seconds", 0)):
            value = getattr(self, field)
            if value is not None and value < least:
                raise RecipeError(f"{field} = {value}: allowed are {least} and more")
        if self.time_limit_seconds is not None and not self.time_limit_seconds > 0:
            raise RecipeError(
                f"time_limit_seconds = {self.time_limit_seconds}: allowed is more than 0, or none"
            )
        if self.memory_share is not None and not 0 < self.memory_share <= 1:
            raise RecipeError(f"memory_share = {self.memory_share}: allowed is more than 0 and at most 1")
        gpus = self.gpus_per_worker
        if gpus is not None and not (0 <= gpus <= 1 or gpus == int(gpus)):
            raise RecipeError(f"gpus_per_worker = {gpus}: allowed are a fraction up to 1, or a whole number")

    @property
    def capacity(self) -> int:
        """How many jobs are wanted at once: those that run and those that wait ready."""
        if self.ahead is not None:
            return self.workers + self.ahead
        return self.workers + (self.workers // 2 if self.workers > 1 else 0)

    @property
    def threads_each(self) -> int:
        """CPU threads of one worker."""
        return self.threads or cpu_threads(self.workers)

    @property
    def gpus_each(self) -> float:
        """GPUs that Ray sets aside for one worker."""
        if self.gpus_per_worker is not None:
            return self.gpus_per_worker
        return float(any(device.startswith("cuda") for device in self.devices))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one worker trains: its device (None: the job's own), its CPU threads, its part of the GPU.

    ``spaces`` are the modules that the parent process trusts as spaces, with their folders.
    """

    device: str | None
    threads: int
    memory_share: float | None = None
    spaces: tuple[TrustedModule, ...] = ()

    def settle(self) -> None:
        """Hold this process to the place."""
        adopt(self.spaces)
        torch.set_num_threads(self.threads)
        if self.device is not None and self.device.startswith("cuda"):
            torch.cuda.set_device(self.device)
            if self.memory_share is not None:
                torch.cuda.set_per_process_memory_fraction(self.memory_share)

    def put(self, job: Job) -> Job:
        """``job`` as it is done here."""
        return replace(job, device=self.device or job.device, threads=self.threads)


def places(pool: Pool) -> list[Place]:
    """One place for each worker on this machine.

    Raises RecipeError for a device that this machine lacks, and for more workers than it has room for.
    """
    require_room(pool.workers)
    devices: list[str] = []
    for word in pool.devices:
        name = pick_device(word)
        every = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if name == "cuda" else [name]
        devices += every
    dealt = [devices[index % len(devices)] if devices else None for index in range(pool.workers)]
    return [
        Place(
            device=device,
            threads=pool.threads_each,
            memory_share=_share(pool, device, dealt.count(device)),
            spaces=trusted_spaces(),
        )
        for device in dealt
    ]


def require_room(workers: int) -> None:
    """Raise RecipeError for more local workers than cores and free memory allow."""
    cores, free = usable_cores(), free_memory()
    most = max(LEAST_WORKERS, WORKERS_PER_CORE * cores)
    if workers > most:
        raise RecipeError(
            f"workers = {workers}: allowed are 1 to {most} on the {cores} cores of this machine; "
            "executor = 'ray' shares out several machines"
        )
    if workers > 1 and workers * WORKER_BYTES > free:
        raise RecipeError(
            f"workers = {workers}: each needs {WORKER_BYTES / 2**30:.2g} GiB of memory, and "
            f"{free / 2**30:.2g} GiB are free; allowed are 1 to {max(1, free // WORKER_BYTES)}"
        )


def _share(pool: Pool, device: str | None, workers: int) -> float | None:
    """A worker's part of the memory of ``device``, which ``workers`` share; None where nothing is set."""
    if device is None or not device.startswith("cuda"):
        return None
    if pool.memory_share is None:
        return SHARED_OUT / workers if workers > 1 else None
    if pool.memory_share * workers > 1:
        raise RecipeError(
            f"memory_share = {pool.memory_share}: {workers} workers share one GPU, so at most "
            f"{1 / workers:.2g} is allowed"
        )
    return pool.memory_share


@dataclass(frozen=True, kw_only=True)
class Done:
    """A job that ended. ``worker`` is its name: host:pid."""

    key: int
    worker: str
    result: Result


AnyJob = TypeVar("AnyJob", contravariant=True)


class Executor(Protocol[AnyJob]):
    """Takes jobs and gives their results back in the order in which they end, each exactly once."""

    capacity: int
    """How many jobs it wants at once."""

    attempts: int
    """How often it begins a job whose worker is lost, before WorkerLostError is the job's result."""

    def submit(self, key: int, job: AnyJob) -> None:
        """Queue ``job`` under ``key``, which no other job that is under way has."""

    def next_result(self, watch: Watch) -> Done:
        """Wait for one job to end. What ``watch`` raises leaves through here.

        Raises RunError where no worker can be started. There must be a job under way.
        """

    def close(self, save: bool) -> list[Done]:
        """Stop whatever still runs, and give back what ended and nobody has taken.

        With ``save`` every running job stops at its next report and saves its state, from which the same job
        goes on later; what takes longer than the pool's grace is ended. Without it all end at once.
        """


def worker_name() -> str:
    """This process among all that work for a search."""
    return f"{socket.gethostname()}:{os.getpid()}"

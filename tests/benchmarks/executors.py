"""What an executor costs: jobs a second that take no time, and how long workers idle between jobs of 2 s.

Ours beside concurrent.futures.ProcessPoolExecutor (spawned workers, too), in one run. The work is a plain
function that an executor is given instead of ``train``; it does nothing, or sleeps, so that more workers than
cores can be measured. Idle is what is missing when all seconds worked are divided by all that the workers
had, from the first job's start to the last one's end. "Thinking" is what the parent does between two results,
as a sampler and a database would: no worker should have to wait for it.

python tests/benchmarks/executors.py [--jobs 4000] [--rounds 5] [--sleep 2]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace

from nas.executors import Pool
from nas.executors.processes import Processes
from nas.training import Job, Outcome, Plan, Progress
from search_spaces.lightweight import Lightweight

GENOTYPE = Lightweight(
    width=16,
    blocks=1,
    block="residual",
    attention="none",
    kernel="3x3",
    aggregation="plain",
    transformers=0,
    skip="bicubic",
)
JOB = Job(genotype=GENOTYPE, scale=4, plan=Plan(steps=1, batch=1, lr_patch=24), data="photos")

Span = tuple[float, float]


def job_of(seconds: float) -> Job:
    """A job that sleeps; the seed carries for how many milliseconds."""
    return replace(JOB, seed=round(1000 * seconds))


def work(job: Job, report: Callable[[Progress], None]) -> Outcome:
    """Sleep; when that began and ended stands where the name of the device would."""
    began = time.monotonic()
    time.sleep(job.seed / 1000)
    span = json.dumps([began, time.monotonic()])
    return Outcome(psnr_db=0.0, ssim=0.0, per_image={}, train_seconds=0.0, device=span)


def span_of(outcome: object) -> Span:
    assert isinstance(outcome, Outcome), outcome
    began, ended = json.loads(outcome.device)
    return began, ended


class Ours:
    """As a search does it: as many jobs under way as the executor wants, one more for each result."""

    def __init__(self, workers: int) -> None:
        self.executor = Processes(Pool(workers=workers, ahead=workers), work)
        list(self.run(2 * workers, 1.0, 0.0))  # not to count how long the workers take to start
        self.executor.capacity = Pool(workers=workers).capacity

    def run(self, jobs: int, seconds: float, thinking: float) -> Iterator[Span]:
        submitted = 0
        for done in range(jobs):
            while submitted < min(jobs, done + self.executor.capacity):
                self.executor.submit(submitted, job_of(seconds))
                submitted += 1
            yield span_of(self.executor.next_result(lambda seen: None).result)
            time.sleep(thinking)

    def close(self) -> None:
        self.executor.close(save=False)


class Futures:
    """The same loop around a ProcessPoolExecutor, with one job under way for each worker."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
        list(self.run(2 * workers, 1.0, 0.0))

    def run(self, jobs: int, seconds: float, thinking: float) -> Iterator[Span]:
        running: set[Future[Outcome]] = set()
        submitted = 0
        for done in range(jobs):
            while submitted < min(jobs, done + self.workers):
                running.add(self.pool.submit(work, job_of(seconds), print))
                submitted += 1
            future = wait(running, return_when=FIRST_COMPLETED).done.pop()
            running.remove(future)
            yield span_of(future.result())
            time.sleep(thinking)

    def close(self) -> None:
        self.pool.shutdown()


def idle(spans: list[Span], workers: int) -> float:
    """The share of the workers' time in which they had no job."""
    begins, ends = zip(*spans, strict=True)
    return 1 - sum(end - begin for begin, end in spans) / (workers * (max(ends) - min(begins)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sleep", type=float, default=2.0)
    arguments = parser.parse_args()
    load = f"load {os.getloadavg()[0]:.1f} before"
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {load}")
    for workers in (2, 8):
        for side in (Ours, Futures):
            name = "processes" if side is Ours else "ProcessPoolExecutor"
            pool = side(workers)
            spans = list(pool.run(arguments.jobs, 0.0, 0.0))
            taken = max(end for _, end in spans) - min(begin for begin, _ in spans)
            print(f"{name:20} {workers} workers  jobs of no time: {len(spans) / taken:8,.0f} a second")
            for thinking in (0.0, 0.1):
                share = idle(list(pool.run(workers * arguments.rounds, arguments.sleep, thinking)), workers)
                print(
                    f"{name:20} {workers} workers  jobs of {arguments.sleep:g} s, "
                    f"{thinking:g} s of thinking: {share:6.1%} idle",
                    flush=True,
                )
            pool.close()


if __name__ == "__main__":
    main()

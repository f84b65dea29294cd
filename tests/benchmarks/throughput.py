"""Candidates trained by proxy in an hour, and what each of them loses besides its training.

Random architectures of about 300,000 parameters, each trained as a search trains it, in several processes at
once on one device. For each number of processes: candidates an hour, seconds of a candidate spent in training
and outside of it (building, loading, recording, measuring), and, on a GPU, the share of the time in which it
was busy (as nvidia-smi says).

python tests/benchmarks/throughput.py --device cuda --workers 1 2 4 8 --data div2k:FOLDER
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import statistics
import subprocess
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import torch
from networks import about

from nas.core.device import cpu_threads
from nas.training import Job, Outcome, named_plan, train


def timed(job: Job) -> tuple[Outcome, float]:
    """What a training found, and the seconds of the whole call."""
    start = time.perf_counter()
    outcome = train(job)
    return outcome, time.perf_counter() - start


class Busy(threading.Thread):
    """Samples how busy the GPU is, in percent, until told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[float] = []
        self.over = threading.Event()

    def run(self) -> None:
        smi = shutil.which("nvidia-smi")
        asked = [str(smi), "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while smi and not self.over.wait(0.5):
            told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
            if told and told[0].isdigit():
                self.samples.append(float(told[0]))


def measure(jobs: list[Job], workers: int, warm: Job) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        list(pool.map(timed, [warm] * workers))  # imports and the decoded images are there afterwards
        busy = Busy()
        busy.start()
        start = time.perf_counter()
        results = list(pool.map(timed, jobs))
        wall = time.perf_counter() - start
        busy.over.set()
    training = statistics.mean(outcome.train_seconds for outcome, _ in results)
    whole = statistics.mean(seconds for _, seconds in results)
    engines = {outcome.engine for outcome, _ in results}
    share = f"   GPU busy {statistics.mean(busy.samples):.0f} %" if busy.samples else ""
    print(
        f"  {workers} at once: {len(jobs) / wall * 3600:>8.1f} candidates an hour   a candidate: "
        f"{training:.2f} s of training and {whole - training:.2f} s besides{share}   ({', '.join(engines)})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--data", default="photos")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, default=48)
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    given = parser.parse_args()
    plan = named_plan(
        "proxy", steps=given.steps, batch=given.batch, lr_patch=given.patch, precision=given.precision
    )
    genotypes = about(300_000, 4, min(given.candidates, 6))
    card = torch.cuda.get_device_name() if given.device.startswith("cuda") else "CPU"
    print(f"torch {torch.__version__}, {card}, {plan.steps} steps of {plan.batch} patches, {given.data}")
    for workers in given.workers:
        jobs = [
            Job(
                genotype=genotypes[number % len(genotypes)],
                scale=4,
                plan=plan,
                data=given.data,
                device=given.device,
                seed=number,
                threads=cpu_threads(workers),
            )
            for number in range(given.candidates)
        ]
        measure(jobs, workers, replace(jobs[0], plan=replace(plan, steps=5)))


if __name__ == "__main__":
    main()

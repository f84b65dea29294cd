"""The results database's own cost, on SQLite and PostgreSQL: one trial, a whole study, claims by 1 and by 8.

A trial is what the parent of a search does with the database for one candidate: look it up, propose, claim,
renew, record. The study that it is added to has 100, 1,000 and 10,000 recorded trials, put in in bulk.

python tests/benchmarks/store.py [--db URL] [--trials 100 1000 10000] [--jobs 500]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text

from leaderboard.store import NewEvaluation, NewTrial, Protocol, Store
from leaderboard.store.schema import CostRow, EvaluationRow, EventRow, GenotypeRow, TrialRow

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))  # before tests, which has a folder of this name, too
from postgres_server import PostgresServer, programs

OPENING: dict[str, Any] = {"recipe": {}, "space_digest": "5d1f", "code_version": "0.1.0"}
PROXY = Protocol(
    id="proxy-81c2e0",
    scale=4,
    plan_name="proxy",
    plan={"steps": 2000},
    data="photos",
    data_digest="9f0c",
    metric="y_float",
    bicubic_psnr_db=28.42,
    bicubic_ssim=0.81,
)
CHOICES = {f"axis_{number}": ("imdb", 4, True, "1x3_3x1")[number % 4] for number in range(16)}
COST = {
    "params": 250_000,
    "multi_adds": 15_000_000_000,
    "conv_multi_adds": 14_000_000_000,
    "activations": 10**7,
}
RESULT: dict[str, Any] = {
    "protocol_id": PROXY.id,
    "seed": 0,
    "psnr_db": 29.5,
    "ssim": 0.84,
    "train_seconds": 40.0,
    "device": "NVIDIA H200",
    "torch_version": "2.13.0",
    "code_version": "0.1.0",
    "checkpoint": "demo/candidates/0123456789ab/weights.safetensors",
    "curve": [[step, 0.02, None] for step in range(0, 2000, 20)],
    "per_image": {f"image_{number}": [29.5, 0.84] for number in range(10)},
}


def waiting(name: str) -> NewTrial:
    return NewTrial(
        stage="search",
        state="waiting",
        genotype_id=name,
        space="lightweight",
        choices=CHOICES,
        scale=4,
        cost=COST,
        seed=0,
        protocol_id=PROXY.id,
    )


def put_in(store: Store, study_id: int, first: int, last: int) -> None:
    """Finished trials with their events, many rows a statement: what a search left, without its hours."""
    now = datetime.now(UTC)
    numbers = range(first, last)
    with store._writing.begin() as connection:
        connection.execute(
            insert(GenotypeRow),
            [{"id": f"b{n:07}", "space": "lightweight", "choices": CHOICES} for n in numbers],
        )
        connection.execute(
            insert(CostRow), [{"genotype_id": f"b{n:07}", "scale": 4, "form": "use", **COST} for n in numbers]
        )
        evaluations = connection.scalars(
            insert(EvaluationRow).returning(EvaluationRow.id, sort_by_parameter_order=True),
            [{**RESULT, "genotype_id": f"b{n:07}", "created_at": now} for n in numbers],
        ).all()
        trials = connection.scalars(
            insert(TrialRow).returning(TrialRow.id, sort_by_parameter_order=True),
            [
                {
                    "study_id": study_id,
                    "stage": "search",
                    "number": 1000 * last + n,  # above those of the trials measured before
                    "genotype_id": f"b{n:07}",
                    "scale": 4,
                    "seed": 0,
                    "protocol_id": PROXY.id,
                    "state": "finished",
                    "attempt": 1,
                    "owner": "bulk",
                    "worker": "bulk",
                    "excess": {},
                    "evaluation_id": evaluation,
                    "created_at": now,
                    "finished_at": now,
                }
                for n, evaluation in zip(numbers, evaluations, strict=True)
            ],
        ).all()
        connection.execute(
            insert(EventRow),
            [
                {
                    "study_id": study_id,
                    "trial_id": trial,
                    "kind": kind,
                    "at": now,
                    "worker": "bulk",
                    "details": {"attempt": 1},
                }
                for trial in trials
                for kind in ("proposed", "started", "finished")
            ],
        )
    with store._engine.connect() as connection:
        connection.execute(text("ANALYZE"))


def one_trial(store: Store, study_id: int, name: str) -> None:
    assert store.known(name, PROXY.id, 0) is None
    trial = store.propose(study_id, waiting(name))
    assert store.claim(study_id, "parent", 600.0) is not None
    assert store.renew("parent", [trial.id], 600.0) == {trial.id}
    store.record(trial.id, NewEvaluation(genotype_id=name, **RESULT), owner="parent")


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def claim_all(url: str, owner: str, together: Barrier, record: bool) -> None:
    with Store(url) as store:
        study = store.study("claims")
        store.claim(study.id, owner, 600.0, stage="retrain")  # connect before the start
        together.wait(300)
        while (trial := store.claim(study.id, owner, 600.0)) is not None:
            if record:
                store.record(trial.id, NewEvaluation(genotype_id=trial.genotype_id, **RESULT), owner=owner)
        together.wait(300)


def claims(url: str, jobs: int, record: bool, processes: int) -> float:
    """Jobs a second: claimed, or claimed and recorded."""
    with Store(url) as store:
        study = store.open_study("claims", **OPENING)
        for number in range(jobs):
            store.propose(study.id, waiting(f"{processes}{record}{number}"))
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(processes + 1)
    workers = [
        context.Process(target=claim_all, args=(url, f"{record} {n}", together, record))
        for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    together.wait(300)
    taken = timed(lambda: together.wait(300))
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    return jobs / taken


def measure(kind: str, url: str, sizes: list[int], jobs: int, repeats: int) -> None:
    with Store(url) as store:
        store.ensure_protocol(PROXY)
        study = store.open_study("long", **OPENING)
        there = 0
        for size in sizes:
            put_in(store, study.id, there, size)
            there = size
            one_trial(store, study.id, f"warm-{size}")
            taken = [
                timed(lambda name=f"m{size}-{n}": one_trial(store, study.id, name)) for n in range(repeats)
            ]
            print(f"{kind}: with {size:6,} trials: {1000 * statistics.median(taken):6.1f} ms a trial")
        read = {
            "trials": timed(lambda: store.trials(study.id)),
            "trials without curves": timed(lambda: store.trials(study.id, curves=False)),
            "frame": timed(lambda: store.frame("long")),
            "events": timed(lambda: store.events("long")),
        }
        said = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in read.items())
        print(f"{kind}: reading {len(store.trials(study.id)):,} trials: {said}")
    for record, words in ((False, "claimed"), (True, "claimed and recorded")):
        one, eight = (claims(url, jobs, record, processes) for processes in (1, 8))
        print(f"{kind}: {one:.0f} jobs a second {words} by 1 process, {eight:.0f} by 8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--db", help="measure this database instead of a file and a server of its own")
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=50)
    chosen = parser.parse_args()
    rest = chosen.trials, chosen.jobs, chosen.repeats
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {busy}, Python {platform.python_version()}")
    if chosen.db:
        measure("--db", chosen.db, *rest)
        return
    with tempfile.TemporaryDirectory() as folder:
        measure("SQLite", f"sqlite:///{folder}/results.db", *rest)
    if programs() is None:
        print("PostgreSQL: not measured, its programs are not here")
        return
    with PostgresServer(durable=True) as server:
        measure("PostgreSQL", server.new_database(), *rest)


if __name__ == "__main__":
    main()

"""A results database of any size as many searches leave it, made of formulas and put in in bulk."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert

from leaderboard.store import Store, sqlite_url
from leaderboard.store.schema import (
    CostRow,
    EvaluationRow,
    EventRow,
    GenotypeRow,
    MeasurementRow,
    ProtocolRow,
    RuntimeRow,
    StudyRow,
    TrialRow,
)

CHUNK = 5_000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
BUDGET = {"params": 300_000, "multi_adds": 15_000_000_000}
IMAGES = [f"image_{number}" for number in range(10)]
STEPS = range(0, 2001, 100)
BASE: dict[str, Any] = {"scale": 4, "data": "photographs", "data_digest": "9f0c", "metric": "y_float"}
PROTOCOLS = (("proxy", 2_000), ("longer", 20_000))


def make_board_database(path: str | Path, evaluations: int, studies: int) -> list[str]:
    """Fills a new results database, a file or an address; the names of its studies, equally large.

    `evaluations` finished trainings in all, each of a network of its own; of every hundred, three are a
    second and third seed of another one and one is a re-training. A rejected trial comes with every fourth.
    """
    url = str(path) if "://" in str(path) else sqlite_url(path)
    names = [f"study-{number:03}" for number in range(studies)]
    with Store(url) as store, store._writing.begin() as connection:
        connection.execute(insert(ProtocolRow), [_protocol(*entry) for entry in PROTOCOLS])
        connection.execute(insert(StudyRow), [_study(name, place) for place, name in enumerate(names)])
        for place in range(studies):
            first, last = place * evaluations // studies, (place + 1) * evaluations // studies
            for start in range(first, last, CHUNK):
                _put_in(connection, place + 1, first, range(start, min(start + CHUNK, last)))
        if studies and evaluations:
            _measure(connection, evaluations // studies)
    if url.startswith("sqlite"):
        with Store(url) as store, store._writing.connect() as connection:
            connection.exec_driver_sql("ANALYZE")
    return names


def genotype_id(number: int) -> str:
    """The id of network number `number`."""
    return hashlib.sha256(str(number).encode()).hexdigest()[:12]


def _protocol(name: str, steps: int) -> dict[str, Any]:
    about = {"id": f"{name}-81c2e0", "plan_name": name, "plan": {"steps": steps}, "created_at": BEGIN}
    return {**BASE, **about, "bicubic_psnr_db": 28.42, "bicubic_ssim": 0.81}


def _study(name: str, place: int) -> dict[str, Any]:
    recipe = {"scale": 4, "budget": BUDGET, "search": {"sampler": "tpe", "seed": place}}
    about = {"space_digest": "5d1f", "code_version": "0.1.0", "created_at": BEGIN + timedelta(days=place)}
    return {"id": place + 1, "name": name, "recipe": recipe, **about}


def _network(number: int) -> tuple[dict[str, Any], dict[str, int], float]:
    """Choices, cost and what it reaches in the long run, dB."""
    draw = random.Random(number)  # noqa: S311
    width, blocks = draw.choice(range(8, 81, 4)), draw.choice((2, 3, 4, 5, 6, 8))
    choices = {
        "block": draw.choice(("imdb", "rfdb", "lattice", "bsrb", "safm")),
        "blocks": blocks,
        "width": width,
        "attention": draw.choice(("esa", "cca", "none")),
        "kernel": draw.choice(("3x3", "1x3_3x1")),
        "share": draw.random() < 0.3,
    }
    params = width * width * 3 * blocks + 3_000 + draw.randrange(2_000)
    cost = {
        "params": params,
        "multi_adds": params * 57_600,
        "conv_multi_adds": params * 51_000,
        "activations": params * 300,
    }
    return choices, cost, 29.0 + 0.7 * math.log10(params / 1e4) + draw.gauss(0, 0.08)


def _of(number: int, first: int) -> tuple[int, int, str, str]:
    """Which network the training `number` is of, its seed, its stage, its plan."""
    place = (number - first) % 100
    if place in (97, 98) and number - first >= 97:
        return number - place + 96, place - 96, "seeds", "proxy"
    if place == 99:
        return number - 3, 0, "retrain", "longer"
    return number, 0, "search", "proxy"


def _put_in(connection: Connection, study: int, first: int, numbers: range) -> None:
    own = [number for number in numbers if _of(number, first)[0] == number]
    rejected = [-number - 1 for number in own if number % 4 == 0]
    _put_networks(connection, own + rejected)
    evaluations, trials, events = [], [], []
    for number in numbers:
        evaluations.append(_evaluation(number, first))
        trials.append(_trial(study, number, first))
        events += _events(study, number, evaluations[-1])
    for number in rejected:
        at = BEGIN + timedelta(minutes=-number)
        over = {"study_id": study, "stage": "search", "number": 10_000_000 - number, "seed": 0, "scale": 4}
        about = {"genotype_id": genotype_id(number), "state": "rejected", "excess": {"params": 0.25}}
        dates = {"created_at": at, "finished_at": at, "attempt": 0}
        nothing = dict.fromkeys(("protocol_id", "evaluation_id", "owner", "worker", "id"))
        trials.append({**over, **about, **dates, **nothing, "rung": 0, "id": 10_000_000 - number})
    connection.execute(insert(EvaluationRow), evaluations)
    connection.execute(insert(TrialRow), trials)
    connection.execute(insert(EventRow), events)


def _put_networks(connection: Connection, numbers: list[int]) -> None:
    genotypes, costs = [], []
    for number in numbers:
        choices, cost, _ = _network(number)
        genotypes.append({"id": genotype_id(number), "space": "lightweight", "choices": choices})
        costs.append({"genotype_id": genotype_id(number), "scale": 4, "form": "use", **cost})
    connection.execute(insert(GenotypeRow), genotypes)
    connection.execute(insert(CostRow), costs)


def _evaluation(number: int, first: int) -> dict[str, Any]:
    network, seed, _, plan = _of(number, first)
    _, cost, reached = _network(network)
    noise = random.Random(number + 1)  # noqa: S311
    psnr = reached + noise.gauss(0, 0.03) + (0.9 if plan == "longer" else 0.0)
    curve = [
        [step, 0.02 + 0.5 * math.exp(-step / 300), psnr - 3 * math.exp(-step / 400) if step else None]
        for step in STEPS
    ]
    file = f"{genotype_id(network)}-{plan}-81c2e0/weights.safetensors"
    return {
        "id": number + 1,
        "genotype_id": genotype_id(network),
        "protocol_id": f"{plan}-81c2e0",
        "seed": seed,
        "psnr_db": psnr,
        "ssim": 0.81 + (psnr - 28.4) * 0.03,
        "train_seconds": 30.0 + cost["multi_adds"] / 1e9,
        "device": "NVIDIA H200",
        "torch_version": "2.13.0",
        "code_version": "0.1.0",
        "checkpoint": f"demo/candidates/{file}",
        "checkpoint_sha256": hashlib.sha256(file.encode()).hexdigest(),
        "curve": curve,
        "per_image": {name: [psnr + noise.gauss(0, 1.0), 0.84] for name in IMAGES},
        "created_at": BEGIN + timedelta(minutes=number + 1),
    }


def _trial(study: int, number: int, first: int) -> dict[str, Any]:
    network, seed, stage, plan = _of(number, first)
    at = BEGIN + timedelta(minutes=number)
    return {
        "id": number + 1,
        "study_id": study,
        "stage": stage,
        "number": number - first,
        "genotype_id": genotype_id(network),
        "scale": 4,
        "seed": seed,
        "rung": 0,
        "protocol_id": f"{plan}-81c2e0",
        "state": "finished",
        "attempt": 1,
        "owner": "bulk",
        "worker": f"bulk-{number % 4}",
        "excess": {},
        "evaluation_id": number + 1,
        "created_at": at,
        "finished_at": at + timedelta(minutes=1),
    }


def _events(study: int, number: int, evaluation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for seconds, kind in ((0, "proposed"), (1, "started"), (60, "finished")):
        done = kind == "finished"
        yield {
            "study_id": study,
            "trial_id": number + 1,
            "kind": kind,
            "at": BEGIN + timedelta(minutes=number, seconds=seconds),
            "worker": f"bulk-{number % 4}",
            "device": evaluation["device"] if done else None,
            "details": {"attempt": 1},
        }


def _measure(connection: Connection, most: int) -> None:
    """The first networks on two benchmark sets, and their runtimes on two devices."""
    measured, timed = [], []
    versions = {"torch_version": "2.13.0", "code_version": "0.1.0", "created_at": BEGIN}
    for number in range(min(20, most)):
        id, (_, cost, reached) = genotype_id(number), _network(number)
        file = f"{id}-proxy-81c2e0/weights.safetensors"
        for place, benchmark in enumerate(("Set5", "B100")):
            measured.append(
                {
                    **{"network": id, "genotype_id": id, "weights": id, "scale": 4, "benchmark": benchmark},
                    **{"data_digest": f"77a{place}", "low_resolution": "made", "metric": "y_float"},
                    **{"psnr_db": reached + 2 - 4 * place, "ssim": 0.85, "per_image": {}, "seconds": 1.0},
                    **{"device": "cpu", "checkpoint_sha256": hashlib.sha256(file.encode()).hexdigest()},
                    **versions,
                }
            )
        for device, threads, speed in (("Some CPU", 8, 2e8), ("NVIDIA H200", 0, 2e10)):
            median = cost["multi_adds"] / speed
            timed.append(
                {
                    **{
                        "network": id,
                        "genotype_id": id,
                        "scale": 4,
                        "height": 720,
                        "width": 1280,
                        "batch": 1,
                    },
                    **{"device": device, "threads": threads, "precision": "fp32", "engine": "eager"},
                    **{"median_ms": median, "p5_ms": 0.98 * median, "p95_ms": 1.1 * median},
                    **{"peak_memory_bytes": None if threads else 400 * cost["params"]},
                    **versions,
                }
            )
    connection.execute(insert(MeasurementRow), measured)
    connection.execute(insert(RuntimeRow), timed)

"""A results database with something for every view, made of formulas: no number in it was measured."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from new_records import propose, record

from leaderboard.store import Store
from leaderboard.store.records import Calibration, Measurement, Protocol, Runtime

STUDY, TWIN, UNLIKE, EMPTY = "many", "many-seed-1", "unlike", "nothing-yet"
TRUSTED, BOLDER = "trusted", "bolder"
"""Two calibrations against one reference: the first is of the rungs that `STUDY` has."""
TUNED = "tuned"
"""A tuning of two networks: four settings, two of them for longer, one network diverged under one."""
WORKERS = ("node:1", "node:2")
RECIPE: dict[str, Any] = {"scale": 4, "budget": {"params": 400_000, "multi_adds": 20_000_000_000}, "seed": 0}
RUNGS = ("rung0-5a17", "rung1-5a17")


def protocol(name: str, steps: int, metric: str = "y_float") -> Protocol:
    return Protocol(
        id=name,
        scale=4,
        plan_name="steady" if name in RUNGS else name,
        plan={"steps": steps},
        data="photos",
        data_digest="9f0c",
        metric=metric,
        bicubic_psnr_db=28.42,
        bicubic_ssim=0.8104,
    )


def network(index: int) -> dict[str, Any]:
    """Choices, cost and parts of the network number `index`."""
    draw = random.Random(index)  # noqa: S311
    width, blocks = draw.choice((16, 24, 32, 48, 64, 80)), draw.choice((2, 3, 4, 6))
    body, tail = width * width * 9 * blocks + 17 * index, 3000 + 432 * width
    parts = [
        {"part": "stem", "copies": 1, "uses": 1} | _cost(27 * width + 3),
        {"part": "block", "copies": blocks, "uses": 1} | _cost(body),
        {"part": "tail", "copies": 1, "uses": 1} | _cost(tail),
    ]
    choices = {
        "block": draw.choice(("imdb", "rfdb", "lattice", "fast_fourier")),
        "blocks": blocks,
        "width": width,
        "attention": draw.choice(("esa", "cca", None)),
        "kernel": draw.choice(("3x3", "1x3_3x1")),
        "share": draw.random() < 0.3,
        "skip": "bicubic",
    }
    total = {key: sum(part[key] for part in parts) for key in _cost(1)}
    return {
        "genotype_id": f"{index * 7919 % 65536:04x}{index:04x}",
        "choices": choices,
        "cost": total,
        "parts": parts,
    }


def _cost(params: int) -> dict[str, int]:
    return {
        "params": params,
        "multi_adds": params * 57_600,
        "conv_multi_adds": params * 51_000,
        "activations": params * 300,
    }


def quality(index: int, rung: int, seed: int) -> float:
    """What the network reaches: its cost, two of its choices, and noise that longer trainings lessen."""
    made = network(index)
    draw = random.Random(1000 * index + 10 * rung + seed)  # noqa: S311
    psnr = 29.0 + 0.35 * math.log10(made["cost"]["params"] / 1e4) + 0.4 * rung
    psnr += 0.08 * (made["choices"]["block"] == "rfdb") + 0.04 * (made["choices"]["attention"] == "esa")
    return psnr + draw.gauss(0, 0.05 / (1 + rung))


def make(path: Path, *, study: str = STUDY, trials: int = 120) -> Path:
    """The database at `path`: the studies `STUDY`, `TWIN`, `UNLIKE`, `EMPTY`, runtimes, measurements."""
    with Store.at(path) as store:
        for name, steps in zip(RUNGS, (500, 2000), strict=True):
            store.ensure_protocol(protocol(name, steps))
        store.ensure_protocol(protocol("full", 300_000))
        store.ensure_protocol(protocol("other", 500, "rgb"))
        _search(store, study, 0, range(trials), RUNGS)
        _search(store, TWIN, 1, range(trials // 3, trials), RUNGS)
        _search(store, UNLIKE, 0, range(trials // 3), ("other", "other"))
        store.open_study(EMPTY, recipe=RECIPE, space_digest="5d1f", code_version="0.1.0")
        _measure(store)
        _calibrate(store, TRUSTED, RUNGS, 0.0)
        _calibrate(store, BOLDER, ("elsewhere-a", "elsewhere-b"), -0.2)
        _tune(store)
    return path


TUNE = {
    "networks": ["imdn", "rfdn"],
    "fields": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}, "clip_norm": [0.0, 0.5]},
}
SETTINGS: list[tuple[float, float, int]] = [(2e-3, 0.0, 1), (4e-3, 0.5, 1), (2e-2, 0.0, 0), (8e-3, 0.5, 0)]
"""lr, clip_norm and the highest rung of each setting; the first is the plan as it is."""


def tuned_gain(index: int, place: int, rung: int) -> float:
    """The gain of a network of the tuning in dB."""
    return 0.5 + 0.1 * place + 0.01 * index + 0.3 * rung


def _tune(store: Store) -> None:
    study = store.open_study(TUNED, recipe=RECIPE | {"tune": TUNE}, space_digest="7a3e", code_version="0.1.0")
    for rung in (0, 1):
        for place, (lr, clip, highest) in enumerate(SETTINGS):
            if rung > highest:
                continue
            name = f"tune{place}{rung}-5a17"
            plan = {"steps": (300, 900)[rung], "lr": lr, "clip_norm": clip, "batch": 8}
            store.ensure_protocol(replace(protocol(name, 300), plan=plan, plan_name="longer"))
            for index in (3, 8):
                trial = _propose(store, study.id, index, name, rung=rung)
                if (place, index) == (2, 8):
                    reason = "the loss became nan by step 150; a lower learning rate may help"
                    store.fail(trial, reason, owner="node:0", failure="diverged", worker=WORKERS[0])
                    continue
                record(
                    store,
                    trial,
                    owner="node:0",
                    worker=WORKERS[index % 2],
                    genotype_id=network(index)["genotype_id"],
                    protocol_id=name,
                    psnr_db=28.42 + tuned_gain(index, place, rung),
                )


def report(name: str, rungs: tuple[str, ...], worse: float) -> dict[str, Any]:
    """What a calibration keeps, as far as views look at it."""
    made = [
        {
            "plan": "steady",
            "steps": 500 * 4**place,
            "protocol": rung,
            "architectures": 16,
            "tau": {"value": 0.6 + 0.2 * place + worse, "low": 0.4 + 0.2 * place + worse, "high": 0.95},
            "seconds": 30.0 * 4**place,
            "resolves_db": 0.2 / 2**place if place == 0 else None,
            "variant": False,
        }
        for place, rung in enumerate(rungs)
    ]
    free = [
        {"name": word, "known": 16, "tau": {"value": tau, "low": None, "high": None}}
        for word, tau in (("params", 0.5), ("multi_adds", 0.49), ("synflow", -0.1), ("zico", None))
    ]
    return {
        "study": name,
        "scale": 4,
        "data": "photos",
        "device": "NVIDIA H200",
        "reference_plan": "full",
        "reference_steps": 300_000,
        "reference_protocol": "full",
        "rungs": made,
        "baselines": free,
    }


def _calibrate(store: Store, name: str, rungs: tuple[str, ...], worse: float) -> None:
    """Rungs with their tau and baselines; the longest one has no noise that is known."""
    study = store.open_study(
        name, recipe=RECIPE | {"ladder": True}, space_digest="5d1f", code_version="0.1.0"
    )
    said = report(name, rungs, worse)
    found = [
        Calibration(
            protocol_id=rung["protocol"],
            reference_id="full",
            architectures=16,
            tau=rung["tau"]["value"],
            tau_low=rung["tau"]["low"],
            tau_high=rung["tau"]["high"],
            resolves_db=rung["resolves_db"],
            study=name,
        )
        for rung in said["rungs"]
    ]
    store.record_calibrations(study.id, found, said)


def _search(store: Store, name: str, seed: int, which: range, rungs: tuple[str, str]) -> None:
    study = store.open_study(name, recipe=RECIPE | {"seed": seed}, space_digest="5d1f", code_version="0.1.0")
    within: list[tuple[float, int]] = []
    for place, index in enumerate(which):
        made = network(index)
        over = {key: made["cost"][key] / limit - 1 for key, limit in RECIPE["budget"].items()}
        excess = {key: fraction for key, fraction in over.items() if fraction > 0}
        if excess:
            _propose(store, study.id, index, rungs[0], state="rejected", excess=excess)
        elif place % 19 == 18:
            trial = _propose(store, study.id, index, rungs[0])
            store.fail(trial, "no memory is left", owner="node:0", failure="out_of_memory", worker=WORKERS[0])
        else:
            within.append((_train(store, study.id, index, rungs[0]), index))
    if rungs[0] == rungs[1]:
        return
    best = sorted(within, reverse=True)[: max(4, len(within) // 3)]
    again = sorted(
        ((_train(store, study.id, index, rungs[1], rung=1), index) for _, index in best), reverse=True
    )
    for _, index in again[:6]:
        for more in (1, 2):
            _train(store, study.id, index, rungs[1], rung=1, seed=more, stage="seeds")
    for _, index in again[:5]:
        _train(store, study.id, index, "full", rung=3, stage="retrain")


def _propose(store: Store, study_id: int, index: int, protocol_id: str, **changes: Any) -> int:
    values: dict[str, Any] = {"stage": "search", "space": "lightweight", "scale": 4, "seed": 0}
    values |= {
        "name": {3: "imdn", 8: "rfdn"}.get(index),
        "protocol_id": protocol_id,
        **network(index),
        **changes,
    }
    return propose(store, study_id, owner="node:0", **values).id


def _train(
    store: Store,
    study_id: int,
    index: int,
    protocol_id: str,
    rung: int = 0,
    seed: int = 0,
    stage: str = "search",
) -> float:
    psnr = quality(index, rung, seed)
    known = store.known(network(index)["genotype_id"], protocol_id, seed)
    if known is not None:
        _propose(
            store, study_id, index, protocol_id, state="repeated", evaluation_id=known.id, rung=min(rung, 1)
        )
        return known.psnr_db
    trial = _propose(store, study_id, index, protocol_id, rung=min(rung, 1), seed=seed, stage=stage)
    steps = 500 * 4**rung
    curve = [
        [step, 0.02 + 0.3 / (1 + step / 90) + 0.001 * (index % 7), None]
        for step in range(25, steps, steps // 20)
    ]
    record(
        store,
        trial,
        owner="node:0",
        worker=WORKERS[index % 2],
        genotype_id=network(index)["genotype_id"],
        protocol_id=protocol_id,
        seed=seed,
        psnr_db=psnr,
        ssim=0.81 + (psnr - 28.4) * 0.03,
        train_seconds=30.0 * 4**rung + index % 5,
        checkpoint=f"many/{index}-{protocol_id}-{seed}/weights.safetensors",
        curve=[*curve, [steps, 0.021, psnr]],
        per_image={"astronaut": [psnr, 0.82]},
    )
    return psnr


def _measure(store: Store) -> None:
    for index in range(0, 60, 2):
        made = network(index)
        genotype = made["genotype_id"]
        for device, threads, pace in (("NVIDIA H200", 0, 2e4), ("cpu", 4, 5e2)):
            if threads and index % 4:
                continue
            middle = 1.0 + made["cost"]["params"] / pace
            runtime = Runtime(
                network=genotype,
                genotype_id=genotype,
                scale=4,
                height=720,
                width=1280,
                device=device,
                threads=threads,
                median_ms=middle,
                p5_ms=0.95 * middle,
                p95_ms=1.2 * middle,
                peak_memory_bytes=made["cost"]["activations"] * 8,
                torch_version="2.9.0",
                code_version="0.1.0",
            )
            store.record_runtime(runtime, space="lightweight", choices=made["choices"])
    for place, metric in enumerate(("y_float", "y_uint8")):
        for name, index, psnr in (("imdn", 3, 31.9), ("best", 44, 31.7), ("bicubic", None, 28.42)):
            genotype = None if index is None else network(index)["genotype_id"]
            measurement = Measurement(
                network=name,
                genotype_id=genotype,
                weights="" if index is None else f"w{index}",
                scale=4,
                benchmark="Set5",
                data_digest="5e75",
                low_resolution="made",
                metric=metric,
                psnr_db=psnr - 0.03 * place,
                ssim=0.89,
                per_image={},
                seconds=1.0,
                device="cpu",
                torch_version="2.9.0",
                code_version="0.1.0",
            )
            chosen = None if index is None else network(index)["choices"]
            store.record_measurement(measurement, space="lightweight", choices=chosen)

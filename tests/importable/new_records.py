"""Trials and evaluations made of formulas, and the calls that put them into a results database."""

from __future__ import annotations

import math
import random
from typing import Any

from leaderboard.store import Evaluation, NewEvaluation, NewTrial, Protocol, Store, Trial

OWNER = "somewhere:1"


def protocol(name: str = "proxy") -> Protocol:
    return Protocol(
        id=f"{name}-81c2e0",
        scale=4,
        plan_name=name,
        plan={"steps": 2000, "batch": 16, "patch": 48},
        data="photographs",
        data_digest="9f0c",
        metric="y_float",
        bicubic_psnr_db=28.42,
        bicubic_ssim=0.8104,
    )


def new_trial(index: int = 0, **changes: Any) -> NewTrial:
    """A running trial of the network number `index`, except for `changes`."""
    draw = random.Random(index)  # noqa: S311
    width, blocks = draw.choice((16, 24, 32, 48, 64, 80)), draw.choice((2, 3, 4, 6))
    params = width * width * 9 * blocks + 3000 + index
    values: dict[str, Any] = {
        "stage": "search",
        "genotype_id": f"{index * 7919 % 65536:04x}{index:04x}",
        "space": "lightweight",
        "choices": {
            "block": draw.choice(("imdb", "rfdb", "lattice")),
            "blocks": blocks,
            "width": width,
            "attention": draw.choice(("esa", "cca", "none")),
            "kernel": draw.choice(("3x3", "1x3_3x1")),
            "share": draw.random() < 0.3,
        },
        "scale": 4,
        "cost": {
            "params": params,
            "multi_adds": params * 57_600,
            "conv_multi_adds": params * 51_000,
            "activations": params * 300,
        },
        "seed": 0,
        "state": "running",
    }
    return NewTrial(**(values | changes))


def new_evaluation(index: int = 0, **changes: Any) -> NewEvaluation:
    """The result of the network number `index`, except for `changes`."""
    draw = random.Random(index + 1)  # noqa: S311
    new = new_trial(index)
    psnr = 29.0 + 0.35 * math.log10(new.cost["params"] / 1e4) + draw.gauss(0, 0.08)
    values: dict[str, Any] = {
        "genotype_id": new.genotype_id,
        "protocol_id": protocol().id,
        "seed": 0,
        "psnr_db": psnr,
        "ssim": 0.81 + (psnr - 28.4) * 0.03,
        "train_seconds": 41.5,
        "device": "NVIDIA H200",
        "torch_version": "2.9.0",
        "code_version": "0.1.0",
        "checkpoint": f"demo/{index}.safetensors",
        "curve": [[0, 0.5, None], [2000, 0.02, psnr]],
        "per_image": {"astronaut": [psnr, 0.82]},
    }
    return NewEvaluation(**(values | changes))


def propose(
    store: Store,
    study_id: int,
    index: int = 0,
    *,
    owner: str = OWNER,
    seconds: float = 3600.0,
    **changes: Any,
) -> Trial:
    """Put `new_trial(index, **changes)` in; a running one is leased to `owner`."""
    new = new_trial(index, **changes)
    if new.state != "running":
        return store.propose(study_id, new)
    return store.propose(study_id, new, owner=owner, seconds=seconds)


def record(
    store: Store,
    trial_id: int,
    index: int = 0,
    *,
    owner: str = OWNER,
    worker: str | None = None,
    **changes: Any,
) -> Evaluation:
    """Put `new_evaluation(index, **changes)` in as the result of `owner`'s trial."""
    return store.record(trial_id, new_evaluation(index, **changes), owner=owner, worker=worker)

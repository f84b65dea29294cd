"""A results database as a search and a re-training leave it, made of formulas."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_server import PostgresServer

from leaderboard.store import Protocol, Store, Study, sqlite_url

OWNER = "somewhere:1"

RECIPE: dict[str, Any] = {
    "scale": 4,
    "budget": {"params": 300_000, "multi_adds": 15_000_000_000},
    "search": {"trials": 60, "workers": 1},
}


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


def proposal(index: int = 0, **changes: Any) -> dict[str, Any]:
    """Arguments of `propose` for the network number `index`, trained by `OWNER` unless told otherwise."""
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
    values |= changes
    leased = {"owner": OWNER, "seconds": 3600.0} if values["state"] == "running" else {}
    return leased | values


def outcome(index: int = 0, **changes: Any) -> dict[str, Any]:
    """Arguments of `record` for the network number `index`."""
    draw = random.Random(index + 1)  # noqa: S311
    made = proposal(index)
    psnr = 29.0 + 0.35 * math.log10(made["cost"]["params"] / 1e4) + draw.gauss(0, 0.08)
    values: dict[str, Any] = {
        "owner": OWNER,
        "genotype_id": made["genotype_id"],
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
    return values | changes


def fill(store: Store, name: str = "x4-300k", trials: int = 60, retrained: int = 0) -> Study:
    """A study with finished, rejected, repeated and failed trials, and some re-trained ones."""
    study = store.open_study(name, recipe=RECIPE, space_digest="5d1f", code_version="0.1.0")
    store.ensure_protocol(protocol())
    best: list[tuple[float, int]] = []
    for index in range(trials):
        made = proposal(index)
        over = {key: made["cost"][key] / limit - 1 for key, limit in RECIPE["budget"].items()}
        excess = {key: fraction for key, fraction in over.items() if fraction > 0}
        if excess:
            store.propose(study.id, **proposal(index, state="rejected", excess=excess))
            continue
        known = store.known(made["genotype_id"], protocol().id, 0)
        if known:
            store.propose(study.id, **proposal(index, state="repeated", evaluation_id=known.id))
            continue
        trial = store.propose(study.id, **made)
        if index % 17 == 16:
            store.fail(trial.id, "out of memory", owner=OWNER, failure="out_of_memory")
            continue
        done = store.record(trial.id, **outcome(index))
        best.append((done.psnr_db, index))
        if index % 11 == 10:
            store.propose(study.id, **proposal(index, state="repeated", evaluation_id=done.id))
    if retrained:
        full = protocol("full")
        store.ensure_protocol(full)
        for psnr, index in sorted(best, reverse=True)[:retrained]:
            trial = store.propose(study.id, **proposal(index, stage="retrain"))
            store.record(trial.id, **outcome(index, protocol_id=full.id, psnr_db=psnr + 1.6))
    return study


@pytest.fixture(scope="session")
def shared_address(postgres: PostgresServer) -> str:
    """The address of a results database on the server that one test after the other uses."""
    url = postgres.new_database()
    Store(url).close()
    return url


@pytest.fixture
def address(postgres: PostgresServer, shared_address: str) -> str:
    """The address of an empty results database on the server."""
    postgres.empty(shared_address)
    return shared_address


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty results database of each kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path / "results.db")
    found: str = request.getfixturevalue("address")
    return found


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store(url) as opened:
        yield opened


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file that tests only read: the studies `x4-300k` (4 re-trained) and `empty`."""
    path = tmp_path_factory.mktemp("results") / "results.db"
    with Store.at(path) as opened:
        fill(opened, retrained=4)
        opened.open_study("empty", recipe={}, space_digest="5d1f", code_version="0.1.0")
    return path


@pytest.fixture(scope="session")
def make_proposal() -> Callable[..., dict[str, Any]]:
    return proposal


@pytest.fixture(scope="session")
def make_outcome() -> Callable[..., dict[str, Any]]:
    return outcome


@pytest.fixture(scope="session")
def make_protocol() -> Callable[..., Protocol]:
    return protocol


@pytest.fixture(scope="session")
def fill_store() -> Callable[..., Study]:
    return fill

"""A results database as a search and a re-training leave it, made of formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from new_records import OWNER, new_trial, propose, protocol, record
from postgres_server import PostgresServer

from leaderboard.store import Protocol, Store, Study, sqlite_url

RECIPE: dict[str, Any] = {
    "scale": 4,
    "budget": {"params": 300_000, "multi_adds": 15_000_000_000},
    "search": {"trials": 60, "workers": 1},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Reading from PostgreSQL is thorough: all that reads does it through the store, tested on both."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and here / "store" not in item.path.parents:
            params = item.callspec.params if hasattr(item, "callspec") else {}
            if "postgresql" in params.values():
                item.add_marker(pytest.mark.thorough)


def fill(store: Store, name: str = "x4-300k", trials: int = 60, retrained: int = 0) -> Study:
    """A study with finished, rejected, repeated and failed trials, and some re-trained ones."""
    study = store.open_study(name, recipe=RECIPE, space_digest="5d1f", code_version="0.1.0")
    store.ensure_protocol(protocol())
    best: list[tuple[float, int]] = []
    for index in range(trials):
        new = new_trial(index)
        over = {key: new.cost[key] / limit - 1 for key, limit in RECIPE["budget"].items()}
        excess = {key: fraction for key, fraction in over.items() if fraction > 0}
        if excess:
            propose(store, study.id, index, state="rejected", excess=excess)
            continue
        known = store.known(new.genotype_id, protocol().id, 0)
        if known:
            propose(store, study.id, index, state="repeated", evaluation_id=known.id)
            continue
        trial = propose(store, study.id, index)
        if index % 17 == 16:
            store.fail(trial.id, "out of memory", owner=OWNER, failure="out_of_memory")
            continue
        done = record(store, trial.id, index)
        best.append((done.psnr_db, index))
        if index % 11 == 10:
            propose(store, study.id, index, state="repeated", evaluation_id=done.id)
    if retrained:
        full = protocol("full")
        store.ensure_protocol(full)
        for psnr, index in sorted(best, reverse=True)[:retrained]:
            trial = propose(store, study.id, index, stage="retrain")
            record(store, trial.id, index, protocol_id=full.id, psnr_db=psnr + 1.6)
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
def make_protocol() -> Callable[..., Protocol]:
    return protocol


@pytest.fixture(scope="session")
def fill_store() -> Callable[..., Study]:
    return fill

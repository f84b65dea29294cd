"""What all tests share: quiet threads, and skips that do not go unseen."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before torch is imported, and for the processes that tests start: on a busy machine several threads that
# wait for each other cost far more than they bring to networks this small.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Decoded images go where they are thrown away, and never into the cache of whoever runs the tests.
_CACHE = tempfile.TemporaryDirectory(prefix="paretosr-tests-")
os.environ["NAS_CACHE"] = _CACHE.name

import pytest
import torch
from forked import Forker
from postgres_server import MISSING, PostgresServer, programs

SHARED = Path(os.environ.get("PARETOSR_SHARED", Path(__file__).parents[2] / "shared"))
"""Reference images and values that are too large, or not ours, to keep in the project."""


ONE_WORKER = (
    *("browser", "app", "site", "views", "sources", "exchange", "pipeline", "calibration", "reproduce"),
    *("ray", "processes", "ranks"),
)
"""Test files whose fixtures take seconds: pytest-xdist runs each of them on one worker."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Groups by file where that saves a fixture; ``--dist loadgroup`` groups nothing with pytest 9.2."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if Path(file).stem.removeprefix("test_") in ONE_WORKER else nodeid

    return Scheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))
        if item.get_closest_marker("unprivileged") and os.name == "posix" and os.geteuid() == 0:
            item.add_marker(pytest.mark.skip(reason="root may do everything"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """With PARETOSR_NO_SKIPS set, a test that skips for want of something fails instead."""
    report = yield
    excused = item.get_closest_marker("gpu") or item.get_closest_marker("unprivileged")
    if report.skipped and not excused and os.environ.get("PARETOSR_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and here it must run: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this test run's own; the test skips where its programs are absent."""
    if programs() is None:
        pytest.skip(MISSING)
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def forker() -> Iterator[Forker]:
    """Starts ``nas`` and other programs in processes of their own that need not import the libraries anew."""
    with Forker() as started:
        yield started


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference data beside the checkout; the test skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the reference data in {SHARED.name}/ beside the checkout (or PARETOSR_SHARED)")
    return SHARED

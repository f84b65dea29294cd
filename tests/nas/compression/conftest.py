from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from leaderboard.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The database of an empty runs folder."""
    (tmp_path / "runs").mkdir()
    with Store.at(tmp_path / "runs" / "results.db") as opened:
        yield opened

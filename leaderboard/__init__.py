"""What was found: the results database, its fronts, tables and views; without torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from leaderboard.deprecated import NAMES

if TYPE_CHECKING:
    from leaderboard.store import Store

__all__ = ["open"]

sys.meta_path.append(NAMES)


def open(url_or_path: str | Path) -> Store:
    """The results database at an address or in a file, for reading only; a folder is one with `results.db`.

    A search that writes to it is neither kept waiting nor seen by halves. Use it with `with`. Raises
    `leaderboard.errors.StoreError` when there is none.
    """
    from leaderboard.store import Store

    if isinstance(url_or_path, str) and "://" in url_or_path:
        return Store(url_or_path, read_only=True)
    path = Path(url_or_path)
    return Store.at(path / "results.db" if path.is_dir() else path, read_only=True)

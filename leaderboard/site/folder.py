"""A folder that is written whole or not at all, and that only what wrote it may replace."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from leaderboard.errors import LeaderboardError

MARKER = ".paretosr-site"


def may_replace(target: Path) -> None:
    """Raises `LeaderboardError` unless `target` is absent, empty, or was written by this program."""
    if target.exists() and not target.is_dir():
        raise LeaderboardError(f"{target}: is a file; name a folder for the page")
    if target.is_dir() and not (target / MARKER).exists() and any(target.iterdir()):
        raise LeaderboardError(f"{target}: holds other files; name a new or an empty folder for the page")


def swap_in(files: Mapping[str, str | bytes], target: Path) -> None:
    """Makes `target` a folder of exactly these files; names may hold one folder. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
        fresh, old = Path(beside) / "fresh", Path(beside) / "old"
        fresh.mkdir()
        for name, content in files.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            data = content.encode("utf-8") if isinstance(content, str) else content
            (fresh / name).write_bytes(data)
        if target.exists():
            target.rename(old)
        try:
            fresh.rename(target)
        except OSError:
            if old.exists():
                shutil.move(old, target)
            raise

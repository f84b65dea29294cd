"""What parts of networks were found to cost, kept on disk: counting is the longest part of a proposal.

One text file in the cache folder holds a line for each part. Its name is a digest of everything that decides
the numbers (the spaces' and the counter's sources, torch's version), so that a change begins a new file. A
process only ever adds whole lines, and a line carries a digest of itself: several processes may write, and
what a crash cut off is counted again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Hashable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

import torch

from nas.core.files import cache_folder

PACKAGE = "search_spaces"
"""Parts of this package alone are kept: what others' sources depend on cannot be known."""


class KnownCosts:
    """Numbers by the key of a part, as this process and those before it found them."""

    def __init__(self) -> None:
        self._numbers: dict[str, tuple[int, ...]] = {}
        self._file: Path | None = None

    def get(self, key: Hashable) -> tuple[int, ...] | None:
        """The numbers of a part, None where they are not known."""
        if (path := _file()) != self._file:
            self._file, self._numbers = path, _read(path)
        return self._numbers.get(repr(key))

    def put(self, key: Hashable, numbers: Sequence[int], module: str) -> None:
        """Keep them on disk, if the part's ``module`` is ours and its key reads the same anywhere."""
        path, name = _file(), repr(key)
        if path is None or module.partition(".")[0] != PACKAGE or not _is_plain(key):
            return
        text = json.dumps([_digest(name, numbers), name, list(numbers)])
        with suppress(OSError):  # a full disk, say: then it is counted again
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(handle, f"\n{text}".encode())  # a line that was cut off before stays alone
            finally:
                os.close(handle)


def _read(path: Path | None) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines() if path is not None else []
    except OSError:
        return found
    for line in lines:
        try:
            digest, name, numbers = json.loads(line)
            if digest == _digest(name, numbers):
                found[name] = tuple(numbers)
        except (ValueError, TypeError):
            continue
    return found


def _digest(name: str, numbers: Sequence[int]) -> str:
    return hashlib.sha256(f"{name} {list(numbers)}".encode()).hexdigest()[:16]


def _is_plain(key: object) -> bool:
    """Whether equal keys read the same in every process."""
    if isinstance(key, tuple):
        return all(_is_plain(one) for one in key)
    return key is None or isinstance(key, str | int | float)


def _file() -> Path | None:
    folder = cache_folder()
    return None if folder is None else folder / f"parts-{_sources()}.jsonl"


@cache
def _sources() -> str:
    """A digest of what decides the numbers."""
    digest = hashlib.sha256(torch.__version__.encode())
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    counter = [Path(__file__).with_name(name) for name in ("budget.py", "counting.py", "output_sizes.py")]
    for path in [*sorted(folder.rglob("*.py")), *counter]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]

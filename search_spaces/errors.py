"""What a person can get wrong about a space, as one line that names the value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpaceError(ValueError):
    """An unknown space, axis, option or network, or a genotype that contradicts itself."""


class UntrustedSpaceError(SpaceError):
    """A space outside this project that a file or a database names, and no person."""


SCALES = (2, 3, 4)
"""The factors of enlargement that the project's networks are built for."""


def require_scale(scale: int) -> None:
    """Raise SpaceError unless ``scale`` is one of SCALES."""
    if scale not in SCALES:
        raise SpaceError(f"scale {scale!r} is not supported (allowed: {', '.join(map(str, SCALES))})")


def unknown(kind: str, name: object, allowed: Iterable[object]) -> SpaceError:
    """A SpaceError that names the nearest allowed word and lists them all."""
    words = [str(word) for word in allowed]
    near = difflib.get_close_matches(str(name)[:100], words, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return SpaceError(f"unknown {kind} {name!r:.100}{hint} (allowed: {', '.join(words)})")

"""What a person can get wrong about a space, as one line that names the value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpaceError(ValueError):
    """An unknown space, axis, option or network, or a genotype that contradicts itself."""


def unknown(kind: str, name: object, allowed: Iterable[object]) -> SpaceError:
    """A SpaceError that names the nearest allowed word and lists them all."""
    words = [str(word) for word in allowed]
    near = difflib.get_close_matches(str(name), words, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return SpaceError(f"unknown {kind} {name!r}{hint} (allowed: {', '.join(words)})")

"""Parameter sharing: every entry of SHARINGS says which set of weights each block of a stack uses.

To add one, write a function from the number of blocks to that many indices and put it in the table.
"""

from __future__ import annotations

from collections.abc import Callable


def separate(blocks: int) -> list[int]:
    """Every block has its own weights."""
    return list(range(blocks))


def interval(blocks: int) -> list[int]:
    """Every second block shares: 1 = 3 = ..., 2 = 4 = ... (EFRDN, sec. 3.1, with its four blocks)."""
    return [position % 2 for position in range(blocks)]


SHARINGS: dict[str, Callable[[int], list[int]]] = {
    "none": separate,
    "interval": interval,
}

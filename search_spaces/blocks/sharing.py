"""Parameter sharing: every entry of SHARINGS says which set of weights each block of a stack uses.

To add one, write a function from the number of blocks to that many indices, counted from 0 in the order of
first use, and put it in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Sharing = Callable[[int], list[int]]


def separate(blocks: int) -> list[int]:
    """Every block has its own weights."""
    return list(range(blocks))


def interval(blocks: int) -> list[int]:
    """Every second block shares: 1 = 3 = ..., 2 = 4 = ... (EFRDN, sec. 3.1, with its four blocks)."""
    return [position % 2 for position in range(blocks)]


def pairwise(blocks: int) -> list[int]:
    """Neighbours share: 1 = 2, 3 = 4, ... (the other order that EFRDN's four blocks allow; ours)."""
    return [position // 2 for position in range(blocks)]


def together(blocks: int) -> list[int]:
    """All blocks share one set of weights: recursion (DRCN, arXiv 1511.04491)."""
    return [0] * blocks


SHARINGS: dict[str, Sharing] = {
    "none": separate,
    "interval": interval,
    "pairwise": pairwise,
    "all": together,
}


def same_sharing(
    most_blocks: int, table: Mapping[str, Sharing] = SHARINGS
) -> dict[str, tuple[str, dict[str, list[int]]]]:
    """Which options are another option under another name: name -> (the earlier one, at which ``blocks``).

    With two blocks, for example, "interval" is "none" and "pairwise" is "all".
    """
    same: dict[str, tuple[str, dict[str, list[int]]]] = {}
    # "all" is the plain word for one set of weights, so it stands before the patterns that become it.
    names = sorted(table, key=lambda name: name not in ("none", "all"))
    for place, name in enumerate(names):
        for earlier in names[:place]:
            counts = [n for n in range(2, most_blocks + 1) if table[name](n) == table[earlier](n)]
            if counts:
                same[name] = (earlier, {"blocks": counts})
                break
    return same

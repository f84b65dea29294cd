"""Which candidates earn a longer training: successive halving for a front instead of one best.

Asynchronous (ASHA, arXiv 1810.05934): whenever a worker is free, the best candidate of a rung that is not
promoted yet goes on, as soon as enough others have been trained to that rung. "Best" is ours, for two
objectives: candidates are divided into bands of like cost, so that cheap networks compete with cheap ones;
within a band by non-dominated rank, and within a rank by the distance to their neighbours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from leaderboard.pareto import pareto_mask

KEEP = 3
"""One candidate in so many is promoted from a rung to the next."""

MOST_BANDS = 4
"""Bands of cost; fewer where there are few candidates."""

Results = Mapping[str, tuple[float, float]]
"""Candidate -> (cost, quality), of all that have been trained to one rung."""


def next_promotion(rungs: Sequence[Results], promoted: Sequence[Collection[str]]) -> tuple[int, str] | None:
    """The rung to train and the candidate to train to it; None while nobody has earned it.

    ``rungs[r]`` are the results of rung r; ``promoted[r]`` who has been promoted from it, finished or not.
    The highest rung that can promote comes first.
    """
    for rung in reversed(range(len(rungs) - 1)):
        for candidate in winners(rungs[rung]):
            if candidate not in promoted[rung]:
                return rung + 1, candidate
    return None


def winners(results: Results) -> list[str]:
    """Who deserves the next rung, best first: one in KEEP of each band of cost."""
    names = sorted(results)
    if len(names) < KEEP:
        return []
    cost = np.array([results[name][0] for name in names], dtype=float)
    quality = np.array([results[name][1] for name in names], dtype=float)
    count = max(1, min(MOST_BANDS, len(names) // (2 * KEEP)))
    placed: list[tuple[int, float, int, str]] = []
    for band in np.array_split(np.argsort(cost, kind="stable"), count):
        order = _ordered(cost[band], quality[band])
        for place, (member, rank, spread) in enumerate(order[: len(band) // KEEP]):
            placed.append((place, rank, -spread, names[band[member]]))  # type: ignore[arg-type]
    return [name for *_, name in sorted(placed)]


def _ordered(cost: NDArray[np.float64], quality: NDArray[np.float64]) -> list[tuple[int, int, float]]:
    """Members of a band, best first, each with its rank and its distance to its neighbours."""
    left, rank, found = np.arange(len(cost)), 0, []
    while len(left):
        front = left[pareto_mask(cost[left], quality[left])]
        spread = _spread(cost[front], quality[front])
        found += [(int(member), rank, float(space)) for member, space in zip(front, spread, strict=True)]
        left = np.setdiff1d(left, front)
        rank += 1
    return sorted(found, key=lambda one: (one[1], -one[2], -quality[one[0]], one[0]))


def _spread(cost: NDArray[np.float64], quality: NDArray[np.float64]) -> NDArray[np.float64]:
    """NSGA-II's crowding distance on a front: the ends are infinitely far from anybody."""
    spread = np.zeros(len(cost))
    for values in (np.log(np.maximum(cost, 1e-12)), quality):
        order = np.argsort(values, kind="stable")
        width = values[order[-1]] - values[order[0]] or 1.0
        spread[order[[0, -1]]] = np.inf
        spread[order[1:-1]] += (values[order[2:]] - values[order[:-2]]) / width
    return spread

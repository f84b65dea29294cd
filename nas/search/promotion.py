"""Which candidates earn a longer training: successive halving for a front instead of one best.

Asynchronous (ASHA, arXiv 1810.05934): whenever a worker is free, a candidate of the highest rung that may
promote goes on; a rung may promote a third of those that have been trained to it. Who goes on is ours, for
two objectives: whoever adds the most hypervolume to those that went on before, all as measured at that rung.
So the front is filled where it is thin, and whoever led early makes room for the better ones that come later.
Those that add nothing follow by non-dominated rank.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from leaderboard.fronts.pareto import pareto_mask

KEEP = 3
"""One candidate in so many is promoted from a rung to the next."""

MARGIN = 0.05
"""Parts of the ranges by which the hypervolume's corner lies beyond the costliest and below the worst."""

Results = Mapping[str, tuple[float, float]]
"""Candidate -> (cost, quality), of all that have been trained to one rung."""


def next_promotion(rungs: Sequence[Results], promoted: Sequence[Collection[str]]) -> tuple[int, str] | None:
    """The rung to train and the candidate to train to it; None while nobody has earned it.

    ``rungs[r]`` are the results of rung r; ``promoted[r]`` who has been promoted from it, finished or not.
    The highest rung that can promote comes first.
    """
    for rung in reversed(range(len(rungs) - 1)):
        if len(promoted[rung]) < len(rungs[rung]) // KEEP:
            candidate = best(rungs[rung], promoted[rung])
            if candidate is not None:
                return rung + 1, candidate
    return None


def best(results: Results, promoted: Collection[str]) -> str | None:
    """Of those not promoted yet, who deserves it most; None where there is nobody."""
    names = sorted(results)
    free = np.array([name not in promoted for name in names])
    if not free.any():
        return None
    cost = np.array([results[name][0] for name in names], dtype=float)
    quality = np.array([results[name][1] for name in names], dtype=float)
    gains = _gains(cost, quality, free)
    chosen = np.flatnonzero(free)[int(np.argmax(gains))]
    if gains.max() <= 0:  # all lie below what went on: the first that no other one dominates
        left = np.flatnonzero(free)
        front = left[pareto_mask(cost[left], quality[left])]
        chosen = front[int(np.argmax(quality[front]))]
    return names[chosen]


def _gains(
    cost: NDArray[np.float64], quality: NDArray[np.float64], free: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The hypervolume that each of the free ones would add to the others."""
    limit = cost.max() + MARGIN * (np.ptp(cost) or 1.0)
    floor = quality.min() - MARGIN * (np.ptp(quality) or 1.0)
    gone = ~free & (cost < limit)
    front = np.flatnonzero(gone)[pareto_mask(cost[gone], quality[gone])]
    front = front[np.lexsort((quality[front], cost[front]))]
    # Strips of cost between the members, each with the best quality that its left side pays for.
    begins = np.concatenate(([-np.inf], cost[front]))
    ends = np.concatenate((cost[front], [limit]))
    levels = np.concatenate(([floor], quality[front]))
    widths = np.clip(ends - np.maximum(cost[free, None], begins), 0, None)
    return np.sum(widths * np.clip(quality[free, None] - levels, 0, None), axis=1)

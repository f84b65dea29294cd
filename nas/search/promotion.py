"""Promotion to longer trainings: successive halving for a front instead of a single best candidate.

Asynchronous (ASHA, arXiv 1810.05934): whenever a worker is free, the highest rung that may promote does so; a
rung may promote a third of the candidates trained to it. The order is ours, for two objectives: the candidate
that adds the most hypervolume to those promoted before, all measured at that rung. So the front is filled
where it is thin. Candidates that add nothing follow by non-dominated rank.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from leaderboard.fronts.pareto import pareto_mask

KEEP = 3
"""One candidate in so many is promoted from a rung to the next."""

MARGIN = 0.05
"""How far the hypervolume's corner lies beyond the costliest and the worst, as a part of the ranges."""

Results = Mapping[str, tuple[float, float]]
"""Candidate -> (cost, quality), of all candidates trained to one rung."""


def next_promotion(rungs: Sequence[Results], promoted: Sequence[Collection[str]]) -> tuple[int, str] | None:
    """The next promotion: the rung to train to, and the candidate; None while none is due.

    Args:
        rungs: The results of each rung, the shortest training first.
        promoted: The candidates promoted from each rung, finished or not.
    """
    for rung in reversed(range(len(rungs) - 1)):
        if len(promoted[rung]) < len(rungs[rung]) // KEEP:
            candidate = best(rungs[rung], promoted[rung])
            if candidate is not None:
                return rung + 1, candidate
    return None


def best(results: Results, promoted: Collection[str]) -> str | None:
    """The candidate to promote next from one rung; None where all are promoted."""
    names = sorted(results)
    free = np.array([name not in promoted for name in names])
    if not free.any():
        return None
    cost = np.array([results[name][0] for name in names], dtype=float)
    quality = np.array([results[name][1] for name in names], dtype=float)
    gains = _gains(cost, quality, free)
    chosen = np.flatnonzero(free)[int(np.argmax(gains))]
    if gains.max() <= 0:  # all are dominated by promoted ones: the best of their own front
        left = np.flatnonzero(free)
        front = left[pareto_mask(cost[left], quality[left])]
        chosen = front[int(np.argmax(quality[front]))]
    return names[chosen]


def _gains(
    cost: NDArray[np.float64], quality: NDArray[np.float64], free: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The hypervolume that each free candidate would add to the promoted ones."""
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

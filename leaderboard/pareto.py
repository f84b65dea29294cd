"""Which points no other point beats, and how much room they cover; pure numpy, nothing of ours."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

BLOCK_CELLS = 1 << 22  # comparisons held at once, so that memory stays flat for many points


def pareto_mask(cost: ArrayLike, quality: ArrayLike) -> NDArray[np.bool_]:
    """True where no other point is at most as costly and at least as good, and better in one of them.

    `cost` is (n,) or (n, k) and minimised, `quality` is (n,) and maximised. Points equal in everything
    are all members. A point with NaN anywhere is never a member and beats nobody; infinities are ordinary
    values. Raises ValueError when the shapes disagree.
    """
    costs = np.asarray(cost, dtype=np.float64)
    values = np.asarray(quality, dtype=np.float64)
    if values.ndim != 1 or costs.ndim not in (1, 2) or len(costs) != len(values):
        raise ValueError(
            f"cost must be (n,) or (n, k) and quality (n,): got {costs.shape} and {values.shape}"
        )
    if costs.ndim == 1:
        costs = costs[:, None]
    mask = np.zeros(len(values), dtype=bool)
    usable = np.flatnonzero(~(np.isnan(costs).any(axis=1) | np.isnan(values)))
    if costs.shape[1] == 1:
        mask[usable] = _sweep(costs[usable, 0], values[usable])
    else:
        mask[usable] = _blockwise(costs[usable], values[usable])
    return mask


def hypervolume(cost: ArrayLike, quality: ArrayLike, *, cost_limit: float, quality_floor: float) -> float:
    """The area that the points cover between `quality_floor` and themselves, up to `cost_limit`; exact.

    `cost` and `quality` are (n,). In units of cost times units of quality. Points that cost `cost_limit`
    or more, that are not better than `quality_floor`, or that hold NaN contribute nothing.
    """
    costs = np.asarray(cost, dtype=np.float64)
    values = np.asarray(quality, dtype=np.float64)
    if costs.ndim != 1 or costs.shape != values.shape:
        raise ValueError(f"cost and quality must both be (n,): got {costs.shape} and {values.shape}")
    inside = (costs < cost_limit) & (values > quality_floor)
    costs, values = costs[inside], values[inside]
    members = pareto_mask(costs, values)
    costs, first = np.unique(costs[members], return_index=True)
    values = values[members][first]
    widths = np.diff(np.append(costs, cost_limit))
    return float(np.sum(widths * (values - quality_floor)))


def _sweep(cost: NDArray[np.float64], quality: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`pareto_mask` for one cost without NaN, in one sort."""
    order = np.lexsort((-quality, cost))
    costs, values = cost[order], quality[order]
    group = np.searchsorted(costs, costs, side="left")  # where the points of the same cost begin
    best = np.concatenate(([-np.inf], np.maximum.accumulate(values)))
    leads = (group == 0) | (values > best[group])
    mask = np.zeros(len(costs), dtype=bool)
    mask[order] = (values == values[group]) & leads
    return mask


def _blockwise(cost: NDArray[np.float64], quality: NDArray[np.float64]) -> NDArray[np.bool_]:
    """`pareto_mask` for any number of costs without NaN, by comparing all pairs a block of rows at a time."""
    losses = np.column_stack((cost, -quality))
    count, axes = losses.shape
    mask = np.ones(count, dtype=bool)
    rows = max(1, BLOCK_CELLS // max(1, count * axes))
    for start in range(0, count, rows):
        block = losses[start : start + rows, None, :]
        no_worse = np.all(losses[None] <= block, axis=2)
        better = np.any(losses[None] < block, axis=2)
        mask[start : start + rows] = ~np.any(no_worse & better, axis=1)
    return mask

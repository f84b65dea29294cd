"""Which points no other point beats, how much room they cover, and how sure that is; numpy alone."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from leaderboard.fronts.dominance import beaten

BLOCK_CELLS = 1 << 22  # comparisons held at once, so that memory stays flat for many points

Floats = NDArray[np.float64]


def pareto_mask(cost: ArrayLike, quality: ArrayLike) -> NDArray[np.bool_]:
    """True where no other point is at most as costly and at least as good, and better in one of them.

    `cost` is (n,) or (n, k) and minimised, `quality` is (n,) and maximised. Points equal in everything
    are all members. A point with NaN anywhere is never a member and beats nobody; infinities are ordinary
    values. For one, two or three costs 100,000 points take 0.2 s at most; with more, all pairs are compared.
    Raises ValueError when the shapes disagree.
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
    costs, values = costs[usable], values[usable]
    if costs.shape[1] == 1:
        mask[usable] = _sweep(costs[:, 0], values)
    elif costs.shape[1] in (2, 3):
        mask[usable] = ~beaten(np.column_stack((costs, -values)))
    else:
        mask[usable] = _blockwise(costs, values)
    return mask


def hypervolume(
    cost: ArrayLike, quality: ArrayLike, *, cost_limit: float | Sequence[float], quality_floor: float
) -> float:
    """What the points cover between `quality_floor` and themselves, up to `cost_limit`; exact.

    `cost` is (n,) with one limit, for an area, or (n, 2) with two limits, for a volume; `quality` is (n,). In
    units of the costs times units of quality. Points that cost a limit or more, that are not better than
    `quality_floor`, or that hold NaN contribute nothing. Raises ValueError when the shapes disagree.
    """
    costs, values = np.asarray(cost, dtype=np.float64), np.asarray(quality, dtype=np.float64)
    limits = np.atleast_1d(np.asarray(cost_limit, dtype=np.float64))
    shape = values.shape if len(limits) == 1 else (*values.shape, 2)
    if values.ndim != 1 or costs.shape != shape or limits.shape not in ((1,), (2,)):
        raise ValueError(
            f"cost and quality must both be (n,), or cost (n, 2) with two limits: got {costs.shape}, "
            f"{values.shape} and {limits.shape}"
        )
    costs = costs.reshape(len(values), len(limits))
    inside = (costs < limits).all(axis=1) & (values > quality_floor)
    costs, values = costs[inside], values[inside]
    members = pareto_mask(costs, values)
    costs, values = costs[members], values[members]
    if len(limits) == 2:
        return _volume(costs, values, (float(limits[0]), float(limits[1])), quality_floor)
    ordered, first = np.unique(costs[:, 0], return_index=True)
    widths = np.diff(np.append(ordered, limits[0]))
    return float(np.sum(widths * (values[first] - quality_floor)))


def membership(cost: ArrayLike, quality_samples: ArrayLike, *, draws: int = 1000, seed: int = 0) -> Floats:
    """How probably each network is on the front, given that another seed would have given another quality.

    `cost` is (n,) or (n, k) as in `pareto_mask`. `quality_samples` is (n, seeds): what each network reached
    with each seed, NaN where it was not trained with so many. Of `draws` draws, each takes for every network
    the mean of as many of its samples as it has, drawn with replacement (a bootstrap over seeds), and asks
    `pareto_mask`; the result, (n,) in [0, 1], is the share of draws that have it on the front.

    A network with one sample says nothing of its noise: in a draw it has that sample plus normal noise with
    the standard deviation pooled over the networks with several (each about its own mean, n - 1). Where no
    network has several, all are taken as they are, and the shares are 0 or 1. Networks that tie are all
    members, as in `pareto_mask`; one without any sample, or with NaN for a cost, is in none and beats nobody.
    The same `seed` gives the same shares. Raises ValueError when the shapes disagree or `draws` is below 1.
    """
    costs, samples = np.asarray(cost, dtype=np.float64), np.asarray(quality_samples, dtype=np.float64)
    if samples.ndim != 2 or costs.ndim not in (1, 2) or len(costs) != len(samples) or draws < 1:
        raise ValueError(
            f"cost must be (n,) or (n, k), quality_samples (n, seeds) and draws at least 1: got "
            f"{costs.shape}, {samples.shape} and {draws}"
        )
    there = ~np.isnan(samples)
    counts = there.sum(axis=1)
    # Samples first in each row, so that a drawn place below the count is one of them.
    packed = np.take_along_axis(samples, np.argsort(~there, axis=1, kind="stable"), axis=1)
    single, several = np.flatnonzero(counts == 1), np.flatnonzero(counts > 1)
    noise = _pooled_deviation(samples[several])
    draw, times = np.random.default_rng(seed), np.zeros(len(costs), dtype=np.int64)
    alike = [np.flatnonzero(counts == count) for count in np.unique(counts[several])]
    at_once = max(1, BLOCK_CELLS // (8 * max(1, len(costs))))
    for start in range(0, draws, at_once):
        quality = np.full((min(at_once, draws - start), len(costs)), np.nan)
        for row in quality:
            row[single] = packed[single, 0] + noise * draw.standard_normal(len(single))
            for rows in alike:
                chosen = draw.integers(0, counts[rows[0]], (len(rows), counts[rows[0]]))
                row[rows] = packed[rows[:, None], chosen].mean(axis=1)
        times += _times_on_front(costs, quality)
    return times / draws


def _times_on_front(costs: Floats, quality: Floats) -> NDArray[np.int64]:
    """How often `pareto_mask` holds for each point, over the rows of `quality`, (draws, n)."""
    if costs.ndim > 1 and costs.shape[1] > 1:
        return np.sum([pareto_mask(costs, row) for row in quality], axis=0, dtype=np.int64)
    line, times = costs.reshape(-1), np.zeros(len(costs), dtype=np.int64)
    usable = np.flatnonzero(~(np.isnan(line) | np.isnan(quality).any(axis=0)))
    if len(usable):
        times[usable] = _sweeps(line[usable], quality[:, usable]).sum(axis=0)
    return times


def _pooled_deviation(samples: Floats) -> float:
    """The standard deviation within rows of two and more samples; 0 where there is no row."""
    if not len(samples):
        return 0.0
    spread = np.nansum((samples - np.nanmean(samples, axis=1)[:, None]) ** 2)
    return float(np.sqrt(spread / (np.sum(~np.isnan(samples)) - len(samples))))


def _sweep(cost: Floats, quality: Floats) -> NDArray[np.bool_]:
    """`pareto_mask` for one cost without NaN, in one sort."""
    return _sweeps(cost, quality[None])[0]


def _sweeps(cost: Floats, quality: Floats) -> NDArray[np.bool_]:
    """`_sweep` for the same costs, (n,), and each row of `quality`, (draws, n): one sort for all."""
    order = np.argsort(cost, kind="stable")
    _, starts, group = np.unique(cost[order], return_index=True, return_inverse=True)
    values = quality[:, order]
    best = np.maximum.reduceat(values, starts, axis=1)  # of each cost
    before = np.maximum.accumulate(best, axis=1)[:, :-1]
    leads = np.column_stack((np.ones(len(quality), dtype=bool), best[:, 1:] > before))
    mask = np.zeros(quality.shape, dtype=bool)
    mask[:, order] = (values == best[:, group]) & leads[:, group]
    return mask


def _blockwise(cost: Floats, quality: Floats) -> NDArray[np.bool_]:
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


def _volume(costs: Floats, quality: Floats, limits: tuple[float, float], floor: float) -> float:
    """`hypervolume` for two costs: slabs between one quality and the next, over an area that only grows."""
    order = np.argsort(-quality)
    below = np.append(quality[order], floor)[1:]
    area, volume = 0.0, 0.0
    stairs: tuple[list[float], list[float]] = ([], [])  # first costs going up, second costs going down
    for (first, second), top, bottom in zip(costs[order].tolist(), quality[order], below, strict=True):
        area += _step(stairs, first, second, limits)
        volume += area * float(top - bottom)
    return volume


def _step(
    stairs: tuple[list[float], list[float]], first: float, second: float, limits: tuple[float, float]
) -> float:
    """The area that a point adds to that of the stairs, which take it up and lose what it covers."""
    across, down = stairs
    place = bisect_left(across, first)
    ceiling = down[place - 1] if place else limits[1]
    if ceiling <= second or (place < len(across) and across[place] == first and down[place] <= second):
        return 0.0
    gained, left, end = 0.0, first, place
    while end < len(across) and down[end] >= second:
        gained += (across[end] - left) * (ceiling - second)
        left, ceiling, end = across[end], down[end], end + 1
    right = across[end] if end < len(across) else limits[0]
    gained += (right - left) * (ceiling - second)
    across[place:end], down[place:end] = [first], [second]
    return gained

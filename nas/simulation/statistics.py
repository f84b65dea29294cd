"""What replays of several samplers say side by side: means, intervals, rank tests, what rungs save.

Pure statistics over :class:`nas.simulation.replays.Curve`; no replay is run here. Intervals of means are
Student's, 95 %; intervals of numbers of trainings are percentiles of a bootstrap over seeds.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nas.simulation.replays import Curve, Side

Array = NDArray[np.float64]

MARKS = (16, 30, 50, 80, 100, 150, 200, 300, 400)
"""Trainings after which shares are looked at."""

BOOTSTRAPS = 1000
ALPHA = 0.05

GOALS = (("random", 400, 50), ("tpe", 200, 80))
"""(a sampler, its trainings, trainings within which the default should reach the same)."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """The mean over ``seeds`` of a share, and half of its interval (0 where there is one seed)."""

    mark: float
    mean: float
    half: float
    seeds: int


@dataclass(frozen=True, kw_only=True)
class Need:
    """In how many full trainings the mean of ``name`` reaches ``level``: None where it does not.

    ``low`` and ``high`` are the interval; ``high`` is None where some bootstraps never reach it. ``most`` is
    how far it was replayed.
    """

    name: str
    level: float
    trainings: float | None
    low: float | None
    high: float | None
    most: float


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two samplers at one mark: the mean difference of shares, and Holm's p of Wilcoxon's test."""

    one: str
    other: str
    difference: float
    p: float


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Friedman's test over seeds: mean rank (1 is best) of each sampler, its p, Nemenyi's difference.

    Two mean ranks differ (5 %) where they are ``critical`` or more apart. ``friedman_p`` and ``critical`` are
    None for fewer than three samplers.
    """

    mark: int
    mean_ranks: dict[str, float]
    friedman_p: float | None
    critical: float | None
    pairs: list[Pair]


def mean_interval(values: Sequence[float], mark: float = 0.0) -> Point:
    """The mean and half of its 95 % interval by Student's t; NaN values are left out."""
    there = np.array([value for value in values if math.isfinite(value)])
    if len(there) == 0:
        return Point(mark=mark, mean=float("nan"), half=float("nan"), seeds=0)
    half = 0.0
    if len(there) > 1:
        t = float(stats.t.ppf(1 - ALPHA / 2, len(there) - 1))
        half = t * float(there.std(ddof=1)) / math.sqrt(len(there))
    return Point(mark=mark, mean=float(there.mean()), half=half, seeds=len(there))


def marks_up_to(most: float) -> list[int]:
    """The marks of MARKS up to ``most``, and ``most`` itself; more of them where there are few."""
    usual = MARKS if most >= 2 * MARKS[0] else (2, 4, 8, *MARKS)
    return sorted({mark for mark in usual if mark <= most} | {int(most)} - {0})


def seconds_marks(spent: float) -> list[int]:
    """Numbers of full trainings up to those whose seconds were ``spent``."""
    return sorted(mark for mark in {2, 4, 8, *MARKS} if mark <= spent + 1)


def means_at(curves: Sequence[Curve], side: Side, marks: Sequence[float]) -> list[Point]:
    """The mean share at each mark that all curves reach."""
    points = [mean_interval([curve.at(side, mark) for curve in curves], mark) for mark in marks]
    return [point for point in points if point.seeds == len(curves)]


def usual_points(curves: Sequence[Curve], side: Side) -> list[dict[str, float]]:
    """The mean shares at the usual marks up to where the shortest curve ends."""
    most = min(curve.last(side) for curve in curves)
    marks = marks_up_to(most) if side == "trainings" else seconds_marks(most)
    return [vars(point) for point in means_at(curves, side, marks)]


def needs(curves: Sequence[Curve], level: float, side: Side = "trainings") -> Need:
    """In how many full trainings (or their seconds) the mean of the curves reaches ``level``."""
    table, grid = _grid(curves, side)
    rng = np.random.default_rng(0)
    reached = _first(table.mean(axis=0), grid, level)
    low = high = reached
    if len(curves) > 1 and reached is not None:
        draws = [
            _first(table[rng.integers(0, len(table), len(table))].mean(axis=0), grid, level)
            for _ in range(BOOTSTRAPS)
        ]
        filled = sorted(math.inf if one is None else one for one in draws)
        low = filled[int(ALPHA / 2 * BOOTSTRAPS)]
        high = filled[int((1 - ALPHA / 2) * BOOTSTRAPS) - 1]
        high = None if math.isinf(high) else high
    return Need(
        name=curves[0].task.spec.name,
        level=level,
        trainings=reached,
        low=low,
        high=high,
        most=float(grid[-1]),
    )


def _grid(curves: Sequence[Curve], side: Side) -> tuple[Array, Array]:
    """Shares (seeds, points) at common numbers of trainings, or at tenths of the seconds of one."""
    most = min(curve.last(side) for curve in curves)
    grid = np.arange(1, most + 1, dtype=float) if side == "trainings" else np.arange(0.1, most + 0.05, 0.1)
    return np.array([[curve.at(side, mark) for mark in grid] for curve in curves]), grid


def _first(mean: Array, grid: Array, level: float) -> float | None:
    above = np.flatnonzero(mean >= level)
    return float(grid[above[0]]) if len(above) else None


def rank_samplers(shares: Mapping[str, Sequence[float]], mark: int) -> Ranks:
    """Friedman's test with Nemenyi's critical difference, and Wilcoxon's of all pairs with Holm's correction.

    ``shares`` maps samplers to shares of the same seeds, in one order (Demsar, JMLR 7, 2006).
    """
    names = list(shares)
    table = np.array([shares[name] for name in names])
    ranks = stats.rankdata(-table, axis=0).mean(axis=1)
    friedman = critical = None
    if len(names) > 2 and table.shape[1] > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # all shares equal: no number
            friedman = float(stats.friedmanchisquare(*table).pvalue)
        friedman = friedman if math.isfinite(friedman) else 1.0
        q = float(stats.studentized_range.ppf(1 - ALPHA, len(names), np.inf)) / math.sqrt(2)
        critical = q * math.sqrt(len(names) * (len(names) + 1) / (6 * table.shape[1]))
    pairs = [
        (one, other, float(np.mean(np.subtract(shares[one], shares[other]))), _wilcoxon(shares, one, other))
        for one, other in combinations(names, 2)
    ]
    corrected = holm([p for *_, p in pairs])
    return Ranks(
        mark=mark,
        mean_ranks=dict(zip(names, ranks.tolist(), strict=True)),
        friedman_p=friedman,
        critical=critical,
        pairs=[
            Pair(one=one, other=other, difference=difference, p=p)
            for (one, other, difference, _), p in zip(pairs, corrected, strict=True)
        ],
    )


def _wilcoxon(shares: Mapping[str, Sequence[float]], one: str, other: str) -> float:
    difference = np.subtract(shares[one], shares[other])
    if not difference.any():
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few seeds
        return float(stats.wilcoxon(difference).pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number by Holm's step-down procedure, in their order."""
    order = sorted(range(len(values)), key=lambda place: values[place])
    corrected, worst = [1.0] * len(values), 0.0
    for step, place in enumerate(order):
        worst = max(worst, min(1.0, (len(values) - step) * values[place]))
        corrected[place] = worst
    return corrected


Group = Mapping[str, Sequence[Curve]]
"""Name of a spec -> its curves, one a seed, all with the same number of workers."""


def compare(groups: Mapping[int, Group]) -> dict[str, Any]:
    """Everything that is told of a comparison, as plain values; ``groups`` maps workers to curves."""
    return {"workers": {str(workers): _compared(group) for workers, group in groups.items()}}


def _compared(group: Group) -> dict[str, Any]:
    plain = {name: curves for name, curves in group.items() if not curves[0].task.spec.rungs}
    told: dict[str, Any] = {
        "trainings": {name: usual_points(curves, "trainings") for name, curves in plain.items()},
        "seconds": {name: usual_points(curves, "seconds") for name, curves in group.items()},
    }
    common = int(min(curve.last("trainings") for curves in plain.values() for curve in curves))
    shares = {name: [curve.at("trainings", common) for curve in curves] for name, curves in plain.items()}
    ranks = rank_samplers(shares, common)
    told["ranks"] = {**vars(ranks), "pairs": [vars(pair) for pair in ranks.pairs]}
    told["goals"] = [_goal(plain, *goal) for goal in GOALS if goal[0] in plain]
    told["rungs"] = [
        saved
        for name, curves in plain.items()
        if f"{name}+rungs" in group and (saved := _saved(curves, group[f"{name}+rungs"])) is not None
    ]
    told["counts"] = {name: counts_of(curves) for name, curves in group.items()}
    return told


def _goal(plain: Group, name: str, trainings: int, within: int) -> dict[str, Any]:
    """What each sampler needs for the mean share that ``name`` reaches with ``trainings`` (or all it had)."""
    most = int(min(trainings, *(curve.last("trainings") for curve in plain[name])))
    level = float(np.mean([curve.at("trainings", most) for curve in plain[name]]))
    found = [vars(needs(curves, level)) for other, curves in plain.items() if other != name]
    return {"of": name, "trainings": most, "within": within, "level": level, "needs": found}


def _saved(curves: Sequence[Curve], with_rungs: Sequence[Curve]) -> dict[str, Any] | None:
    """The seconds that rungs need for what full trainings alone reach, as a part of theirs.

    Looked at where full trainings alone have spent as much as the replays with rungs did, or all they have.
    ``parts`` is the mean, with a bootstrap over seeds.
    """
    at = min(curve.last("seconds") for curve in (*curves, *with_rungs))
    level = float(np.mean([curve.at("seconds", at) for curve in curves]))
    need = needs(with_rungs, level, "seconds")

    def part(value: float | None) -> float | None:
        return None if value is None else value / at

    return {
        "sampler": curves[0].task.spec.name,
        "level": level,
        "trainings": at,
        "part": part(need.trainings),
        "low": part(need.low),
        "high": part(need.high),
        "reached_in_the_end": float(np.mean([curve.at("seconds", at) for curve in with_rungs])),
    }


def counts_of(curves: Sequence[Curve]) -> dict[str, float]:
    """Means over the curves: candidates begun and trained in full, proposals over budget, repeats."""
    found: dict[str, Callable[[Curve], int]] = {
        "begun": lambda curve: curve.begun[-1],
        "full": lambda curve: curve.full[-1],
        "rejected": lambda curve: curve.rejected,
        "repeated": lambda curve: curve.repeated,
        "answered_by_the_model": lambda curve: curve.answered,
    }
    return {name: float(np.mean([count(curve) for curve in curves])) for name, count in found.items()}

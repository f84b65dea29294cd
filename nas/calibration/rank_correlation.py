"""The statistics of a calibration, of plain numbers: rank agreement with a reference, and training noise.

PSNR in dB throughout. A table is (architectures, seeds) with NaN where a training is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, rankdata

from leaderboard.fronts.rank_correlation import interval, resamples, taus

Floats = NDArray[np.float64]

LEAST, LEAST_INTERVAL = 3, 5
"""Architectures below which no rank agreement is said, and below which it gets no interval."""

RESOLVED = 1.96 * math.sqrt(2)
"""Times sigma: beyond it a difference of two single trainings is no noise (95 %, two-sided, normal)."""


@dataclass(frozen=True, kw_only=True)
class RankCorrelation:
    """A rank correlation, and its 95 % bootstrap interval over architectures; NaN where there is none."""

    value: float
    low: float
    high: float

    @property
    def by_chance(self) -> bool:
        """Whether the interval reaches down to zero: an order without any worth may give as much."""
        return self.low <= 0


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How much trainings of one architecture differ by their seed: standard deviations in dB.

    ``sigma_db`` is pooled over the architectures, with ``degrees`` of freedom and a 95 % interval ``low_db``
    to ``high_db`` (chi-square). Of it, ``shared_sigma_db`` is what is left between architectures that are
    trained with the same seed, and thus on the same patches in the same order: the residuals of architecture
    plus seed, with ``shared_degrees``. NaN without degrees of freedom.
    """

    sigma_db: float
    degrees: int
    low_db: float
    high_db: float
    shared_sigma_db: float
    shared_degrees: int

    @property
    def between_db(self) -> float:
        """The sigma that counts between two candidates of a search, which trains all with one seed.

        ``shared_sigma_db``, or ``sigma_db`` where a single architecture has several seeds.
        """
        return self.shared_sigma_db if self.shared_degrees else self.sigma_db

    @property
    def resolved_db(self) -> float:
        """The smallest difference that two single trainings resolve: RESOLVED times :attr:`between_db`."""
        return RESOLVED * self.between_db


def kendall(x: ArrayLike, y: ArrayLike) -> float:
    """Kendall's tau b of (n,) and (n,); NaN where one of them does not vary."""
    return float(taus(x, y, np.ones((1, len(np.asarray(x)))))[0])


def tau_of(table: ArrayLike, reference: ArrayLike, *, seed: int = 0) -> RankCorrelation:
    """Kendall's tau b between single trainings and ``reference`` (n,): the mean over the seeds of ``table``.

    ``table`` is (n, seeds), or (n,). A resample takes architectures with all their seeds.
    """
    columns, y = _columns(table, reference)
    if len(y) < LEAST:
        return RankCorrelation(value=math.nan, low=math.nan, high=math.nan)
    weights = _weights(len(y), seed)
    return _interval(_mean([taus(column, y, weights) for column in columns.T]), len(y))


def rho_of(table: ArrayLike, reference: ArrayLike, *, seed: int = 0) -> RankCorrelation:
    """Spearman's rho in the same way."""
    columns, y = _columns(table, reference)
    if len(y) < LEAST:
        return RankCorrelation(value=math.nan, low=math.nan, high=math.nan)
    counts = _weights(len(y), seed).astype(int)
    # Each resample as the places that it drew: its own ranks, equal values among them.
    places = np.stack([np.repeat(np.arange(len(y)), row) for row in counts])
    found = [_spearmans(column[places], y[places]) for column in columns.T]
    return _interval(_mean(found), len(y))


def best_half(reference: ArrayLike) -> NDArray[np.intp]:
    """The places of the better half (the middle one included) by ``reference``, best first."""
    values = np.asarray(reference, dtype=float)
    return np.argsort(-values, kind="stable")[: (len(values) + 1) // 2]


def noise_of(table: ArrayLike) -> Noise:
    """The noise of trainings, from architectures with several seeds; see :class:`Noise`."""
    values = np.atleast_2d(np.asarray(table, dtype=float))
    known = (~np.isnan(values)).sum(axis=1)
    several = values[known > 1]
    degrees = int((known[known > 1] - 1).sum())
    squares = float(np.nansum(np.square(several - _row_means(several)))) if degrees else math.nan
    sigma = math.sqrt(squares / degrees) if degrees else math.nan
    whole = values[~np.isnan(values).any(axis=1)]
    shared_degrees = max(0, (len(whole) - 1) * (values.shape[1] - 1))
    shared = math.nan
    if shared_degrees:
        left = whole - whole.mean(axis=1, keepdims=True) - whole.mean(axis=0) + whole.mean()
        shared = math.sqrt(float(np.square(left).sum()) / shared_degrees)
    low, high = (
        (math.sqrt(squares / float(chi2.ppf(share, degrees))) for share in (0.975, 0.025))
        if degrees
        else (math.nan, math.nan)
    )
    return Noise(
        sigma_db=sigma,
        degrees=degrees,
        low_db=low,
        high_db=high,
        shared_sigma_db=shared,
        shared_degrees=shared_degrees,
    )


def by_seeds(table: ArrayLike, reference: ArrayLike) -> list[tuple[int, float]]:
    """How tau grows with seeds: (k, tau of means over k seeds), the mean over all choices of k seeds."""
    columns, y = _columns(table, reference)
    found = []
    for count in range(1, columns.shape[1] + 1):
        every = combinations(range(columns.shape[1]), count)
        found.append((count, _nanmean([kendall(columns[:, list(some)].mean(axis=1), y) for some in every])))
    return found


def by_images(
    scores: ArrayLike, reference: ArrayLike, counts: Sequence[int], *, draws: int = 50, seed: int = 0
) -> list[tuple[int, Noise, float]]:
    """What fewer validation images would have shown: (images, noise, tau) for each of ``counts``.

    ``scores`` is (architectures, seeds, images), PSNR of each image; ``reference`` (n,) stays as it is. Means
    (of variances, and of tau) over ``draws`` random subsets, without replacement; all of them where there are
    fewer.
    """
    values, y = np.asarray(scores, dtype=float), np.asarray(reference, dtype=float)
    random = np.random.default_rng(seed)
    found = []
    for count in counts:
        subsets = _subsets(values.shape[2], count, draws, random)
        tables = [values[:, :, subset].mean(axis=2) for subset in subsets]
        noises = [noise_of(table) for table in tables]
        tau = _nanmean([kendall(column, y) for table in tables for column in table.T])
        found.append((count, _pooled(noises), tau))
    return found


def _subsets(images: int, count: int, draws: int, random: np.random.Generator) -> list[NDArray[np.intp]]:
    if math.comb(images, count) <= draws:
        return [np.array(subset) for subset in combinations(range(images), count)]
    return [random.choice(images, count, replace=False) for _ in range(draws)]


def _pooled(noises: Sequence[Noise]) -> Noise:
    """The root of the mean of their variances."""

    def root(read: Callable[[Noise], float]) -> float:
        return math.sqrt(sum(read(noise) ** 2 for noise in noises) / len(noises))

    return Noise(
        sigma_db=root(lambda noise: noise.sigma_db),
        degrees=noises[0].degrees,
        low_db=root(lambda noise: noise.low_db),
        high_db=root(lambda noise: noise.high_db),
        shared_sigma_db=root(lambda noise: noise.shared_sigma_db),
        shared_degrees=noises[0].shared_degrees,
    )


def _columns(table: ArrayLike, reference: ArrayLike) -> tuple[Floats, Floats]:
    """Architectures that have everything: (n, seeds) and (n,)."""
    columns, y = np.asarray(table, dtype=float), np.asarray(reference, dtype=float)
    columns = columns[:, None] if columns.ndim == 1 else columns
    known = ~np.isnan(columns).any(axis=1) & ~np.isnan(y)
    return columns[known], y[known]


def _weights(count: int, seed: int) -> Floats:
    return resamples(count, np.random.default_rng(seed))


def _spearmans(x: Floats, y: Floats) -> Floats:
    """Rho of each row of (draws, n)."""
    a, b = (rankdata(values, axis=1) for values in (x, y))
    a, b = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (a, b))
    room = np.sqrt(np.square(a).sum(axis=1) * np.square(b).sum(axis=1))
    same = (a * b).sum(axis=1)
    return np.divide(same, room, out=np.full_like(same, np.nan), where=room > 0)


def _interval(values: Floats, architectures: int) -> RankCorrelation:
    """Of the statistic (first) and its resamples (the rest)."""
    if architectures < LEAST_INTERVAL:
        return RankCorrelation(value=float(values[0]), low=math.nan, high=math.nan)
    low, high = interval(values[1:])
    return RankCorrelation(value=float(values[0]), low=low, high=high)


def _mean(found: Sequence[Floats]) -> Floats:
    """The mean over seeds of those that have an order."""
    values = np.stack(found)
    known = ~np.isnan(values)
    total = np.where(known, values, 0).sum(axis=0)
    return np.divide(total, known.sum(axis=0), out=np.full_like(total, np.nan), where=known.any(axis=0))


def _row_means(values: Floats) -> Floats:
    return np.asarray(np.nanmean(values, axis=1, keepdims=True))


def _nanmean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan

"""How far two orders of the same things agree: rank correlations, and how sure they are."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

MOST = 600
"""Things that a bootstrap rests on; of more, so many are drawn at random (always the same ones)."""
DRAWS = 1000


def kendall(x: ArrayLike, y: ArrayLike, *, seed: int = 0) -> tuple[float, float, float]:
    """Kendall's tau b of (n,) and (n,), and its 95 % bootstrap interval over the points; NaN without order.

    Beyond `MOST` points a random draw of so many is looked at.
    """
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    draw = np.random.default_rng(seed)
    if len(a) > MOST:
        some = draw.choice(len(a), MOST, replace=False)
        a, b = a[some], b[some]
    found = taus(a, b, resamples(len(a), draw))
    return float(found[0]), *interval(found[1:])


def resamples(count: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """How often each of ``count`` occurs: once in the first row, as drawn with replacement in DRAWS more."""
    drawn = draw.multinomial(count, np.full(count, 1 / max(count, 1)), size=DRAWS)
    return np.vstack([np.ones(count), drawn])


def taus(x: ArrayLike, y: ArrayLike, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kendall's tau b of (n,) and (n,) for each row of ``weights`` (draws, n); NaN where one has no order."""
    mine, theirs = (_signs(np.asarray(values, dtype=float)) for values in (x, y))

    def total(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(((weights @ pairs) * weights).sum(axis=1))

    same, room = total(mine * theirs), np.sqrt(total(np.abs(mine)) * total(np.abs(theirs)))
    return np.divide(same, room, out=np.full_like(same, np.nan), where=room > 0)


def interval(drawn: NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of the resamples of a statistic that are numbers; NaN where none is."""
    known = drawn[~np.isnan(drawn)]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (math.nan, math.nan)
    return float(low), float(high)


def _signs(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(values[:, None] - values[None])


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation, equal values at their mean rank; NaN where one does not vary."""
    ranks = [pd.Series(np.asarray(values, dtype=float)).rank().to_numpy() for values in (x, y)]
    first, second = (values - values.mean() for values in ranks)
    room = math.sqrt(float((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / room if room else math.nan


def best_kept(x: ArrayLike, y: ArrayLike, share: float = 0.25) -> float:
    """Of the best `share` by `x` (one at least), how many are among as many best by `y`."""
    a, b = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    count = max(1, round(share * len(a)))
    best = [set(np.argsort(-values, kind="stable")[:count].tolist()) for values in (a, b)]
    return len(best[0] & best[1]) / count

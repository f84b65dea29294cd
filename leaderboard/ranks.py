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
    signs = [np.sign(values[:, None] - values[None]) for values in (a, b)]
    count = len(a)
    weights = np.vstack(
        [np.ones(count), draw.multinomial(count, np.full(count, 1 / max(count, 1)), size=DRAWS)]
    )

    def total(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(((weights @ pairs) * weights).sum(axis=1))

    same = total(signs[0] * signs[1])
    room = np.sqrt(total(np.abs(signs[0])) * total(np.abs(signs[1])))
    taus = np.divide(same, room, out=np.full_like(same, np.nan), where=room > 0)
    drawn = taus[1:][~np.isnan(taus[1:])]
    low, high = np.quantile(drawn, (0.025, 0.975)) if len(drawn) else (math.nan, math.nan)
    return float(taus[0]), float(low), float(high)


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

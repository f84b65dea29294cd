"""Which reported networks cost about as much as measured ones: the cost window of tables and views."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

DOZEN = 12
"""How many reported rows are shown, at least, where no factor is given."""
FAR = 3.0
"""The factor from which on a cost is no longer that of a neighbour, where others are left to choose."""
ALL = math.inf
"""The factor that keeps every row."""
COSTS = ("params", "conv_multi_adds")
"""What is compared: parameters, and Multi-Adds as papers mostly count them."""


def cost_factors(candidates: pd.DataFrame, others: pd.DataFrame) -> np.ndarray:
    """How far apart each candidate and each other network are in cost: an array (candidates, others).

    Args:
        candidates: networks with the columns `COSTS`, NaN where a cost is not known.
        others: the same of the networks to compare with.

    Returns:
        The larger ratio of the two costs, 1 or more; of the one that both have where the other is unknown;
        infinite where they share none.
    """
    apart = np.full((len(candidates), len(others)), np.nan)
    for cost in COSTS:
        own, their = (np.log(frame[cost].astype("float64").to_numpy()) for frame in (candidates, others))
        apart = np.fmax(apart, np.abs(own[:, None] - their[None, :]))
    return np.exp(np.where(np.isnan(apart), np.inf, apart))


def near_cost(candidates: pd.DataFrame, others: pd.DataFrame, factor: float | None = None) -> pd.Series:
    """Which of `others` are near a candidate in cost.

    Args:
        candidates: networks with the columns `COSTS`; those without any known cost are ignored.
        others: the networks to choose from, with the same columns.
        factor: keep what is within this factor of a candidate in each cost that both have; `ALL` keeps
            everything. None keeps each candidate's nearest neighbours, as many of them as it takes to reach
            `DOZEN` networks in all (more where several are equally near). Neighbours farther than `FAR`, but
            for a candidate's nearest, come after all others.

    Returns:
        Truth values with the index of `others`; all true where no candidate has a known cost.
    """
    known = candidates[candidates[list(COSTS)].notna().any(axis=1)]
    if known.empty or factor == ALL:
        return pd.Series(True, index=others.index, dtype=bool)
    factors = cost_factors(known, others)
    if factor is not None:
        return pd.Series((factors <= factor).any(axis=0), index=others.index, dtype=bool)
    comparable = pd.DataFrame(np.where(np.isfinite(factors), factors, np.nan))
    ranks = comparable.rank(axis=1, method="min").min(axis=0)
    ranks += len(others) * ((comparable.min(axis=0) > FAR) & (ranks > 1))
    most = ranks.dropna().nsmallest(DOZEN).max()
    return pd.Series((ranks <= most).to_numpy(), index=others.index, dtype=bool)


def reach(candidates: pd.DataFrame, shown: pd.DataFrame) -> float:
    """The factor within which all of `shown` lie of their nearest candidate; NaN where none is known."""
    factors = cost_factors(candidates, shown)
    if not factors.size:
        return math.nan
    nearest = factors.min(axis=0)
    finite = nearest[np.isfinite(nearest)]
    return float(finite.max()) if finite.size else math.nan

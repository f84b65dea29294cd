"""The axes of a space as columns, and how good a network is for its cost: what the views of choices share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from leaderboard.errors import LeaderboardError, unknown_name
from leaderboard.fronts.pareto import pareto_mask
from leaderboard.tables.front import measured, networks
from leaderboard.views.show import Show
from leaderboard.views.style import protocol_words

NOT_THERE = "none"
"""The option of an axis that does not apply to a network, or that is off."""
MOST_OPTIONS = 8
"""Numbers with more values than this are put into groups of about equal counts."""
GROUPS = 5
CURVED = 20
"""Networks from which on PSNR over log cost is a parabola; a straight line below."""


@dataclass(frozen=True, kw_only=True)
class ChoiceTables:
    """Networks of one protocol with their choices: the same rows in all tables.

    `points` has the columns of `networks`, `on_front`, and `residual`: the quality above what other networks
    of the same cost reach (same unit). `options` has one column an axis that was varied, with texts; `order`
    maps each to its options, numbers by size. `explained` is the share of the quality's variance that cost
    explains alone. `fuller` names the protocol with most networks of the study where that is another one.
    """

    points: pd.DataFrame
    options: pd.DataFrame
    order: dict[str, list[str]]
    explained: float
    protocol: str
    fuller: str = ""


def choices_of(frame: pd.DataFrame, show: Show) -> ChoiceTables:
    """The measured networks of a study under one protocol, with their choices and residuals."""
    points = networks(frame, show.study, show.protocol)
    if show.cost not in points:
        points[show.cost] = np.nan
    points = points[points[show.cost].gt(0) & points[show.quality].notna()].reset_index(drop=True)
    points["on_front"] = pareto_mask(points[show.cost], points[show.quality])
    residual, explained = at_fixed_cost(points[show.cost], points[show.quality])
    points["residual"] = residual
    rows = measured(frame, show.study, show.protocol)
    choices = rows.drop_duplicates("genotype").set_index("genotype")["choices"]
    options, order = options_of(list(choices.reindex(points["genotype"])))
    return ChoiceTables(
        points=points,
        options=options,
        order=order,
        explained=explained,
        protocol=protocol_words(rows.iloc[0]) if len(rows) else "",
        fuller=_fuller(frame[(frame["study"] == show.study) & frame["psnr_db"].notna()], len(points)),
    )


def _fuller(rows: pd.DataFrame, here: int) -> str:
    counts = rows.groupby("protocol")["genotype"].nunique()
    if counts.empty or counts.max() <= here:
        return ""
    return f"; protocol {counts.idxmax()} has {counts.max()}"


def at_fixed_cost(cost: ArrayLike, quality: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """The quality less what its cost makes one expect, (n,), and the share of the variance cost explains.

    Least squares over log10 cost: a parabola from `CURVED` networks on, else a line; fewer than three
    networks or a single cost leave only the mean. Costs are positive.
    """
    x, y = np.log10(np.asarray(cost, dtype=float)), np.asarray(quality, dtype=float)
    if not len(y):
        return y, 0.0
    distinct = len(np.unique(x))
    degree = min(2 if len(y) >= CURVED else 1 if len(y) >= 3 else 0, distinct - 1)
    basis = np.vander(x - x.mean(), degree + 1)
    expected = basis @ np.linalg.lstsq(basis, y, rcond=None)[0]
    total = float(((y - y.mean()) ** 2).sum())
    residual = y - expected
    return residual, 1.0 - float((residual**2).sum()) / total if total > 0 else 0.0


def options_of(choices: list[Mapping[str, Any]]) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """One column of texts an axis that takes two values or more, and each axis's options in order."""
    flat = pd.DataFrame([dict(_flattened(each)) for each in choices], dtype=object)
    columns, order = {}, {}
    for axis in flat.columns:
        values = flat[axis]
        texts, options = _numbers(values) if _is_numeric(values) else _words(values)
        if len(options) > 1:
            columns[str(axis)], order[str(axis)] = texts, options
    return pd.DataFrame(columns, index=flat.index, dtype=object), order


def _flattened(choices: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for axis, value in choices.items():
        name = f"{above}{str(axis).replace('_', ' ')}"
        found += _flattened(value, f"{name} ") if isinstance(value, Mapping) else [(name, value)]
    return found


def _is_numeric(values: pd.Series) -> bool:
    known = [value for value in values if not _missing(value)]
    return bool(known) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in known)


def _missing(value: Any) -> bool:
    return value is None or value is False or (isinstance(value, float) and np.isnan(value))


def _words(values: pd.Series) -> tuple[list[str], list[str]]:
    texts = [
        NOT_THERE
        if _missing(value)
        else "yes"
        if value is True
        else "+".join(map(str, value))
        if isinstance(value, list | tuple)
        else str(value)
        for value in values
    ]
    options = sorted(set(texts), key=lambda text: (text != NOT_THERE, text))
    return texts, options


def _numbers(values: pd.Series) -> tuple[list[str], list[str]]:
    known = pd.Series([np.nan if _missing(value) else float(value) for value in values], dtype=float)
    distinct = sorted(known.dropna().unique())
    if len(distinct) <= MOST_OPTIONS:
        names = {value: f"{value:g}" for value in distinct}
        texts = [NOT_THERE if np.isnan(value) else names[value] for value in known]
        options = list(names.values())
    else:
        edges = np.unique(np.quantile(known.dropna(), np.linspace(0, 1, GROUPS + 1), method="nearest"))
        place = np.clip(np.searchsorted(edges, known, side="right") - 1, 0, len(edges) - 2)
        groups = [known[place == group].dropna() for group in range(len(edges) - 1)]
        labels = [f"{group.min():g}-{group.max():g}" if len(group) else "" for group in groups]
        texts = [
            NOT_THERE if np.isnan(value) else labels[group] for value, group in zip(known, place, strict=True)
        ]
        options = [label for label in labels if label]
    return texts, ([NOT_THERE] if NOT_THERE in texts else []) + options


def between_share(options: pd.Series, values: NDArray[np.float64]) -> float:
    """The share of the variance of `values` that lies between the options (eta squared), less chance's part.

    Chance's part is what that many groups explain of noise, (options - 1) / (n - 1): so that an axis with
    many options does not lead for that alone.
    """
    total = float(((values - values.mean()) ** 2).sum())
    codes, found = pd.factorize(options)
    if total <= 0 or len(values) <= len(found):
        return 0.0
    sums = np.bincount(codes, weights=values - values.mean())
    between = float((sums**2 / np.bincount(codes)).sum())
    chance = (len(found) - 1) / (len(values) - 1)
    return (between / total - chance) / (1 - chance)


def pick_axes(choices: ChoiceTables, show: Show, most: int) -> list[str]:
    """The chosen axes, or those that matter most at fixed cost, at most `most`.

    Raises `LeaderboardError` for an axis that the networks do not vary.
    """
    known = list(choices.options.columns)
    if show.axes and known:
        wanted = [axis.replace("_", " ") for axis in show.axes]
        for axis in wanted:
            if axis not in known:
                raise LeaderboardError(unknown_name("axis", axis, known))
        return wanted[:most]
    residual = choices.points["residual"].to_numpy(dtype=float)
    shares = {axis: between_share(choices.options[axis], residual) for axis in known}
    return sorted(known, key=lambda axis: (-shares[axis], known.index(axis)))[:most]


def short(option: str, most: int = 18) -> str:
    """An option that fits beside an axis."""
    return option if len(option) <= most else option[: most - 1] + "\u2026"


def too_few(choices: ChoiceTables, fewest: int) -> str:
    """Why a view of choices shows nothing."""
    count = len(choices.points)
    if count < fewest:
        return f"{count} networks are measured; this view needs {fewest} at least{choices.fuller}"
    return "All networks made the same choices"

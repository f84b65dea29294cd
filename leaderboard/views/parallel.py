"""All choices at once: one line a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from leaderboard.tables.front import amount
from leaderboard.views.axes import ChoiceTables, choices_of, pick_axes, short
from leaderboard.views.points import identity
from leaderboard.views.show import Show
from leaderboard.views.style import (
    ACCENT,
    AXES,
    FADED,
    escaped,
    new_figure,
    nothing,
    quality_title,
    subtitle,
    ticks,
)

MOST_LINES = 1500
MOST_AXES = 8


@dataclass(frozen=True, kw_only=True)
class ParallelInfo:
    """The networks to draw as lines through `axes`, then cost and quality.

    Of more than `MOST_LINES` networks the front and a spread over all qualities are drawn.
    """

    choices: ChoiceTables
    axes: tuple[str, ...]
    shown: tuple[int, ...]
    cost: str
    quality: str


def parallel_info(frame: pd.DataFrame, show: Show) -> ParallelInfo:
    """Which axes and which networks are drawn."""
    choices = choices_of(frame, show)
    points = choices.points
    chosen = points["genotype"].isin(show.genotypes)
    if chosen.any():
        kept = list(points.index[chosen])
    else:
        kept = list(points.index)
        if len(points) > MOST_LINES:
            front = points.index[points["on_front"]]
            rest = points[~points["on_front"]].sort_values(show.quality).index
            places = np.linspace(0, len(rest) - 1, MOST_LINES - len(front)).round().astype(int)
            kept = sorted({*front, *rest[places]})
    return ParallelInfo(
        choices=choices,
        axes=tuple(pick_axes(choices, show, MOST_AXES)) if len(points) else (),
        shown=tuple(int(place) for place in kept),
        cost=show.cost,
        quality=show.quality,
    )


def parallel_figure(info: ParallelInfo) -> go.Figure:
    """One line a network, coloured by quality; drag along an axis to keep part of them."""
    figure = new_figure("All choices at once")
    points = info.choices.points.loc[list(info.shown)]
    if points.empty:
        return nothing(figure, "No network of this study has been measured yet")
    dimensions: list[dict[str, Any]] = [
        _categories(axis, info.choices.options[axis].loc[list(info.shown)], info.choices.order[axis])
        for axis in info.axes
    ]
    costs = np.log10(points[info.cost].to_numpy(dtype=float))
    marks = _log_marks(costs)
    dimensions.append(
        {
            "label": AXES[info.cost].replace(" (convolutions only)", " (conv)"),
            "values": costs,
            "tickvals": [float(np.log10(mark)) for mark in marks],
            "ticktext": [amount(mark).replace(".0", "") for mark in marks],
        }
    )
    quality = points[info.quality].to_numpy(dtype=float)
    digits = (2 if float(np.ptp(quality)) > 0.1 else 3) + 2 * (info.quality == "ssim")
    dimensions.append({"label": quality_title(info.quality), "values": quality, "tickformat": f".{digits}f"})
    order = np.argsort(quality, kind="stable")  # the best are drawn last, on top
    for dimension in dimensions:
        dimension["values"] = np.asarray(dimension["values"], dtype=float)[order]
    figure.add_parcoords(
        line={
            "color": quality[order],
            "colorscale": [(0.0, FADED), (0.7, "#64a8a8"), (1.0, ACCENT)],
            "showscale": False,
        },
        dimensions=dimensions,
        customdata=np.array(identity(points), dtype=object)[order].tolist(),
        domain={"x": [0.02, 0.98], "y": [0.0, 0.86]},
        labelangle=0,
        labelfont={"size": 13},
        tickfont={"size": 11},
        unselected={"line": {"opacity": 0.05}},
    )
    total = len(info.choices.points)
    some = f"{len(points):,} of {total:,} networks" if len(points) < total else f"{total:,} networks"
    figure.update_layout(margin_r=70, margin_l=70)
    return subtitle(
        figure,
        f"{some}, the greener the better; drag along an axis to keep a part, drag a name to move it",
        info.choices.protocol,
    )


def _categories(axis: str, texts: pd.Series, order: Sequence[str]) -> dict[str, Any]:
    place = {option: number for number, option in enumerate(order)}
    spread = np.random.default_rng(0).uniform(-0.12, 0.12, len(texts))  # equal lines lie beside each other
    return {
        "label": escaped(axis),
        "values": np.array([place[text] for text in texts], dtype=float) + spread,
        "tickvals": list(range(len(order))),
        "ticktext": [escaped(short(option, 14)) for option in order],
        "range": [-0.4, len(order) - 0.6],
    }


def _log_marks(logs: np.ndarray) -> list[float]:
    low, high = 10 ** float(logs.min()), 10 ** float(logs.max())
    return ticks(low / 1.1, high * 1.1)[:9] or [low]

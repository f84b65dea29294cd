"""Quality by the options of each axis, one axis at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from leaderboard.tables.front import amount
from leaderboard.views.axes import ChoiceTables, choices_of, pick_axes, short, too_few
from leaderboard.views.points import brief, identity
from leaderboard.views.show import Show
from leaderboard.views.style import (
    ACCENT,
    AXES,
    FADED,
    INK,
    QUALITY_UNITS,
    QUALITY_WORDS,
    escaped,
    new_figure,
    nothing,
    quality_title,
    subtitle,
)

FEWEST = 5
"""Networks below which a slice says nothing."""
MOST_SLICES = 5
STRIP = 60
"""Points drawn of one option; a box stands for all of them."""


@dataclass(frozen=True, kw_only=True)
class SlicesInfo:
    """Quality, and quality at fixed cost, by the options of each of `axes` (those that matter most first).

    `boxes`: axis, option, value (the column that is summed up: the quality or `residual`), count, least, q1,
    median, q3 and most.
    """

    choices: ChoiceTables
    axes: tuple[str, ...]
    boxes: pd.DataFrame
    cost: str
    quality: str


def slices_info(frame: pd.DataFrame, show: Show) -> SlicesInfo:
    """The five numbers of each option's networks, for up to `MOST_SLICES` axes."""
    choices = choices_of(frame, show)
    axes = pick_axes(choices, show, MOST_SLICES) if len(choices.points) >= FEWEST else []
    rows = []
    for axis in axes:
        for value in (show.quality, "residual"):
            grouped = choices.points[value].groupby(choices.options[axis].to_numpy())
            five = grouped.quantile(np.array([0.0, 0.25, 0.5, 0.75, 1.0])).unstack()
            counts = grouped.size()
            rows += [
                (axis, option, value, int(counts[option]), *map(float, five.loc[option]))
                for option in choices.order[axis]
            ]
    names = ["axis", "option", "value", "count", "least", "q1", "median", "q3", "most"]
    return SlicesInfo(
        choices=choices,
        axes=tuple(axes),
        boxes=pd.DataFrame(rows, columns=names),
        cost=show.cost,
        quality=show.quality,
    )


def slices_figure(info: SlicesInfo) -> go.Figure:
    """Boxes and points: the quality above, what is left of it at fixed cost below."""
    count = len(info.axes)
    title = f"{QUALITY_WORDS[info.quality]} by choice"
    if not count:
        return nothing(subtitle(new_figure(title), info.choices.protocol), too_few(info.choices, FEWEST))
    grid = make_subplots(
        rows=2,
        cols=count,
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.02,
        vertical_spacing=0.05,
    )
    figure = new_figure(title, grid)
    draw = np.random.default_rng(0)
    for column, axis in enumerate(info.axes, start=1):
        for row, value in enumerate((info.quality, "residual"), start=1):
            _add_slice(figure, info, axis, value, draw, row=row, col=column)
        labels = _option_labels(info, axis)
        ends = {"tickvals": list(range(len(labels))), "ticktext": labels, "showgrid": False, "tickangle": -40}
        figure.update_xaxes(**ends, tickfont_size=12, range=[-0.6, len(labels) - 0.4], col=column)
    figure.update_xaxes(title_text="Option (networks)", title_standoff=30, row=2, col=(count + 1) // 2)
    unit = QUALITY_UNITS[info.quality].strip() or "SSIM"
    for row, (value, title) in enumerate(
        ((info.quality, quality_title(info.quality)), ("residual", f"At fixed cost ({unit})")), start=1
    ):
        values = info.choices.points[value]
        air = 0.06 * (float(values.max() - values.min()) or 1.0)
        figure.update_yaxes(range=[float(values.min()) - air, float(values.max()) + air], row=row)
        figure.update_yaxes(title_text=title, row=row, col=1)
    figure.update_yaxes(zeroline=True, zerolinecolor=FADED, row=2)
    figure.update_layout(height=600)
    return subtitle(
        figure,
        f"{len(info.choices.points):,} networks; at fixed cost: less what {AXES[info.cost]} make one expect "
        f"({info.choices.explained:.0%} of the variance)",
        info.choices.protocol,
    )


def _add_slice(
    figure: go.Figure, info: SlicesInfo, axis: str, value: str, draw: np.random.Generator, **where: int
) -> None:
    boxes = info.boxes[(info.boxes["axis"] == axis) & (info.boxes["value"] == value)]
    figure.add_box(
        x=list(range(len(boxes))),
        q1=boxes["q1"],
        median=boxes["median"],
        q3=boxes["q3"],
        lowerfence=boxes["least"],
        upperfence=boxes["most"],
        line={"color": INK, "width": 1.2},
        fillcolor="rgba(148,163,184,0.18)",
        width=0.55,
        showlegend=False,
        hoverinfo="skip",
        **where,
    )
    options = info.choices.options[axis].to_numpy()
    for place, option in enumerate(info.choices.order[axis]):
        points = info.choices.points[options == option]
        if len(points) > STRIP:
            best = points[points["on_front"]]
            rest = points[~points["on_front"]].sample(STRIP, random_state=0)
            points = pd.concat([best, rest])
        figure.add_scatter(
            x=place + draw.uniform(-0.17, 0.17, len(points)),
            y=points[value].to_numpy(),
            mode="markers",
            customdata=identity(points),
            hovertext=[brief(each, info.quality) for each in points.to_dict("records")],
            hoverinfo="text",
            marker={
                "size": np.where(points["on_front"], 7, 5),
                "color": np.where(points["on_front"], ACCENT, FADED),
                "opacity": 0.75,
                "line": {"width": 0},
            },
            showlegend=False,
            **where,
        )


def _option_labels(info: SlicesInfo, axis: str) -> list[str]:
    rows = info.boxes[(info.boxes["axis"] == axis) & (info.boxes["value"] == "residual")]
    return [
        f"{escaped(short(option))} ({amount(count)})"
        for option, count in zip(rows["option"], rows["count"], strict=True)
    ]

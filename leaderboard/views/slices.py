"""Quality by the options of each axis: slices, two axes at once, all axes at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from leaderboard.tables import amount
from leaderboard.views.axes import Choices, choices_of, pick_axes
from leaderboard.views.points import brief, identity
from leaderboard.views.show import Show
from leaderboard.views.style import (
    ACCENT,
    AXES,
    FADED,
    INK,
    QUALITY_UNITS,
    QUALITY_WORDS,
    WARM,
    escaped,
    new_figure,
    nothing,
    quality_title,
    subtitle,
    ticks,
)

FEWEST = 5
"""Networks below which a slice says nothing."""
MOST_SLICES = 5
MOST_LINES = 1500
MOST_AXES = 8
STRIP = 60
"""Points drawn of one option; a box stands for all of them."""
SCALE = ((0.0, WARM), (0.5, "rgba(148,163,184,0.25)"), (1.0, ACCENT))


# One axis at a time


@dataclass(frozen=True, kw_only=True)
class SlicesInfo:
    """Quality, and quality at fixed cost, by the options of each of `axes` (those that matter most first).

    `boxes`: axis, option, value (the column that is summed up: the quality or `residual`), count, least, q1,
    median, q3 and most.
    """

    choices: Choices
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
        return nothing(subtitle(new_figure(title), info.choices.protocol), _too_few(info.choices, FEWEST))
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
        f"{escaped(_short(option))} ({amount(count)})"
        for option, count in zip(rows["option"], rows["count"], strict=True)
    ]


def _short(option: str, most: int = 18) -> str:
    return option if len(option) <= most else option[: most - 1] + "\u2026"


def _too_few(choices: Choices, fewest: int) -> str:
    count = len(choices.points)
    if count < fewest:
        return f"{count} networks are measured; this view needs {fewest} at least{choices.fuller}"
    return "All networks made the same choices"


# Two axes at once


@dataclass(frozen=True, kw_only=True)
class HeatmapInfo:
    """The mean quality at fixed cost, `means`, and `counts`, by the options of two axes; NaN where none is.

    Rows are options of `axes[1]`, columns those of `axes[0]`.
    """

    axes: tuple[str, ...]
    means: pd.DataFrame
    counts: pd.DataFrame
    networks: int
    cost: str
    quality: str
    protocol: str
    fuller: str = ""


def heatmap_info(frame: pd.DataFrame, show: Show) -> HeatmapInfo:
    """Means over the networks of one protocol, for the two chosen axes or the two that matter most."""
    choices = choices_of(frame, show)
    axes = pick_axes(choices, show, 2) if len(choices.points) >= FEWEST else []
    if len(axes) == 1:  # one was chosen: the one that matters most besides it
        others = pick_axes(choices, Show(study=show.study), len(choices.order))
        axes += [axis for axis in others if axis not in axes][:1]
    means = counts = pd.DataFrame()
    if len(axes) == 2:
        keys = [choices.options[axis].to_numpy() for axis in (axes[1], axes[0])]
        grouped = choices.points["residual"].groupby(keys)
        down, across = (choices.order[axis] for axis in (axes[1], axes[0]))
        means = grouped.mean().unstack().reindex(index=down, columns=across)
        counts = grouped.size().unstack().reindex(index=down, columns=across).fillna(0).astype(int)
    return HeatmapInfo(
        axes=tuple(axes),
        means=means,
        counts=counts,
        networks=len(choices.points),
        cost=show.cost,
        quality=show.quality,
        protocol=choices.protocol,
        fuller=choices.fuller,
    )


def heatmap_figure(info: HeatmapInfo) -> go.Figure:
    """One cell for each pair of options, with its mean and how many networks it rests on."""
    figure = new_figure(f"{QUALITY_WORDS[info.quality]} at fixed cost by two choices")
    if info.means.empty:
        message = (
            f"{info.networks} networks are measured; this view needs {FEWEST} at least{info.fuller}"
            if info.networks < FEWEST
            else "The networks vary fewer than two axes"
        )
        return nothing(subtitle(figure, info.protocol), message)
    means, counts = info.means.to_numpy(dtype=float), info.counts.to_numpy()
    reach = float(np.nanmax(np.abs(means))) or 1.0
    digits = 3 if info.quality == "psnr_db" else 4
    words = [
        ["" if not n else f"{mean:+.{digits}f}<br>n {n:,}" for mean, n in zip(*row, strict=True)]
        for row in zip(means, counts, strict=True)
    ]
    unit = QUALITY_UNITS[info.quality].strip() or "SSIM"
    figure.add_heatmap(
        z=means,
        x=[escaped(option) for option in info.means.columns],
        y=[escaped(option) for option in info.means.index],
        colorscale=SCALE,
        zmid=0,
        zmin=-reach,
        zmax=reach,
        xgap=3,
        ygap=3,
        colorbar={
            "title": {"text": f"{unit} above<br>the mean<br>at this cost"},
            "thickness": 12,
            "outlinewidth": 0,
        },
        hovertemplate=f"{escaped(info.axes[0])} %{{x}}, {escaped(info.axes[1])} %{{y}}: "
        f"%{{z:+.{digits}f}} {unit}<extra></extra>",
        hoverongaps=False,
    )
    filled = list(zip(*np.nonzero(counts), strict=True))
    across, down = list(info.means.columns), list(info.means.index)
    figure.add_scatter(  # in the page's own colour of text, which that of a heatmap is not
        x=[escaped(across[column]) for _, column in filled],
        y=[escaped(down[row]) for row, _ in filled],
        text=[words[row][column] for row, column in filled],
        mode="text",
        hoverinfo="skip",
        showlegend=False,
    )
    figure.update_xaxes(title_text=f"{escaped(info.axes[0])} (option)", type="category", showgrid=False)
    figure.update_yaxes(title_text=f"{escaped(info.axes[1])} (option)", type="category", showgrid=False)
    return subtitle(
        figure,
        f"{info.networks:,} networks; mean above what {AXES[info.cost]} make one expect; n networks a cell",
        info.protocol,
    )


# All axes at once


@dataclass(frozen=True, kw_only=True)
class ParallelInfo:
    """The networks to draw as lines through `axes`, then cost and quality.

    Of more than `MOST_LINES` networks the front and a spread over all qualities are drawn.
    """

    choices: Choices
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
        "ticktext": [escaped(_short(option, 14)) for option in order],
        "range": [-0.4, len(order) - 0.6],
    }


def _log_marks(logs: np.ndarray) -> list[float]:
    low, high = 10 ** float(logs.min()), 10 ** float(logs.max())
    return ticks(low / 1.1, high * 1.1)[:9] or [low]

"""What the results show, as figures: a pure function that gathers the numbers, and one that draws them.

Another view is such a pair and one line in `VIEWS`. Text that a user chose is escaped here, once.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from leaderboard.errors import LeaderboardError, unknown_name
from leaderboard.pareto import hypervolume, pareto_mask
from leaderboard.tables import COST_NAMES, amount, count_of, networks, pick_protocol

INK, FADED, ACCENT, WARM = "#64748b", "#94a3b8", "#0d9488", "#d97706"
GRID = "rgba(128, 140, 160, 0.22)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
SETTINGS: Any = {  # of the browser's plotly; by itself it offers to upload a chart to its maker
    "displaylogo": False,
    "plotlyServerURL": "",
    "responsive": True,
    "showSendToCloud": False,
}
DECIBELS_BELOW = 2.0  # the bicubic line is drawn to scale unless that leaves the networks no room


@dataclass(frozen=True, kw_only=True)
class Show:
    """What to show: a study, one of its protocols (None: the one most searched with), and the cost axis.

    `budget` maps a cost to its limit, in the units of the frame.
    """

    study: str
    protocol: str | None = None
    cost: str = "multi_adds"
    budget: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.cost not in COST_NAMES:
            raise LeaderboardError(unknown_name("cost", self.cost, COST_NAMES))


Info = TypeVar("Info")


@dataclass(frozen=True)
class View(Generic[Info]):
    """A view: `info` gathers what is shown, `figure` draws it, a call does both."""

    title: str
    info: Callable[[pd.DataFrame, Show], Info]
    figure: Callable[[Info], go.Figure]

    def __call__(self, frame: pd.DataFrame, show: Show) -> go.Figure:
        """The figure of `show` in a frame of `Store.frame`."""
        return self.figure(self.info(frame, show))


def budget_of(recipe: Mapping[str, Any]) -> dict[str, float]:
    """The limits of a recipe that are costs; empty when it sets none."""
    limits = recipe.get("budget") or {}
    return {cost: float(limits[cost]) for cost in COST_NAMES if isinstance(limits.get(cost), int | float)}


# Front


@dataclass(frozen=True, kw_only=True)
class FrontInfo:
    """The networks of one protocol, with the front among them.

    `points` has the columns of `networks` and `on_front`; `hypervolume` is in dB times the cost's unit, up
    to the budget (or the costliest network), above bicubic.
    """

    study: str
    cost: str
    points: pd.DataFrame
    limit: float | None
    bicubic_psnr_db: float | None
    hypervolume: float
    protocol: str

    @property
    def front(self) -> pd.DataFrame:
        """The networks on the front, cheapest first."""
        return self.points[self.points["on_front"]].sort_values(self.cost)


def front_info(frame: pd.DataFrame, show: Show) -> FrontInfo:
    """The measured networks of one protocol and which of them no other one beats."""
    points = networks(frame, show.study, show.protocol)
    points["on_front"] = pareto_mask(points[show.cost], points["psnr_db"])
    chosen = frame[frame["protocol"] == points["protocol"].iloc[0]].iloc[0] if len(points) else None
    bicubic = None if chosen is None else float(chosen["bicubic_psnr_db"])
    area = 0.0
    if bicubic is not None:
        area = hypervolume(
            points[show.cost],
            points["psnr_db"],
            cost_limit=_reference(points[show.cost], show),
            quality_floor=bicubic,
        )
    return FrontInfo(
        study=show.study,
        cost=show.cost,
        points=points,
        limit=show.budget.get(show.cost),
        bicubic_psnr_db=bicubic,
        hypervolume=area,
        protocol="" if chosen is None else protocol_words(chosen),
    )


def front_figure(info: FrontInfo) -> go.Figure:
    """PSNR against cost on a logarithmic axis, with the front, the budget and bicubic."""
    cost, front = info.cost, info.front
    figure = _figure(f"PSNR against {COST_NAMES[cost]}")
    if info.points.empty:
        return _nothing(figure, "No network of this study has been measured yet")
    others = info.points[~info.points["on_front"]]
    figure.add_scatter(
        x=others[cost],
        y=others["psnr_db"],
        mode="markers",
        name="dominated",
        marker={"size": 7, "color": FADED, "opacity": 0.45},
        hovertext=[_hover(row) for row in others.to_dict("records")],
        hoverinfo="text",
    )
    figure.add_scatter(
        x=front[cost],
        y=front["psnr_db"],
        mode="lines+markers",
        name="Pareto front",
        line={"shape": "hv", "color": ACCENT, "width": 2.5},
        marker={"size": 10, "color": ACCENT, "line": {"color": "white", "width": 1.5}},
        hovertext=[_hover(row) for row in front.to_dict("records")],
        hoverinfo="text",
    )
    _lines(figure, info)
    area = count_of(cost, info.hypervolume)
    figure.update_layout(
        title_subtitle_text=(
            f"{len(front)} of {len(info.points)} on the front, hypervolume {area} dB"
            f"<br>{escaped(info.protocol)}"
        ),
    )
    return figure


def cost_range(info: FrontInfo) -> tuple[float, float]:
    """What the cost axis spans, with some air: the networks and the budget."""
    values = [*info.points[info.cost], *([info.limit] if info.limit else [])]
    return min(values) / 1.25, max(values) * 1.25


def psnr_range(info: FrontInfo) -> tuple[float, float]:
    """What the PSNR axis spans, with some air: the networks, and bicubic unless it lies far below them."""
    low, high = float(info.points["psnr_db"].min()), float(info.points["psnr_db"].max())
    spread = max(high - low, 0.1)
    bicubic = info.bicubic_psnr_db
    if bicubic is not None and bicubic < low and low - bicubic <= DECIBELS_BELOW * spread:
        low = bicubic
    air = 0.07 * max(high - low, 0.1)
    return low - air, high + 1.5 * air


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between `low` and `high` for a logarithmic axis: the fewer, the more decades."""
    ratio = high / low
    steps: tuple[float, ...] = (1, 1.5, 2, 3, 4, 5, 6, 8) if ratio < 6 else (1, 2, 5) if ratio < 1e3 else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]


def budget_words(info: FrontInfo) -> str:
    """The limit as the figures name it: `budget 20 G`."""
    return f"budget {count_of(info.cost, info.limit or 0).replace('.0', '')}"


def _lines(figure: go.Figure, info: FrontInfo) -> None:
    low, high = cost_range(info)
    marks = ticks(low, high)
    figure.update_xaxes(
        title_text=f"{COST_NAMES[info.cost]} (count, log scale)",
        type="log",
        range=[math.log10(low), math.log10(high)],
        tickvals=marks,
        ticktext=[f"{value:g}" if value < 1e3 else amount(value).replace(".0", "") for value in marks],
    )
    bottom, top = psnr_range(info)
    figure.update_yaxes(title_text="PSNR (dB)", range=[bottom, top])
    if info.limit:
        figure.add_vline(x=info.limit, line={"dash": "dash", "color": WARM, "width": 1.5})
        figure.add_annotation(
            text=budget_words(info),
            x=math.log10(info.limit),  # a shape takes the value itself, an annotation its logarithm
            y=1,
            yref="paper",
            textangle=-90,
            xanchor="left",
            yanchor="top",
            showarrow=False,
            font={"color": WARM},
        )
    bicubic = info.bicubic_psnr_db
    if bicubic is None:
        return
    if bottom <= bicubic <= top:
        figure.add_hline(
            y=bicubic,
            line={"dash": "dot", "color": INK, "width": 1.5},
            annotation={"text": f"bicubic {bicubic:.2f} dB"},
            annotation_position="top left",
        )
    else:
        figure.add_annotation(
            text=f"bicubic {bicubic:.2f} dB, below",
            **{"xref": "paper", "yref": "paper", "x": 0.01, "y": 0.01, "showarrow": False},
        )


def _hover(point: Mapping[Any, Any]) -> str:
    return "<br>".join(
        (
            f"<b>{escaped(point['genotype'])}</b>",
            escaped(point["words"]),
            f"PSNR {point['psnr_db']:.2f} dB ({point['gain_db']:+.2f} over bicubic)",
            f"SSIM {point['ssim']:.4f}",
            f"{amount(point['params'])} parameters",
            f"{amount(point['multi_adds'], ' ')} Multi-Adds",
            f"{amount(point['conv_multi_adds'], ' ')} Multi-Adds in convolutions",
            f"seed {point['seed_numbers']}, {escaped(point['device'])}",
        )
    )


# History


@dataclass(frozen=True, kw_only=True)
class HistoryInfo:
    """How a search went: one row of `steps` (number, best_psnr_db, hypervolume) for each measured trial."""

    cost: str
    steps: pd.DataFrame


def history_info(frame: pd.DataFrame, show: Show) -> HistoryInfo:
    """The best PSNR and hypervolume after each measured trial of the search, under one protocol."""
    rows = frame[(frame["study"] == show.study) & frame["psnr_db"].notna() & (frame["stage"] == "search")]
    rows = rows[rows["protocol"] == pick_protocol(rows, None)].sort_values("number")
    cost = rows[show.cost].to_numpy(dtype=float)
    quality = rows["psnr_db"].to_numpy(dtype=float)
    areas: list[float] = []
    limit = _reference(rows[show.cost], show)
    for last in range(len(rows)):
        beaten = bool(((cost[:last] <= cost[last]) & (quality[:last] >= quality[last])).any())
        if beaten:
            areas.append(areas[-1])
            continue
        floor = float(rows["bicubic_psnr_db"].iloc[0])
        areas.append(
            hypervolume(cost[: last + 1], quality[: last + 1], cost_limit=limit, quality_floor=floor)
        )
    steps = pd.DataFrame(
        {
            "number": rows["number"].to_numpy(),
            "best_psnr_db": np.maximum.accumulate(quality),
            "hypervolume": areas,
        }
    )
    return HistoryInfo(cost=show.cost, steps=steps)


def history_figure(info: HistoryInfo) -> go.Figure:
    """Best PSNR above, hypervolume below, over the number of the trial."""
    figure = _figure("Progress of the search", make_subplots(rows=2, cols=1, shared_xaxes=True))
    if info.steps.empty:
        return _nothing(figure, "The search has measured nothing yet")
    for row, (column, title, colour) in enumerate(
        (("best_psnr_db", "Best PSNR (dB)", ACCENT), ("hypervolume", "Hypervolume", WARM)), start=1
    ):
        unit = " dB" if row == 1 else f" dB x {COST_NAMES[info.cost]}"
        figure.add_scatter(
            x=info.steps["number"],
            y=info.steps[column],
            mode="lines",
            line={"shape": "hv", "color": colour, "width": 2.5},
            hovertemplate=f"trial %{{x}}: %{{y:.4s}}{unit}<extra></extra>",
            showlegend=False,
            row=row,
            col=1,
        )
        figure.update_yaxes(title_text=title, row=row, col=1)
    figure.update_yaxes(tickformat="~s", row=2, col=1)
    unit = f"Hypervolume in dB x {COST_NAMES[info.cost]},<br>above bicubic, within the budget"
    figure.update_layout(title_subtitle_text=unit)
    figure.update_xaxes(title_text="Trial number", row=2, col=1)
    return figure


# Rejects


@dataclass(frozen=True, kw_only=True)
class RejectsInfo:
    """Why proposals were turned away: `limits` has the columns limit, count and median_over (a fraction).

    A proposal over two limits counts for both. `rejected` and `proposed` count proposals of the search.
    """

    limits: pd.DataFrame
    rejected: int
    proposed: int


def rejects_info(frame: pd.DataFrame, show: Show) -> RejectsInfo:
    """How many proposals of the search were over each limit, and by how much."""
    rows = frame[(frame["study"] == show.study) & (frame["stage"] == "search")]
    rejected = rows[rows["state"] == "rejected"]
    over = [
        {"limit": limit, "over": fraction}
        for excess in rejected["excess"]
        for limit, fraction in excess.items()
        if fraction and fraction > 0
    ]
    limits = (
        pd.DataFrame(over, columns=["limit", "over"])
        .groupby("limit")["over"]
        .agg(count="count", median_over="median")
        .reset_index()
        .sort_values(["count", "limit"], ascending=[False, True], ignore_index=True)
    )
    return RejectsInfo(limits=limits, rejected=len(rejected), proposed=len(rows))


def rejects_figure(info: RejectsInfo) -> go.Figure:
    """One bar a limit."""
    figure = _figure("Proposals over budget")
    if info.limits.empty:
        return _nothing(figure, "No proposal was over budget")
    names = [COST_NAMES.get(limit, limit) for limit in info.limits["limit"]]
    figure.add_bar(
        x=info.limits["count"],
        y=[escaped(name) for name in names],
        orientation="h",
        marker={"color": WARM, "cornerradius": 4},
        width=0.5,
        text=[
            f"{count}, median {over:.0%} over"
            for count, over in zip(info.limits["count"], info.limits["median_over"], strict=True)
        ],
        textposition="auto",
        hoverinfo="skip",
    )
    counted = f"{info.rejected} of {info.proposed}, never trained;<br>over two limits counts for both"
    figure.update_layout(title_subtitle_text=counted)
    figure.update_xaxes(title_text="Proposals (count)", rangemode="tozero")
    figure.update_yaxes(autorange="reversed", showgrid=False, ticksuffix="  ")
    return figure


def protocol_words(row: Mapping[str, Any] | pd.Series) -> str:
    """A protocol in words, from a row of the frame: `x4, plan proxy on photographs, metric y_float`."""
    return f"x{row['scale']}, plan {row['plan']} on {row['data']}, metric {row['metric']}"


def escaped(text: object) -> str:
    """`text` without meaning to a browser or to plotly's small HTML."""
    return html.escape(str(text), quote=False)


def _reference(costs: pd.Series, show: Show) -> float:
    """The cost up to which a hypervolume counts: the budget, or just beyond the costliest network."""
    return show.budget.get(show.cost) or (float(costs.max()) * 1.01 if len(costs) else 0.0)


def _figure(title: str, figure: go.Figure | None = None) -> go.Figure:
    """An empty figure in our style: transparent, so that it sits on a light and on a dark page."""
    figure = figure or go.Figure()
    figure.update_layout(
        template="none",
        title={"text": f"<b>{title}</b>", "x": 0, "xref": "container", "pad": {"l": 12}, "font_size": 18},
        font={"family": FONT, "size": 14, "color": INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 76, "r": 24, "t": 92, "b": 64},
        legend={"x": 0.01, "xanchor": "left", "y": 0.99, "yanchor": "top", "bgcolor": "rgba(0,0,0,0)"},
        hoverlabel={"align": "left", "font": {"family": FONT, "size": 13}},
        modebar={
            "bgcolor": "rgba(0,0,0,0)",
            "color": FADED,
            "activecolor": ACCENT,
            "remove": ["lasso", "select", "zoomin", "zoomout", "autoscale"],
        },
        uirevision="kept",  # a page that refreshes keeps the reader's zoom
    )
    axis = {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": GRID,
        "showline": True,
        "title_standoff": 14,
        "automargin": True,
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


def _nothing(figure: go.Figure, message: str) -> go.Figure:
    figure.add_annotation(
        text=message, xref="paper", yref="paper", x=0.5, y=0.5, showarrow=False, font_size=16
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


VIEWS: dict[str, View[Any]] = {
    "front": View("PSNR against cost", front_info, front_figure),
    "history": View("Progress of the search", history_info, history_figure),
    "rejects": View("Proposals over budget", rejects_info, rejects_figure),
}

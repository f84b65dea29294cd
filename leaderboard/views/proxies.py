"""Which proxy to trust: how well and how sharply short trainings rank, for the time that they take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from leaderboard.views.show import Show
from leaderboard.views.style import (
    FADED,
    SERIES,
    escaped,
    legend_below,
    new_figure,
    nothing,
    see_through,
    subtitle,
    ticks,
)

DASHES = ("dot", "dash", "dashdot")
"""Of the numbers without training: so many are drawn, the best ones."""


@dataclass(frozen=True, kw_only=True)
class ProxiesInfo:
    """Calibrations against one reference.

    `rungs`: a row a length of training, with study, plan, steps, seconds (of one candidate), tau with
    tau_low and tau_high, resolves_db, architectures and `own` (of a protocol that the study looked at has).
    `free`: a row a number that costs no training, with name and tau, best first. `others` counts
    calibrations that are left out because their reference is another one.
    """

    rungs: pd.DataFrame
    free: pd.DataFrame
    reference: str
    others: int


def proxies_info(frame: pd.DataFrame, show: Show) -> ProxiesInfo:
    """The calibrations of the reference that most rungs were compared with (`sources.calibrations`)."""
    trained = frame[(frame["kind"] == "rung") & frame["tau"].notna() & (frame["seconds"] > 0)]
    if trained.empty:
        return ProxiesInfo(rungs=trained, free=frame.iloc[:0], reference="", others=0)
    chosen = str(trained["reference"].mode().iloc[0])
    rungs = trained[trained["reference"] == chosen].sort_values(["study", "plan", "seconds"])
    free = frame[(frame["kind"] == "free") & (frame["reference"] == chosen) & frame["tau"].notna()]
    # Calibrations of the same architectures say nearly the same about these: the study's own words count.
    free = free.sort_values("study", key=lambda names: names == show.study, kind="stable")
    free = free.drop_duplicates("plan", keep="last").sort_values("tau", ascending=False)
    first = rungs.iloc[0]
    words = (
        f"Against {first['reference_plan']}, {int(first['reference_steps']):,} steps "
        f"(protocol {chosen}), x{int(first['scale'])} on {first['data']}, "
        f"{rungs['architectures'].max():,.0f} architectures, {first['device']}"
    )
    return ProxiesInfo(
        rungs=rungs.reset_index(drop=True),
        free=free.reset_index(drop=True),
        reference=words,
        others=frame.loc[frame["reference"] != chosen, "study"].nunique(),
    )


def proxies_figure(info: ProxiesInfo) -> go.Figure:
    """Tau and the resolved difference against seconds, a line a proxy; dashes for what costs nothing."""
    title = "Which proxy to trust"
    if info.rungs.empty:
        message = "No calibration speaks of this study's protocols; nas calibrate makes one"
        return nothing(subtitle(new_figure(title), "Short trainings against a long protocol"), message)
    headings = ["Ranks as the reference does", "Smallest difference it resolves"]
    grid = make_subplots(rows=1, cols=2, subplot_titles=headings, horizontal_spacing=0.11)
    grid.update_annotations(font_size=13)
    figure = new_figure(title, grid)
    lines = list(info.rungs.groupby(["study", "plan"], sort=True))
    for number, ((study, plan), rows) in enumerate(lines):
        alone = info.rungs[info.rungs["study"] == study]["plan"].nunique() == 1
        _add_line(figure, f"{study}" if alone else f"{study}: {plan}", rows, SERIES[number % len(SERIES)])
    low, high = float(info.rungs["seconds"].min()), float(info.rungs["seconds"].max())
    _add_free(figure, info.free, low / 1.25, high * 1.25)
    marks = ticks(low / 1.25, high * 1.25)
    figure.update_xaxes(
        title_text="Seconds that one candidate trains (log scale)",
        type="log",
        range=[math.log10(low / 1.25), math.log10(high * 1.25)],
        tickvals=marks,
        ticktext=[f"{mark:g}" for mark in marks],
        title_font_size=12,
    )
    figure.update_yaxes(title_text="Kendall's \u03c4 (-1 to 1)", title_font_size=12, row=1, col=1)
    figure.update_yaxes(
        title_text="Resolved difference (dB)", rangemode="tozero", title_font_size=12, row=1, col=2
    )
    left_out = f"Left out, since their reference is another one: {info.others}" if info.others else ""
    subtitle(figure, info.reference, "Bars: 95 % bootstrap intervals over architectures", left_out)
    legend_below(figure)
    room = 24 * math.ceil((len(lines) + min(len(info.free), len(DASHES))) / 4)
    return figure.update_layout(margin_t=figure.layout.margin.t + 24, margin_b=70 + room, height=440 + room)


def _add_line(figure: go.Figure, name: str, rows: pd.DataFrame, colour: str) -> None:
    shown = escaped(name)
    texts = [_told(shown, row) for _, row in rows.iterrows()]
    style: dict[str, Any] = {
        "mode": "lines+markers",
        "name": shown,
        "legendgroup": shown,
        "hovertext": texts,
        "hoverinfo": "text",
        "line": {"color": colour, "width": 2},
        "marker": {
            "color": colour,
            "size": [11 if own else 7 for own in rows["own"]],
            "line": {"width": 1.2, "color": "white"},
        },
    }
    x = rows["seconds"].to_numpy()
    bars = {
        "type": "data",
        "symmetric": False,
        "array": _distances(rows["tau_high"] - rows["tau"]),
        "arrayminus": _distances(rows["tau"] - rows["tau_low"]),
        "thickness": 1,
        "width": 0,
        "color": see_through(colour, 0.4),  # intervals overlap
    }
    figure.add_scatter(x=x, y=rows["tau"].to_numpy(), error_y=bars, **style, row=1, col=1)
    known = rows["resolves_db"].notna().to_numpy()
    if known.any():
        style |= {"hovertext": [text for text, one in zip(texts, known, strict=True) if one]}
        style["marker"] = {**style["marker"], "size": 7}
        y = rows["resolves_db"].to_numpy()[known]
        figure.add_scatter(x=x[known], y=y, showlegend=False, **style, row=1, col=2)


def _distances(values: pd.Series) -> list[float | None]:
    """Lengths of an error bar; none where the interval is not known."""
    return [None if math.isnan(value) else max(0.0, value) for value in values]


def _told(name: str, row: pd.Series) -> str:
    known = not math.isnan(row["tau_low"])
    interval = f" [{row['tau_low']:.2f}, {row['tau_high']:.2f}]" if known else ""
    resolves = "" if math.isnan(row["resolves_db"]) else f"<br>resolves {row['resolves_db']:.3f} dB"
    return (
        f"<b>{name}</b><br>{escaped(row['plan'])}, {int(row['steps']):,} steps, {row['seconds']:.3g} s"
        f"<br>&#964; {row['tau']:.2f}{interval}{resolves}"
        f"{'<br>a protocol of this study' if row['own'] else ''}"
    )


def _add_free(figure: go.Figure, free: pd.DataFrame, low: float, high: float) -> None:
    """The best numbers that need no training, as broken lines across."""
    best = free.head(len(DASHES))
    for dash, row in zip(DASHES, best.to_dict("records"), strict=False):
        name = f"{escaped(str(row['plan']).replace('_', ' '))}, untrained: {row['tau']:.2f}"
        figure.add_scatter(
            x=[low, high],
            y=[row["tau"]] * 2,
            mode="lines",
            name=name,
            line={"color": FADED, "dash": dash, "width": 1.5},
            hovertext=name,
            hoverinfo="text",
            row=1,
            col=1,
        )

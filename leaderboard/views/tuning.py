"""Gain over bicubic by the fields of a tuned plan, and the settings ranked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from leaderboard.tables.tuning import ranked_settings, value_words
from leaderboard.views.points import identity
from leaderboard.views.show import Show
from leaderboard.views.style import (
    ACCENT,
    FADED,
    GRID,
    INK,
    SERIES,
    escaped,
    new_figure,
    nothing,
    protocol_words,
    subtitle,
    ticks,
)

MOST_FIELDS = 6
"""Panels of a figure."""

ACROSS = 3
"""Panels in a row."""

MOST_ROWS = 40
"""Settings in the table of a figure."""

MOST_NETWORKS = 8
"""Networks with a colour of their own."""


@dataclass(frozen=True, kw_only=True)
class FieldPanel:
    """A tuned field: whether it has a list of values, else a range, and whether that is a logarithmic one."""

    name: str
    is_list: bool
    is_log: bool


@dataclass(frozen=True, kw_only=True)
class TuningInfo:
    """A tuning: its fields, its trainings on the shortest rung, and all its settings, best first.

    `points`: genotype, network, setting, values (tuned field -> value), gain_db and diverged_step of each
    training, mean over seeds. `settings` is `ranked_settings`. `steps` is the length of the shortest rung.
    """

    fields: tuple[FieldPanel, ...]
    points: pd.DataFrame
    settings: pd.DataFrame
    steps: int
    protocol: str


def tuning_info(frame: pd.DataFrame, show: Show) -> TuningInfo:
    """The trainings of a tuning (`sources.tuning`) and its settings."""
    rows = frame[frame["study"] == show.study]
    if rows.empty:
        return TuningInfo(fields=(), points=rows, settings=pd.DataFrame(), steps=0, protocol="")
    shortest = rows[(rows["rung"] == rows["rung"].min()) & rows["gain_db"].notna()]
    points = shortest.drop_duplicates(["setting", "genotype"], keep="last").reset_index(drop=True)
    domains = rows["fields"].iloc[0]
    return TuningInfo(
        fields=tuple(_panel(str(name), domain) for name, domain in list(domains.items())[:MOST_FIELDS]),
        points=points,
        settings=ranked_settings(rows),
        steps=int(rows.loc[rows["rung"] == rows["rung"].min(), "steps"].iloc[0]),
        protocol=protocol_words(rows.iloc[0]),
    )


def _panel(name: str, domain: object) -> FieldPanel:
    is_range = isinstance(domain, Mapping)
    return FieldPanel(
        name=name,
        is_list=not is_range,
        is_log=isinstance(domain, Mapping) and bool(domain.get("log")),
    )


def tuning_figure(info: TuningInfo) -> go.Figure:
    """A panel a field: the gain of every network and the mean against its values; below, the settings."""
    title = "Gain by the fields of the plan"
    if info.points.empty:
        message = (
            "This tuning has measured nothing yet"
            if len(info.settings)
            else "This study is no tuning; nas tune makes one"
        )
        return nothing(subtitle(new_figure(title), info.protocol or "One protocol a setting"), message)
    count = max(1, len(info.fields))
    rows, across = math.ceil(count / ACROSS), min(count, ACROSS)
    grid = make_subplots(
        rows=rows + 1,
        cols=across,
        specs=[
            *([{"type": "xy"}] * across for _ in range(rows)),
            [{"type": "domain", "colspan": across}, *[None] * (across - 1)],
        ],
        row_heights=[0.6 / rows] * rows + [0.4],
        shared_yaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=0.16 if rows == 1 else 0.12,
    )
    figure = new_figure(title, grid)
    for place, field in enumerate(info.fields):
        where = {"row": place // ACROSS + 1, "col": place % ACROSS + 1}
        _add_field(figure, info, field, first=place == 0, **where)
    for row in range(1, rows + 1):
        figure.update_yaxes(title_text="Gain (dB)", title_font_size=12, row=row, col=1)
    figure.add_trace(_table(info), row=rows + 1, col=1)
    subtitle(
        figure,
        f"PSNR over bicubic after {info.steps:,} steps, where all settings are trained; crosses diverged. "
        "The table counts each setting on its longest training.",
        info.protocol,
    )
    figure.update_layout(
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.01, "yanchor": "bottom"}
    )
    return figure.update_layout(margin_t=figure.layout.margin.t + 22, height=620 + 200 * (rows - 1))


def _add_field(figure: go.Figure, info: TuningInfo, field: FieldPanel, *, first: bool, **where: int) -> None:
    """The networks' gains against one field, and their mean."""
    points = info.points
    points = points[[_is_drawn(field, values.get(field.name)) for values in points["values"]]]
    values = [each[field.name] for each in points["values"]]
    words = _in_order(values) if field.is_list else []
    points = points.assign(x=[words.index(value_words(v)) if words else float(v) for v in values])
    for place, (network, mine) in enumerate(points.groupby("network", sort=False)):
        colour = SERIES[place] if place < min(MOST_NETWORKS, len(SERIES)) else FADED
        shown = escaped(network)
        figure.add_scatter(
            x=mine["x"].to_numpy(),
            y=mine["gain_db"].to_numpy(),
            mode="markers",
            name=shown,
            legendgroup=shown,
            showlegend=first,
            customdata=identity(mine),
            hovertext=[_told(row) for row in mine.to_dict("records")],
            hoverinfo="text",
            marker={
                "size": 7,
                "color": colour,
                "opacity": 0.75,
                "symbol": ["circle" if math.isnan(step) else "x" for step in mine["diverged_step"]],
            },
            **where,
        )
    _add_mean(figure, points, first=first, **where)
    kind = "value" if field.is_list else "log scale" if field.is_log else "range"
    style: dict[str, Any] = {"title_text": f"{escaped(field.name)} ({kind})", "title_font_size": 12}
    if words:
        style |= {"tickvals": list(range(len(words))), "ticktext": [escaped(word) for word in words]}
        style |= {"range": [-0.5, len(words) - 0.5]}
    elif field.is_log and len(points):
        low, high = float(points["x"].min()) / 1.25, float(points["x"].max()) * 1.25
        marks = ticks(low, high)
        style |= {"type": "log", "range": [math.log10(low), math.log10(high)]}
        style |= {"tickvals": marks, "ticktext": [f"{mark:g}" for mark in marks]}
    figure.update_xaxes(**style, **where)


def _is_drawn(field: FieldPanel, value: object) -> bool:
    """Whether the axis has a place for the value; a database may hold any."""
    if field.is_list:
        return value is not None
    return isinstance(value, int | float) and math.isfinite(value) and (value > 0 or not field.is_log)


def _add_mean(figure: go.Figure, points: pd.DataFrame, *, first: bool, **where: int) -> None:
    """The mean over the networks of each setting that all of them were trained with."""
    networks = points["genotype"].nunique()
    groups = points.groupby("setting", sort=False)
    means = groups.agg(x=("x", "first"), gain_db=("gain_db", "mean"), count=("genotype", "nunique"))
    means = means[means["count"] == networks]
    figure.add_scatter(
        x=means["x"].to_numpy(),
        y=means["gain_db"].to_numpy(),
        mode="markers",
        name="mean",
        legendgroup="mean",
        showlegend=first,
        hovertext=[
            f"<b>{escaped(setting)}</b><br>mean {gain:+.3f} dB over bicubic"
            for setting, gain in zip(means.index, means["gain_db"], strict=True)
        ],
        hoverinfo="text",
        marker={"size": 11, "color": INK, "symbol": "diamond-open", "line": {"width": 2}},
        **where,
    )


def _in_order(values: Sequence[Any]) -> list[str]:
    """The values of a list in words, numbers by size."""
    different = list(dict.fromkeys(values))
    numbers = all(isinstance(value, int | float) for value in different)
    return [value_words(value) for value in (sorted(different) if numbers else sorted(different, key=str))]


def _told(row: Mapping[Any, Any]) -> str:
    step = row["diverged_step"]
    result = f"{row['gain_db']:+.3f} dB over bicubic" if math.isnan(step) else f"diverged at step {step:.0f}"
    return f"<b>{escaped(row['setting'])}</b><br>{escaped(row['network'])}: {result}"


def _table(info: TuningInfo) -> go.Table:
    settings = info.settings.head(MOST_ROWS)
    networks = list(dict.fromkeys(name for gains in settings["gains"] for name in gains))[:MOST_NETWORKS]
    columns: dict[str, list[str]] = {
        "#": ["-" if rank is None else str(rank) for rank in settings["rank"]],
        "Setting": [escaped(setting) for setting in settings["setting"]],
        "Steps": [f"{steps:,}" for steps in settings["steps"]],
        "Gain (dB)": [_number(gain) for gain in settings["gain_db"]],
        "To the plan": [_number(gain) for gain in settings["over_baseline_db"]],
    }
    columns |= {escaped(name): [_number(gains.get(name)) for gains in settings["gains"]] for name in networks}
    columns["Remarks"] = [_remarks(row) for row in settings.to_dict("records")]
    clear = "rgba(0,0,0,0)"
    wide = {"Setting": 3.2, "Remarks": 3.0, "#": 0.5}
    return go.Table(
        header={
            "values": [f"<b>{name}</b>" for name in columns],
            "align": "left",
            "fill_color": clear,
            "line_color": GRID,
            "font": {"color": ACCENT, "size": 12},
        },
        cells={
            "values": list(columns.values()),
            "align": "left",
            "fill_color": clear,
            "line_color": GRID,
            "font": {"color": INK, "size": 12},
            "height": 24,
        },
        columnwidth=[wide.get(name, 1.2) for name in columns],
    )


def _remarks(row: Mapping[Any, Any]) -> str:
    found = [
        f"{escaped(name)} diverged" + ("" if math.isnan(step) else f" at step {step:.0f}")
        for name, step in row["diverged"].items()
    ]
    if row["failed"]:
        found.append(f"failed: {escaped(row['failed'])}")
    if row["seeds"] > 1:
        found.append(f"{row['seeds']} seeds")
    return "; ".join(found)


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:+.3f}"

"""One benchmark set at one scale: what papers report, and what was measured here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from leaderboard.tables.front import amount
from leaderboard.tables.reported import OURS
from leaderboard.tables.window import near_cost
from leaderboard.views.points import name_places
from leaderboard.views.show import Show
from leaderboard.views.style import (
    ACCENT,
    ALARM,
    AXES,
    INK,
    SERIES,
    WARM,
    cost_axis,
    escaped,
    legend_below,
    new_figure,
    nothing,
    quality_title,
    quality_words,
    subtitle,
)

BICUBIC = "bicubic"
SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109")
"""In the papers' order."""


@dataclass(frozen=True, kw_only=True)
class BenchmarksInfo:
    """Numbers of one benchmark set at one scale.

    `points`: origin (reported or measured), network, label, genotype, metric, low_resolution, x (the cost), y
    (the quality), suspect (None, or why x or y is believed a misprint), stage, plan, trained_on, kind,
    reported_in, page. `bicubic` maps a metric to what bicubic reached under it here. `left_out` counts
    numbers without a cost, `farther` reported networks that are not near a measured one in cost.
    """

    benchmark: str
    scale: int
    cost: str
    quality: str
    points: pd.DataFrame
    bicubic: dict[str, float]
    left_out: int
    farther: int


POINT = (
    *("origin", "network", "label", "genotype", "metric", "low_resolution", "x", "y", "suspect", "stage"),
    *("plan", "trained_on", "kind", "reported_in", "page"),
)


def benchmarks_info(frame: pd.DataFrame, show: Show) -> BenchmarksInfo:
    """What is known of one set at one scale, from the source `benchmarks`; if none, of the fullest one.

    Reported networks are those near a measured one in cost, as `show.near` says; all where none is measured.
    """
    cost = show.cost if show.cost in ("params", "multi_adds", "conv_multi_adds") else "params"
    benchmark, scale = _which(frame, show)
    rows = frame[(frame["benchmark"] == benchmark) & (frame["scale"] == scale) & frame[show.quality].notna()]
    if show.genotypes:
        rows = rows[rows["genotype"].isin(show.genotypes) | (rows["origin"] == "reported")]
    plain = rows[rows["network"] == BICUBIC]
    networks = rows[rows["network"] != BICUBIC]
    # Papers print one count of Multi-Adds, mostly of convolutions alone, and never both.
    costs = networks[cost].where(networks["origin"] == "measured", networks[_printed(cost)])
    points = networks.assign(
        x=costs.astype(float),
        y=networks[show.quality].astype(float),
        label=[_label(row) for row in networks.to_dict("records")],
        suspect=pd.Series(
            [_doubt(suspect, (_printed(cost), show.quality)) for suspect in networks["suspect"]],
            index=networks.index,
            dtype=object,
        ),
    )
    known = points["x"].gt(0)
    near = _near(points[known], show.near)
    return BenchmarksInfo(
        benchmark=benchmark,
        scale=scale,
        cost=cost,
        quality=show.quality,
        points=points[known][near].sort_values(["x", "y"], ignore_index=True)[list(POINT)],
        bicubic={str(row["metric"]): float(row[show.quality]) for row in plain.to_dict("records")},
        left_out=int((~known).sum()),
        farther=int((~near).sum()),
    )


def _near(points: pd.DataFrame, factor: float | None) -> pd.Series:
    """Which points are shown: measured ones, and reported ones near them in cost."""
    measured = points["origin"] == "measured"
    costs = points[["params", "conv_multi_adds"]].astype("float64")
    costs["conv_multi_adds"] = costs["conv_multi_adds"].where(measured, points["multi_adds"])
    near = near_cost(costs[measured], costs[~measured], factor)
    return measured | near.reindex(points.index, fill_value=False)


def _printed(cost: str) -> str:
    return "multi_adds" if cost == "conv_multi_adds" else cost


def _which(frame: pd.DataFrame, show: Show) -> tuple[str, int]:
    """The set and scale: what was asked for, else with most measured numbers, then most reported ones."""
    rows = frame
    if show.benchmark is not None:
        rows = rows[rows["benchmark"] == show.benchmark]
    if show.scale is not None:
        rows = rows[rows["scale"] == show.scale]
    if rows.empty:
        return show.benchmark or "", show.scale or 0
    counts = rows.assign(here=rows["origin"] == "measured").groupby(["benchmark", "scale"])["here"]
    ranked = counts.agg(["sum", "count"]).reset_index()
    ranked["place"] = [SETS.index(name) if name in SETS else len(SETS) for name in ranked["benchmark"]]
    order = ["sum", "count", "scale", "place", "benchmark"]
    best = ranked.sort_values(order, ascending=[False, False, False, True, True])
    return str(best["benchmark"].iloc[0]), int(best["scale"].iloc[0])


def _label(row: Mapping[Any, Any]) -> str:
    return str(row["name"]) if isinstance(row["name"], str) else str(row["network"])


def _doubt(suspect: Any, columns: tuple[str, ...]) -> str | None:
    """Why one of `columns` is believed a misprint: `psnr_db, ssim: why; params: why` holds who is meant."""
    if not isinstance(suspect, str):
        return None
    reasons = []
    for part in suspect.split("; "):
        names, colon, why = part.partition(": ")
        meant = {name.strip() for name in names.split(",")}
        if not colon or meant & set(columns):
            reasons.append(why or part)
    return "; ".join(reasons) or None


def benchmarks_figure(info: BenchmarksInfo) -> go.Figure:
    """Reported numbers hollow, measured ones filled, one colour a metric, misprints crossed out."""
    title = f"{info.benchmark} x{info.scale}" if info.benchmark else "Benchmark sets"
    figure = new_figure(escaped(title))
    points = info.points
    if points.empty:
        return nothing(figure, "No number of this benchmark set and scale is known yet")
    low, high = float(points["x"].min()) / 1.3, float(points["x"].max()) * 1.3
    bottom, top = _reach(points, info)
    shown = _named_once(points)
    places = name_places(
        np.log10(points["x"]), points["y"], shown, ranges=((math.log10(low), math.log10(high)), (bottom, top))
    )
    texts = pd.Series([name if place and name else "" for name, place in zip(shown, places, strict=True)])
    sides = pd.Series([place or "top center" for place in places])
    for name, mask, marker in _groups(points):
        part = points[mask]
        figure.add_scatter(
            x=part["x"].to_numpy(),
            y=part["y"].to_numpy(),
            mode="markers+text",
            name=name,
            text=[escaped(text) for text in texts[mask]],
            textposition=list(sides[mask]),
            textfont={"size": 11},
            customdata=[[escaped(row["genotype"] or row["network"])] for row in part.to_dict("records")],
            hovertext=[_hover(row, info) for row in part.to_dict("records")],
            hoverinfo="text",
            marker=marker,
        )
    cost_axis(figure, info.cost, low, high)
    figure.update_yaxes(title_text=quality_title(info.quality), range=[bottom, top])
    for metric, value in info.bicubic.items():
        if bottom <= value <= top:
            words = f"bicubic {quality_words(info.quality, value)} ({escaped(metric)})"
            figure.add_hline(
                y=value, line={"dash": "dot", "color": INK, "width": 1.5}, annotation={"text": words}
            )
    return legend_below(subtitle(figure, *_words(info)))


def _reach(points: pd.DataFrame, info: BenchmarksInfo) -> tuple[float, float]:
    """The axis of the quality: from the lowest to the highest point, without misprints and outliers."""
    values = points["y"][_usual(points, info.quality)]
    low, high = float(values.min()), float(values.max())
    air = 0.08 * max(high - low, 0.1 if info.quality == "psnr_db" else 0.002)
    return low - air, high + air


def _usual(points: pd.DataFrame, quality: str) -> pd.Series:
    """Points without suspected misprints and without values far from those of their origin.

    Far is more than three interquartile ranges (at least 0.5 dB, or 0.01 of SSIM, each) beyond the quartiles
    of four numbers or more. All points where nothing else is left.
    """
    usual = points["suspect"].isna()
    for _, values in points["y"][usual].groupby(points["origin"]):
        if len(values) >= 4:
            low, high = (float(values.quantile(share)) for share in (0.25, 0.75))
            fence = 3 * max(high - low, 0.5 if quality == "psnr_db" else 0.01)
            usual[values.index] = values.between(low - fence, high + fence)
    return usual if usual.any() else pd.Series(True, points.index)


def _named_once(points: pd.DataFrame) -> list[str]:
    """Each label, empty where the same one stands at an earlier point of the same origin."""
    again = points.duplicated(["label", "origin"])
    return ["" if twice else str(label) for label, twice in zip(points["label"], again, strict=True)]


def _groups(points: pd.DataFrame) -> list[tuple[str, pd.Series, dict[str, Any]]]:
    """Name, members and marker of each legend entry."""
    reported = points["origin"] == "reported"
    ours = reported & (points["kind"] == OURS)
    doubted = points["suspect"].notna()
    hollow = {"size": 10, "color": "rgba(0,0,0,0)", "line": {"color": INK, "width": 1.6}}
    crossed = {"size": 11, "symbol": "circle-x-open", "color": ALARM, "line": {"width": 1.4}}
    groups: list[tuple[str, pd.Series, dict[str, Any]]] = [
        ("reported, metric as in the paper", reported & ~ours & ~doubted, hollow),
        ("reported, suspected misprint", reported & doubted, crossed),
        ("authors' weights, measured by us", ours & ~doubted, {**hollow, "symbol": "diamond"}),
    ]
    metrics = sorted(points.loc[~reported, "metric"].unique())
    colours = (ACCENT, WARM, *SERIES[2:])
    for number, metric in enumerate(metrics):
        marker = {
            "size": 11,
            "symbol": "circle" if number == 0 else "diamond",
            "color": colours[number % len(colours)],
            "line": {"color": "white", "width": 1.2},
        }
        groups.append((f"measured, {escaped(metric)}", ~reported & (points["metric"] == metric), marker))
    return [group for group in groups if group[1].any()]


def _hover(row: Mapping[Any, Any], info: BenchmarksInfo) -> str:
    lines = [
        f"<b>{escaped(row['label'])}</b>",
        f"{quality_words(info.quality, row['y'])}, {amount(row['x'], ' ')} {AXES[_printed(info.cost)]}",
    ]
    if row["origin"] == "reported":
        page = f", {escaped(row['page'])}" if isinstance(row["page"], str) else ""
        lines.append(f"{'' if row['kind'] == OURS else 'reported in '}{escaped(row['reported_in'])}{page}")
    else:
        lines.append(f"measured, {escaped(row['metric'])}, low resolution {escaped(row['low_resolution'])}")
        if isinstance(row["plan"], str):
            lines.append(f"weights of stage {escaped(row['stage'])}, plan {escaped(row['plan'])}")
    data = row["trained_on"]
    lines.append(f"trained on {escaped(data)}" if isinstance(data, str) else "training data not stated")
    if isinstance(row["suspect"], str):
        lines.append(f"suspected misprint: {escaped(row['suspect'])}")
    return "<br>".join(lines)


def _words(info: BenchmarksInfo) -> list[str]:
    origins = info.points["origin"].value_counts()
    metrics = sorted(info.points.loc[info.points["origin"] == "measured", "metric"].unique())
    others = f" near in cost ({info.farther} others not shown)" if info.farther else ""
    said = f"{origins.get('reported', 0)} reported{others}, {origins.get('measured', 0)} measured"
    said += f" (metric {', '.join(metrics)})" if metrics else ""
    if info.left_out:
        said += f"; {info.left_out} without a known {AXES[info.cost]} left out"
    bottom, top = _reach(info.points, info)
    if outside := int((~info.points["y"].between(bottom, top)).sum()):
        said += f"; {outside} beyond the axis (double-click shows all)"
    notes = "reported numbers are as printed, trained and compared as each paper says"
    if info.cost != "params":
        notes += "; printed Multi-Adds mostly count convolutions only"
    return [said, notes]

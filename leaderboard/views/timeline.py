"""Who trained what when: one lane a worker, one bar a training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from leaderboard.views.points import identity
from leaderboard.views.show import Show
from leaderboard.views.style import (
    ALARM,
    FADED,
    SERIES,
    WARM,
    escaped,
    legend_below,
    new_figure,
    nothing,
    subtitle,
    time_unit,
)

MOST_BARS = 2500
"""Trainings that are drawn, the last ones of more; the shares count all."""
ENDS = ("finished", "failed", "released", "taken_over")
WORDS = {
    "finished": "finished",
    "failed": "failed",
    "released": "given back",
    "taken_over": "lost and taken over",
    "running": "running",
}


@dataclass(frozen=True, kw_only=True)
class TimelineInfo:
    """`bars`: one row a training that was begun, in order of its start.

    Columns: lane (worker and device, or the process that took it where no worker told), start and end
    (seconds since the study's first event), outcome (of `WORDS`), rung, genotype, stage, number, said (why it
    failed). A job that waited for its worker begins where that worker's job before it ended. `sessions` are
    start and end of each search. `idle` maps a lane to the share of the sessions' time that it trained
    nothing in, for the sessions in which it trained something.
    """

    bars: pd.DataFrame
    sessions: tuple[tuple[float, float], ...]
    idle: Mapping[str, float]
    study: str

    @property
    def idle_share(self) -> float:
        """The mean over the lanes, each weighted alike; NaN without any."""
        return float(np.mean(list(self.idle.values()))) if self.idle else math.nan


COLUMNS = ("lane", "start", "end", "outcome", "rung", "genotype", "stage", "number", "said")


def timeline_info(frame: pd.DataFrame, show: Show) -> TimelineInfo:
    """The trainings of a study from its events (`Store.events`)."""
    now = float(frame["seconds"].max()) if len(frame) else 0.0
    open_since: dict[float, Mapping[Any, Any]] = {}
    rows: list[dict[str, Any]] = []
    for event in frame.sort_values("id").to_dict("records"):
        trial, kind = event["trial"], event["kind"]
        if kind in ENDS and trial in open_since:
            rows.append(_bar(open_since.pop(trial), event, kind))
        if kind in ("started", "taken_over"):
            begun = open_since.pop(trial, None)
            if begun is not None:  # begun again without a word: its process died
                rows.append(_bar(begun, event, "taken_over"))
            open_since[trial] = event
    rows += [_bar(begun, {**begun, "seconds": now}, "running") for begun in open_since.values()]
    devices = {row["worker"]: row["device"] for row in rows if row["device"]}
    for row in rows:  # a failure does not say on which device
        device = row["device"] or devices.get(row["worker"])
        row["lane"] = f"{row['worker']}, {device}" if device else row["worker"]
    bars = pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["start", "end"], ignore_index=True)
    bars["start"] = _without_waiting(bars)
    sessions = _sessions(frame, now)
    return TimelineInfo(bars=bars, sessions=sessions, idle=_idle(bars, sessions), study=show.study)


def _bar(begun: Mapping[Any, Any], ended: Mapping[Any, Any], outcome: str) -> dict[str, Any]:
    own = outcome in ("finished", "failed", "released")
    told = ended if own and isinstance(ended["worker"], str) else begun
    device = told["device"] if isinstance(told["device"], str) else None
    worker = told["worker"] if isinstance(told["worker"], str) else "unknown"
    details = ended["details"] if outcome == "failed" and isinstance(ended["details"], Mapping) else {}
    return {
        "worker": worker,
        "device": device,
        "start": float(begun["seconds"]),
        "end": max(float(ended["seconds"]), float(begun["seconds"])),
        "outcome": outcome,
        "rung": int(begun["rung"]),
        "genotype": begun["genotype"],
        "stage": begun["stage"],
        "number": int(begun["number"]),
        "said": str(details.get("reason") or details.get("failure") or ""),
    }


def _without_waiting(bars: pd.DataFrame) -> list[float]:
    """Starts that do not reach into the training before on the same lane."""
    free: dict[str, float] = {}
    starts = []
    for lane, start, end in zip(bars["lane"], bars["start"], bars["end"], strict=True):
        begin = min(max(start, free.get(lane, start)), end)
        free[lane] = max(end, free.get(lane, end))
        starts.append(begin)
    return starts


def _sessions(frame: pd.DataFrame, now: float) -> tuple[tuple[float, float], ...]:
    """Where searches began and ended; one that says no end ends with the last event before the next."""
    found: list[tuple[float, float]] = []
    start, last = None, 0.0
    for kind, seconds in zip(frame["kind"], frame["seconds"], strict=True):
        if kind == "search_started":
            if start is not None:
                found.append((start, last))
            start = float(seconds)
        elif kind == "search_ended" and start is not None:
            found.append((start, float(seconds)))
            start = None
        last = float(seconds)
    if start is not None:
        found.append((start, now))
    return tuple(found)


def _idle(bars: pd.DataFrame, sessions: tuple[tuple[float, float], ...]) -> dict[str, float]:
    shares = {}
    for lane, own in bars.groupby("lane", sort=False):
        busy = whole = 0.0
        for begin, end in sessions:
            inside = own["end"].clip(upper=end) - own["start"].clip(lower=begin)
            if (inside > 0).any():
                busy += float(inside.clip(lower=0).sum())
                whole += end - begin
        if whole:
            shares[str(lane)] = max(0.0, 1.0 - busy / whole)
    return shares


def timeline_figure(info: TimelineInfo) -> go.Figure:
    """Bars by rung; failures and what was taken over stand out."""
    figure = new_figure("Who trained when")
    if info.bars.empty:
        return nothing(figure, "No training has begun yet")
    bars = info.bars.tail(MOST_BARS)
    lanes = list(dict.fromkeys(bars["lane"]))
    unit, divisor = time_unit(float(bars["end"].max()))
    names = {lane: _lane_name(lane, info.idle.get(lane)) for lane in lanes}
    for rung in sorted(bars["rung"].unique()):
        good = bars[(bars["rung"] == rung) & bars["outcome"].isin(("finished", "running"))]
        _add_bars(figure, good, names, divisor, unit, f"rung {rung}", SERIES[int(rung) % len(SERIES)])
    for outcome, colour in (("failed", ALARM), ("taken_over", WARM), ("released", FADED)):
        part = bars[bars["outcome"] == outcome]
        _add_bars(figure, part, names, divisor, unit, WORDS[outcome], colour, shape="/")
    shown = float(bars["start"].min())
    for begin, end in info.sessions:
        for moment in {begin, end}:
            if moment >= shown:
                figure.add_vline(x=moment / divisor, line={"color": FADED, "dash": "dot", "width": 1})
    figure.update_layout(barmode="overlay", bargap=0.25, height=max(340, 230 + 34 * len(lanes)))
    figure.update_xaxes(title_text=f"Since the first event ({unit})")
    figure.update_yaxes(
        title_text="Worker (idle)",
        categoryorder="array",
        categoryarray=[names[lane] for lane in lanes],
        autorange="reversed",
        showgrid=False,
        ticksuffix="  ",
    )
    return legend_below(subtitle(figure, *_timeline_words(info, len(bars))))


def _timeline_words(info: TimelineInfo, drawn: int) -> list[str]:
    counts = info.bars["outcome"].value_counts()
    said = ", ".join(f"{counts[outcome]:,} {word}" for outcome, word in WORDS.items() if counts.get(outcome))
    some = f"; the last {drawn:,} are drawn" if drawn < len(info.bars) else ""
    idle = (
        "" if math.isnan(info.idle_share) else f"; workers idle {info.idle_share:.0%} of the searching time"
    )
    return [f"{len(info.bars):,} trainings begun: {said}{some}{idle}", f"{info.study}, all protocols"]


def _lane_name(lane: str, idle: float | None) -> str:
    name = escaped(lane if len(lane) <= 44 else f"{lane[:43]}\u2026")
    return name if idle is None else f"{name} ({idle:.0%})"


def _add_bars(
    figure: go.Figure,
    bars: pd.DataFrame,
    names: Mapping[str, str],
    divisor: float,
    unit: str,
    name: str,
    colour: str,
    shape: str = "",
) -> None:
    if bars.empty:
        return
    length = (bars["end"] - bars["start"]).to_numpy() / divisor
    figure.add_bar(
        x=length,
        base=bars["start"].to_numpy() / divisor,
        y=[names[lane] for lane in bars["lane"]],
        orientation="h",
        name=name,
        customdata=identity(bars),
        marker={
            "color": colour,
            "opacity": [0.45 if outcome == "running" else 0.9 for outcome in bars["outcome"]],
            "line": {"width": 0.6, "color": "rgba(255,255,255,0.7)"},
            "pattern": {"shape": shape, "fgcolor": "white", "size": 6},
        },
        hovertext=[
            f"<b>{escaped(row['genotype'])}</b><br>{row['stage']} {row['number']}, rung {row['rung']}: "
            f"{WORDS[row['outcome']]} after {taken:.3g} {unit}"
            + (f"<br>{escaped(row['said'])}" if row["said"] else "")
            for row, taken in zip(bars.to_dict("records"), length, strict=True)
        ],
        hoverinfo="text",
    )

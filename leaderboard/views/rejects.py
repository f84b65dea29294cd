"""What was turned away before any training."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from leaderboard.tables.front import COST_NAMES
from leaderboard.views.show import Show
from leaderboard.views.style import WARM, escaped, new_figure, nothing, subtitle

LIMITS = COST_NAMES | {
    "latency_ms": "Latency",
    "memory": "Memory",
    "min_params": "Least parameters",
    "min_multi_adds": "Least Multi-Adds",
}


@dataclass(frozen=True, kw_only=True)
class RejectsInfo:
    """Why proposals were turned away: `limits` has the columns limit, count and median_over (a fraction).

    A proposal over two limits counts for both. `rejected` and `proposed` count proposals of the search;
    rejected are those over budget by their present cost.
    `scales` are the factors of super-resolution at which they were counted.
    """

    limits: pd.DataFrame
    rejected: int
    proposed: int
    study: str = ""
    scales: tuple[int, ...] = ()


def rejects_info(frame: pd.DataFrame, show: Show) -> RejectsInfo:
    """How many proposals of the search were over each limit, and by how much."""
    rows = frame[(frame["study"] == show.study) & (frame["stage"] == "search") & (frame["rung"] == 0)]
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
    return RejectsInfo(
        limits=limits,
        rejected=sum(bool(excess) for excess in rejected["excess"]),
        proposed=len(rows),
        study=show.study,
        scales=tuple(sorted({int(scale) for scale in rows["scale"]})),
    )


def rejects_figure(info: RejectsInfo) -> go.Figure:
    """One bar a limit."""
    figure = new_figure("Proposals over budget")
    if info.limits.empty:
        return nothing(figure, "No proposal was over budget")
    figure.add_bar(
        x=info.limits["count"].to_numpy(),
        y=[escaped(LIMITS.get(limit, limit)) for limit in info.limits["limit"]],
        orientation="h",
        marker={"color": WARM, "cornerradius": 4},
        width=0.5,
        text=[
            f"{count:,}, median {over:.0%} over"
            for count, over in zip(info.limits["count"], info.limits["median_over"], strict=True)
        ],
        textposition="auto",
        hoverinfo="skip",
    )
    figure.update_xaxes(title_text="Proposals (count)", rangemode="tozero")
    figure.update_layout(height=max(300, 200 + 60 * len(info.limits)))
    figure.update_yaxes(autorange="reversed", showgrid=False, ticksuffix="  ")
    return subtitle(
        figure,
        f"{info.rejected:,} of {info.proposed:,} proposals, never trained; over two limits counts for both",
        f"{info.study}, costs at {', '.join(f'x{scale}' for scale in info.scales)}: no protocol applies",
    )

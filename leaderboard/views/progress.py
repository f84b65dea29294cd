"""How a search went: over its candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from leaderboard.pareto import hypervolume
from leaderboard.tables import COST_NAMES, pick_protocol
from leaderboard.views.front import reference_cost
from leaderboard.views.show import Show
from leaderboard.views.style import ACCENT, WARM, new_figure, nothing


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
    limit = reference_cost(rows[show.cost], show)
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
    figure = new_figure("Progress of the search", make_subplots(rows=2, cols=1, shared_xaxes=True))
    if info.steps.empty:
        return nothing(figure, "The search has measured nothing yet")
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

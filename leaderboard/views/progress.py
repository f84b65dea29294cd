"""How a search went, over its candidates."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray
from plotly.subplots import make_subplots

from leaderboard.tables.front import pick_protocol
from leaderboard.views.front import floor_of, reference_cost
from leaderboard.views.points import identity
from leaderboard.views.show import Show
from leaderboard.views.style import (
    ACCENT,
    AXES,
    QUALITY_UNITS,
    QUALITY_WORDS,
    WARM,
    cost_words,
    new_figure,
    nothing,
    protocol_words,
    quality_title,
    quality_words,
    subtitle,
)


def hypervolume_path(
    cost: ArrayLike, quality: ArrayLike, *, cost_limit: float, quality_floor: float
) -> NDArray[np.float64]:
    """The hypervolume after each point in turn, (n,), as `pareto.hypervolume` of the points so far.

    Quick for many points: only the part of the front that a new one covers is looked at.
    """
    costs: list[float] = []  # the front so far, cheapest first, better and better
    values: list[float] = []
    area, path = 0.0, []
    for x, y in zip(np.asarray(cost, dtype=float), np.asarray(quality, dtype=float), strict=True):
        if x < cost_limit and y > quality_floor:
            start = bisect.bisect_right(costs, x)
            below = values[start - 1] if start else quality_floor
            if y > below:
                area += _gain(x, y, below, costs[start:], values[start:], cost_limit)
                end = bisect.bisect_right(values, y, lo=start)
                if start and costs[start - 1] == x:
                    start -= 1
                costs[start:end], values[start:end] = [x], [y]
        path.append(area)
    return np.array(path, dtype=np.float64)


def _gain(x: float, y: float, below: float, costs: list[float], values: list[float], limit: float) -> float:
    """What a new point adds above `below` and the front to its right."""
    gained = 0.0
    for next_cost, next_value in zip([*costs, limit], [*values, y], strict=True):
        gained += (next_cost - x) * (y - below)
        if next_value >= y:
            break
        x, below = next_cost, next_value
    return gained


@dataclass(frozen=True, kw_only=True)
class HistoryInfo:
    """How a search went: one row of `steps` (number, genotype, best_psnr_db, hypervolume) a measured trial.

    `best_psnr_db` holds the best of the chosen quality. The hypervolume counts up to `cost_limit` and above
    `floor`.
    """

    cost: str
    steps: pd.DataFrame
    quality: str = "psnr_db"
    protocol: str = ""
    cost_limit: float = 0.0
    floor: float | None = None


def history_info(frame: pd.DataFrame, show: Show) -> HistoryInfo:
    """The best quality and hypervolume after each measured trial of the search, under one protocol."""
    rows = searched(frame, show.study, show)
    quality = rows[show.quality].to_numpy(dtype=float)
    floor, limit = floor_of(rows, show.quality), reference_cost(rows[show.cost], show)
    path = hypervolume_path(
        rows[show.cost],
        quality,
        cost_limit=limit,
        quality_floor=floor_or_worst(floor, quality),
    )
    steps = pd.DataFrame(
        {
            "number": rows["number"].to_numpy(),
            "genotype": rows["genotype"].to_numpy(dtype=object),
            "best_psnr_db": np.maximum.accumulate(quality),
            "hypervolume": path,
        }
    )
    return HistoryInfo(
        cost=show.cost,
        steps=steps,
        quality=show.quality,
        protocol=protocol_words(rows.iloc[0]) if len(rows) else "",
        cost_limit=limit,
        floor=floor,
    )


def searched(frame: pd.DataFrame, study: str, show: Show) -> pd.DataFrame:
    """The measured search trials of a study under one protocol that have the cost, in their order.

    The protocol is the chosen one where the search used it, else the one most searched with.
    """
    rows = frame[(frame["study"] == study) & frame["psnr_db"].notna() & (frame["stage"] == "search")]
    if show.cost not in rows:
        rows = rows.assign(**{show.cost: np.nan})
    chosen = show.protocol
    if chosen is not None and not ((rows["protocol"] == chosen) | (rows["plan"] == chosen)).any():
        chosen = None
    rows = rows[rows["protocol"] == pick_protocol(rows, chosen)]
    return rows[rows[show.cost].notna() & rows[show.quality].notna()].sort_values("number")


def floor_or_worst(floor: float | None, quality: NDArray[np.float64]) -> float:
    """Above what a hypervolume counts where bicubic is not known: the worst of `quality`, (n,)."""
    return floor if floor is not None else float(quality.min()) if len(quality) else 0.0


def history_figure(info: HistoryInfo) -> go.Figure:
    """Best quality above, hypervolume below, over the number of the trial."""
    rows = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.09)
    figure = new_figure("Progress of the search", rows)
    if info.steps.empty:
        return nothing(figure, "The search has measured nothing yet")
    name = QUALITY_WORDS[info.quality]
    unit = f"{QUALITY_UNITS[info.quality].strip() or 'SSIM'} x {AXES[info.cost]}"
    shown = (
        ("best_psnr_db", f"Best {quality_title(info.quality)}", ACCENT, "%{y:.4f}"),
        ("hypervolume", "Hypervolume", WARM, "%{y:.4s}"),
    )
    for row, (column, title, colour, said) in enumerate(shown, start=1):
        steps = _changes(info.steps, column)
        figure.add_scatter(
            x=steps["number"].to_numpy(),
            y=steps[column].to_numpy(),
            customdata=identity(steps),
            mode="lines+markers" if len(steps) <= 60 else "lines",
            marker={"size": 5},
            line={"shape": "hv", "color": colour, "width": 2.5},
            hovertemplate=f"trial %{{x}}, %{{customdata[0]}}: {said} {name if row == 1 else unit}"
            "<extra></extra>",
            showlegend=False,
            row=row,
            col=1,
        )
        figure.update_yaxes(title_text=title, row=row, col=1)
    figure.update_yaxes(tickformat="~s", row=2, col=1)
    figure.update_xaxes(title_text="Trial number", row=2, col=1)
    return subtitle(
        figure, reference_words(info.cost, info.quality, info.cost_limit, info.floor), info.protocol
    )


def _changes(steps: pd.DataFrame, column: str) -> pd.DataFrame:
    """The steps at which the column changes, and the last one: a long search improves seldom."""
    values = steps[column].to_numpy()
    changed = np.append(True, values[1:] != values[:-1])
    changed[-1] = True
    return steps[changed]


def reference_words(cost: str, quality: str, limit: float, floor: float | None) -> str:
    """What a hypervolume is measured in, above what and up to where."""
    unit = QUALITY_UNITS[quality].strip() or "SSIM"
    above = "the worst network" if floor is None else f"bicubic ({quality_words(quality, floor)})"
    return f"Hypervolume in {unit} x {AXES[cost]}, above {above}, up to {cost_words(cost, limit)}"

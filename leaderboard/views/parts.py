"""What one architecture spends where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from leaderboard.tables.front import COST_NAMES, count_of
from leaderboard.views.show import Show
from leaderboard.views.style import ACCENT, WARM, escaped, new_figure, nothing, subtitle


@dataclass(frozen=True, kw_only=True)
class PartsInfo:
    """`parts` as of `Store.parts`, with a share column for each of `costs`, in the order of the network."""

    genotype: str
    words: str
    scale: int
    parts: pd.DataFrame
    costs: tuple[str, ...]


def parts_info(frame: pd.DataFrame, show: Show) -> PartsInfo:
    """The parts of one network, from the source `parts`: parameters, and Multi-Adds or the chosen count."""
    other = show.cost if show.cost in ("conv_multi_adds", "activations") else "multi_adds"
    costs = ("params", other)
    shares = {f"{cost}_share": frame[cost] / max(1, int(frame[cost].sum())) for cost in costs}
    first = frame.iloc[0] if len(frame) else None
    return PartsInfo(
        genotype="" if first is None else str(first["genotype"]),
        words="" if first is None else str(first["words"]),
        scale=0 if first is None else int(first["scale"]),
        parts=frame.assign(**shares).reset_index(drop=True),
        costs=costs,
    )


def parts_figure(info: PartsInfo) -> go.Figure:
    """One bar a part and cost, the network's beginning at the top."""
    title = "What the network spends where"
    if info.parts.empty:
        return nothing(new_figure(title), "The parts of no chosen network are kept")
    names = [COST_NAMES[cost] for cost in info.costs]
    grid = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05)
    figure = new_figure(title, grid)
    labels = [_label(number, row) for number, row in enumerate(info.parts.to_dict("records"), start=1)]
    for column, (cost, name, colour) in enumerate(
        zip(info.costs, names, (ACCENT, WARM), strict=True), start=1
    ):
        values = info.parts[cost].to_numpy()
        shares = info.parts[f"{cost}_share"].to_numpy(dtype=float)
        figure.add_bar(
            x=values,
            y=labels,
            orientation="h",
            marker={"color": colour, "cornerradius": 3},
            text=[
                f"{count_of(cost, value)} ({share:.0%})" for value, share in zip(values, shares, strict=True)
            ],
            textposition="auto",
            customdata=[[escaped(info.genotype), share] for share in shares],
            hovertemplate=f"%{{y}}: %{{x:,}} {name}, %{{customdata[1]:.1%}}<extra></extra>",
            showlegend=False,
            row=1,
            col=column,
        )
        total = count_of(cost, float(values.sum()))
        figure.update_xaxes(
            title_text=f"{name} (count), {total} in all",
            rangemode="tozero",
            tickformat="~s",
            row=1,
            col=column,
        )
    figure.update_yaxes(autorange="reversed", showgrid=False, ticksuffix="  ")
    figure.update_yaxes(title_text="Part (in order)", row=1, col=1)
    figure.update_layout(height=max(320, 180 + 34 * len(labels)))
    return subtitle(
        figure,
        f"{info.genotype}: {info.words}",
        f"Exact counts at x{info.scale}, output 1280x720; they need no training, so no protocol applies",
    )


def _label(number: int, row: Mapping[Any, Any]) -> str:
    copies, uses = row["copies"], row["uses"]
    times = [f"{copies} copies"] if copies != 1 else []
    times += [f"used {uses} times"] if uses != 1 else []
    named = escaped(row["part"])
    return f"{number}. {named}" + (f" ({', '.join(times)})" if times else "")

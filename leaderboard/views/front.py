"""The Pareto front: quality against cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from leaderboard.pareto import hypervolume, pareto_mask
from leaderboard.tables import COST_NAMES, amount, count_of, networks
from leaderboard.views.show import Show
from leaderboard.views.style import (
    ACCENT,
    FADED,
    INK,
    WARM,
    escaped,
    new_figure,
    nothing,
    protocol_words,
    ticks,
)

DECIBELS_BELOW = 2.0  # the bicubic line is drawn to scale unless that leaves the networks no room


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
            cost_limit=reference_cost(points[show.cost], show),
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
    figure = new_figure(f"PSNR against {COST_NAMES[cost]}")
    if info.points.empty:
        return nothing(figure, "No network of this study has been measured yet")
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


def reference_cost(costs: pd.Series, show: Show) -> float:
    """The cost up to which a hypervolume counts: the budget, or just beyond the costliest network."""
    return show.budget.get(show.cost) or (float(costs.max()) * 1.01 if len(costs) else 0.0)

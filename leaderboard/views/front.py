"""The Pareto front: quality against cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from leaderboard.fronts.pareto import hypervolume, membership, pareto_mask
from leaderboard.tables.front import RUNTIME_NAMES, measured, networks
from leaderboard.views.points import LIGHT, hover, identity, name_places, thinned
from leaderboard.views.show import Show
from leaderboard.views.style import (
    ACCENT,
    AXES,
    FADED,
    INK,
    QUALITY_WORDS,
    WARM,
    area_words,
    cost_axis,
    cost_words,
    escaped,
    legend_below,
    new_figure,
    nothing,
    protocol_words,
    quality_title,
    quality_words,
    subtitle,
)

DECIBELS_BELOW = 2.0  # the bicubic line is drawn to scale unless that leaves the networks no room
PERHAPS = 0.05
"""Probability of membership from which a dominated network is drawn as one that may be on the front."""
DRAWS, MANY = 1000, 3000
"""Draws over the seeds; a tenth of them where more than `MANY` networks lie near the front."""
DEVIATIONS = 8.0
"""How far below the front, in the largest deviation over seeds, no draw can lift a network."""


@dataclass(frozen=True, kw_only=True)
class FrontInfo:
    """The networks of one protocol, with the front among them.

    `points` has the columns of `networks`, `on_front` and `membership`: the probability of being on the front
    by the spread over the seeds (0 or 1 where nothing was trained with several). `references` are published
    networks of other studies under the same protocol, with the same columns. `hypervolume` is in the
    quality's unit times the cost's, up to the budget (or the costliest network), above bicubic. `left_out`
    counts networks without this cost; `setting` says where a latency was measured, `calibration` how far
    numbers of this protocol can be trusted.
    """

    study: str
    cost: str
    points: pd.DataFrame
    limit: float | None
    bicubic_psnr_db: float | None
    hypervolume: float
    protocol: str
    quality: str = "psnr_db"
    bicubic_ssim: float | None = None
    references: pd.DataFrame | None = None
    left_out: int = 0
    setting: str = ""
    calibration: str = ""

    @property
    def front(self) -> pd.DataFrame:
        """The networks on the front, cheapest first."""
        return self.points[self.points["on_front"]].sort_values(self.cost)

    @property
    def named(self) -> pd.DataFrame:
        """Published networks: the study's own, and those of others under the same protocol."""
        own = self.points[self.points["name"].notna()]
        return own if self.references is None else pd.concat([own, self.references], ignore_index=True)

    @property
    def bicubic(self) -> float | None:
        """What bicubic reaches in the chosen quality."""
        return self.bicubic_psnr_db if self.quality == "psnr_db" else self.bicubic_ssim


def front_info(frame: pd.DataFrame, show: Show) -> FrontInfo:
    """The measured networks of one protocol and which of them no other one beats."""
    every = networks(frame, show.study, show.protocol)
    if show.cost not in every:
        every[show.cost] = np.nan
    points = every[every[show.cost].notna() & every[show.quality].notna()].reset_index(drop=True)
    points["on_front"] = pareto_mask(points[show.cost], points[show.quality])
    chosen = frame[frame["protocol"] == every["protocol"].iloc[0]].iloc[0] if len(every) else None
    points["membership"] = _memberships(frame, show, points)
    settings = list(frame["runtime_setting"].dropna().unique()) if "runtime_setting" in frame else []
    baselines = {name: None if chosen is None else _number(chosen, name) for name in _BASELINES.values()}
    return FrontInfo(
        study=show.study,
        cost=show.cost,
        quality=show.quality,
        points=points,
        limit=show.budget.get(show.cost),
        bicubic_psnr_db=baselines["bicubic_psnr_db"],
        bicubic_ssim=baselines["bicubic_ssim"],
        hypervolume=area_of(points, show, baselines[_BASELINES[show.quality]]),
        protocol="" if chosen is None else protocol_words(chosen),
        references=None if chosen is None else _references(frame, show, points, str(chosen["protocol"])),
        left_out=len(every) - len(points),
        setting=str(settings[0]) if show.cost in RUNTIME_NAMES and len(settings) else "",
        calibration="" if chosen is None else str(chosen.get("calibration") or ""),
    )


_BASELINES = {"psnr_db": "bicubic_psnr_db", "ssim": "bicubic_ssim"}


def floor_of(rows: pd.DataFrame, quality: str) -> float | None:
    """What bicubic reaches under the protocol of `rows`; None where that is not known."""
    return _number(rows.iloc[0], _BASELINES[quality]) if len(rows) else None


def area_of(points: pd.DataFrame, show: Show, floor: float | None) -> float:
    """The hypervolume of `points` above `floor` (above the worst where that is not known)."""
    if points.empty:
        return 0.0
    return hypervolume(
        points[show.cost],
        points[show.quality],
        cost_limit=reference_cost(points[show.cost], show),
        quality_floor=float(points[show.quality].min()) if floor is None else floor,
    )


def reference_cost(costs: pd.Series, show: Show) -> float:
    """The cost up to which a hypervolume counts: the budget, or just beyond the costliest network."""
    return show.budget.get(show.cost) or (float(costs.max()) * 1.01 if len(costs) else 0.0)


def _number(row: pd.Series, name: str) -> float | None:
    value = row.get(name)
    return None if value is None or math.isnan(value) else float(value)


def _memberships(frame: pd.DataFrame, show: Show, points: pd.DataFrame) -> NDArray[np.float64]:
    """Each point's probability of being on the front, from draws over its seeds."""
    shares = points["on_front"].to_numpy(dtype=np.float64)
    if points.empty or not (points["seeds"] > 1).any():
        return shares
    near = np.flatnonzero(_may_matter(points, show))
    rows = measured(frame, show.study, show.protocol).drop_duplicates(["genotype", "seed"])
    samples = rows.pivot(index="genotype", columns="seed", values=show.quality)
    shares[near] = membership(
        points[show.cost].to_numpy()[near],
        samples.reindex(points["genotype"].to_numpy()[near]),
        draws=DRAWS if len(near) <= MANY else DRAWS // 10,
    )
    return shares


def _may_matter(points: pd.DataFrame, show: Show) -> NDArray[np.bool_]:
    """Those so near to the front that a draw can put them on it; the rest could slow the draws only."""
    spread = float(points[f"{show.quality}_sd"].max())
    front = points[points["on_front"]].sort_values(show.cost)
    place = np.searchsorted(front[show.cost], points[show.cost], side="right") - 1
    best = front[show.quality].to_numpy()[np.maximum(place, 0)]
    return np.asarray((place < 0) | (points[show.quality] + DEVIATIONS * spread >= best))


def _references(frame: pd.DataFrame, show: Show, points: pd.DataFrame, protocol: str) -> pd.DataFrame | None:
    """Published networks that other studies in the frame measured under the same protocol."""
    if "name" not in frame:
        return None
    other = frame[
        (frame["study"] != show.study)
        & (frame["protocol"] == protocol)
        & frame["name"].notna()
        & frame["psnr_db"].notna()
        & ~frame["genotype"].isin(points["genotype"])
    ]
    if other.empty:
        return None
    found = networks(other.assign(study=show.study), show.study, protocol)
    if show.cost not in found:
        return None
    return found[found[show.cost].notna()].assign(on_front=False, membership=np.nan)


def front_figure(info: FrontInfo) -> go.Figure:
    """Quality against cost on a logarithmic axis, with the front, the budget and bicubic."""
    figure = new_figure(front_title(info))
    if info.points.empty:
        if info.left_out:
            reason = f"None of {info.left_out} networks has a measured {_short(info.cost)}"
            return nothing(subtitle(figure, info.protocol), f"{reason} on one device")
        return nothing(figure, "No network of this study has been measured yet")
    drawn = _add_dominated(figure, info)
    _add_front(figure, info)
    _add_lines(figure, info)
    _add_names(figure, info)
    return legend_below(subtitle(figure, *front_words(info, drawn)))


def front_title(info: FrontInfo) -> str:
    """What a figure of the front is called."""
    return f"{QUALITY_WORDS[info.quality]} against {_short(info.cost)}"


def _short(cost: str) -> str:
    name = AXES[cost]
    return name.split(" (")[0].lower() if cost in RUNTIME_NAMES else name


def front_words(info: FrontInfo, drawn: int | None = None) -> list[str]:
    """What stands below the title: how many are on the front, the hypervolume; the protocol.

    And how far the protocol can be trusted, where that is known.
    """
    area = area_words(info.cost, info.quality, info.hypervolume)
    said = f"{len(info.front)} of {len(info.points):,} on the front, hypervolume {area}"
    dominated = len(info.points) - len(info.front)
    if drawn is not None and drawn < dominated:
        said += f"; {drawn:,} of {dominated:,} dominated ones drawn"
    if info.left_out:
        said += f"; {info.left_out:,} more have no measured {_short(info.cost)}"
    if len(info.points) and info.bicubic is not None and info.bicubic < psnr_range(info)[0]:
        said += f"; bicubic {quality_words(info.quality, info.bicubic)} lies below"
    several = info.points["seeds"] > 1
    bars = "error bars: standard deviation over seeds" if several.any() else ""
    how = "; ".join(part for part in (info.protocol, info.setting, bars) if part)
    return [said, how, *([info.calibration] if info.calibration else [])]


def cost_range(info: FrontInfo) -> tuple[float, float]:
    """What the cost axis spans, with some air: the networks and the budget."""
    values = [*info.points[info.cost], *info.named[info.cost], *([info.limit] if info.limit else [])]
    return min(values) / 1.25, max(values) * 1.25


def psnr_range(info: FrontInfo) -> tuple[float, float]:
    """What the quality axis spans, with some air: the networks, and bicubic unless it lies far below them."""
    shown = pd.concat([info.points, info.named])
    bars = shown[f"{info.quality}_sd"].fillna(0.0)
    low, high = float((shown[info.quality] - bars).min()), float((shown[info.quality] + bars).max())
    least = 0.1 if info.quality == "psnr_db" else 0.002
    spread = max(high - low, least)
    bicubic = info.bicubic
    if bicubic is not None and bicubic < low and low - bicubic <= DECIBELS_BELOW * spread:
        low = bicubic
    air = 0.07 * max(high - low, least)
    return low - air, high + 1.5 * air


def budget_words(info: FrontInfo) -> str:
    """The limit as the figures name it: `budget 20 G`."""
    return f"budget {cost_words(info.cost, info.limit or 0).replace('.0', '')}"


def _add_dominated(figure: go.Figure, info: FrontInfo) -> int:
    """The cloud below the front; how many of it are drawn."""
    others = info.points[~info.points["on_front"]]
    perhaps = others[others["membership"] >= PERHAPS]
    rest = others[others["membership"] < PERHAPS]
    rest = rest[thinned(rest[info.cost], rest[info.quality])]
    add = figure.add_scattergl if len(rest) > LIGHT else figure.add_scatter
    add(
        **_marks(rest, info),
        mode="markers",
        name="dominated",
        marker={"size": 7, "color": FADED, "opacity": 0.45},
    )
    if len(perhaps):
        figure.add_scatter(
            **_marks(perhaps, info),
            mode="markers",
            name="may be on the front",
            marker={
                "size": 9,
                "color": "rgba(0,0,0,0)",
                "line": {"color": ACCENT, "width": 1.5},
            },
            error_y=_bars(perhaps, info.quality, ACCENT),
        )
    return len(rest) + len(perhaps)


def _add_front(figure: go.Figure, info: FrontInfo) -> None:
    front = info.front
    figure.add_scatter(
        **_marks(front, info),
        mode="lines+markers",
        name="Pareto front",
        line={"shape": "hv", "color": ACCENT, "width": 2.5},
        marker={"size": 10, "color": ACCENT, "line": {"color": "white", "width": 1.5}},
        error_y=_bars(front, info.quality, ACCENT),
    )


def _add_names(figure: go.Figure, info: FrontInfo) -> None:
    named = info.named
    if named.empty:
        return
    low, high = cost_range(info)
    places = name_places(
        np.log10(named[info.cost].astype(float)),
        named[info.quality],
        [str(name) for name in named["name"]],
        ranges=((math.log10(low), math.log10(high)), psnr_range(info)),
    )
    figure.add_scatter(
        **_marks(named, info),
        mode="markers+text",
        name="published",
        text=[
            "" if place is None else escaped(name) for name, place in zip(named["name"], places, strict=True)
        ],
        textposition=[place or "top center" for place in places],
        textfont={"size": 12},
        marker={"size": 11, "symbol": "diamond", "color": WARM, "line": {"color": "white", "width": 1.2}},
    )


def _marks(points: pd.DataFrame, info: FrontInfo) -> dict[str, Any]:
    return {
        "x": points[info.cost].to_numpy(),
        "y": points[info.quality].to_numpy(),
        "customdata": identity(points),
        "hovertext": [hover(row) for row in points.to_dict("records")],
        "hoverinfo": "text",
    }


def _bars(points: pd.DataFrame, quality: str, colour: str) -> dict[str, Any] | None:
    spread = points[f"{quality}_sd"].to_numpy(dtype=float)
    if np.isnan(spread).all():
        return None
    return {
        "type": "data",
        "array": [None if math.isnan(value) else value for value in spread],
        "color": colour,
        "thickness": 1.4,
        "width": 0,
    }


def _add_lines(figure: go.Figure, info: FrontInfo) -> None:
    cost_axis(figure, info.cost, *cost_range(info))
    bottom, top = psnr_range(info)
    figure.update_yaxes(title_text=quality_title(info.quality), range=[bottom, top])
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
    bicubic = info.bicubic
    if bicubic is None:
        return
    if bottom <= bicubic <= top:
        figure.add_hline(
            y=bicubic,
            line={"dash": "dot", "color": INK, "width": 1.5},
            annotation={"text": f"bicubic {quality_words(info.quality, bicubic)}"},
            annotation_position="top left",
        )

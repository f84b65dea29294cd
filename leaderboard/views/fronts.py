"""Study against study: their fronts under one protocol."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from leaderboard.fronts.pareto import pareto_mask
from leaderboard.tables.front import main_protocol, measured, networks
from leaderboard.views.front import FrontInfo, area_of, cost_range, floor_of, front_info, psnr_range
from leaderboard.views.points import LIGHT, hover, identity, thinned
from leaderboard.views.show import Show
from leaderboard.views.style import (
    INK,
    SERIES,
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


@dataclass(frozen=True, kw_only=True)
class StudyFront:
    """One study's networks; `covers` maps another study to the share of its front that this front beats."""

    study: str
    points: pd.DataFrame
    hypervolume: float
    covers: dict[str, float]

    @property
    def front(self) -> pd.DataFrame:
        """The networks on the front; they have the columns of `networks`."""
        return self.points[self.points["on_front"]]


@dataclass(frozen=True, kw_only=True)
class FrontsInfo:
    """Fronts that may be compared, the first study's first, and in words why others may not.

    All hypervolumes count up to `cost_limit` and above `floor`, which the studies share. `shape` is the first
    study's `FrontInfo` over all points drawn.
    """

    fronts: tuple[StudyFront, ...]
    refused: tuple[str, ...]
    protocol: str
    cost_limit: float
    shape: FrontInfo

    @property
    def floor(self) -> float | None:
        """Bicubic in the chosen quality."""
        return self.shape.bicubic


def fronts_info(frame: pd.DataFrame, show: Show) -> FrontsInfo:
    """The fronts of `show.study` and `show.studies` under the first one's protocol, with one reference."""
    own = front_info(frame, show)
    found, refused = {show.study: own.points}, []
    of_first = measured(frame, show.study, show.protocol)
    protocol = None if of_first.empty else str(of_first["protocol"].iloc[0])
    for study in dict.fromkeys(show.studies):
        if study == show.study:
            continue
        reason = _refusal(frame, study, protocol, own.protocol)
        if reason:
            refused.append(reason)
            continue
        rows = networks(frame, study, protocol)
        rows = rows[rows[show.cost].notna()] if show.cost in rows else rows.iloc[:0]
        found[study] = rows.assign(on_front=pareto_mask(rows.get(show.cost, []), rows[show.quality]))
    shared = pd.concat(found.values(), ignore_index=True)
    limit = show.budget.get(show.cost) or (float(shared[show.cost].max()) * 1.01 if len(shared) else 0.0)
    floor = floor_of(of_first, show.quality)
    if floor is None and len(shared):
        floor = float(shared[show.quality].min())
    reference = replace(show, budget={**show.budget, show.cost: limit}) if limit else show
    fronts = tuple(
        StudyFront(
            study=study,
            points=points,
            hypervolume=area_of(points, reference, floor),
            covers={
                other: coverage(points, theirs, show.cost, show.quality)
                for other, theirs in found.items()
                if other != study
            },
        )
        for study, points in found.items()
    )
    return FrontsInfo(
        fronts=fronts,
        refused=tuple(refused),
        protocol=own.protocol,
        cost_limit=limit,
        shape=replace(own, points=shared, references=None),
    )


def coverage(mine: pd.DataFrame, theirs: pd.DataFrame, cost: str, quality: str) -> float:
    """The share of the front of `theirs` that a network of `mine` beats (Zitzler's C without equal ones)."""
    front = theirs[theirs["on_front"]]
    if front.empty:
        return math.nan
    costs, values = mine[cost].to_numpy(dtype=float), mine[quality].to_numpy(dtype=float)
    beaten = [
        bool(
            (
                (costs <= row[cost])
                & (values >= row[quality])
                & ((costs < row[cost]) | (values > row[quality]))
            ).any()
        )
        for row in front[[cost, quality]].to_dict("records")
    ]
    return float(np.mean(beaten))


def _refusal(frame: pd.DataFrame, study: str, protocol: str | None, said: str) -> str:
    """Why the study cannot stand beside the first one; empty where it can."""
    rows = frame[(frame["study"] == study) & frame["psnr_db"].notna()]
    if rows.empty:
        return f"{study} has measured nothing yet"
    if protocol is None or (rows["protocol"] == protocol).any():
        return ""
    theirs = rows[rows["protocol"] == main_protocol(rows)].iloc[0]
    words = protocol_words(theirs)
    if words == said:  # the names agree: what differs is inside the plan or the data
        words, said = f"{words} ({theirs['protocol']})", f"{said} ({protocol})"
    return f"{study} is left out: it was measured under {words}, not under {said}"


def fronts_figure(info: FrontsInfo) -> go.Figure:
    """Both fronts, each study in its colour, and what they cover."""
    shape = info.shape
    figure = new_figure("Study against study")
    drawn = [front for front in info.fronts if len(front.points)]
    if len(info.fronts) < 2:
        message = "; ".join(info.refused) or "Choose a second study to compare with"
        return nothing(subtitle(figure, info.protocol), message)
    if not drawn:
        return nothing(subtitle(figure, *info.refused), "Neither study has measured a network yet")
    for colour, front in zip(SERIES * len(drawn), drawn, strict=False):
        _add_study(figure, front, info, colour)
    cost_axis(figure, shape.cost, *cost_range(shape))
    bottom, top = psnr_range(shape)
    figure.update_yaxes(title_text=quality_title(shape.quality), range=[bottom, top])
    if info.floor is not None and bottom <= info.floor <= top:
        figure.add_hline(
            y=info.floor,
            line={"dash": "dot", "color": INK, "width": 1.5},
            annotation={"text": f"bicubic {quality_words(shape.quality, info.floor)}"},
            annotation_position="top right",
        )
    reference = f"up to {cost_words(shape.cost, info.cost_limit)}"
    if info.floor is not None:
        reference += f" and above {quality_words(shape.quality, info.floor)}"
    covered = [
        f"{front.study} beats {share:.0%} of the front of {other}"
        for front in info.fronts
        for other, share in front.covers.items()
        if not math.isnan(share)
    ]
    made = "; ".join(part for part in (info.protocol, info.shape.calibration) if part)
    lines = [f"{made}; hypervolumes {reference}", "; ".join(covered[:4]), *info.refused]
    return legend_below(subtitle(figure, *lines))


def _add_study(figure: go.Figure, study: StudyFront, info: FrontsInfo, colour: str) -> None:
    cost, quality = info.shape.cost, info.shape.quality
    front = study.front.sort_values(cost)
    others = study.points[~study.points["on_front"]]
    others = others[thinned(others[cost], others[quality])]
    add = figure.add_scattergl if len(others) > LIGHT else figure.add_scatter
    name = escaped(study.study)
    add(
        x=others[cost].to_numpy(),
        y=others[quality].to_numpy(),
        customdata=identity(others),
        hovertext=[f"{name}<br>{hover(row)}" for row in others.to_dict("records")],
        hoverinfo="text",
        mode="markers",
        legendgroup=name,
        showlegend=False,
        marker={"size": 6, "color": colour, "opacity": 0.28},
    )
    area = area_words(cost, quality, study.hypervolume)
    figure.add_scatter(
        x=front[cost].to_numpy(),
        y=front[quality].to_numpy(),
        customdata=identity(front),
        hovertext=[f"{name}<br>{hover(row)}" for row in front.to_dict("records")],
        hoverinfo="text",
        mode="lines+markers",
        legendgroup=name,
        name=f"{name}: {len(front)} of {len(study.points):,} on the front, hypervolume {area}",
        line={"shape": "hv", "color": colour, "width": 2.5},
        marker={"size": 9, "color": colour, "line": {"color": "white", "width": 1.2}},
    )

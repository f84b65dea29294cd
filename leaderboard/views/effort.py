"""How much front the time of the trainings bought."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from leaderboard.views.front import floor_of, reference_cost
from leaderboard.views.progress import floor_or_worst, hypervolume_path, reference_words, searched
from leaderboard.views.show import Show
from leaderboard.views.style import (
    AXES,
    QUALITY_UNITS,
    SERIES,
    escaped,
    legend_below,
    listed,
    new_figure,
    nothing,
    protocol_words,
    see_through,
    subtitle,
    time_unit,
)

GRID_POINTS = 200
"""Moments at which studies that differ only by their seed are compared."""


@dataclass(frozen=True, kw_only=True)
class EffortInfo:
    """Hypervolume over the training time spent, for each study, and for studies that differ only by seed.

    `paths` maps a study to rows of seconds (cumulated over all its trainings, by their finish) and
    hypervolume. `bands` maps the names of the studies of one kind to rows of seconds, low, median and high
    (quartiles). `refused` says why others are left out.
    """

    cost: str
    quality: str
    paths: Mapping[str, pd.DataFrame]
    bands: Mapping[tuple[str, ...], pd.DataFrame]
    refused: tuple[str, ...]
    protocol: str
    cost_limit: float
    floor: float | None


def effort_info(frame: pd.DataFrame, show: Show) -> EffortInfo:
    """Hypervolume of the protocol's results against the seconds of all trainings that ended before."""
    first = searched(frame, show.study, show)
    protocol = None if first.empty else str(first["protocol"].iloc[0])
    found, refused = {show.study: first}, []
    for study in dict.fromkeys(show.studies):
        if study == show.study:
            continue
        rows = searched(frame[frame["protocol"] == protocol], study, show)
        if rows.empty:
            refused.append(f"{study} is left out: it has no result under this protocol")
        else:
            found[study] = rows
    shared = pd.concat(found.values())
    limit, floor = reference_cost(shared[show.cost], show), floor_of(first, show.quality)
    bottom = floor_or_worst(floor, shared[show.quality].to_numpy(dtype=float))
    paths = {}
    for study, rows in found.items():
        spent = own_seconds(frame[frame["study"] == study])
        ordered = rows[rows["state"] == "finished"].sort_values(["finished_at", "number"])
        areas = hypervolume_path(
            ordered[show.cost], ordered[show.quality], cost_limit=limit, quality_floor=bottom
        )
        seconds = spent.reindex(ordered.index).to_numpy(dtype=float)
        paths[study] = pd.DataFrame({"seconds": seconds, "hypervolume": areas})
    return EffortInfo(
        cost=show.cost,
        quality=show.quality,
        paths=paths,
        bands=_bands(frame, {study: path for study, path in paths.items() if len(path)}),
        refused=tuple(refused),
        protocol=protocol_words(first.iloc[0]) if len(first) else "",
        cost_limit=limit,
        floor=floor,
    )


def own_seconds(rows: pd.DataFrame) -> pd.Series:
    """Seconds of all trainings of one study that ended up to and with each row's, by the rows' index.

    A training that continues a lower rung counts the seconds since then: its `train_seconds` holds those of
    the `trunk_share` of the rung below as well.
    """
    done = rows[(rows["state"] == "finished") & rows["train_seconds"].notna()]
    done = done.sort_values(["finished_at", "number"])
    by_rung = done.sort_values("rung", kind="stable").groupby(["genotype", "seed", "plan"], sort=False)
    below = by_rung[["rung", "train_seconds", "trunk_share"]].shift(1).reindex(done.index)
    shared = below["train_seconds"] * below["trunk_share"]
    continued = (below["rung"] < done["rung"]) & (shared <= done["train_seconds"])
    return (done["train_seconds"] - shared.where(continued, 0.0)).cumsum()


def _bands(frame: pd.DataFrame, paths: Mapping[str, pd.DataFrame]) -> dict[tuple[str, ...], pd.DataFrame]:
    """Median and quartiles over studies whose recipes differ only in their seed, two or more of them."""
    if "family" not in frame:
        return {}
    families = frame.drop_duplicates("study").set_index("study")["family"]
    members: dict[str, list[str]] = {}
    for study in paths:
        members.setdefault(str(families.get(study)), []).append(study)
    bands = {}
    for studies in members.values():
        if len(studies) < 2:
            continue
        end = min(float(paths[study]["seconds"].iloc[-1]) for study in studies)
        begin = min(float(paths[study]["seconds"].iloc[0]) for study in studies)
        moments = np.linspace(begin, end, GRID_POINTS) if end > begin else np.array([end])
        reached = np.array([_at(paths[study], moments) for study in studies])
        low, median, high = np.quantile(reached, (0.25, 0.5, 0.75), axis=0)
        bands[tuple(studies)] = pd.DataFrame({"seconds": moments, "low": low, "median": median, "high": high})
    return bands


def _at(path: pd.DataFrame, moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """The hypervolume reached at each moment; 0 before the first result."""
    place = np.searchsorted(path["seconds"].to_numpy(), moments, side="right")
    return np.append(0.0, path["hypervolume"].to_numpy())[place]


def effort_figure(info: EffortInfo) -> go.Figure:
    """One line a study; a band and its median for studies that differ only by their seed."""
    figure = new_figure("Hypervolume over training time")
    drawn = {study: path for study, path in info.paths.items() if len(path)}
    if not drawn:
        return nothing(subtitle(figure, *info.refused), "The search has measured nothing yet")
    unit, divisor = time_unit(max(float(path["seconds"].iloc[-1]) for path in drawn.values()))
    banded = {study for studies in info.bands for study in studies}
    for colour, (studies, band) in zip(SERIES, info.bands.items(), strict=False):
        _add_band(figure, studies, band, colour, divisor)
    others = SERIES[len(info.bands) :] or SERIES
    singles = [study for study in drawn if study not in banded]
    for number, study in enumerate([*singles, *banded]):
        path = _thin(drawn[study])
        colour = others[number % len(others)] if study in singles else SERIES[0]
        figure.add_scatter(
            x=path["seconds"].to_numpy() / divisor,
            y=path["hypervolume"].to_numpy(),
            mode="lines",
            name=escaped(study),
            showlegend=study in singles,
            line={"shape": "hv", "color": colour, "width": 2.5 if study in singles else 1},
            opacity=1.0 if study in singles else 0.45,
            hovertemplate=f"{escaped(study)}: %{{y:.4s}} after %{{x:.3g}} {unit}<extra></extra>",
        )
    figure.update_xaxes(title_text=f"Training time of all workers together ({unit})", rangemode="tozero")
    figure.update_yaxes(
        title_text=f"Hypervolume ({QUALITY_UNITS[info.quality].strip() or 'SSIM'} x {AXES[info.cost]})",
        tickformat="~s",
        rangemode="tozero",
    )
    reference = reference_words(info.cost, info.quality, info.cost_limit, info.floor)
    return legend_below(subtitle(figure, reference, info.protocol, *info.refused))


def _add_band(
    figure: go.Figure, studies: tuple[str, ...], band: pd.DataFrame, colour: str, divisor: float
) -> None:
    x = band["seconds"].to_numpy() / divisor
    for column in ("low", "high"):
        figure.add_scatter(
            x=x,
            y=band[column].to_numpy(),
            mode="lines",
            line={"width": 0},
            fill="tonexty" if column == "high" else None,
            fillcolor=see_through(colour, 0.2),
            hoverinfo="skip",
            showlegend=False,
        )
    name = f"{escaped(listed(studies))}: median and quartiles of {len(studies)} seeds"
    figure.add_scatter(
        x=x, y=band["median"].to_numpy(), mode="lines", name=name, line={"color": colour, "width": 2.8}
    )


def _thin(path: pd.DataFrame) -> pd.DataFrame:
    values = path["hypervolume"].to_numpy()
    kept = np.append(True, values[1:] != values[:-1])
    kept[-1] = True
    return path[kept]

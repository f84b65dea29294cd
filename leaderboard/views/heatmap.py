"""Quality at fixed cost by two axes at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from leaderboard.views.axes import choices_of, pick_axes
from leaderboard.views.show import Show
from leaderboard.views.style import (
    ACCENT,
    AXES,
    QUALITY_UNITS,
    QUALITY_WORDS,
    WARM,
    escaped,
    new_figure,
    nothing,
    subtitle,
)

FEWEST = 5
"""Networks below which a mean says nothing."""
SCALE = ((0.0, WARM), (0.5, "rgba(148,163,184,0.25)"), (1.0, ACCENT))


@dataclass(frozen=True, kw_only=True)
class HeatmapInfo:
    """The mean quality at fixed cost, `means`, and `counts`, by the options of two axes; NaN where none is.

    Rows are options of `axes[1]`, columns those of `axes[0]`.
    """

    axes: tuple[str, ...]
    means: pd.DataFrame
    counts: pd.DataFrame
    networks: int
    cost: str
    quality: str
    protocol: str
    fuller: str = ""


def heatmap_info(frame: pd.DataFrame, show: Show) -> HeatmapInfo:
    """Means over the networks of one protocol, for the two chosen axes or the two that matter most."""
    choices = choices_of(frame, show)
    axes = pick_axes(choices, show, 2) if len(choices.points) >= FEWEST else []
    if len(axes) == 1:  # one was chosen: the one that matters most besides it
        others = pick_axes(choices, Show(study=show.study), len(choices.order))
        axes += [axis for axis in others if axis not in axes][:1]
    means = counts = pd.DataFrame()
    if len(axes) == 2:
        keys = [choices.options[axis].to_numpy() for axis in (axes[1], axes[0])]
        grouped = choices.points["residual"].groupby(keys)
        down, across = (choices.order[axis] for axis in (axes[1], axes[0]))
        means = grouped.mean().unstack().reindex(index=down, columns=across)
        counts = grouped.size().unstack().reindex(index=down, columns=across).fillna(0).astype(int)
    return HeatmapInfo(
        axes=tuple(axes),
        means=means,
        counts=counts,
        networks=len(choices.points),
        cost=show.cost,
        quality=show.quality,
        protocol=choices.protocol,
        fuller=choices.fuller,
    )


def heatmap_figure(info: HeatmapInfo) -> go.Figure:
    """One cell for each pair of options, with its mean and how many networks it rests on."""
    figure = new_figure(f"{QUALITY_WORDS[info.quality]} at fixed cost by two choices")
    if info.means.empty:
        message = (
            f"{info.networks} networks are measured; this view needs {FEWEST} at least{info.fuller}"
            if info.networks < FEWEST
            else "The networks vary fewer than two axes"
        )
        return nothing(subtitle(figure, info.protocol), message)
    means, counts = info.means.to_numpy(dtype=float), info.counts.to_numpy()
    reach = float(np.nanmax(np.abs(means))) or 1.0
    digits = 3 if info.quality == "psnr_db" else 4
    words = [
        ["" if not n else f"{mean:+.{digits}f}<br>n {n:,}" for mean, n in zip(*row, strict=True)]
        for row in zip(means, counts, strict=True)
    ]
    unit = QUALITY_UNITS[info.quality].strip() or "SSIM"
    figure.add_heatmap(
        z=means,
        x=[escaped(option) for option in info.means.columns],
        y=[escaped(option) for option in info.means.index],
        colorscale=SCALE,
        zmid=0,
        zmin=-reach,
        zmax=reach,
        xgap=3,
        ygap=3,
        colorbar={
            "title": {"text": f"{unit} above<br>the mean<br>at this cost"},
            "thickness": 12,
            "outlinewidth": 0,
        },
        hovertemplate=f"{escaped(info.axes[0])} %{{x}}, {escaped(info.axes[1])} %{{y}}: "
        f"%{{z:+.{digits}f}} {unit}<extra></extra>",
        hoverongaps=False,
    )
    filled = list(zip(*np.nonzero(counts), strict=True))
    across, down = list(info.means.columns), list(info.means.index)
    figure.add_scatter(  # in the page's own colour of text, which that of a heatmap is not
        x=[escaped(across[column]) for _, column in filled],
        y=[escaped(down[row]) for row, _ in filled],
        text=[words[row][column] for row, column in filled],
        mode="text",
        hoverinfo="skip",
        showlegend=False,
    )
    figure.update_xaxes(title_text=f"{escaped(info.axes[0])} (option)", type="category", showgrid=False)
    figure.update_yaxes(title_text=f"{escaped(info.axes[1])} (option)", type="category", showgrid=False)
    return subtitle(
        figure,
        f"{info.networks:,} networks; mean above what {AXES[info.cost]} make one expect; n networks a cell",
        info.protocol,
    )

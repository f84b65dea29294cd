"""How chosen networks trained: loss and PSNR over the steps."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from leaderboard.views.points import identity
from leaderboard.views.show import Show
from leaderboard.views.style import SERIES, escaped, new_figure, nothing, protocol_words, subtitle, ticks

MOST_NETWORKS = 8


@dataclass(frozen=True, kw_only=True)
class Line:
    """The curve of one training: rows of step, loss and psnr_db (NaN where not measured on the way)."""

    genotype: str
    seed: int
    name: str
    reached: float
    rows: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class CurvesInfo:
    """The trainings of up to `MOST_NETWORKS` networks, best first; `left_out` counts the other networks.

    `on_the_way` says whether PSNR was measured before the end of any of them.
    """

    lines: tuple[Line, ...]
    left_out: int
    chosen: bool
    on_the_way: bool
    protocol: str


def curves_info(frame: pd.DataFrame, show: Show) -> CurvesInfo:
    """The curves of the chosen networks, of the front where none is chosen; from the source `curves`."""
    rows = frame[frame["genotype"].isin(show.genotypes)] if show.genotypes else frame
    each = rows.drop_duplicates(["genotype", "seed"]).groupby("genotype")["reached_psnr_db"].mean()
    shown = list(each.sort_values(ascending=False).index[:MOST_NETWORKS])
    lines = []
    for genotype in shown:
        for seed, part in rows[rows["genotype"] == genotype].groupby("seed"):
            first = part.iloc[0]
            lines.append(
                Line(
                    genotype=str(genotype),
                    seed=int(seed),
                    name=str(first["name"]) if isinstance(first["name"], str) else str(genotype),
                    reached=float(first["reached_psnr_db"]),
                    rows=part.sort_values("step")[["step", "loss", "psnr_db"]].reset_index(drop=True),
                )
            )
    return CurvesInfo(
        lines=tuple(lines),
        left_out=len(each) - len(shown),
        chosen=bool(show.genotypes),
        on_the_way=any(line.rows["psnr_db"].iloc[:-1].notna().any() for line in lines),
        protocol=protocol_words(rows.iloc[0]) if len(rows) else "",
    )


def curves_figure(info: CurvesInfo) -> go.Figure:
    """Loss over the steps, above it PSNR where it was measured on the way; one colour a network."""
    title = "How networks trained"
    if not info.lines:
        who = "None of the chosen networks has" if info.chosen else "No network of this study has"
        return nothing(subtitle(new_figure(title), info.protocol), f"{who} a curve yet")
    panels = ["psnr_db", "loss"] if info.on_the_way else ["loss"]
    figure = new_figure(
        title, make_subplots(rows=len(panels), cols=1, shared_xaxes=True, vertical_spacing=0.08)
    )
    genotypes = list(dict.fromkeys(line.genotype for line in info.lines))
    for line in info.lines:
        own = [other for other in info.lines if other.genotype == line.genotype]
        colour = SERIES[genotypes.index(line.genotype) % len(SERIES)]
        for row, column in enumerate(panels, start=1):
            _add_line(figure, line, column, colour, own, row=row, col=1)
    losses = pd.concat([line.rows["loss"] for line in info.lines])
    losses = losses[losses > 0]
    marks = ticks(float(losses.min()) / 1.1, float(losses.max()) * 1.1) if len(losses) else []
    figure.update_yaxes(
        title_text="Training loss (log scale)",
        type="log",
        tickvals=marks,
        ticktext=[f"{mark:g}" for mark in marks],
        row=len(panels),
        col=1,
    )
    if info.on_the_way:
        figure.update_yaxes(title_text="PSNR (dB)", row=1, col=1)
    figure.update_xaxes(title_text="Steps (count)", row=len(panels), col=1)
    figure.update_layout(
        legend={"x": 1.01, "xanchor": "left", "y": 1, "yanchor": "top", "font": {"size": 12}}, margin_r=30
    )
    which = "chosen networks" if info.chosen else "networks on the front"
    more = f" (the best {MOST_NETWORKS}; {info.left_out} more)" if info.left_out else ""
    return subtitle(figure, f"{len(genotypes)} {which}{more}, with the PSNR they reached", info.protocol)


def _add_line(figure: go.Figure, line: Line, column: str, colour: str, own: list[Line], **where: int) -> None:
    """One training; the legend names its network once, with the mean over the network's trainings."""
    part = line.rows[line.rows[column].notna()]
    reached = sum(each.reached for each in own) / len(own)
    seeds = f" ({len(own)} seeds)" if len(own) > 1 else ""
    said = "%{y:.2f} dB" if column == "psnr_db" else "loss %{y:.4g}"
    name = escaped(line.name)
    figure.add_scatter(
        x=part["step"].to_numpy(),
        y=part[column].to_numpy(),
        customdata=identity(part.assign(genotype=line.genotype)),
        mode="lines+markers" if len(part) <= 12 else "lines",
        marker={"size": 5},
        line={"color": colour, "width": 1.8},
        name=f"{name}: {reached:.2f} dB{seeds}",
        legendgroup=escaped(line.genotype),
        showlegend=line is own[0] and where["row"] == 1,
        hovertemplate=f"{name}, seed {line.seed}, step %{{x:,}}: {said}<extra></extra>",
        **where,
    )

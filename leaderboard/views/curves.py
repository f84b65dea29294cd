"""How chosen networks trained: loss and PSNR over the steps."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from leaderboard.views.points import identity
from leaderboard.views.show import Show
from leaderboard.views.style import SERIES, escaped, new_figure, nothing, protocol_words, subtitle

MOST_NETWORKS = 8


@dataclass(frozen=True, kw_only=True)
class CurvesInfo:
    """One entry of `lines` a training: genotype, seed, label, reached (PSNR at the end, dB) and its rows.

    The rows have step, loss and psnr_db (NaN where not measured). Best last reached first; `left_out` counts
    networks beyond `MOST_NETWORKS`.
    """

    lines: tuple[Line, ...]
    left_out: int
    chosen: bool
    protocol: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """The curve of one training."""

    genotype: str
    seed: int
    label: str
    reached: float
    rows: pd.DataFrame


def curves_info(frame: pd.DataFrame, show: Show) -> CurvesInfo:
    """The curves of the chosen networks, of the front where none is chosen; from the source `curves`."""
    rows = frame[frame["genotype"].isin(show.genotypes)] if show.genotypes else frame
    reached = rows.groupby("genotype")["reached_psnr_db"].max().sort_values(ascending=False)
    shown = list(reached.index[:MOST_NETWORKS])
    several = rows["seed"].nunique() > 1
    lines = []
    for genotype in shown:
        for seed, part in rows[rows["genotype"] == genotype].groupby("seed"):
            first = part.iloc[0]
            name = first["name"] if isinstance(first["name"], str) else genotype
            lines.append(
                Line(
                    genotype=str(genotype),
                    seed=int(seed),
                    label=f"{name}, seed {seed}" if several else str(name),
                    reached=float(first["reached_psnr_db"]),
                    rows=part.sort_values("step")[["step", "loss", "psnr_db"]].reset_index(drop=True),
                )
            )
    return CurvesInfo(
        lines=tuple(lines),
        left_out=len(reached) - len(shown),
        chosen=bool(show.genotypes),
        protocol=protocol_words(rows.iloc[0]) if len(rows) else "",
    )


def curves_figure(info: CurvesInfo) -> go.Figure:
    """PSNR above where it was measured on the way, loss below, one colour a network."""
    title = "How networks trained"
    if not info.lines:
        who = "None of the chosen networks has" if info.chosen else "No network of this study has"
        return nothing(subtitle(new_figure(title), info.protocol), f"{who} a curve yet")
    grid = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    figure = new_figure(title, grid)
    genotypes = list(dict.fromkeys(line.genotype for line in info.lines))
    dashes = ("solid", "dot", "dash", "dashdot")
    counted: dict[str, int] = {}
    for line in info.lines:
        place = counted[line.genotype] = counted.get(line.genotype, -1) + 1
        style = {
            "color": SERIES[genotypes.index(line.genotype) % len(SERIES)],
            "width": 2,
            "dash": dashes[place % len(dashes)],
        }
        measured = line.rows[line.rows["psnr_db"].notna()]
        if measured.empty:  # only the end was measured
            measured = line.rows.tail(1).assign(psnr_db=line.reached)
        for row, (part, column, said) in enumerate(
            ((measured, "psnr_db", "%{y:.2f} dB"), (line.rows[line.rows["loss"].notna()], "loss", "loss %{y:.4g}")),
            start=1,
        ):
            figure.add_scatter(
                x=part["step"].to_numpy(),
                y=part[column].to_numpy(),
                customdata=identity(part.assign(genotype=line.genotype)),
                mode="lines+markers" if len(part) <= 40 else "lines",
                marker={"size": 6},
                line=style,
                name=f"{escaped(line.label)}: {line.reached:.2f} dB",
                legendgroup=f"{line.genotype} {line.seed}",
                showlegend=row == 1,
                hovertemplate=f"{escaped(line.label)}, step %{{x:,}}: {said}<extra></extra>",
                row=row,
                col=1,
            )
    figure.update_yaxes(title_text="PSNR (dB)", row=1, col=1)
    figure.update_yaxes(title_text="Training loss (log scale)", type="log", row=2, col=1)
    figure.update_xaxes(title_text="Steps (count)", row=2, col=1)
    figure.update_layout(
        legend={"x": 1.01, "xanchor": "left", "y": 1, "yanchor": "top", "font": {"size": 12}}, margin_r=30
    )
    which = "chosen networks" if info.chosen else "networks on the front"
    more = f" (the best {MOST_NETWORKS}; {info.left_out} more)" if info.left_out else ""
    return subtitle(figure, f"{len(genotypes)} {which}{more}", info.protocol)

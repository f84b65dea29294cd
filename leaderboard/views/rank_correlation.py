"""How far one fidelity foretells another: networks trained under both, by rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from leaderboard.fronts.rank_correlation import MOST, best_kept, kendall, spearman
from leaderboard.tables.front import pick_protocol
from leaderboard.views.points import identity
from leaderboard.views.show import Show
from leaderboard.views.style import (
    ACCENT,
    FADED,
    WARM,
    escaped,
    new_figure,
    nothing,
    quality_title,
    quality_words,
    subtitle,
)

FEWEST = 5
"""Networks under both fidelities below which no rank agreement is said."""
MOST_PANELS = 4


@dataclass(frozen=True, kw_only=True)
class FidelityPair:
    """Networks measured under two fidelities: `points` has genotype, first and second (the quality).

    `tau` is Kendall's tau b with a 95 % bootstrap interval over networks, `rho` Spearman's. `kept` is the
    share of the best quarter under the first that is in the best quarter under the second.
    """

    first: str
    second: str
    points: pd.DataFrame
    tau: float
    low: float
    high: float
    rho: float
    kept: float


@dataclass(frozen=True, kw_only=True)
class RankCorrelationInfo:
    """The pairs of fidelities that share networks, those of the chosen protocol first.

    `most` is the largest number of networks that any two fidelities share.
    """

    pairs: tuple[FidelityPair, ...]
    most: int
    quality: str
    protocol: str


def agreement_info(frame: pd.DataFrame, show: Show) -> RankCorrelationInfo:
    """Rank agreement of each two rungs or plans (means over seeds), and of each two seeds of one of them."""
    rows = frame[(frame["study"] == show.study) & frame["psnr_db"].notna() & frame[show.quality].notna()]
    rows = rows.drop_duplicates(["genotype", "seed", "protocol"])
    chosen = pick_protocol(rows, show.protocol) if len(rows) else None
    names = _names(rows)
    columns = {
        names[protocol]: part.groupby("genotype")[show.quality].mean()
        for protocol, part in rows.groupby(rows["protocol"].astype(str))
    }
    seeds: dict[str, pd.Series] = {}
    for seed, part in rows[rows["protocol"] == chosen].groupby("seed"):
        seeds[f"{names[chosen]}, seed {seed}"] = part.set_index("genotype")[show.quality]
    order = [names[protocol] for protocol in _by_length(rows)]
    pairs, most = [], 0
    for table, keys in ((columns, order), (seeds, list(seeds))):
        for first, second in combinations(keys, 2):
            both = pd.concat([table[first], table[second]], axis=1, keys=["first", "second"]).dropna()
            most = max(most, len(both))
            if len(both) >= FEWEST:
                pairs.append(_pair(first, second, both.reset_index(names="genotype")))
    main = names.get(chosen, "")
    pairs.sort(key=lambda pair: (main not in (pair.first, pair.second), -len(pair.points)))
    kinds = rows[["scale", "data", "metric"]].drop_duplicates().sort_values(["scale", "data", "metric"])
    described = list(kinds.itertuples(index=False, name=None))
    return RankCorrelationInfo(
        pairs=tuple(pairs[:MOST_PANELS]),
        most=most,
        quality=show.quality,
        protocol="; ".join(f"x{scale} on {data}, metric {metric}" for scale, data, metric in described),
    )


def _by_length(rows: pd.DataFrame) -> list[str]:
    """The protocols from the shortest training on: rungs in order, re-trainings last."""
    stage = rows["stage"].map({"search": 0, "seeds": 0, "retrain": 1})
    first = rows.assign(late=stage).groupby("protocol")[["late", "rung"]].min()
    return [str(protocol) for protocol in first.sort_values(["late", "rung"]).index]


def _names(rows: pd.DataFrame) -> dict[str | None, str]:
    """What each protocol is called: its plan, with its rung or its id where that is not enough."""
    about = rows.drop_duplicates("protocol").set_index("protocol")
    rungs = rows[rows["stage"] != "retrain"].groupby("protocol")["rung"].min()
    names: dict[str | None, str] = {}
    for protocol, plan in zip(map(str, about.index), about["plan"], strict=True):
        alike = about[about["plan"] == plan]
        name = str(plan)
        if len(alike) > 1:
            name += f" rung {rungs[protocol]}" if protocol in rungs else " re-trained"
        if name in names.values():
            name += f" ({protocol[:6]})"
        names[protocol] = name
    return names


def _pair(first: str, second: str, points: pd.DataFrame) -> FidelityPair:
    x, y = points["first"].to_numpy(dtype=float), points["second"].to_numpy(dtype=float)
    tau, low, high = kendall(x, y)
    return FidelityPair(
        first=first,
        second=second,
        points=points,
        tau=tau,
        low=low,
        high=high,
        rho=spearman(x, y),
        kept=best_kept(x, y),
    )


def agreement_figure(info: RankCorrelationInfo) -> go.Figure:
    """One panel a pair of fidelities: a point a network, and how far the ranks agree."""
    title = "Rank agreement between fidelities"
    if not info.pairs:
        message = (
            "No two rungs, plans or seeds share a network"
            if not info.most
            else f"Two fidelities share {info.most} networks at most; rank agreement needs {FEWEST} at least"
        )
        return nothing(subtitle(new_figure(title), info.protocol), message)
    count = len(info.pairs)
    across = min(count, 2)
    headings = [
        f"<b>&#964; {pair.tau:.2f}</b> [{pair.low:.2f}, {pair.high:.2f}], &#961; {pair.rho:.2f}, "
        f"best quarter kept {pair.kept:.0%}, n {len(pair.points):,}"
        for pair in info.pairs
    ]
    grid = make_subplots(
        rows=math.ceil(count / 2),
        cols=across,
        subplot_titles=headings,
        horizontal_spacing=0.12,
        vertical_spacing=0.2,
    )
    grid.update_annotations(font_size=13)
    figure = new_figure(title, grid)
    for number, pair in enumerate(info.pairs):
        _add_pair(figure, pair, info.quality, row=number // 2 + 1, col=number % 2 + 1)
    subtitle(
        figure,
        "Networks trained under both; Kendall's \u03c4 with 95 % bootstrap interval, Spearman's \u03c1",
        info.protocol,
    )
    tall = 480 if count <= 2 else 760
    return figure.update_layout(margin_t=figure.layout.margin.t + 24, height=tall)


def _add_pair(figure: go.Figure, pair: FidelityPair, quality: str, **where: int) -> None:
    points = pair.points
    if len(points) > 2 * MOST:
        points = points.sample(2 * MOST, random_state=0)
    figure.add_scatter(
        x=points["first"].to_numpy(),
        y=points["second"].to_numpy(),
        mode="markers",
        customdata=identity(points),
        hovertext=[
            f"<b>{escaped(row['genotype'])}</b>"
            f"<br>{escaped(pair.first)}: {quality_words(quality, row['first'])}"
            f"<br>{escaped(pair.second)}: {quality_words(quality, row['second'])}"
            for row in points.to_dict("records")
        ],
        hoverinfo="text",
        marker={
            "size": 8,
            "color": ACCENT if pair.low > 0 else WARM,
            "opacity": 0.7,
            "line": {"width": 0.8, "color": FADED},
        },
        showlegend=False,
        **where,
    )
    unit = quality_title(quality)
    style = {"nticks": 6, "title_font_size": 12, "tickfont_size": 12}
    figure.update_xaxes(title_text=f"{escaped(pair.first)}, {unit}", **style, **where)
    figure.update_yaxes(title_text=f"{escaped(pair.second)}, {unit}", **style, **where)

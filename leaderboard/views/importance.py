"""Which choices matter at fixed cost: permutation importance of a model on networks it has not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from leaderboard.views.axes import choices_of
from leaderboard.views.show import Show
from leaderboard.views.style import (
    ACCENT,
    AXES,
    FADED,
    INK,
    QUALITY_WORDS,
    escaped,
    new_figure,
    nothing,
    subtitle,
)

FEWEST = 25
"""Networks below which nothing is said."""
MOST = 800
"""Networks that the model is fitted to; of more, so many are drawn at random (always the same ones)."""
FOLDS, SHUFFLES, DRAWS = 5, 20, 1000
PENALTIES = 10.0 ** np.arange(-3, 4)


@dataclass(frozen=True, kw_only=True)
class ImportanceInfo:
    """What each axis says of the quality at fixed cost.

    `axes`: axis, importance, low, high (95 % interval) and options, most important first. The importance is
    how much the squared error on networks that the model was not fitted to grows when the axis alone is
    shuffled among them, as a share of the residuals' variance (1 means: all of it). The interval is a
    bootstrap over the networks, the fitted model kept. `skill` is the share of the residuals' variance that
    the model foretells (R squared, below 0 when it foretells nothing), `explained` what cost explains alone.
    `networks` is how many there are, `used` how many the model was fitted to.
    """

    axes: pd.DataFrame
    skill: float
    explained: float
    networks: int
    used: int
    cost: str
    quality: str
    protocol: str
    fuller: str = ""


def importance_info(frame: pd.DataFrame, show: Show) -> ImportanceInfo:
    """The importance of every axis that the networks of one protocol vary; none below `FEWEST` networks."""
    choices = choices_of(frame, show)
    axes = list(choices.options.columns)
    wanted = [axis.replace("_", " ") for axis in show.axes]
    count = len(choices.points)
    used = np.arange(count)
    if count > MOST:
        used = np.sort(np.random.default_rng(0).choice(count, MOST, replace=False))
    rows = pd.DataFrame(columns=["axis", "importance", "low", "high", "options"])
    skill = float("nan")
    if count >= FEWEST and axes:
        codes = np.column_stack([pd.factorize(choices.options[axis])[0][used] for axis in axes])
        residual = choices.points["residual"].to_numpy(dtype=float)[used]
        skill, growth = permutation_importance(codes, residual)
        low, high = _interval(growth)
        rows = pd.DataFrame(
            {
                "axis": axes,
                "importance": growth.mean(axis=0),
                "low": low,
                "high": high,
                "options": [len(choices.order[axis]) for axis in axes],
            }
        )
        rows = rows.sort_values(["importance", "axis"], ascending=[False, True], ignore_index=True)
        rows = rows[rows["axis"].isin(wanted)].reset_index(drop=True) if wanted else rows
    return ImportanceInfo(
        axes=rows,
        skill=skill,
        explained=choices.explained,
        networks=count,
        used=len(used),
        cost=show.cost,
        quality=show.quality,
        protocol=choices.protocol,
        fuller=choices.fuller,
    )


def permutation_importance(
    codes: NDArray[np.int64], target: NDArray[np.float64], *, seed: int = 0
) -> tuple[float, NDArray[np.float64]]:
    """R squared on unseen rows, and what shuffling each axis adds to each row's squared error, (n, axes).

    `codes` (n, axes) numbers the options, `target` (n,) is what is foretold. Kernel ridge regression, in
    which two networks are alike by the axes and by the pairs of axes on which they agree: the same as ridge
    regression on an indicator of every option and of every pair of options. Fitted to four fifths of the rows
    and asked about the last, five times; its penalty is chosen by leaving one out within the four fifths.
    The second answer is in shares of the target's variance.
    """
    draw = np.random.default_rng(seed)
    count, axes = codes.shape
    fold = draw.permutation(np.arange(count) % FOLDS)
    variance = float(target.var()) or 1.0
    errors = np.zeros(count)
    growth = np.zeros((count, axes))
    for number in range(FOLDS):
        seen, asked = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        mean = target[seen].mean()
        weights = _fit(_alike(_agreements(codes[seen], codes[seen]).sum(axis=0), axes), target[seen] - mean)
        agree = _agreements(codes[asked], codes[seen])
        whole = agree.sum(axis=0)
        answer = _alike(whole, axes) @ weights + mean
        errors[asked] = (target[asked] - answer) ** 2
        for axis in range(axes):
            for _ in range(SHUFFLES):
                shuffled = whole - agree[axis] + agree[axis][draw.permutation(len(asked))]
                wrong = (target[asked] - (_alike(shuffled, axes) @ weights + mean)) ** 2
                growth[asked, axis] += (wrong - errors[asked]) / (SHUFFLES * variance)
    return 1.0 - float(errors.mean()) / variance, growth


def _agreements(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """(axes, n, m): 1 where two networks have the same option of an axis."""
    return np.stack([a[:, None] == b[None] for a, b in zip(first.T, second.T, strict=True)]).astype(
        np.float64
    )


def _alike(agreements: NDArray[np.float64], axes: int) -> NDArray[np.float64]:
    """The kernel: the share of axes, and the share of pairs of axes, on which two networks agree."""
    pairs = axes * (axes - 1) / 2
    both = agreements * (agreements - 1) / 2
    return agreements / axes + (both / pairs if pairs else 0.0)


def _fit(kernel: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weights of kernel ridge regression under the penalty with the least leave-one-out error."""
    values, vectors = np.linalg.eigh(kernel)
    turned = vectors.T @ target
    best, least = np.zeros_like(target), np.inf
    for penalty in PENALTIES:
        inverse = 1.0 / (np.maximum(values, 0.0) + penalty)
        weights = vectors @ (inverse * turned)
        left_out = weights / ((vectors**2) @ inverse)
        error = float((left_out**2).mean())
        if error < least:
            best, least = weights, error
    return best


def _interval(growth: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """The 2.5 % and 97.5 % quantiles, (2, axes), of the mean over networks drawn anew."""
    draw = np.random.default_rng(seed)
    counts = draw.multinomial(len(growth), np.full(len(growth), 1 / len(growth)), size=DRAWS)
    means = counts @ growth / len(growth)
    return np.quantile(means, (0.025, 0.975), axis=0)


def importance_figure(info: ImportanceInfo) -> go.Figure:
    """One bar an axis with its interval; faded when the model foretells nothing."""
    figure = new_figure(f"What matters for {QUALITY_WORDS[info.quality]} at fixed cost")
    if info.axes.empty:
        if info.networks < FEWEST:
            message = (
                f"{info.networks} networks are measured; importance needs {FEWEST} at least{info.fuller}"
            )
        else:
            message = "All networks made the same choices"
        return nothing(subtitle(figure, info.protocol), message)
    foretold = info.skill > 0
    rows = info.axes
    figure.add_bar(
        x=rows["importance"].to_numpy(),
        y=[escaped(axis) for axis in rows["axis"]],
        orientation="h",
        marker={"color": ACCENT if foretold else FADED, "cornerradius": 3},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": (rows["high"] - rows["importance"]).to_numpy(),
            "arrayminus": (rows["importance"] - rows["low"]).to_numpy(),
            "thickness": 1.4,
            "color": INK,
            "width": 4,
        },
        customdata=rows[["low", "high", "options"]].to_numpy(),
        hovertemplate="%{y}: %{x:.3f} (95 % interval %{customdata[0]:.3f} to %{customdata[1]:.3f}), "
        "%{customdata[2]} options<extra></extra>",
    )
    figure.update_yaxes(
        autorange="reversed", showgrid=False, ticksuffix="  ", title_text="Axis of the space (name)"
    )
    figure.update_xaxes(title_text="Growth of the squared error when shuffled (share of variance)")
    rests = f"{info.networks:,} networks" + (
        f", {info.used:,} of them drawn" if info.used < info.networks else ""
    )
    said = (
        f"a model of choices and their pairs foretells {info.skill:.0%} of the rest on unseen networks"
        if foretold
        else "a model of choices foretells nothing of the rest: read no importance from these bars"
    )
    return subtitle(
        figure,
        f"{rests}; {AXES[info.cost]} alone explain {info.explained:.0%} of the variance; {said}",
        f"{info.protocol}; intervals: bootstrap over networks, 95 %",
    )

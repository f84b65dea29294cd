"""The front as a picture for a README or a paper."""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from leaderboard.errors import LeaderboardError
from leaderboard.tables.front import amount
from leaderboard.views import (
    FrontInfo,
    Show,
    budget_words,
    cost_range,
    cost_title,
    front_info,
    front_title,
    front_words,
    name_places,
    psnr_range,
    quality_title,
    quality_words,
    ticks,
)

INK, SOFT, FADED, ACCENT, WARM = "#1e293b", "#64748b", "#94a3b8", "#0d9488", "#b45309"
LEFT = 0.115  # where the axes and the headings begin, as a fraction of the width
STYLE: Any = {
    "axes.labelcolor": INK,
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "text.parse_math": False,
    "text.color": INK,
}


def save_front_png(frame: pd.DataFrame, path: str | Path, show: Show, *, dpi: int = 200) -> Path:
    """Writes the front of `show` as a PNG of 8 by 5 inches (1600 x 1000 pixels at 200 dpi); returns its path.

    The file is there whole or not at all. Raises `LeaderboardError` when nothing was measured.
    """
    info = front_info(frame, show)
    if info.points.empty:
        raise LeaderboardError(f"run {show.study!r} has no measured network to draw")
    target = Path(path)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 5), dpi=dpi, facecolor="white")
        canvas = FigureCanvasAgg(figure)
        _draw(figure, info)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(suffix=".png", prefix=f".{target.name}-", dir=target.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    canvas.print_png(file)
                Path(name).chmod(0o644)
                Path(name).replace(target)
            except BaseException:
                with contextlib.suppress(FileNotFoundError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise LeaderboardError(f"{target}: cannot be written ({error.strerror or error})") from error
    return target


def _draw(figure: Figure, info: FrontInfo) -> None:
    height = 0.665 if info.calibration else 0.7  # a third line above it
    axes = figure.add_axes((LEFT, 0.125, 0.97 - LEFT, height))
    axes.set_xscale("log")
    axes.set_xlim(*cost_range(info))
    axes.set_ylim(*psnr_range(info))
    _points(axes, info)
    _reference_lines(axes, info)
    _names(axes, info)
    axes.xaxis.set_major_locator(FixedLocator(ticks(*cost_range(info))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: amount(value).replace(".0", "")))
    axes.set_xlabel(cost_title(info.cost), labelpad=7)
    axes.set_ylabel(quality_title(info.quality), labelpad=7)
    axes.grid(color="#e2e8f0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, length=0, pad=6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#cbd5e1")
    figure.text(LEFT, 0.94, front_title(info), fontsize=16, fontweight="bold")
    said, how, *trust = front_words(info)
    figure.text(LEFT, 0.9, f"{info.study}: {said}", fontsize=10.5, color=SOFT)
    figure.text(LEFT, 0.865, how, fontsize=10.5, color=SOFT)
    for line in trust:
        figure.text(LEFT, 0.83, line, fontsize=10.5, color=SOFT)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.01, 0.78 / height),
        ncols=3,
        frameon=False,
        fontsize=10,
        columnspacing=1.2,
        handletextpad=0.5,
    )


def _points(axes: Axes, info: FrontInfo) -> None:
    """Dominated networks, the front, and standard deviations where there are several seeds."""
    others, front, y = info.points[~info.points["on_front"]], info.front, info.quality
    axes.scatter(others[info.cost], others[y], s=26, color=FADED, alpha=0.45, linewidths=0, label="dominated")
    axes.plot(
        front[info.cost],
        front[y],
        drawstyle="steps-post",
        color=ACCENT,
        linewidth=2,
        marker="o",
        markersize=7.5,
        markeredgecolor="white",
        markeredgewidth=1.1,
        label="Pareto front",
        zorder=3,
    )
    several = info.points[info.points[f"{y}_sd"].notna()]
    if len(several):
        axes.errorbar(
            several[info.cost],
            several[y],
            yerr=several[f"{y}_sd"],
            fmt="none",
            ecolor=ACCENT,
            elinewidth=1.3,
            zorder=2.5,
        )


def _reference_lines(axes: Axes, info: FrontInfo) -> None:
    bottom, top = axes.get_ylim()
    left, right = axes.get_xlim()
    if info.limit:
        axes.axvline(info.limit, color=WARM, linestyle=(0, (5, 3)), linewidth=1.4)
        axes.text(
            info.limit * (right / left) ** 0.008,  # beyond the line, where no network can be
            top - 0.02 * (top - bottom),
            budget_words(info),
            color=WARM,
            rotation=90,
            ha="left",
            va="top",
            fontsize=10.5,
        )
    bicubic = info.bicubic
    if bicubic is None:
        return
    if not bottom <= bicubic <= top:
        return  # the heading says where it lies
    axes.axhline(bicubic, color=SOFT, linestyle=":", linewidth=1.6)
    axes.text(
        left * (right / left) ** 0.01,
        bicubic + 0.012 * (top - bottom),
        f"bicubic {quality_words(info.quality, bicubic)}",
        color=SOFT,
        ha="left",
        va="bottom",
        fontsize=10.5,
    )


def _names(axes: Axes, info: FrontInfo) -> None:
    named = info.named
    if named.empty:
        return
    x, y = named[info.cost].astype(float), named[info.quality]
    axes.scatter(
        x, y, marker="D", s=46, color=WARM, edgecolors="white", linewidths=1, zorder=4, label="published"
    )
    low, high = (math.log10(value) for value in cost_range(info))
    texts = [str(name) for name in named["name"]]
    places = name_places(x.map(math.log10), y, texts, ranges=((low, high), psnr_range(info)))
    for left, bottom, text, place in zip(x, y, texts, places, strict=True):
        if place is None:
            continue
        up, along = place.split()
        axes.annotate(
            text,
            (left, bottom),
            xytext=({"left": -7, "center": 0, "right": 7}[along], {"top": 7, "middle": 0, "bottom": -7}[up]),
            textcoords="offset points",
            ha={"left": "right", "center": "center", "right": "left"}[along],
            va={"top": "bottom", "middle": "center", "bottom": "top"}[up],
            fontsize=10.5,
        )

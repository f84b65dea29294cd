"""Points of networks in a figure: what hovering over one says, which are drawn, where their names stand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from leaderboard.tables.front import RUNTIME_NAMES, amount
from leaderboard.views.style import AXES, cost_words, escaped, quality_words

LIGHT = 2000
"""Points up to which a figure is drawn as SVG, sharp at every zoom; beyond, by the graphics card."""

CELLS = (220, 110)
"""Of the grid that thins a cloud, across and up: one point of each cell is drawn."""

_SIDES = ("top center", "bottom center", "middle right", "middle left", "top right", "top left")
_LETTER = (6.6, 14.0)  # width and height of a letter of a name, in pixels
_PLOT = (720.0, 250.0)  # the axes of a figure on a common page, in pixels


def hover(point: Mapping[Any, Any]) -> str:
    """What is said of a row of `networks`: its choices in plain words, quality, costs, seeds, device."""
    name = point.get("name")
    lines = [
        f"<b>{escaped(point['genotype'])}</b>{f' ({escaped(name)})' if isinstance(name, str) else ''}",
        *_folded(str(point["words"])),
        f"PSNR {_with_spread(point, 'psnr_db', 2)} dB ({point['gain_db']:+.2f} over bicubic)",
        f"SSIM {_with_spread(point, 'ssim', 4)}",
        f"{amount(point['params'])} parameters",
        f"{amount(point['multi_adds'], ' ')} Multi-Adds",
        f"{amount(point['conv_multi_adds'], ' ')} Multi-Adds in convolutions",
    ]
    lines += [
        f"{AXES[cost].split(' (')[0]} {cost_words(cost, point[cost])}"
        for cost in RUNTIME_NAMES
        if _known(point.get(cost))
    ]
    if _known(point.get("membership")) and point.get("seeds", 1) > 1:
        lines.append(f"on the front in {point['membership']:.0%} of draws over its seeds")
    lines.append(f"seed {escaped(point['seed_numbers'])}, {escaped(point['device'])}")
    return "<br>".join(lines)


def brief(point: Mapping[Any, Any], quality: str) -> str:
    """The least that is said of a network, where very many points say it: its id and its quality."""
    name = point.get("name")
    known = f" ({escaped(name)})" if isinstance(name, str) else ""
    return f"<b>{escaped(point['genotype'])}</b>{known}<br>{quality_words(quality, point[quality])}"


def _with_spread(point: Mapping[Any, Any], quality: str, digits: int) -> str:
    spread = point.get(f"{quality}_sd")
    said = f"{point[quality]:.{digits}f}"
    return f"{said} &plusmn; {spread:.{digits}f}" if _known(spread) else said


def _known(value: Any) -> bool:
    return isinstance(value, int | float) and not math.isnan(value)


def _folded(text: str, width: int = 64) -> list[str]:
    lines, line = [], ""
    for part in text.split(", "):
        if line and len(line) + len(part) > width:
            lines.append(line + ",")
            line = part
        else:
            line = f"{line}, {part}" if line else part
    return [escaped(each) for each in [*lines, line]]


def identity(points: pd.DataFrame) -> list[list[str]]:
    """The points' `customdata`: the genotype's id first, so that a click can be resolved.

    Escaped like all text: ids of ours are digits and letters, which stay as they are.
    """
    return [[escaped(genotype, None)] for genotype in points["genotype"]]


def thinned(cost: ArrayLike, quality: ArrayLike) -> NDArray[np.bool_]:
    """True for the points to draw: all of up to `LIGHT`, else the best one of each cell of a grid.

    `cost` and `quality` are (n,). The cells are even over log cost and over quality, so that the cloud keeps
    its outline.
    """
    x = np.log10(np.maximum(np.asarray(cost, dtype=np.float64), 1e-12))
    y = np.asarray(quality, dtype=np.float64)
    kept = np.ones(len(x), dtype=bool)
    if len(x) <= LIGHT:
        return kept
    cells = [
        np.floor((values - values.min()) / (np.ptp(values) or 1.0) * (count - 1)).astype(np.int64)
        for values, count in zip((x, y), CELLS, strict=True)
    ]
    order = np.argsort(-y, kind="stable")
    _, first = np.unique((cells[0] * CELLS[1] + cells[1])[order], return_index=True)
    kept[:] = False
    kept[order[first]] = True
    return kept


def name_places(
    x: ArrayLike, y: ArrayLike, names: Sequence[str], *, ranges: tuple[tuple[float, float], ...]
) -> list[str | None]:
    """Where each name stands beside its point so that none covers another name or another named point.

    `x` (already in log10 on such an axis) and `y` are (n,), `ranges` what the two axes span. A position of
    plotly's, or None for a name that finds no room.
    """
    at = [
        [(value - low) / ((high - low) or 1.0) * size for value in np.asarray(values, dtype=np.float64)]
        for values, (low, high), size in zip((x, y), ranges, _PLOT, strict=True)
    ]
    spots = list(zip(*at, strict=True))
    taken = [(left - 5, bottom - 5, left + 5, bottom + 5) for left, bottom in spots]
    places: list[str | None] = []
    for number, (spot, name) in enumerate(zip(spots, names, strict=True)):
        others = taken[:number] + taken[number + 1 :]
        found = next((side for side in _SIDES if _free(_box(spot, name, side), others)), None)
        places.append(found)
        if found is not None:
            taken.append(_box(spot, name, found))
    return places


def _box(spot: tuple[float, float], name: str, side: str) -> tuple[float, float, float, float]:
    width, height = len(name) * _LETTER[0], _LETTER[1]
    up, along = side.split()
    x = spot[0] + {"center": -width / 2, "right": 7.0, "left": -width - 7.0}[along]
    y = spot[1] + {"top": 7.0, "bottom": -height - 7.0, "middle": -height / 2}[up]
    return x, y, x + width, y + height


def _free(box: tuple[float, ...], taken: Sequence[tuple[float, ...]]) -> bool:
    if box[0] < 0 or box[2] > _PLOT[0] or box[1] < 0 or box[3] > _PLOT[1]:
        return False
    return not any(
        box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3] for other in taken
    )

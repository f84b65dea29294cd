"""A front as a small chart of plain characters, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from leaderboard.errors import LeaderboardError

MEMBER, OTHER, EDGE = "*", ".", "-"
"""A network on the front, one that is not, and the step that the front makes between its networks."""

WIDTH, HEIGHT = 80, 18
LEAST_WIDTH, LEAST_HEIGHT = 30, 6


def front_chart(
    cost: Sequence[float],
    psnr_db: Sequence[float],
    member: Sequence[bool],
    *,
    cost_name: str = "cost",
    width: int = WIDTH,
    height: int = HEIGHT,
) -> str:
    """PSNR (upwards, dB) over cost (to the right, logarithmic), at most `width` characters a line.

    `*` is a network on the front, `.` any other one, `-` what the front reaches between its networks. Those
    with a cost or PSNR that is not finite, or a cost that is not positive, are left out. `height` lines are
    the drawing, and three more say what it shows. Raises `LeaderboardError` for less than 30x6 characters,
    and ValueError where the lengths disagree.
    """
    if width < LEAST_WIDTH or height < LEAST_HEIGHT:
        raise LeaderboardError(
            f"a chart of {width}x{height} characters; it takes at least {LEAST_WIDTH}x{LEAST_HEIGHT}"
        )
    points = [
        (math.log10(c), float(q), bool(m))
        for c, q, m in zip(cost, psnr_db, member, strict=True)
        if math.isfinite(c) and math.isfinite(q) and c > 0
    ]
    if not points:
        return "no networks to draw yet"
    left, right = _spread([point[0] for point in points], 0.05)
    low, high = _spread([point[1] for point in points], 0.05)
    labels = _labels(low, high, height)
    margin = max(map(len, labels))
    columns = width - margin - 2
    grid = [[" "] * columns for _ in range(height)]

    def place(x: float, y: float) -> tuple[int, int]:
        row = round((high - y) / (high - low) * (height - 1))
        return row, round((x - left) / (right - left) * (columns - 1))

    _draw_front(grid, [place(x, y) for x, y, on_front in sorted(points) if on_front])
    for on_front, mark in ((False, OTHER), (True, MEMBER)):
        for x, y, is_member in points:
            if is_member is on_front:
                row, column = place(x, y)
                grid[row][column] = mark
    lines = [f"{label:>{margin}} |{''.join(row)}".rstrip() for label, row in zip(labels, grid, strict=True)]
    foot = _foot(10**left, 10**right, columns)
    head = f"PSNR (dB) over {cost_name}: {MEMBER} on the front, {OTHER} beaten"
    return "\n".join(
        [head[:width], *lines, f"{'':>{margin}} +{'-' * columns}", f"{'':>{margin}}  {foot}".rstrip()]
    )


def _spread(values: Sequence[float], least: float) -> tuple[float, float]:
    """The least and the greatest value, at least `least` apart."""
    low, high = min(values), max(values)
    missing = max(0.0, least - (high - low)) / 2
    return low - missing, high + missing


def _labels(low: float, high: float, height: int) -> list[str]:
    """A decibel value at the top, at the bottom and at some lines between."""
    every = max(2, (height - 1) // 4)
    shown = {row for row in range(0, height, every) if height - 1 - row >= every} | {0, height - 1}
    step = (high - low) / (height - 1)
    return [f"{high - row * step:.2f}" if row in shown else "" for row in range(height)]


def _draw_front(grid: list[list[str]], members: Sequence[tuple[int, int]]) -> None:
    """The steps: what a budget buys between one network of the front and the next costlier one."""
    ends = [*(column for _, column in members), len(grid[0])][1:] if members else []
    for (row, column), end in zip(members, ends, strict=True):
        for between in range(column, end):
            grid[row][between] = EDGE


def _foot(least: float, most: float, columns: int) -> str:
    """The costs at both ends and in the middle."""
    texts = [_amount(value) for value in (least, math.sqrt(least * most), most)]
    middle = (columns - len(texts[1])) // 2
    line = texts[0].ljust(middle) + texts[1]
    return line.ljust(columns - len(texts[2])) + texts[2]


def _amount(value: float) -> str:
    """Three digits and a letter: 285 K, 12.4 G."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")):
        if value >= size * 0.9995:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"

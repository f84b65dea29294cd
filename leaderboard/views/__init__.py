"""What the results show, as figures: a pure function that gathers the numbers, and one that draws them.

Another view is such a pair and one line in `VIEWS`. Text that a user chose is escaped before it is drawn.
"""

from __future__ import annotations

from typing import Any

from leaderboard.views.front import (
    FrontInfo,
    budget_words,
    cost_range,
    front_figure,
    front_info,
    psnr_range,
)
from leaderboard.views.progress import HistoryInfo, history_figure, history_info
from leaderboard.views.rejects import RejectsInfo, rejects_figure, rejects_info
from leaderboard.views.show import Show, View, budget_of
from leaderboard.views.style import (
    ACCENT,
    FADED,
    FONT,
    GRID,
    INK,
    SETTINGS,
    WARM,
    escaped,
    protocol_words,
    ticks,
)

__all__ = [
    "ACCENT",
    "FADED",
    "FONT",
    "GRID",
    "INK",
    "SETTINGS",
    "VIEWS",
    "WARM",
    "FrontInfo",
    "HistoryInfo",
    "RejectsInfo",
    "Show",
    "View",
    "budget_of",
    "budget_words",
    "cost_range",
    "escaped",
    "front_figure",
    "front_info",
    "history_figure",
    "history_info",
    "protocol_words",
    "psnr_range",
    "rejects_figure",
    "rejects_info",
    "ticks",
]

VIEWS: dict[str, View[Any]] = {
    "front": View(
        "PSNR against cost",
        front_info,
        front_figure,
        about="Which networks no other one beats in both quality and cost.",
    ),
    "history": View(
        "Progress of the search",
        history_info,
        history_figure,
        about="Best PSNR and hypervolume after each measured candidate.",
    ),
    "rejects": View(
        "Proposals over budget",
        rejects_info,
        rejects_figure,
        about="How many proposals were over each limit, and by how much.",
    ),
}

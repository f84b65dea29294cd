"""What a view is, and what it is asked to show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import pandas as pd
import plotly.graph_objects as go

from leaderboard.errors import LeaderboardError, unknown_name
from leaderboard.tables.front import COST_NAMES, QUALITY_NAMES, RUNTIME_NAMES


@dataclass(frozen=True, kw_only=True)
class Show:
    """What to show: a study, one of its protocols (None: the one most searched with), and both axes.

    `cost` is one of `COST_NAMES` or `RUNTIME_NAMES`, `quality` one of `QUALITY_NAMES`. `budget` maps a cost
    to its limit, in the units of the frame. `studies` are others to compare with, `genotypes` the chosen
    networks, `axes` the chosen axes of their choices (none: the view chooses). `benchmark` and `scale` name
    a benchmark set; None takes the one with most numbers. `near` shows the reported networks within this
    factor of a measured one in cost (`leaderboard.tables.window.ALL`: all of them); None shows about a dozen,
    the nearest. Raises `LeaderboardError` for an unknown cost or quality.
    """

    study: str
    protocol: str | None = None
    cost: str = "multi_adds"
    budget: Mapping[str, float] = field(default_factory=dict)
    studies: tuple[str, ...] = ()
    quality: str = "psnr_db"
    genotypes: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    benchmark: str | None = None
    scale: int | None = None
    near: float | None = None

    def __post_init__(self) -> None:
        if self.cost not in COST_NAMES | RUNTIME_NAMES:
            raise LeaderboardError(unknown_name("cost", self.cost, COST_NAMES | RUNTIME_NAMES))
        if self.quality not in QUALITY_NAMES:
            raise LeaderboardError(unknown_name("quality", self.quality, QUALITY_NAMES))


Info = TypeVar("Info")


@dataclass(frozen=True)
class View(Generic[Info]):
    """A view: `info` gathers what is shown, `figure` draws it, a call does both.

    `source` is the frame that it needs, by its name in `leaderboard.sources.SOURCES`; `about` says in one
    sentence what it shows.
    """

    title: str
    info: Callable[[pd.DataFrame, Show], Info]
    figure: Callable[[Info], go.Figure]
    source: str = "trials"
    about: str = ""

    def __call__(self, frame: pd.DataFrame, show: Show) -> go.Figure:
        """The figure of `show` in a frame of its source."""
        return self.figure(self.info(frame, show))


def budget_of(recipe: Mapping[str, Any]) -> dict[str, float]:
    """The limits of a recipe that are costs of a view; empty when it sets none.

    Its `memory` is computed, not measured, so that it is no limit of `memory_bytes`.
    """
    limits = recipe.get("budget") or {}
    known = (*COST_NAMES, "latency_ms")
    return {cost: float(limits[cost]) for cost in known if isinstance(limits.get(cost), int | float)}

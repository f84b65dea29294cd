"""From the store to the frame that a view needs, and from there to its figure.

Another source is a function of a store and a `Show`, and one line in `SOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go

from leaderboard.errors import LeaderboardError, unknown_name
from leaderboard.store import Store
from leaderboard.views import VIEWS, Show


def trials(store: Store, show: Show) -> pd.DataFrame:
    """The trials of the study and of those to compare it with: `Store.frame`."""
    names = dict.fromkeys((show.study, *show.studies))
    return pd.concat([store.frame(name) for name in names], ignore_index=True)


SOURCES: dict[str, Callable[[Store, Show], pd.DataFrame]] = {
    "trials": trials,
}


def draw(store: Store, show: Show, name: str) -> go.Figure:
    """The figure of the view `name`. Raises `LeaderboardError` for an unknown view or study."""
    if name not in VIEWS:
        raise LeaderboardError(unknown_name("view", name, VIEWS))
    view = VIEWS[name]
    return view(SOURCES[view.source](store, show), show)

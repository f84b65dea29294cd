"""The results as the page needs them: read once, kept until something happens in the study."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import pandas as pd

from leaderboard.fronts.pareto import pareto_mask
from leaderboard.page.query import Query, count
from leaderboard.sources import SOURCES
from leaderboard.store import Store
from leaderboard.tables.front import RUNTIME_NAMES, main_protocol, networks
from leaderboard.views import VIEWS, Show, budget_of

Value = TypeVar("Value")
MOST_KEPT = 24
"""How many frames are kept; the one looked at longest ago goes first."""


class Kept:
    """What was read before: values under keys that name the last event they saw. Safe among threads."""

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._values: OrderedDict[Any, Any] = OrderedDict()

    def value(self, key: Any, make: Callable[[], Value]) -> Value:
        """The value under `key`; made now, by one thread or by several at once, where it is not there."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                found: Value = self._values[key]
                return found
        made = make()
        with self._lock:
            self._values[key] = made
            while len(self._values) > self._most:
                self._values.popitem(last=False)
        return made


class CachedStore(Store):
    """The store, opened for one request; its frames are `kept` from request to request.

    Nobody may change a frame that it gives.
    """

    def __init__(self, url: str, kept: Kept) -> None:
        super().__init__(url, read_only=True)
        self.kept = kept

    def frame(
        self, study: str | Sequence[str] | None = None, columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """As `Store.frame`; of one study with all its columns it is kept."""
        if not isinstance(study, str) or columns is not None:
            return super().frame(study, columns)
        read = super().frame
        return self.kept.value(("frame", study, self.last_event(study)), lambda: read(study))


def show_of(store: Store, query: Query) -> Show:
    """What the views are asked for; the networks looked at come before those put aside.

    Raises `UnknownStudyError`, and `LeaderboardError` for a cost that is no number.
    """
    assert query.study is not None
    return Show(
        study=query.study,
        studies=tuple(name for name in query.others if name != query.study),
        protocol=query.protocol,
        cost=query.cost,
        quality=query.quality,
        budget=budget_of(store.study(query.study).recipe),
        genotypes=query.opened or query.chosen,
    )


def source_frame(store: CachedStore, query: Query, view: str) -> tuple[pd.DataFrame, Show]:
    """The frame of `view` with what the filters leave, and what to show of it.

    Raises `LeaderboardError`, as the source does.
    """
    show, source = show_of(store, query), VIEWS[view].source
    key = ("source", source, _stamps(store, show), replace(show, budget={}), tuple(show.budget.items()))
    frame = store.kept.value(str(key), lambda: SOURCES[source](store, show))
    # Other sources have rows that are no networks: their costs are those of parts, or of other people's.
    return filtered(frame, query) if source == "trials" else frame, show


def _stamps(store: CachedStore, show: Show) -> tuple[int, ...]:
    own = (store.last_event(name) for name in (show.study, *show.studies))
    return *own, store.last_calibration()  # which is another study's


def filtered(frame: pd.DataFrame, query: Query) -> pd.DataFrame:
    """The rows within the range of costs and with one of the wanted options on each axis.

    What has no such column is not filtered by it. Raises `LeaderboardError` for a bound that is no number.
    """
    keep = pd.Series(True, index=frame.index)
    low, high = count(query.low), count(query.high)
    if query.cost in frame:
        if low is not None:
            keep &= frame[query.cost] >= low
        if high is not None:
            keep &= frame[query.cost] <= high
    if query.filters and "choices" in frame:
        wanted: dict[str, set[str]] = {}
        for text in query.filters:
            wanted.setdefault(text.partition("=")[0], set()).add(text.partition("=")[2])
        for axis, options in wanted.items():
            fits = [axis in each and str(each[axis]) in options for each in frame["choices"]]
            keep &= pd.Series(fits, index=frame.index)
    return frame if keep.all() else frame[keep]


def protocols_of(frame: pd.DataFrame) -> list[dict[str, str]]:
    """The protocols under which `frame` has results, most results first, as options of a control."""
    measured = frame[frame["psnr_db"].notna()]
    counts = measured["protocol"].value_counts()
    firsts = {row["protocol"]: row for row in measured.drop_duplicates("protocol").to_dict("records")}
    return [
        {
            "value": str(name),
            "label": "{plan} on {data}, x{scale}, {metric}".format_map(firsts[name]) + f" ({number} results)",
        }
        for name, number in counts.items()
    ]


def protocol_to_show(frame: pd.DataFrame, wanted: str | None) -> str | None:
    """`wanted` where the study has results under it, else the one it was most searched with."""
    known = set(frame.loc[frame["psnr_db"].notna(), "protocol"])
    return wanted if wanted in known else main_protocol(frame)


def options_of(frame: pd.DataFrame) -> list[dict[str, str]]:
    """Every option that some network of `frame` has, as options of a control: `axis=option`."""
    found: dict[str, set[Any]] = {}
    for choices in frame.drop_duplicates("genotype")["choices"]:
        for axis, option in choices.items():
            if option is None or isinstance(option, str | int | float):
                found.setdefault(axis, set()).add(option)
    return [
        {"value": f"{axis}={option}", "label": f"{axis.replace('_', ' ')}: {option}"}
        for axis, options in found.items()
        for option in sorted(options, key=lambda each: (isinstance(each, str), each is None, each or 0))
    ]


def networks_of(store: CachedStore, query: Query) -> pd.DataFrame:
    """The networks of the studies looked at under the one protocol, with what the filters leave.

    Columns of `networks` and study, choices, name, on_front (in its own study): the front first, then by
    the chosen quality, best first.
    """
    show = replace(show_of(store, query), genotypes=())
    frame, _ = source_frame(
        store, Query(study=show.study, others=show.studies, protocol=show.protocol), "front"
    )
    tables = [
        store.kept.value(
            ("networks", name, store.last_event(name), show.protocol),
            partial(_networks, frame, name, show.protocol),
        )
        for name in (show.study, *show.studies)
    ]
    shown = [_with_front(filtered(table, query), query) for table in tables]
    found = pd.concat([table for table in shown if len(table)] or shown[:1], ignore_index=True)
    order = ["on_front", query.quality, "genotype"]
    return found.sort_values(order, ascending=[False, False, True], ignore_index=True)


def _networks(frame: pd.DataFrame, study: str, protocol: str | None) -> pd.DataFrame:
    """The networks of one study under the protocol; none where it has no result under it."""
    rows = frame[frame["study"] == study]
    known = protocol in set(rows["protocol"])
    rows = rows if known else rows.iloc[:0]
    found = networks(rows, study, protocol if known else None).assign(study=study)
    firsts = rows.drop_duplicates("genotype").set_index("genotype")
    for column in ("choices", "name", *RUNTIME_NAMES):
        if column in firsts:
            found[column] = found["genotype"].map(firsts[column])
    return found


def _with_front(table: pd.DataFrame, query: Query) -> pd.DataFrame:
    missing = pd.Series(float("nan"), index=table.index)
    return table.assign(on_front=pareto_mask(table.get(query.cost, missing), table[query.quality]))

"""The results as the page needs them: read once, kept until something happens in the study."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import pandas as pd

from leaderboard.errors import LeaderboardError
from leaderboard.fronts.pareto import pareto_mask
from leaderboard.page.offering import bounded
from leaderboard.page.query import Query, count
from leaderboard.sources import SOURCES
from leaderboard.store import Store
from leaderboard.tables.front import RUNTIME_NAMES, main_protocol, networks
from leaderboard.views import VIEWS, Show, budget_of

Value = TypeVar("Value")
MOST_ANSWERS = 200
"""How many answers are kept; the one used longest ago goes first."""
MOST_ROWS = 600_000
"""How many rows the frames among them have in all, some 4 KB each."""


@dataclass(eq=False)
class _Answer:
    """The answer to a question about one state of the database, once it is there."""

    state: Hashable
    future: Future[Any] = field(default_factory=Future)
    rows: int = 0


class Kept:
    """Answers that all requests share, each computed once for each state of the database.

    A question has one answer: that of the newest state replaces that of an older one. Requests that ask the
    same at the same time wait for one computation. Safe among threads.
    """

    def __init__(self, most: int = MOST_ANSWERS, most_rows: int = MOST_ROWS) -> None:
        self._most, self._most_rows = most, most_rows
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()

    def value(self, question: Hashable, state: Hashable, make: Callable[[], Value]) -> Value:
        """The answer of `make` to `question`, which is called where none is kept for this `state`.

        What `make` raises is raised for every request that waits for it, and is not kept. `make` may ask for
        other values, but never for the one that it makes.
        """
        with self._lock:
            answer = self._answers.get(question)
            known = answer is not None and answer.state == state
            if answer is None or not known:
                answer = self._answers[question] = _Answer(state)
            self._answers.move_to_end(question)
        if known:
            found: Value = answer.future.result()
            return found
        try:
            made = make()
        except BaseException as error:
            with self._lock:
                if self._answers.get(question) is answer:
                    del self._answers[question]
            answer.future.set_exception(error)
            raise
        answer.future.set_result(made)
        with self._lock:
            answer.rows = len(made) if isinstance(made, pd.DataFrame) else 0
            self._shrink()
        return made

    def _shrink(self) -> None:
        """Drops the answers used longest ago until the others are few enough."""
        rows = sum(each.rows for each in self._answers.values())
        while len(self._answers) > 1 and (len(self._answers) > self._most or rows > self._most_rows):
            _, oldest = self._answers.popitem(last=False)
            rows -= oldest.rows


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """What the controls offer for a study: its protocols and options, as options of a control."""

    protocols: list[dict[str, str]]
    main_protocol: str | None
    options: list[dict[str, str]]


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
        """As `Store.frame`; of named studies with all their columns it is kept.

        Of several studies it is a new frame, to which columns may be added.
        """
        if study is None or columns is not None:
            return super().frame(study, columns)
        read = super().frame
        names = [study] if isinstance(study, str) else list(dict.fromkeys(study))
        found = [
            self.kept.value(("frame", name), self.last_event(name), partial(read, name)) for name in names
        ]
        if isinstance(study, str):
            return found[0]
        whole = [each for each in found if len(each)] or found[:1]
        return whole[0].copy(deep=False) if len(whole) == 1 else pd.concat(whole, ignore_index=True)

    def facts(self, study: str) -> StudyFacts:
        """What the controls offer for `study`."""

        def work() -> StudyFacts:
            frame = self.frame(study)
            return StudyFacts(
                protocols=bounded(protocols_of(frame)),
                main_protocol=main_protocol(frame),
                options=bounded(options_of(frame)),
            )

        return self.kept.value(("facts", study), self.last_event(study), work)


def show_of(store: Store, query: Query) -> Show:
    """What the views are asked for; the networks looked at come before those put aside.

    Raises `UnknownStudyError`, and `LeaderboardError` without a study.
    """
    if query.study is None:
        raise LeaderboardError("no study is chosen")
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
    # All trials are the same whatever is shown of them, and by far the largest frame.
    asked = () if source == "trials" else (show.protocol, show.cost, show.quality, show.genotypes)
    question = ("source", source, show.study, show.studies, asked)
    frame = store.kept.value(question, state_of(store, show), lambda: SOURCES[source](store, show))
    # Other sources have rows that are no networks: their costs are those of parts, or of other people's.
    return filtered(frame, query) if source == "trials" else frame, show


def state_of(store: CachedStore, show: Show) -> Hashable:
    """The state of the database as far as `show` concerns it: the newest events, and the budget."""
    own = (store.last_event(name) for name in (show.study, *show.studies))
    return (*own, store.last_calibration(), tuple(show.budget.items()))  # a calibration is another study's


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


def protocol_to_show(facts: StudyFacts, wanted: str | None) -> str | None:
    """`wanted` where the study has results under it, else the one it was most searched with."""
    known = [each["value"] for each in facts.protocols]
    return next((name for name in (wanted, facts.main_protocol, *known) if name in known), None)


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
    limits = (show.protocol, show.cost, show.quality, query.low, query.high, query.filters)
    question = ("networks shown", show.study, show.studies, limits)
    return store.kept.value(question, state_of(store, show), lambda: _networks_shown(store, query, show))


def _networks_shown(store: CachedStore, query: Query, show: Show) -> pd.DataFrame:
    frame, _ = source_frame(
        store, Query(study=show.study, others=show.studies, protocol=show.protocol), "front"
    )
    state = state_of(store, show)  # of all of them: the setting of run times is that of most networks
    tables = [
        store.kept.value(
            ("networks", name, show.study, show.studies, show.protocol),
            state,
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

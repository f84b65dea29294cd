"""What all callbacks of the page share: the database, the runs folder, and how a request reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dash import Input, Output, State

from leaderboard.page.cached_store import CachedStore, Kept
from leaderboard.page.query import Query

PROPERTY = dict.fromkeys(("chosen", "picked", "opened"), "data")
"""The property of a control that holds its field of `Query`, where it is not `value`."""


@dataclass(frozen=True, kw_only=True)
class PageContext:
    """The database and the runs folder behind one page; see `make_app`."""

    store_url: str
    runs: Path | None
    allow_queue: bool
    options: str
    kept: Kept = field(default_factory=Kept)

    @contextmanager
    def reading(self) -> Iterator[CachedStore]:
        """The store for one request. Raises `StoreError` when it cannot be read."""
        with CachedStore(self.store_url, self.kept) as store:
            yield store


def output(name: str, **settings: Any) -> Output:
    """The control of a field of `Query`, to be set."""
    return Output(name, PROPERTY.get(name, "value"), **settings)


def input_(name: str) -> Input:
    """The control of a field of `Query`, to be followed."""
    return Input(name, PROPERTY.get(name, "value"))


def state(name: str) -> State:
    """The control of a field of `Query`, to be read."""
    return State(name, PROPERTY.get(name, "value"))


def query_of(values: dict[str, Any]) -> Query:
    """The query that the values of some controls make; those that are not named have their usual ones."""
    fields = Query.__dataclass_fields__
    known: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(fields[name].default, tuple):
            known[name] = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else ()
        elif value is not None:
            known[name] = value
    return Query(**known)

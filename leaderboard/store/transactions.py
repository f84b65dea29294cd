"""One transaction at a time: begun, and begun again where the server was lost before it was kept.

A server that restarts, or a connection that breaks, is waited for, `retry_seconds` at most. A transaction is
run again only when it is known not to have been kept: a connection may break between the server's keeping it
and its answer, and then the server is asked afterwards (`pg_xact_status`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import func, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from leaderboard.errors import StoreError
from leaderboard.store.database import (
    Result,
    is_passing,
    one_line,
    open_engine,
    said,
    sqlite_url,
    waiting_for_server,
)
from leaderboard.store.schema import TableBase

RETRY_SECONDS = 60.0


class Database:
    """An opened database; each part of the store is a subclass that asks it one kind of question."""

    def __init__(self, url: str, *, read_only: bool = False, retry_seconds: float = RETRY_SECONDS) -> None:
        self._read_only, self._retry_seconds = read_only, retry_seconds
        self._engine, self._where = open_engine(url, read_only=read_only, retry_seconds=retry_seconds)
        self._writing = self._engine.execution_options(writing=True)

    @classmethod
    def at(cls, path: str | Path, *, read_only: bool = False) -> Self:
        """The store in the SQLite file `path`; its folder is made when missing."""
        return cls(sqlite_url(path), read_only=read_only)

    def close(self) -> None:
        """Gives every connection back; the store is not used afterwards."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, work: Callable[[Session], Result]) -> Result:
        """What `work` finds, all of it in one transaction that changes nothing."""

        def attempt(until: float) -> Result:
            with Session(self._engine) as session:
                return work(session)

        return self._persist(attempt)

    def _write(self, work: Callable[[Session], Result]) -> Result:
        """What `work` gives back, after its changes were kept: all of them, and once.

        `work` may run several times, each time on what the database holds then; it keeps nothing outside.
        """
        if self._read_only:
            raise StoreError(f"{self._where}: opened for reading only")

        def attempt(until: float) -> Result:
            with Session(self._writing, expire_on_commit=False) as session:
                session.begin()
                result = work(session)
                session.flush()
                ticket = _ticket(session)
                try:
                    session.commit()
                except DBAPIError as error:
                    if not is_passing(error) or not self._was_kept(ticket, until):
                        raise
                return result

        return self._persist(attempt)

    def _persist(self, attempt: Callable[[float], Result]) -> Result:
        until = time.monotonic() + self._retry_seconds
        with said(self._where):
            try:
                return waiting_for_server(
                    lambda: attempt(until), lambda error: self._retry_seconds if is_passing(error) else 0.0
                )
            except DBAPIError as error:
                if not is_passing(error):
                    raise
                raise StoreError(
                    f"{self._where}: did not answer for {self._retry_seconds:g} s: {one_line(error)}"
                ) from error

    def _was_kept(self, ticket: _Ticket | None, until: float) -> bool:
        """Whether a transaction was committed although its answer was lost."""
        if ticket is None:
            return False  # it changed nothing
        asked = text(_STATUS).bindparams(**vars(ticket))
        while time.monotonic() < until:
            try:
                with Session(self._engine) as session:
                    status = session.scalar(asked)
            except DBAPIError as error:
                if not is_passing(error):
                    raise
                status = None
            if status in ("committed", "aborted"):
                return bool(status == "committed")
            time.sleep(0.1)  # the server is away, or has yet to see that its client is
        raise StoreError(
            f"{self._where}: the connection broke while a change was written, and for "
            f"{self._retry_seconds:g} s the server did not say whether it was kept; the next start shows it"
        )


@dataclass(frozen=True)
class _Ticket:
    """What tells the fate of a transaction later: its number and log position, the start of the server."""

    number: str
    position: str
    started: str


# After a crash the server reuses a transaction number that left no trace in its log. It continues from the
# end of the recovered log: a transaction whose changes lie beyond it is lost, whatever its number says.
_STATUS = """
SELECT CASE WHEN CAST(pg_postmaster_start_time() AS text) = :started
            OR (SELECT redo_lsn FROM pg_control_checkpoint()) >= CAST(:position AS pg_lsn)
       THEN pg_xact_status(CAST(:number AS xid8)) ELSE 'aborted' END
"""


def _ticket(session: Session) -> _Ticket | None:
    """The ticket of a transaction; None where it changed nothing, and for SQLite."""
    if session.get_bind().dialect.name != "postgresql":
        return None
    number, position, started = session.execute(
        text(
            "SELECT CAST(pg_current_xact_id_if_assigned() AS text), "
            "CAST(pg_current_wal_insert_lsn() AS text), CAST(pg_postmaster_start_time() AS text)"
        )
    ).one()
    return None if number is None else _Ticket(number, position, started)


def moment(session: Session) -> datetime:
    """Now, by the one clock that decides: the server's, or with SQLite this machine's."""
    if session.get_bind().dialect.name == "postgresql":
        now: datetime | None = session.scalar(select(func.clock_timestamp()))
        assert now is not None
        return now.astimezone(UTC)
    return datetime.now(UTC)


def insert(session: Session, table: type[TableBase]) -> Any:
    """An INSERT that knows `on_conflict_...`, in the words of the session's database."""
    if session.get_bind().dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # takes a while, and most have no server

        return postgresql.insert(table)
    return sqlite.insert(table)

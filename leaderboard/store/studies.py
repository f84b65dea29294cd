"""The store's studies and protocols: begun, continued, owned by one search at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leaderboard.errors import StoreError, StudyMismatchError, StudyTakenError, unknown_name
from leaderboard.store.owners import is_gone
from leaderboard.store.records import Protocol, Study
from leaderboard.store.rows import fields, find_study, lock_study, plain, study_of, tell
from leaderboard.store.schema import EventRow, ProtocolRow, StudyRow
from leaderboard.store.transactions import Database, insert, moment


class Studies(Database):
    """What the store says of studies and protocols."""

    def open_study(
        self,
        name: str,
        *,
        recipe: Mapping[str, Any],
        space_digest: str,
        code_version: str,
        may_change: frozenset[str] = frozenset(),
        absent: Mapping[str, Any] | None = None,
    ) -> Study:
        """The study `name`, made when it is new.

        An existing one is continued when the recipes agree outside `may_change` (dotted keys, each with all
        that lies below it), and then keeps the new recipe. A key of `absent` that a recipe lacks has the
        value that is given there. Raises `StudyMismatchError` when they do not agree, or when the search
        space is another than the one the study began with.
        """
        new = plain(recipe)

        def work(session: Session) -> Study:
            made = insert(session, StudyRow).values(
                name=name,
                recipe=new,
                space_digest=space_digest,
                code_version=code_version,
                created_at=moment(session),
            )
            session.execute(made.on_conflict_do_nothing(index_elements=["name"]))
            row = session.scalars(
                select(StudyRow).where(StudyRow.name == name).with_for_update(key_share=True)
            ).one()
            changes = recipe_changes(row.recipe, new, may_change, absent)
            if changes:
                raise StudyMismatchError(
                    f"run {name!r} exists with another recipe: {_some(changes)}; "
                    "use another --name, or the old values"
                )
            if row.space_digest != space_digest:
                raise StudyMismatchError(
                    f"run {name!r} exists with another search space: its definition changed since "
                    f"(digest was {row.space_digest}, now {space_digest}); use another --name"
                )
            if row.recipe != new:
                row.recipe = new
            return study_of(row)

        return self._write(work)

    def study(self, name: str) -> Study:
        """The study of that name; raises `UnknownStudyError` when there is none."""
        return self._read(lambda session: study_of(find_study(session, name)))

    def studies(self) -> list[Study]:
        """All studies, oldest first."""
        query = select(StudyRow).order_by(StudyRow.id)
        return self._read(lambda session: [study_of(row) for row in session.scalars(query)])

    def study_names(self) -> list[str]:
        """The names of all studies, oldest first; much faster than `studies`, which decodes every recipe."""
        query = select(StudyRow.name).order_by(StudyRow.id)
        return self._read(lambda session: list(session.scalars(query)))

    def own_study(self, study_id: int, owner: str, seconds: float) -> Study:
        """The study, `owner`'s for `seconds` from now on; called again in time, it stays so.

        It is taken when nobody owns it, when its owner's time ran out, and when its owner was a process of
        this machine that is gone (`leaderboard.store.owners`). Raises `StudyTakenError` otherwise, also when
        one's own time ran out and somebody else took it.
        """

        def work(session: Session) -> Study:
            row, now = lock_study(session, study_id, self._where), moment(session)
            if row.owner != owner:
                held = row.owner is not None and row.lease_until is not None and row.lease_until > now
                if held and not is_gone(row.owner or ""):
                    raise StudyTakenError(_taken(session, row))
                details = {"instead_of": row.owner} if row.owner else {}
                tell(session, "search_started", now, study_id=study_id, worker=owner, details=details)
            row.owner, row.lease_until = owner, now + timedelta(seconds=seconds)
            return study_of(row)

        return self._write(work)

    def release_study(self, study_id: int, owner: str, reason: str = "") -> None:
        """Ends the search of `owner`, with why; does nothing when the study is not, or no longer, its own."""

        def work(session: Session) -> None:
            row = lock_study(session, study_id, self._where)
            if row.owner == owner:
                row.owner = row.lease_until = None
                details = {"reason": reason} if reason else {}
                now = moment(session)
                tell(session, "search_ended", now, study_id=study_id, worker=owner, details=details)

        self._write(work)

    def ensure_protocol(self, protocol: Protocol) -> None:
        """Keeps `protocol`; does nothing when its id is known."""
        values = {key: plain(value) for key, value in vars(protocol).items()}

        def work(session: Session) -> None:
            made = insert(session, ProtocolRow).values(**values, created_at=moment(session))
            session.execute(made.on_conflict_do_nothing())

        self._write(work)

    def protocol(self, protocol_id: str) -> Protocol:
        """The protocol of that id; raises `StoreError` when there is none."""

        def work(session: Session) -> Protocol:
            row = session.get(ProtocolRow, protocol_id)
            if row is None:
                raise StoreError(
                    unknown_name("protocol", protocol_id, session.scalars(select(ProtocolRow.id)))
                )
            return Protocol(**fields(row, Protocol))

        return self._read(work)


def _taken(session: Session, row: StudyRow) -> str:
    began = select(func.max(EventRow.at)).where(
        EventRow.study_id == row.id, EventRow.kind == "search_started", EventRow.worker == row.owner
    )
    since = session.scalar(began)
    assert since is not None and row.lease_until is not None
    return (
        f"run {row.name!r} is being searched by {row.owner} since {since:%Y-%m-%d %H:%M:%S} UTC; "
        f"wait for it, stop it, or use another --name (if it died, the run is free at "
        f"{row.lease_until:%H:%M:%S} UTC)"
    )


def recipe_changes(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    may_change: frozenset[str],
    absent: Mapping[str, Any] | None = None,
) -> list[str]:
    """What differs between two recipes outside `may_change`, one phrase a dotted key.

    A key of `absent` that a recipe lacks has the value that is given there.
    """
    meant = plain(absent or {})
    before, after = {**meant, **dict(_dotted(old))}, {**meant, **dict(_dotted(new))}
    phrases = []
    for key in sorted(before.keys() | after.keys()):
        free = any(key == allowed or key.startswith(f"{allowed}.") for allowed in may_change)
        if not free and (key not in before or key not in after or before[key] != after[key]):
            was = repr(before[key]) if key in before else "not set"
            now = repr(after[key]) if key in after else "not set"
            phrases.append(f"{key} was {was}, now {now}")
    return phrases


def _some(changes: list[str], most: int = 8) -> str:
    more = f"; and {len(changes) - most} more" if len(changes) > most else ""
    return "; ".join(changes[:most]) + more


def _dotted(recipe: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value

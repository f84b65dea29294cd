"""The store's leases: who trains which trial, until when, and what becomes of it when nobody does any more.

`waiting` > claim > `running`, leased > record or fail > over. A lease that is not renewed runs out, and the
trial waits again; one's own release gives it back without counting the attempt. The clock of leases is the
server's on PostgreSQL and this machine's with SQLite.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import Row, Select, select, update
from sqlalchemy.orm import Session

from leaderboard.store.owners import is_gone
from leaderboard.store.records import Stage, Trial
from leaderboard.store.rows import tell, whole_trial
from leaderboard.store.schema import TrialRow
from leaderboard.store.transactions import Database, moment
from leaderboard.store.trials import end_without_result

ATTEMPTS = 3
"""Trainings that may be begun for one trial before it is given up."""


class Leases(Database):
    """What the store says of who trains what."""

    def claim(
        self,
        study_id: int,
        owner: str,
        seconds: float,
        stage: Stage | None = None,
        limit_attempts: int = ATTEMPTS,
    ) -> Trial | None:
        """The oldest trial that waits, `owner`'s for `seconds` from now on; None when none waits.

        Leases that ran out are taken back first (`reap`), so that what they held is among those that wait.
        """

        def work(session: Session) -> Trial | None:
            now = moment(session)
            _reap(session, study_id, now, limit_attempts)
            oldest = select(TrialRow.id).where(TrialRow.study_id == study_id, TrialRow.state == "waiting")
            if stage is not None:
                oldest = oldest.where(TrialRow.stage == stage)
            return _take(session, oldest, owner, now, seconds)

        return self._write(work)

    def claim_this(
        self, trial_id: int, owner: str, seconds: float, limit_attempts: int = ATTEMPTS
    ) -> Trial | None:
        """That trial, `owner`'s for `seconds` from now on; None when somebody else has it or it is over.

        One that is the owner's already is renewed. Raises `StoreError` when there is no such trial.
        """

        def work(session: Session) -> Trial | None:
            now, trial = moment(session), whole_trial(session, trial_id)
            if trial.state == "running" and trial.owner == owner:
                held = _extend(session, owner, [trial_id], now, seconds)
                return whole_trial(session, trial_id) if held else None
            if trial.state == "running":
                _reap(session, None, now, limit_attempts, trial_id)
            this = select(TrialRow.id).where(TrialRow.id == trial_id, TrialRow.state == "waiting")
            return _take(session, this, owner, now, seconds)

        return self._write(work)

    def renew(self, owner: str, trial_ids: Collection[int], seconds: float) -> set[int]:
        """Of the trials those that are still `owner`'s; they stay so for `seconds` from now on."""
        return self._write(lambda session: _extend(session, owner, trial_ids, moment(session), seconds))

    def release(self, owner: str, trial_ids: Collection[int]) -> set[int]:
        """Of the trials those that were `owner`'s; they wait again, and this attempt does not count."""

        def work(session: Session) -> set[int]:
            now, given = moment(session), set()
            query = select(TrialRow).where(TrialRow.id.in_(list(trial_ids)))
            query = query.where(TrialRow.state == "running", TrialRow.owner == owner).order_by(TrialRow.id)
            for trial in session.scalars(query.with_for_update(key_share=True)):
                details = {"attempt": trial.attempt}
                tell(
                    session,
                    "released",
                    now,
                    study_id=trial.study_id,
                    trial_id=trial.id,
                    worker=owner,
                    details=details,
                )
                _make_waiting(trial)
                trial.attempt -= 1
                given.add(trial.id)
            return given

        return self._write(work)

    def reap(self, study_id: int, limit_attempts: int = ATTEMPTS) -> list[Trial]:
        """The trials whose lease ran out, or whose owner was a process of this machine and is gone.

        They wait again (event `taken_over`), but for those at their last attempt: these have failed as
        `given_up`. `claim` does the same on its own.
        """

        def work(session: Session) -> list[Trial]:
            found = _reap(session, study_id, moment(session), limit_attempts)
            return [whole_trial(session, trial_id) for trial_id in found]

        return self._write(work)


def _take(session: Session, which: Select[int], owner: str, now: datetime, seconds: float) -> Trial | None:
    """Leases the first of the trials that nobody else is taking at this moment, in one statement."""
    free = which.order_by(TrialRow.id).limit(1).with_for_update(skip_locked=True, key_share=True)
    taken = session.execute(
        update(TrialRow)
        .where(TrialRow.id == free.scalar_subquery())
        .values(
            state="running",
            owner=owner,
            lease_until=now + timedelta(seconds=seconds),
            attempt=TrialRow.attempt + 1,
        )
        .returning(TrialRow.id, TrialRow.study_id, TrialRow.attempt)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if taken is None:
        return None
    details = {"attempt": taken.attempt}
    tell(session, "started", now, study_id=taken.study_id, trial_id=taken.id, worker=owner, details=details)
    session.flush()
    session.expire_all()
    return whole_trial(session, taken.id)


def _extend(
    session: Session, owner: str, trial_ids: Collection[int], now: datetime, seconds: float
) -> set[int]:
    """Renews in the order of ids, as all do who lock several trials, so that no two wait for each other."""
    query = select(TrialRow).where(TrialRow.id.in_(list(trial_ids)))
    query = query.where(TrialRow.state == "running", TrialRow.owner == owner).order_by(TrialRow.id)
    held = session.scalars(query.with_for_update(key_share=True).execution_options(populate_existing=True))
    kept = set()
    for trial in held:
        trial.lease_until = now + timedelta(seconds=seconds)
        kept.add(trial.id)
    session.flush()
    return kept


def _reap(
    session: Session, study_id: int | None, now: datetime, limit: int, only: int | None = None
) -> list[int]:
    """Takes back what nobody trains any more; gives back the ids."""
    query = select(TrialRow.id, TrialRow.owner, TrialRow.lease_until).where(TrialRow.state == "running")
    query = query.where(TrialRow.study_id == study_id if only is None else TrialRow.id == only)
    over = [row.id for row in session.execute(query) if _is_over(row, now)]
    if not over:
        return []
    # Locked and looked at again: another one may be taking them back, or their owner renewing them.
    again = select(TrialRow).where(TrialRow.id.in_(over), TrialRow.state == "running").order_by(TrialRow.id)
    again = again.with_for_update(skip_locked=True, key_share=True).execution_options(populate_existing=True)
    found = []
    for trial in session.scalars(again).all():
        if not _is_over(trial, now):
            continue
        found.append(trial.id)
        if trial.attempt >= limit:
            end_without_result(session, trial, "given_up", _given_up(trial), now, trial.owner)
            continue
        details = {"attempt": trial.attempt, "from": trial.owner}
        tell(session, "taken_over", now, study_id=trial.study_id, trial_id=trial.id, details=details)
        _make_waiting(trial)
    session.flush()
    return found


def _is_over(row: Row[int, str | None, datetime | None] | TrialRow, now: datetime) -> bool:
    assert row.owner is not None and row.lease_until is not None
    return row.lease_until <= now or is_gone(row.owner)


def _make_waiting(trial: TrialRow) -> None:
    trial.state, trial.owner, trial.lease_until = "waiting", None, None


def _given_up(trial: TrialRow) -> str:
    assert trial.owner is not None and trial.lease_until is not None
    attempts = f"{trial.attempt} attempt{'s' if trial.attempt != 1 else ''}"
    how = "is gone" if is_gone(trial.owner) else f"let its lease run out at {trial.lease_until:%H:%M:%S} UTC"
    return f"given up after {attempts}: the last owner, {trial.owner}, {how}"

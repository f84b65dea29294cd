"""The store's partners: what several processes that search one study have to know of each other."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leaderboard.store.owners import is_gone
from leaderboard.store.records import News
from leaderboard.store.rows import fields, tell
from leaderboard.store.schema import EventRow, ProtocolRow, StudyRow, TrialRow
from leaderboard.store.transactions import Database, moment


class JoinedWorkers(Database):
    """What the store says of processes that train for somebody else's search."""

    def is_led(self, study_id: int) -> bool:
        """Whether somebody searches the study at this moment."""

        def work(session: Session) -> bool:
            row, now = session.get_one(StudyRow, study_id), moment(session)
            held = row.owner is not None and row.lease_until is not None and row.lease_until > now
            return held and not is_gone(row.owner or "")

        return self._read(work)

    def has_protocol(self, protocol_id: str) -> bool:
        """Whether anything was, or is to be, trained under that protocol."""
        query = select(ProtocolRow.id).where(ProtocolRow.id == protocol_id)
        return self._read(lambda session: session.scalar(query) is not None)

    def join(self, study_id: int, worker: str, workers: int) -> None:
        """Tell whoever searches the study that `worker` takes up trials, `workers` at once."""
        self._tell(study_id, "joined", worker, {"workers": workers})

    def leave(self, study_id: int, worker: str) -> None:
        """Tell that it takes up no more."""
        self._tell(study_id, "left", worker, {})

    def _tell(self, study_id: int, kind: str, worker: str, details: dict[str, int]) -> None:
        self._write(
            lambda session: tell(
                session, kind, moment(session), study_id=study_id, worker=worker, details=details
            )
        )

    def remote_workers(self, study_id: int, after: int) -> list[News]:
        """Who joined and who left, oldest first, of the events of a study with an id above `after`."""
        query = select(EventRow).where(EventRow.study_id == study_id, EventRow.id > after)
        query = query.where(EventRow.kind.in_(("joined", "left"))).order_by(EventRow.id)
        return self._read(lambda session: [News(**fields(row, News)) for row in session.scalars(query)])

    def latest_event(self, study_id: int) -> int:
        """The id of the newest event of a study; 0 when there is none."""
        query = select(func.max(EventRow.id)).where(EventRow.study_id == study_id)
        return self._read(lambda session: session.scalar(query) or 0)

    def states(self, trial_ids: Collection[int]) -> dict[int, str]:
        """The state of each of the trials that there are."""
        query = select(TrialRow.id, TrialRow.state).where(TrialRow.id.in_(list(trial_ids)))
        return self._read(lambda session: {row.id: row.state for row in session.execute(query)})

"""The store's queue of re-trainings: asked for on the page or the command line, taken up by `nas retrain`.

`waiting` > taken > `done` or `failed`; `withdrawn` at any time before that. What was taken by a process of
this machine that is gone can be taken again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leaderboard.errors import LeaseLostError, StoreError, not_of_the_run
from leaderboard.store.owners import is_gone
from leaderboard.store.records import Request
from leaderboard.store.rows import STAMP, TEXT, WHOLE, find_study, framed, lock_study
from leaderboard.store.schema import GenotypeRow, RequestRow, StudyRow, TrialRow
from leaderboard.store.transactions import Database, moment

if TYPE_CHECKING:
    import pandas as pd

_OPEN = ("waiting", "taken")


class Requests(Database):
    """What the store says of re-trainings that somebody asked for."""

    def requests(self, study: str | None = None) -> pd.DataFrame:
        """One row a request, oldest first, of one study or of all. Raises `UnknownStudyError`.

        | column | meaning |
        | --- | --- |
        | id, study | of the request; name of the study |
        | genotype, name | id of the network; what a paper calls it |
        | plan | name of the plan, None for the recipe's own |
        | state | waiting, taken, done, withdrawn or failed |
        | owner, reason | who has taken it; why it failed, in one line |
        | created_at, taken_at, finished_at | asked for; taken up; over; aware, UTC |
        """
        row = RequestRow
        query = (
            select(
                *(row.id, StudyRow.name, row.genotype_id, GenotypeRow.name, func.nullif(row.plan, "")),
                row.state,
                *(row.owner, row.reason, row.created_at, row.taken_at, row.finished_at),
            )
            .join(StudyRow, StudyRow.id == row.study_id)
            .join(GenotypeRow, GenotypeRow.id == row.genotype_id)
            .order_by(row.id)
        )

        def work(session: Session) -> pd.DataFrame:
            some = query
            if study is not None:
                some = query.where(row.study_id == find_study(session, study).id)
            return framed(session.execute(some).all(), _REQUESTS)

        return self._read(work)

    def request_retraining(self, study: str, genotypes: Sequence[str], plan: str | None = None) -> list[int]:
        """Asks that networks of a study be trained for longer; the ids of the requests, in their order.

        `plan` is a named plan, None the one of the recipe. What is asked for already, and not over, is not
        asked for again. All or none: raises `UnknownStudyError`, and `StoreError` for a network that is not
        of the study, with the nearest one that is.
        """

        def work(session: Session) -> list[int]:
            row = lock_study(session, find_study(session, study).id, self._where)
            mine = select(TrialRow.id).where(TrialRow.study_id == row.id)
            found = []
            for genotype in genotypes:
                if session.scalar(mine.where(TrialRow.genotype_id == genotype).limit(1)) is None:
                    known = session.scalars(
                        select(TrialRow.genotype_id).where(TrialRow.study_id == row.id).distinct()
                    )
                    raise StoreError(not_of_the_run(study, genotype, known))
                same = (
                    RequestRow.study_id == row.id,
                    RequestRow.genotype_id == genotype,
                    RequestRow.plan == (plan or ""),
                )
                wish = session.scalar(select(RequestRow).where(*same, RequestRow.state.in_(_OPEN)))
                if wish is None:
                    wish = RequestRow(
                        study_id=row.id,
                        genotype_id=genotype,
                        plan=plan or "",
                        state="waiting",
                        created_at=moment(session),
                    )
                    session.add(wish)
                    session.flush()
                found.append(wish.id)
            return found

        return self._write(work)

    def withdraw_request(self, request_id: int) -> None:
        """Takes a request back; a training that it began goes on, and its result is kept.

        Nothing happens when it is withdrawn already. Raises `StoreError` when it is done or failed, or when
        there is none.
        """

        def work(session: Session) -> None:
            row = _locked(session, request_id)
            if row.state == "withdrawn":
                return
            if row.state not in _OPEN:
                raise StoreError(f"request {request_id} is {row.state}; only an open one can be withdrawn")
            row.state, row.owner, row.finished_at = "withdrawn", None, moment(session)

        self._write(work)

    def take_request(self, study: str, owner: str) -> Request | None:
        """The oldest request of a study that waits, from now on `owner`'s; None when none does.

        One whose owner was a process of this machine that is gone waits, too. Raises `UnknownStudyError`.
        """

        def work(session: Session) -> Request | None:
            study_id = find_study(session, study).id
            query = select(RequestRow).where(RequestRow.study_id == study_id, RequestRow.state.in_(_OPEN))
            query = query.order_by(RequestRow.id).with_for_update(skip_locked=True)
            for row in session.scalars(query):
                if row.state == "waiting" or is_gone(row.owner or ""):
                    row.state, row.owner, row.taken_at = "taken", owner, moment(session)
                    return Request(id=row.id, study=study, genotype_id=row.genotype_id, plan=row.plan or None)
            return None

        return self._write(work)

    def end_request(self, request_id: int, owner: str, failure: str | None = None) -> None:
        """Ends a request that `owner` took: done, or failed with why. One withdrawn meanwhile stays so.

        Raises `LeaseLostError` when it is somebody else's, or nobody's.
        """

        def work(session: Session) -> None:
            row = _locked(session, request_id)
            if row.state == "withdrawn":
                return
            _require_held(row, owner)
            row.state, row.owner, row.finished_at = "failed" if failure else "done", None, moment(session)
            row.reason = failure.replace("\0", "") if failure else None

        self._write(work)

    def give_back_request(self, request_id: int, owner: str) -> None:
        """Lets a request that `owner` took wait again. One withdrawn meanwhile stays so."""

        def work(session: Session) -> None:
            row = _locked(session, request_id)
            if row.state == "withdrawn":
                return
            _require_held(row, owner)
            row.state, row.owner, row.taken_at = "waiting", None, None

        self._write(work)


_REQUESTS = {
    "id": WHOLE,
    **dict.fromkeys(("study", "genotype", "name", "plan", "state", "owner", "reason"), TEXT),
    **dict.fromkeys(("created_at", "taken_at", "finished_at"), STAMP),
}


def _locked(session: Session, request_id: int) -> RequestRow:
    row: RequestRow | None = session.get(RequestRow, request_id, with_for_update=True)
    if row is None:
        raise StoreError(f"there is no request with id {request_id}")
    return row


def _require_held(row: RequestRow, owner: str) -> None:
    if row.state != "taken" or row.owner != owner:
        has = f"taken by {row.owner}" if row.state == "taken" else row.state
        raise LeaseLostError(f"request {row.id} is {has}; it is not {owner}'s")

"""The store's trials: proposed, ended with a result or a failure, found again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, get_args

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from leaderboard.errors import LeaseLostError, StoreError, unknown_name
from leaderboard.store.records import Evaluation, NewEvaluation, NewTrial, Stage, State, Trial
from leaderboard.store.recounting import require_use, settle
from leaderboard.store.rows import (
    fields,
    keep_genotype,
    lock_study,
    plain,
    require_sha256,
    tell,
    trial_of,
    whole_trial,
    whole_trials,
)
from leaderboard.store.schema import COSTS, FAILURES, STAGES, CostRow, EvaluationRow, GenotypeRow, TrialRow
from leaderboard.store.transactions import Database, insert, moment


class Trials(Database):
    """What the store says of trials and of what came of them."""

    def propose(
        self, study_id: int, new: NewTrial, *, owner: str | None = None, seconds: float | None = None
    ) -> Trial:
        """Put a trial in, with the next number of its study and stage, in one transaction.

        A genotype that is new is kept with it, and so is the newest cost. A name or parts that were missing
        are added where the network is known without them.

        Args:
            study_id: The study.
            new: The trial.
            owner: The process that a running trial is leased to; None for other states.
            seconds: How long that lease lasts; None for other states.

        Returns:
            The trial as it is stored.

        Raises:
            StoreError: The study, stage or state is unknown, the cost or its parts are incomplete, or the
                lease does not fit the state. Nothing is changed.
        """
        _require_proposable(new, owner, seconds)
        parts = None if new.parts is None else _checked_parts(new.parts, new.cost)

        def work(session: Session) -> Trial:
            lock_study(session, study_id, self._where)
            now = moment(session)
            keep_genotype(session, new.genotype_id, new.space, new.choices, new.name)
            _keep_cost(session, new.genotype_id, new.scale, new.cost, parts)
            over = new.state in ("rejected", "repeated")
            row = _row_of(new, study_id, _next_number(session, study_id, new.stage), now)
            row.finished_at = now if over else None
            if owner is not None and seconds is not None:
                row.attempt, row.owner, row.lease_until = 1, owner, now + timedelta(seconds=seconds)
            session.add(row)
            session.flush()
            details = {"excess": new.excess} if new.excess else {}
            kind = new.state if over else "proposed"
            tell(session, kind, now, study_id=study_id, trial_id=row.id, details=details)
            if owner:
                _tell_of(session, row, "started", now, worker=owner)
            return whole_trial(session, row.id)

        return self._write(work)

    def record(
        self, trial_id: int, new: NewEvaluation, *, owner: str, worker: str | None = None
    ) -> Evaluation:
        """Put the result of `owner`'s trial in and finish the trial, in one transaction.

        Recording the same result twice keeps it once. Where another search has recorded this genotype,
        protocol and seed, its evaluation is returned and the trial ends as repeated.

        Args:
            trial_id: The trial.
            new: The result.
            owner: The process that holds the trial's lease.
            worker: The worker that trained it; None for the owner itself.

        Returns:
            The evaluation as it is stored.

        Raises:
            LeaseLostError: The trial is not, or no longer, leased to `owner`. Nothing is changed.
            StoreError: The trial is of another genotype, seed or protocol, or the numbers are NaN. Nothing
                is changed.
        """
        values = _columns_of(new, trial_id)

        def work(session: Session) -> Evaluation:
            trial = _locked(session, trial_id)
            if trial.state == "finished" and trial.owner == owner and trial.evaluation_id is not None:
                kept = session.get_one(EvaluationRow, trial.evaluation_id)
                if all(getattr(kept, name) == value for name, value in values.items()):
                    return Evaluation(**fields(kept, Evaluation))
            _require_held(trial, owner)
            _require_same(trial, new.genotype_id, new.protocol_id, new.seed)
            now = moment(session)
            adding = insert(session, EvaluationRow).values(**values, created_at=now)
            adding = adding.on_conflict_do_nothing(index_elements=["genotype_id", "protocol_id", "seed"])
            added = session.scalar(adding.returning(EvaluationRow.id))
            row = session.scalars(_evaluation(new.genotype_id, new.protocol_id, new.seed)).one()
            trial.state = "repeated" if added is None else "finished"
            trial.evaluation_id, trial.finished_at = row.id, now
            trial.lease_until, trial.worker = None, worker or owner
            details = {"psnr_db": row.psnr_db, "train_seconds": row.train_seconds}
            _tell_of(session, trial, trial.state, now, worker=trial.worker, device=new.device, **details)
            return Evaluation(**fields(row, Evaluation))

        return self._write(work)

    def fail(
        self,
        trial_id: int,
        reason: str,
        *,
        owner: str,
        failure: str = "error",
        worker: str | None = None,
        device: str | None = None,
    ) -> None:
        """Ends `owner`'s trial without a result; `failure` is one of `FAILURES`. Said twice, it is kept once.

        Raises `LeaseLostError` when the trial is not, or no longer, the owner's.
        """
        if failure not in FAILURES:
            raise StoreError(unknown_name("failure", failure, FAILURES))
        words = reason.replace("\0", "")  # which PostgreSQL does not keep in a text

        def work(session: Session) -> None:
            trial = _locked(session, trial_id)
            if (trial.state, trial.owner, trial.failure, trial.reason) == ("failed", owner, failure, words):
                return
            _require_held(trial, owner)
            end_without_result(session, trial, failure, words, moment(session), worker or owner, device)

        self._write(work)

    def known(self, genotype_id: str, protocol_id: str, seed: int) -> Evaluation | None:
        """The evaluation of that genotype, protocol and seed, or None."""

        def work(session: Session) -> Evaluation | None:
            row = session.scalar(_evaluation(genotype_id, protocol_id, seed))
            return None if row is None else Evaluation(**fields(row, Evaluation))

        return self._read(work)

    def trial(self, trial_id: int) -> Trial:
        """The trial as it stands; raises `StoreError` when there is none."""
        return self._read(lambda session: whole_trial(session, trial_id))

    def trials(self, study_id: int, stage: Stage | None = None, *, curves: bool = True) -> list[Trial]:
        """The trials of a study, by stage (search, seeds, retrain) and number.

        Without `curves`, each evaluation's `curve` and `per_image` are left empty: for a long study that
        is most of what is to be read. Raises `OldCostsError` where the study has costs of networks as
        trained.
        """
        query = whole_trials(curves=curves).where(TrialRow.study_id == study_id)
        if stage is not None:
            query = query.where(TrialRow.stage == stage)

        def work(session: Session) -> list[Trial]:
            require_use(session, self._where, [study_id])
            return [trial_of(row) for row in session.execute(query)]

        return self._read(work)

    def find_genotype(self, prefix: str) -> list[tuple[str, str, dict[str, Any]]]:
        """`(id, space, choices)` of the genotype with that id, or of all whose id begins with `prefix`."""

        def work(session: Session) -> list[tuple[str, str, dict[str, Any]]]:
            exact = session.get(GenotypeRow, prefix)
            if exact is not None:
                return [(exact.id, exact.space, exact.choices)]
            query = select(GenotypeRow).where(GenotypeRow.id.startswith(prefix, autoescape=True))
            rows = session.scalars(query.order_by(GenotypeRow.id)).all()
            return [(row.id, row.space, row.choices) for row in rows if row.id.startswith(prefix)]

        return self._read(work)


def end_without_result(
    session: Session,
    trial: TrialRow,
    failure: str,
    reason: str,
    now: datetime,
    worker: str | None,
    device: str | None = None,
) -> None:
    """Fails a locked trial, with its event."""
    trial.state, trial.failure, trial.reason = "failed", failure, reason
    trial.lease_until, trial.finished_at, trial.worker = None, now, worker
    said = {"failure": failure, "reason": reason}
    _tell_of(session, trial, "failed", now, worker=worker, device=device, **said)


def _tell_of(
    session: Session,
    trial: TrialRow,
    kind: str,
    at: datetime,
    *,
    worker: str | None = None,
    device: str | None = None,
    **details: Any,
) -> None:
    details["attempt"] = trial.attempt
    tell(
        session,
        kind,
        at,
        study_id=trial.study_id,
        trial_id=trial.id,
        worker=worker,
        device=device,
        details=details,
    )


def _require_proposable(new: NewTrial, owner: str | None, seconds: float | None) -> None:
    """Refuses a stage, cost, state or lease that `propose` does not take."""
    if new.stage not in STAGES:
        raise StoreError(unknown_name("stage", new.stage, STAGES))
    if set(new.cost) != set(COSTS):
        raise StoreError(f"cost has {', '.join(sorted(new.cost)) or 'nothing'}; it needs {', '.join(COSTS)}")
    if new.state not in get_args(State):
        raise StoreError(unknown_name("state", new.state, get_args(State)))
    if (new.state == "running") != (owner is not None and seconds is not None):
        raise StoreError(
            f"a trial proposed as {new.state} has owner {owner!r} for {seconds!r} s; "
            "a running one needs both, another neither"
        )


def _next_number(session: Session, study_id: int, stage: str) -> int:
    last = select(func.max(TrialRow.number)).where(TrialRow.study_id == study_id, TrialRow.stage == stage)
    highest = session.scalar(last)
    return 0 if highest is None else highest + 1


def _row_of(new: NewTrial, study_id: int, number: int, now: datetime) -> TrialRow:
    """The row of a trial that nobody holds yet."""
    return TrialRow(
        study_id=study_id,
        stage=new.stage,
        number=number,
        genotype_id=new.genotype_id,
        scale=new.scale,
        seed=new.seed,
        rung=new.rung,
        protocol_id=new.protocol_id,
        state=new.state,
        attempt=0,
        excess=plain(new.excess or {}),
        measured=plain(new.measured) if new.measured else None,
        evaluation_id=new.evaluation_id,
        created_at=now,
    )


def _columns_of(new: NewEvaluation, trial_id: int) -> dict[str, Any]:
    """The result as columns of its row; raises `StoreError` for NaN and for a digest that is none."""
    if math.isnan(new.psnr_db) or math.isnan(new.ssim):
        raise StoreError(
            f"trial {trial_id}: psnr_db is {new.psnr_db} and ssim is {new.ssim}; NaN is no result"
        )
    require_sha256(new.checkpoint_sha256, f"trial {trial_id}")
    values = fields(new, NewEvaluation)
    numbers = {name: float(values[name]) for name in ("psnr_db", "ssim", "train_seconds")}
    nested = {name: plain(values[name]) for name in ("curve", "per_image", "halvings")}
    return values | numbers | nested | {"halvings": nested["halvings"] or None}


PART = ("part", "copies", "uses", *COSTS)
"""What is kept of each part of a network's cost."""


def _checked_parts(parts: Sequence[Mapping[str, Any]], cost: Mapping[str, int]) -> list[dict[str, Any]]:
    """The parts as they are kept; raises `StoreError` when they are not what `propose` says."""
    for part in parts:
        if set(part) != set(PART):
            raise StoreError(
                f"a part has {', '.join(map(str, part)) or 'nothing'}; it needs {', '.join(PART)}"
            )
    for key in COSTS:
        total = sum(int(part[key]) for part in parts)
        if total != cost[key]:
            raise StoreError(f"the parts have {total} {key} together, the network has {cost[key]}")
    return [{"part": str(part["part"]), **{key: int(part[key]) for key in PART[1:]}} for part in parts]


def _keep_cost(
    session: Session,
    genotype_id: str,
    scale: int,
    cost: Mapping[str, int],
    parts: list[dict[str, Any]] | None,
) -> None:
    """The newest counting wins, without an older one's parts; what has not changed is not written again.

    Where it replaces a cost of the network as trained, the rejected trials of the network are judged again.
    """
    new: dict[str, Any] = {**{key: int(cost[key]) for key in COSTS}, "form": "use"}
    row = session.get(CostRow, (genotype_id, scale))
    same = row is not None and all(getattr(row, key) == value for key, value in new.items())
    was_old = row is not None and row.form == "training"
    if row is not None and same and (parts is None or row.parts == parts):
        return
    if parts is not None or not same:
        new["parts"] = parts
    made = insert(session, CostRow).values(genotype_id=genotype_id, scale=scale, **new)
    session.execute(made.on_conflict_do_update(index_elements=["genotype_id", "scale"], set_=new))
    if row is not None:
        session.expire(row)
    if was_old:
        settle(session, changed=[(genotype_id, scale)], now=moment(session))


def _locked(session: Session, trial_id: int) -> TrialRow:
    trial = session.get(TrialRow, trial_id, with_for_update={"key_share": True})
    if trial is None:
        raise StoreError(f"there is no trial with id {trial_id}")
    return trial


def _require_held(trial: TrialRow, owner: str) -> None:
    """Keeps a late one from writing: what it was to do is somebody else's by now, or done."""
    if trial.state == "running" and trial.owner == owner:
        return
    if trial.state == "running":
        now = f"is leased to {trial.owner} by now (attempt {trial.attempt})"
    elif trial.state == "waiting":
        now = "was given back and waits to be taken up again"
    else:
        now = f"is {trial.state}, not running"
    raise LeaseLostError(f"trial {trial.id} {now}; nothing more is taken from {owner}")


def _require_same(trial: TrialRow, genotype_id: str, protocol_id: str, seed: int) -> None:
    if (trial.genotype_id, trial.seed) != (genotype_id, seed):
        raise StoreError(
            f"trial {trial.id} is of genotype {trial.genotype_id!r} with seed {trial.seed}, "
            f"not of {genotype_id!r} with seed {seed}"
        )
    if trial.protocol_id not in (None, protocol_id):
        raise StoreError(f"trial {trial.id} is under protocol {trial.protocol_id!r}, not {protocol_id!r}")


def _evaluation(genotype_id: str, protocol_id: str, seed: int) -> Select[EvaluationRow]:
    return select(EvaluationRow).where(
        EvaluationRow.genotype_id == genotype_id,
        EvaluationRow.protocol_id == protocol_id,
        EvaluationRow.seed == seed,
    )

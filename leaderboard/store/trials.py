"""The store's trials: proposed, ended with a result or a failure, found again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from leaderboard.errors import LeaseLostError, StoreError, unknown_name
from leaderboard.store.records import Evaluation, Trial
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

Stage = Literal["search", "seeds", "retrain"]
State = Literal["waiting", "running", "rejected", "repeated"]


class Trials(Database):
    """What the store says of trials and of what came of them."""

    def propose(
        self,
        study_id: int,
        *,
        stage: Stage,
        genotype_id: str,
        space: str,
        choices: Mapping[str, Any],
        scale: int,
        cost: Mapping[str, int],
        seed: int,
        state: State,
        rung: int = 0,
        protocol_id: str | None = None,
        excess: Mapping[str, float] | None = None,
        measured: Mapping[str, float] | None = None,
        evaluation_id: int | None = None,
        owner: str | None = None,
        seconds: float | None = None,
        name: str | None = None,
        parts: Sequence[Mapping[str, Any]] | None = None,
    ) -> Trial:
        """The new trial, with the next number of its study and stage; one transaction.

        Keeps the genotype when it is new, and always the newest `cost` (params, multi_adds,
        conv_multi_adds, activations). `name` is what a paper calls the network. `parts` are those of its cost
        in the order of the forward pass, each with part (its name), copies, uses and the four costs, copies
        and uses counted in, so that they add up to `cost`. What is given is put in also where the network is
        known without it. A waiting trial is anybody's to claim; a running one is leased to
        `owner` for `seconds` at once. A rejected or repeated trial is over; a repeated one names the
        evaluation it repeats. `measured` is what was found besides the cost. `protocol_id` is what it is to
        be trained under.
        """
        if stage not in STAGES:
            raise StoreError(unknown_name("stage", stage, STAGES))
        if set(cost) != set(COSTS):
            raise StoreError(f"cost has {', '.join(sorted(cost)) or 'nothing'}; it needs {', '.join(COSTS)}")
        if state not in get_args(State):
            raise StoreError(unknown_name("state", state, get_args(State)))
        if (state == "running") != (owner is not None and seconds is not None):
            raise StoreError(
                f"a trial proposed as {state} has owner {owner!r} for {seconds!r} s; "
                "a running one needs both, another neither"
            )
        kept_parts = None if parts is None else _checked_parts(parts, cost)

        def work(session: Session) -> Trial:
            lock_study(session, study_id, self._where)
            now = moment(session)
            keep_genotype(session, genotype_id, space, choices, name)
            _keep_cost(session, genotype_id, scale, cost, kept_parts)
            last = select(func.max(TrialRow.number)).where(
                TrialRow.study_id == study_id, TrialRow.stage == stage
            )
            highest = session.scalar(last)
            over = state in ("rejected", "repeated")
            row = TrialRow(
                study_id=study_id,
                stage=stage,
                number=0 if highest is None else highest + 1,
                genotype_id=genotype_id,
                scale=scale,
                seed=seed,
                rung=rung,
                protocol_id=protocol_id,
                state=state,
                attempt=1 if owner else 0,
                owner=owner,
                lease_until=None if seconds is None else now + timedelta(seconds=seconds),
                excess=plain(excess or {}),
                measured=plain(measured) if measured else None,
                evaluation_id=evaluation_id,
                created_at=now,
                finished_at=now if over else None,
            )
            session.add(row)
            session.flush()
            details = {"excess": excess} if excess else {}
            kind = state if over else "proposed"
            tell(session, kind, now, study_id=study_id, trial_id=row.id, details=details)
            if owner:
                _tell_of(session, row, "started", now, worker=owner)
            return whole_trial(session, row.id)

        return self._write(work)

    def record(
        self,
        trial_id: int,
        *,
        owner: str,
        genotype_id: str,
        protocol_id: str,
        seed: int,
        psnr_db: float,
        ssim: float,
        train_seconds: float,
        device: str,
        torch_version: str,
        code_version: str,
        checkpoint: str | None,
        curve: Sequence[Sequence[float | None]],
        per_image: Mapping[str, Sequence[float | None]],
        worker: str | None = None,
        checkpoint_sha256: str | None = None,
    ) -> Evaluation:
        """The evaluation of `owner`'s trial, which is finished in the same transaction.

        Said twice, it is kept once. Where another search recorded this genotype, protocol and seed
        meanwhile, its evaluation comes back and the trial ends as repeated. `worker` trained it (None: the
        owner itself). `checkpoint_sha256` is that of the file `checkpoint`, 64 hexadecimal digits.

        Raises `LeaseLostError` when the trial is not, or no longer, the owner's, and `StoreError` when it is
        of another genotype, seed or protocol, or when the numbers are NaN; either way nothing changes.
        """
        if math.isnan(psnr_db) or math.isnan(ssim):
            raise StoreError(f"trial {trial_id}: psnr_db is {psnr_db} and ssim is {ssim}; NaN is no result")
        require_sha256(checkpoint_sha256, f"trial {trial_id}")
        values = {
            "genotype_id": genotype_id,
            "protocol_id": protocol_id,
            "seed": seed,
            "psnr_db": float(psnr_db),
            "ssim": float(ssim),
            "train_seconds": float(train_seconds),
            "device": device,
            "torch_version": torch_version,
            "code_version": code_version,
            "checkpoint": checkpoint,
            "checkpoint_sha256": checkpoint_sha256,
            "curve": plain(curve),
            "per_image": plain(per_image),
        }

        def work(session: Session) -> Evaluation:
            trial = _locked(session, trial_id)
            if trial.state == "finished" and trial.owner == owner and trial.evaluation_id is not None:
                kept = session.get_one(EvaluationRow, trial.evaluation_id)
                if all(getattr(kept, name) == value for name, value in values.items()):
                    return Evaluation(**fields(kept, Evaluation))
            _require_held(trial, owner)
            _require_same(trial, genotype_id, protocol_id, seed)
            now = moment(session)
            new = insert(session, EvaluationRow).values(**values, created_at=now)
            new = new.on_conflict_do_nothing(index_elements=["genotype_id", "protocol_id", "seed"]).returning(
                EvaluationRow.id
            )
            number = session.scalar(new)
            row = session.scalars(_evaluation(genotype_id, protocol_id, seed)).one()
            trial.state = "repeated" if number is None else "finished"
            trial.evaluation_id, trial.finished_at = row.id, now
            trial.lease_until, trial.worker = None, worker or owner
            said = {"psnr_db": row.psnr_db, "train_seconds": row.train_seconds}
            _tell_of(session, trial, trial.state, now, worker=trial.worker, device=device, **said)
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
        is most of what is to be read.
        """
        query = whole_trials(curves=curves).where(TrialRow.study_id == study_id)
        if stage is not None:
            query = query.where(TrialRow.stage == stage)
        return self._read(lambda session: [trial_of(row) for row in session.execute(query)])

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
    """The newest counting wins, without an older one's parts; what has not changed is not written again."""
    new: dict[str, Any] = {key: int(cost[key]) for key in COSTS}
    row = session.get(CostRow, (genotype_id, scale))
    same = row is not None and all(getattr(row, key) == value for key, value in new.items())
    if row is not None and same and (parts is None or row.parts == parts):
        return
    if parts is not None or not same:
        new["parts"] = parts
    made = insert(session, CostRow).values(genotype_id=genotype_id, scale=scale, **new)
    session.execute(made.on_conflict_do_update(index_elements=["genotype_id", "scale"], set_=new))
    if row is not None:
        session.expire(row)


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

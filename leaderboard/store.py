"""The results database: the only module that reads or writes it, plain values in, plain values out.

A new question is one method of `Store`; a new column is described in `schema.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from leaderboard.database import open_engine, said, sqlite_url
from leaderboard.errors import StoreError, StudyMismatchError, UnknownStudyError, unknown_name
from leaderboard.records import Evaluation, Measurement, Protocol, Study, Trial
from leaderboard.schema import (
    COSTS,
    STAGES,
    CostRow,
    EvaluationRow,
    GenotypeRow,
    MeasurementRow,
    ProtocolRow,
    StudyRow,
    TrialRow,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Evaluation", "Measurement", "Protocol", "Store", "Study", "Trial", "sqlite_url"]

Stage = Literal["search", "retrain"]


class Store:
    """The results database at an SQLAlchemy `url`, created or brought up to date on opening.

    With `read_only` no result is changed and no writer has to wait. Whatever goes
    wrong raises a `StoreError` that is one line. Use it with `with`, or call `close`.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._read_only = read_only
        self._engine, self._where = open_engine(url, read_only=read_only)

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

    # Studies and protocols

    def open_study(
        self,
        name: str,
        *,
        recipe: Mapping[str, Any],
        space_digest: str,
        code_version: str,
        may_change: frozenset[str] = frozenset(),
    ) -> Study:
        """The study `name`, made when it is new.

        An existing one is continued when the recipes agree outside `may_change` (dotted keys, each with all
        that lies below it), and then keeps the new recipe. Raises `StudyMismatchError` when they do not
        agree, or when the search space is another than the one the study began with.
        """
        new = _plain(recipe)
        with self._writing() as session:
            row = session.scalar(select(StudyRow).where(StudyRow.name == name))
            if row is None:
                row = StudyRow(
                    name=name,
                    recipe=new,
                    space_digest=space_digest,
                    code_version=code_version,
                    created_at=_now(),
                )
                session.add(row)
                session.flush()
                return _study(row)
            changes = _changes(row.recipe, new, may_change)
            if changes:
                raise StudyMismatchError(
                    f"run {name!r} exists with another recipe: {'; '.join(changes)}; "
                    "use another --name, or the old values"
                )
            if row.space_digest != space_digest:
                raise StudyMismatchError(
                    f"run {name!r} exists with another search space: its definition changed since "
                    f"(digest was {row.space_digest}, now {space_digest}); use another --name"
                )
            if row.recipe != new:
                row.recipe = new
            return _study(row)

    def study(self, name: str) -> Study:
        """The study of that name; raises `UnknownStudyError` when there is none."""
        with self._reading() as session:
            return _study(_find_study(session, name))

    def studies(self) -> list[Study]:
        """All studies, oldest first."""
        with self._reading() as session:
            return [_study(row) for row in session.scalars(select(StudyRow).order_by(StudyRow.id))]

    def ensure_protocol(self, protocol: Protocol) -> None:
        """Keeps `protocol`; does nothing when its id is known."""
        with self._writing() as session:
            if session.get(ProtocolRow, protocol.id) is None:
                fields = {key: _plain(value) for key, value in vars(protocol).items()}
                session.add(ProtocolRow(**fields, created_at=_now()))

    def protocol(self, protocol_id: str) -> Protocol:
        """The protocol of that id; raises `StoreError` when there is none."""
        with self._reading() as session:
            row = session.get(ProtocolRow, protocol_id)
            if row is None:
                raise StoreError(
                    unknown_name("protocol", protocol_id, session.scalars(select(ProtocolRow.id)))
                )
            return Protocol(**_fields(row, Protocol))

    # Trials

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
        state: Literal["running", "rejected", "repeated"],
        excess: Mapping[str, float] | None = None,
        evaluation_id: int | None = None,
    ) -> Trial:
        """The new trial, with the next number of its study and stage; one transaction.

        Keeps the genotype when it is new, and always the newest `cost` (params, multi_adds,
        conv_multi_adds, activations). A rejected or repeated trial is over at once; a repeated one names the
        evaluation it repeats.
        """
        if stage not in STAGES:
            raise StoreError(unknown_name("stage", stage, STAGES))
        if set(cost) != set(COSTS):
            raise StoreError(f"cost has {', '.join(sorted(cost)) or 'nothing'}; it needs {', '.join(COSTS)}")
        now = _now()
        with self._writing() as session:
            # Locks the study on servers; SQLite has one writer at a time anyway.
            if session.scalar(select(StudyRow.id).where(StudyRow.id == study_id).with_for_update()) is None:
                raise StoreError(f"{self._where}: there is no study with id {study_id}")
            genotype = session.get(GenotypeRow, genotype_id)
            if genotype is None:
                genotype = GenotypeRow(id=genotype_id, space=space, choices=_plain(choices))
                session.add(genotype)
                session.flush()
            prices = session.get(CostRow, (genotype_id, scale))
            if prices is None:
                prices = CostRow(genotype_id=genotype_id, scale=scale)
                session.add(prices)
            for key in COSTS:
                setattr(prices, key, int(cost[key]))
            session.flush()
            evaluation = None if evaluation_id is None else session.get(EvaluationRow, evaluation_id)
            last = select(func.max(TrialRow.number)).where(
                TrialRow.study_id == study_id, TrialRow.stage == stage
            )
            highest = session.scalar(last)
            row = TrialRow(
                study_id=study_id,
                stage=stage,
                number=0 if highest is None else highest + 1,
                genotype_id=genotype_id,
                scale=scale,
                seed=seed,
                state=state,
                excess=_plain(excess or {}),
                evaluation_id=evaluation_id,
                created_at=now,
                finished_at=None if state == "running" else now,
            )
            session.add(row)
            session.flush()
            return _trial(row, genotype, prices, evaluation)

    def record(
        self,
        trial_id: int,
        *,
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
    ) -> Evaluation:
        """The new evaluation, with its trial finished in the same transaction.

        Raises `StoreError`, and changes nothing, when the trial is not running or is of another genotype or
        seed, when the numbers are NaN, and when this genotype, protocol and seed were recorded before.
        """
        if math.isnan(psnr_db) or math.isnan(ssim):
            raise StoreError(f"trial {trial_id}: psnr_db is {psnr_db} and ssim is {ssim}; NaN is no result")
        with self._writing() as session:
            trial = _running(session, trial_id)
            if (trial.genotype_id, trial.seed) != (genotype_id, seed):
                raise StoreError(
                    f"trial {trial_id} is of genotype {trial.genotype_id!r} with seed {trial.seed}, "
                    f"not of {genotype_id!r} with seed {seed}"
                )
            if session.scalar(_evaluation(genotype_id, protocol_id, seed)) is not None:
                raise StoreError(
                    f"genotype {genotype_id!r} with seed {seed} is already recorded under protocol "
                    f"{protocol_id!r}; propose it as repeated instead"
                )
            row = EvaluationRow(
                genotype_id=genotype_id,
                protocol_id=protocol_id,
                seed=seed,
                psnr_db=float(psnr_db),
                ssim=float(ssim),
                train_seconds=float(train_seconds),
                device=device,
                torch_version=torch_version,
                code_version=code_version,
                checkpoint=checkpoint,
                curve=_plain(curve),
                per_image=_plain(per_image),
                created_at=_now(),
            )
            session.add(row)
            session.flush()
            trial.state, trial.evaluation_id, trial.finished_at = "finished", row.id, _now()
            session.flush()
            return Evaluation(**_fields(row, Evaluation))

    def fail(self, trial_id: int, reason: str) -> None:
        """Ends a running trial without a result."""
        with self._writing() as session:
            trial = _running(session, trial_id)
            trial.state, trial.reason, trial.finished_at = "failed", reason, _now()

    def known(self, genotype_id: str, protocol_id: str, seed: int) -> Evaluation | None:
        """The evaluation of that genotype, protocol and seed, or None."""
        with self._reading() as session:
            row = session.scalar(_evaluation(genotype_id, protocol_id, seed))
            return None if row is None else Evaluation(**_fields(row, Evaluation))

    def trials(self, study_id: int, stage: Stage | None = None) -> list[Trial]:
        """The trials of a study, by stage (search before retrain) and number."""
        query = (
            select(TrialRow, GenotypeRow, CostRow, EvaluationRow)
            .join(GenotypeRow, GenotypeRow.id == TrialRow.genotype_id)
            .join(CostRow, (CostRow.genotype_id == TrialRow.genotype_id) & (CostRow.scale == TrialRow.scale))
            .outerjoin(EvaluationRow, EvaluationRow.id == TrialRow.evaluation_id)
            .where(TrialRow.study_id == study_id)
            .order_by(TrialRow.stage.desc(), TrialRow.number)
        )
        if stage is not None:
            query = query.where(TrialRow.stage == stage)
        with self._reading() as session:
            return [_trial(*row) for row in session.execute(query)]

    # Measurements on benchmark sets

    def record_measurement(
        self, measurement: Measurement, *, space: str = "", choices: Mapping[str, Any] | None = None
    ) -> None:
        """Keeps a measurement; one of the same network, weights, scale, images and metric is replaced.

        `space` and `choices` are those of its genotype, which is kept, too, when it is new. Raises
        `StoreError` for a PSNR that is NaN.
        """
        if math.isnan(measurement.psnr_db):
            raise StoreError(f"{measurement.network} on {measurement.benchmark}: psnr_db is NaN, no result")
        fields = {key: _plain(value) for key, value in vars(measurement).items()}
        # Equal images: databases know no infinity, and no other pair comes near this.
        fields["psnr_db"] = min(measurement.psnr_db, 1000.0)
        same = ("network", "weights", "scale", "data_digest", "metric")
        with self._writing() as session:
            genotype_id = measurement.genotype_id
            if genotype_id is not None and session.get(GenotypeRow, genotype_id) is None:
                session.add(GenotypeRow(id=genotype_id, space=space, choices=_plain(choices or {})))
                session.flush()
            row = session.scalar(
                select(MeasurementRow).where(*(getattr(MeasurementRow, key) == fields[key] for key in same))
            )
            if row is None:
                row = MeasurementRow()
            for key, value in fields.items():
                setattr(row, key, value)
            row.created_at = _now()
            session.add(row)

    def measurements(self, network: str | None = None) -> list[Measurement]:
        """All measurements, or those of one network by its name or genotype id; oldest first."""
        query = select(MeasurementRow).order_by(MeasurementRow.id)
        if network is not None:
            query = query.where((MeasurementRow.network == network) | (MeasurementRow.genotype_id == network))
        with self._reading() as session:
            return [Measurement(**_fields(row, Measurement)) for row in session.scalars(query)]

    def find_genotype(self, prefix: str) -> list[tuple[str, str, dict[str, Any]]]:
        """`(id, space, choices)` of the genotype with that id, or of all whose id begins with `prefix`."""
        with self._reading() as session:
            exact = session.get(GenotypeRow, prefix)
            if exact is not None:
                return [(exact.id, exact.space, exact.choices)]
            query = select(GenotypeRow).where(GenotypeRow.id.startswith(prefix, autoescape=True))
            rows = session.scalars(query.order_by(GenotypeRow.id)).all()
            return [(row.id, row.space, row.choices) for row in rows if row.id.startswith(prefix)]

    def frame(self, study: str | None = None) -> pd.DataFrame:
        """One row a trial, of one study or of all; what has no value is None or NaN.

        | column | meaning |
        | --- | --- |
        | study, stage, number | name of the study; search or retrain; counted from 0 in each stage |
        | state | running, finished, rejected (over budget), repeated (known before) or failed |
        | genotype, space, seed | id of the network; name of its search space; random seed |
        | scale | factor of the super-resolution: 2, 3, 4 |
        | params | learnable numbers |
        | multi_adds | multiply-adds of everything that multiplies, for the protocol's output size |
        | conv_multi_adds | multiply-adds of convolution modules only, as many papers count |
        | activations | numbers that the convolutions put out |
        | protocol, plan, data, metric | id of the protocol; its training plan, data and metric by name |
        | bicubic_psnr_db | what bicubic upscaling reaches under the protocol, dB |
        | psnr_db, ssim | what the network reaches: dB; 0 to 1 |
        | train_seconds | wall time of the training, seconds |
        | device | where it was trained |
        | checkpoint | file of the weights, relative to the runs folder |
        | excess | dict: limit to the fraction over it, empty when within budget |
        | reason | why it failed |
        | choices | dict: the choices that build the network |
        | created_at, finished_at | proposed; over; aware, UTC |
        """
        import pandas as pd

        query = _frame_query()
        with self._reading() as session:
            if study is not None:
                query = query.where(StudyRow.id == _find_study(session, study).id)
            result = session.execute(query)
            frame = pd.DataFrame(result.all(), columns=list(result.keys()))
        whole = dict.fromkeys(("number", "seed", "scale", *COSTS), "int64")
        numbers = dict.fromkeys(("bicubic_psnr_db", "psnr_db", "ssim", "train_seconds"), "float64")
        stamps = dict.fromkeys(("created_at", "finished_at"), "datetime64[us, UTC]")
        return frame.astype({**whole, **numbers, **stamps})

    # Transactions

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        if self._read_only:
            raise StoreError(f"{self._where}: opened for reading only")
        with (
            said(self._where),
            Session(self._engine.execution_options(writing=True), expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with said(self._where), Session(self._engine) as session:
            yield session


def _now() -> datetime:
    return datetime.now(UTC)


def _plain(value: Any) -> Any:
    """`value` as it comes back from JSON: lists for tuples, text keys, None for NaN and infinities."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], may_change: frozenset[str]) -> list[str]:
    """What differs between two recipes outside `may_change`, one phrase a dotted key."""
    before, after = dict(_dotted(old)), dict(_dotted(new))
    phrases = []
    for key in sorted(before.keys() | after.keys()):
        free = any(key == allowed or key.startswith(f"{allowed}.") for allowed in may_change)
        if not free and (key not in before or key not in after or before[key] != after[key]):
            was = repr(before[key]) if key in before else "not set"
            now = repr(after[key]) if key in after else "not set"
            phrases.append(f"{key} was {was}, now {now}")
    return phrases


def _dotted(recipe: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in recipe.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _fields(row: Any, kind: type) -> dict[str, Any]:
    return {name: getattr(row, name) for name in kind.__dataclass_fields__}  # type: ignore[attr-defined]


def _study(row: StudyRow) -> Study:
    return Study(**_fields(row, Study))


def _trial(row: TrialRow, genotype: GenotypeRow, cost: CostRow, evaluation: EvaluationRow | None) -> Trial:
    return Trial(
        id=row.id,
        number=row.number,
        stage=row.stage,
        state=row.state,
        genotype_id=row.genotype_id,
        space=genotype.space,
        choices=genotype.choices,
        seed=row.seed,
        scale=row.scale,
        cost={key: getattr(cost, key) for key in COSTS},
        excess=row.excess,
        evaluation=None if evaluation is None else Evaluation(**_fields(evaluation, Evaluation)),
        reason=row.reason,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )


def _find_study(session: Session, name: str) -> StudyRow:
    row = session.scalar(select(StudyRow).where(StudyRow.name == name))
    if row is None:
        raise UnknownStudyError(unknown_name("run", name, session.scalars(select(StudyRow.name))))
    return row


def _running(session: Session, trial_id: int) -> TrialRow:
    trial = session.get(TrialRow, trial_id, with_for_update=True)
    if trial is None:
        raise StoreError(f"there is no trial with id {trial_id}")
    if trial.state != "running":
        raise StoreError(f"trial {trial_id} is {trial.state}, not running")
    return trial


def _evaluation(genotype_id: str, protocol_id: str, seed: int) -> Any:
    return select(EvaluationRow).where(
        EvaluationRow.genotype_id == genotype_id,
        EvaluationRow.protocol_id == protocol_id,
        EvaluationRow.seed == seed,
    )


def _frame_query() -> Any:
    trial, run, protocol = TrialRow, EvaluationRow, ProtocolRow
    return (
        select(
            StudyRow.name.label("study"),
            *(trial.stage, trial.number, trial.state),
            GenotypeRow.id.label("genotype"),
            *(GenotypeRow.space, trial.seed, trial.scale),
            *(CostRow.params, CostRow.multi_adds, CostRow.conv_multi_adds, CostRow.activations),
            protocol.id.label("protocol"),
            protocol.plan_name.label("plan"),
            *(protocol.data, protocol.metric, protocol.bicubic_psnr_db),
            *(run.psnr_db, run.ssim, run.train_seconds, run.device, run.checkpoint),
            *(trial.excess, trial.reason, GenotypeRow.choices, trial.created_at, trial.finished_at),
        )
        .select_from(trial)
        .join(StudyRow, StudyRow.id == trial.study_id)
        .join(GenotypeRow, GenotypeRow.id == trial.genotype_id)
        .join(CostRow, (CostRow.genotype_id == trial.genotype_id) & (CostRow.scale == trial.scale))
        .outerjoin(run, run.id == trial.evaluation_id)
        .outerjoin(protocol, protocol.id == run.protocol_id)
        .order_by(trial.study_id, trial.stage.desc(), trial.number)
    )

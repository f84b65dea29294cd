"""From rows to plain values and back, and the few lookups that several parts of the store share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import NoneType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, bindparam, case, null, select, update
from sqlalchemy.orm import Session

from leaderboard.errors import DamagedValueError, StoreError, UnknownStudyError, unknown_name
from leaderboard.names import shortened
from leaderboard.store.records import Evaluation, Study, Trial
from leaderboard.store.schema import (
    COSTS,
    EVENTS,
    STAGES,
    CostRow,
    EvaluationRow,
    EventRow,
    GenotypeRow,
    StudyRow,
    TrialRow,
)
from leaderboard.store.transactions import insert

if TYPE_CHECKING:
    import pandas as pd

STAGE_ORDER = case({stage: place for place, stage in enumerate(STAGES)}, value=TrialRow.stage)


def plain(value: Any) -> Any:
    """`value` as it comes back from JSON: lists for tuples, text keys, None for NaN and infinities."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def fields(row: Any, kind: type) -> dict[str, Any]:
    """Of a row what the record `kind` holds."""
    return {name: getattr(row, name) for name in kind.__dataclass_fields__}  # type: ignore[attr-defined]


def study_of(row: StudyRow) -> Study:
    """The study of a row."""
    return Study(**fields(row, Study))


_ELSEWHERE = {"space", "choices", "cost", "evaluation"}
_OWN = [name for name in Trial.__dataclass_fields__ if name not in _ELSEWHERE]
_EVALUATION = list(Evaluation.__dataclass_fields__)


_LONG = {"curve": list, "per_image": dict}


def whole_trials(*, curves: bool = True) -> Select[*tuple[Any, ...]]:
    """What `trial_of` wants of every trial, by stage in the order of `STAGES`, then by number.

    Columns and no row objects, which takes half the time; without `curves`, the long parts of the
    evaluations are empty, which takes half of that.
    """
    left_out = () if curves else _LONG
    of_evaluation = (
        (name, null() if name in left_out else getattr(EvaluationRow, name)) for name in _EVALUATION
    )
    return (
        select(
            *(getattr(TrialRow, name) for name in _OWN),
            *(GenotypeRow.space, GenotypeRow.choices),
            *(getattr(CostRow, name) for name in COSTS),
            *(column.label(f"evaluation_{name}") for name, column in of_evaluation),
        )
        .join(GenotypeRow, GenotypeRow.id == TrialRow.genotype_id)
        .join(CostRow, (CostRow.genotype_id == TrialRow.genotype_id) & (CostRow.scale == TrialRow.scale))
        .outerjoin(EvaluationRow, EvaluationRow.id == TrialRow.evaluation_id)
        .order_by(STAGE_ORDER, TrialRow.number)
    )


_ONE = whole_trials().where(TrialRow.id == bindparam("wanted"))


def trial_of(row: Sequence[Any]) -> Trial:
    """The trial of a row of `whole_trials`."""
    values = iter(row)
    own = {name: next(values) for name in _OWN}
    space, choices = next(values), next(values)
    cost = {name: next(values) for name in COSTS}
    evaluation = {name: next(values) for name in _EVALUATION}
    evaluation |= {name: empty() for name, empty in _LONG.items() if evaluation[name] is None}
    kept = None if evaluation["id"] is None else Evaluation(**evaluation)
    return Trial(**own, space=space, choices=choices, cost=cost, evaluation=kept)


def whole_trial(session: Session, trial_id: int) -> Trial:
    """One trial with all that belongs to it; raises `StoreError` when there is none."""
    row = session.execute(_ONE, {"wanted": trial_id}).one_or_none()
    if row is None:
        raise StoreError(f"there is no trial with id {trial_id}")
    return trial_of(row)


def find_study(session: Session, name: str) -> StudyRow:
    """The study of that name; raises `UnknownStudyError` with the nearest name."""
    row = session.scalar(select(StudyRow).where(StudyRow.name == name))
    if row is None:
        raise UnknownStudyError(unknown_name("run", name, session.scalars(select(StudyRow.name))))
    return row


def lock_study(session: Session, study_id: int, where: str) -> StudyRow:
    """The study, not to be changed by anybody else in this transaction (SQLite has one writer anyway).

    The lock lets others refer to the study, so that results are recorded while a proposal is made.
    """
    row = session.get(StudyRow, study_id, with_for_update={"key_share": True}, populate_existing=True)
    if row is None:
        raise StoreError(f"{where}: there is no study with id {study_id}")
    return row


def keep_genotype(
    session: Session, genotype_id: str, space: str, choices: Mapping[str, Any], name: str | None = None
) -> None:
    """Puts a genotype in; of one that is known, or put in by somebody else now, sets a missing name."""
    values = {"id": genotype_id, "space": space, "choices": plain(choices), "name": name}
    session.execute(insert(session, GenotypeRow).values(values).on_conflict_do_nothing())
    if name is not None:
        nameless = update(GenotypeRow).where(GenotypeRow.id == genotype_id, GenotypeRow.name.is_(None))
        session.execute(nameless.values(name=name).execution_options(synchronize_session=False))


def require_sha256(digest: str | None, what: str) -> None:
    """Refuses what is no SHA-256; None is none."""
    if digest is not None and (len(digest) != 64 or not set(digest) <= set("0123456789abcdef")):
        raise StoreError(f"{what}: {digest!r} is no SHA-256 (64 digits of 0-9 and a-f)")


NUMBER, WHOLE, TEXT, STAMP = "float64", "int64", "object", "datetime64[us, UTC]"
_TYPES: dict[str, frozenset[type]] = {
    NUMBER: frozenset((float, int, NoneType)),
    WHOLE: frozenset((int,)),
    TEXT: frozenset((str, dict, list, NoneType)),
    STAMP: frozenset((datetime, NoneType)),
}


def framed(rows: Sequence[Sequence[Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """Rows as a frame whose columns have the same dtypes however few rows there are.

    `columns` maps names to dtypes. Text and what has no dtype of its own stay objects, with None for what is
    missing; pandas would guess from what it sees. Raises `DamagedValueError` for a value of another
    type.
    """
    import pandas as pd

    values = zip(*rows, strict=True) if rows else ((),) * len(columns)
    found = list(zip(columns.items(), values, strict=True))
    for (name, kind), column in found:
        if not _TYPES[kind].issuperset(map(type, column)):  # SQLite holds what it is given
            strange = next(value for value in column if type(value) not in _TYPES[kind])
            raise DamagedValueError(f"the results database has {name} = {shortened(repr(strange))} in a row")
    return pd.DataFrame({name: pd.Series(list(column), dtype=kind) for (name, kind), column in found})


_EVENT = EventRow.__table__.insert()  # type: ignore[attr-defined]


def tell(
    session: Session,
    kind: str,
    at: datetime,
    *,
    study_id: int,
    trial_id: int | None = None,
    worker: str | None = None,
    device: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Adds an event to the transaction that makes it true."""
    assert kind in EVENTS
    values = {
        "study_id": study_id,
        "trial_id": trial_id,
        "kind": kind,
        "at": at,
        "worker": worker,
        "device": device,
        "details": plain(details or {}),
    }
    session.connection().execute(_EVENT, values)

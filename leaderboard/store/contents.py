"""A study with all that belongs to it, as rows that know each other by what they are and not by numbers.

It is what one database gives to another: `Store.merge` takes it in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from leaderboard.store.rows import STAGE_ORDER, find_study
from leaderboard.store.schema import (
    CostRow,
    EvaluationRow,
    EventRow,
    GenotypeRow,
    MeasurementRow,
    ProtocolRow,
    RuntimeRow,
    StudyRow,
    TableBase,
    TrialRow,
)
from leaderboard.store.transactions import Database

Row = dict[str, Any]
Result = tuple[str, str, int]
"""What an evaluation is of: genotype, protocol, seed."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Rows of the tables as dicts of their columns, without the numbers that a database gives.

    A trial has `result` instead of `evaluation_id` (a key of `evaluations`, or None) and no `study_id`; an
    event has `trial` instead of `trial_id` (a place in `trials`, or None) and no `study_id`. `study` is None
    where measurements and runtimes are given that belong to no study.
    """

    study: Row | None = None
    genotypes: dict[str, Row] = field(default_factory=dict)
    costs: dict[tuple[str, int], Row] = field(default_factory=dict)
    protocols: dict[str, Row] = field(default_factory=dict)
    evaluations: dict[Result, Row] = field(default_factory=dict)
    trials: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    measurements: list[Row] = field(default_factory=list)
    runtimes: list[Row] = field(default_factory=list)


class ContentsReader(Database):
    """What the store gives to another one."""

    def contents(self, study: str, *, events: bool = True) -> Contents:
        """A study with all that belongs to it (without `events`, no events); raises `UnknownStudyError`."""

        def work(session: Session) -> Contents:
            row = find_study(session, study)
            mine = TrialRow.study_id == row.id
            trials = _rows(session, TrialRow, mine, order=(STAGE_ORDER, TrialRow.number))
            results = _rows(
                session, EvaluationRow, EvaluationRow.id.in_(select(TrialRow.evaluation_id).where(mine))
            )
            keys = {entry.pop("id"): _key(entry) for entry in results}
            places = {trial["id"]: place for place, trial in enumerate(trials)}
            for trial in trials:
                trial["result"] = keys.get(trial.pop("evaluation_id"))
                _drop(trial, "id", "study_id")
            told = (
                _rows(session, EventRow, EventRow.study_id == row.id, order=(EventRow.id,)) if events else []
            )
            for event in told:
                event["trial"] = places.get(event.pop("trial_id"))
                _drop(event, "id", "study_id")
            networks = select(TrialRow.genotype_id).where(mine)
            protocols = {trial["protocol_id"] for trial in trials} | {key[1] for key in keys.values()}
            return Contents(
                study=_drop(_plain(row), "id", "owner", "lease_until"),
                **_networks(session, networks),
                protocols={
                    entry["id"]: entry for entry in _rows(session, ProtocolRow) if entry["id"] in protocols
                },
                evaluations={_key(entry): entry for entry in results},
                trials=trials,
                events=told,
            )

        return self._read(work)

    def measured(self) -> Contents:
        """All measurements on benchmark sets and all runtimes, with their networks."""

        def work(session: Session) -> Contents:
            measurements, runtimes = _rows(session, MeasurementRow), _rows(session, RuntimeRow)
            for row in (*measurements, *runtimes):
                _drop(row, "id")
            networks = select(MeasurementRow.genotype_id).union(select(RuntimeRow.genotype_id))
            return Contents(**_networks(session, networks), measurements=measurements, runtimes=runtimes)

        return self._read(work)


def _rows(
    session: Session, table: type[TableBase], where: ColumnElement[bool] | None = None, order: Any = ()
) -> list[Row]:
    query = select(table.__table__).order_by(*order)
    found = session.execute(query if where is None else query.where(where))
    return [dict(row) for row in found.mappings()]


def _networks(session: Session, ids: Any) -> dict[str, Any]:
    genotypes = _rows(session, GenotypeRow, GenotypeRow.id.in_(ids))
    costs = _rows(session, CostRow, CostRow.genotype_id.in_(ids))
    return {
        "genotypes": {row["id"]: row for row in genotypes},
        "costs": {(row["genotype_id"], row["scale"]): row for row in costs},
    }


def _key(evaluation: Row) -> Result:
    return evaluation["genotype_id"], evaluation["protocol_id"], evaluation["seed"]


def _plain(row: StudyRow) -> Row:
    return {column.key: getattr(row, column.key) for column in StudyRow.__table__.columns}


def _drop(row: Row, *names: str) -> Row:
    for name in names:
        del row[name]
    return row

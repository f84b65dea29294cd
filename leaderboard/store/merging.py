"""The store takes in what another one found: all of it or nothing, and the second time nothing new.

What is here already stays as it is. What was found twice with other numbers is told, and ours is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from leaderboard.errors import StoreError, StudyMismatchError
from leaderboard.names import RUN_NAME
from leaderboard.store.contents import Contents, Row
from leaderboard.store.measurements import SAME_MEASUREMENT
from leaderboard.store.recounting import CostKey, settle
from leaderboard.store.rows import lock_study
from leaderboard.store.schema import (
    COSTS,
    RUNTIME_SETTING,
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
from leaderboard.store.studies import recipe_changes
from leaderboard.store.transactions import Database, insert, moment

CHUNK = 5_000  # values in one statement: both databases take more
_PROTOCOL = ("scale", "plan", "data_digest", "metric")
_TRIAL = ("stage", "genotype_id", "seed", "rung", "created_at")


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What came of a merge: how many of each kind are `new` here, and how many were here.

    `different` says in one line each what was found with other numbers there and here, where ours was kept.
    `unfinished` counts the trials left out because they wait or run there.
    """

    new: dict[str, int]
    same: dict[str, int]
    different: list[str] = field(repr=False)
    unfinished: int


class _Count:
    """What was seen so far, each thing once, however many studies have it."""

    def __init__(self) -> None:
        self.new: dict[str, set[Any]] = {}
        self.same: dict[str, set[Any]] = {}
        self.different: dict[str, None] = {}
        self.unfinished = 0

    def saw(self, kind: str, new: Iterable[Any], same: Iterable[Any]) -> None:
        self.new.setdefault(kind, set()).update(new)
        self.same.setdefault(kind, set()).update(set(same) - self.new[kind])

    def merged(self) -> Merged:
        return Merged(
            new={kind: len(things) for kind, things in self.new.items() if things},
            same={kind: len(things) for kind, things in self.same.items() if things},
            different=list(self.different),
            unfinished=self.unfinished,
        )


@dataclass
class _MergedCosts:
    """Networks whose costs here and there are of different forms, by whether the one here was replaced."""

    replaced: set[CostKey] = field(default_factory=set)
    kept: set[CostKey] = field(default_factory=set)


class Merging(Database):
    """What the store takes from another one."""

    def merge(
        self,
        contents: Callable[[], Iterable[Contents]],
        *,
        rename: Callable[[str], str] = str,
        may_change: frozenset[str] = frozenset(),
        absent: Mapping[str, Any] | None = None,
    ) -> Merged:
        """Takes in what `contents` gives, in one transaction; it is called again where that has to be.

        A study is called `rename` of its name. One that is here by that name, with the same space and with a
        recipe that agrees outside `may_change`, gets the trials that it has not; else `StudyMismatchError`
        is raised. A key of `absent` that a recipe lacks has the value that is given there. Trials are the
        same that have stage, network, seed, rung and moment of proposal in common;
        a new one keeps its number where that is free. Trials that wait or run are left out. Evaluations are
        the same by network, protocol and seed, measurements and runtimes by all that was set. Costs, names
        and parts are filled in. A cost of a network as used replaces one of the network as trained, here or
        there, and rejected trials of the network are judged again. Files of weights stay where they are.
        Raises `StoreError` where one id means two networks or two protocols.
        """

        def work(session: Session) -> Merged:
            count, costs = _Count(), _MergedCosts()
            for part in contents():
                _merge_networks(session, part, count, costs)
                _merge_protocols(session, part, count)
                kept = _merge_evaluations(session, part, count)
                if part.study is not None:
                    study_id = self._merge_study(session, part.study, rename, (may_change, absent), count)
                    ids = _merge_trials(session, study_id, part, kept, count)
                    _merge_events(session, study_id, part.events, ids, count)
                _merge_measured(session, MeasurementRow, part.measurements, SAME_MEASUREMENT, count)
                _merge_measured(session, RuntimeRow, part.runtimes, RUNTIME_SETTING, count)
            if costs.replaced or costs.kept:
                settle(session, changed=costs.replaced, kept=costs.kept, now=moment(session))
            return count.merged()

        return self._write(work)

    def _merge_study(
        self,
        session: Session,
        study: Row,
        rename: Callable[[str], str],
        compared: tuple[frozenset[str], Mapping[str, Any] | None],
        count: _Count,
    ) -> int:
        name = rename(study["name"])
        if RUN_NAME.fullmatch(name) is None:
            raise StoreError(
                f"run {name!r}: a name is letters, digits, '.', '_' and '-', 100 at most, and begins with a "
                "letter or a digit; take it in under another one (--as NAME)"
            )
        made = insert(session, StudyRow).values({**study, "name": name})
        made = made.on_conflict_do_nothing(index_elements=["name"]).returning(StudyRow.id)
        new = session.scalar(made)
        found = session.scalars(select(StudyRow).where(StudyRow.name == name)).one()
        row = lock_study(session, found.id, self._where)
        if new is not None:
            count.saw("studies", [name], [])
            return row.id
        changes = recipe_changes(row.recipe, study["recipe"], *compared)
        if row.space_digest != study["space_digest"]:
            changes.append(f"search space {row.space_digest}, there {study['space_digest']}")
        if changes:
            raise StudyMismatchError(
                f"run {name!r} is here with another recipe: {'; '.join(changes)}; "
                "take it in under another name (--as NAME, --prefix TEXT)"
            )
        count.saw("studies", [], [name])
        return row.id


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    whole = list(values)
    for start in range(0, len(whole), CHUNK):
        yield whole[start : start + CHUNK]


def _add(session: Session, table: type[TableBase], rows: Iterable[Row]) -> None:
    """Puts new rows in; what somebody else put in at this moment stays."""
    for some in _chunks(rows):
        session.execute(insert(session, table).on_conflict_do_nothing(), some)


def _here(session: Session, table: type[TableBase], column: Any, values: Iterable[Any]) -> list[Any]:
    """The rows of a table whose `column` is one of the values."""
    rows: list[Any] = []
    for some in _chunks(set(values)):
        rows += session.execute(select(table.__table__).where(column.in_(some))).all()
    return rows


def _merge_networks(session: Session, part: Contents, count: _Count, seen: _MergedCosts) -> None:
    there = part.genotypes
    known = {row.id: row for row in _here(session, GenotypeRow, GenotypeRow.id, there)}
    for id, row in known.items():
        if (row.space, row.choices) != (there[id]["space"], there[id]["choices"]):
            raise StoreError(f"network {id} is another one here: {row.choices}, there {there[id]['choices']}")
        if row.name is None and there[id]["name"] is not None:
            session.execute(update(GenotypeRow).where(GenotypeRow.id == id).values(name=there[id]["name"]))
    _add(session, GenotypeRow, (row for id, row in there.items() if id not in known))
    count.saw("networks", there.keys() - known.keys(), known)
    costs = {(row.genotype_id, row.scale): row for row in _here(session, CostRow, CostRow.genotype_id, there)}
    _add(session, CostRow, (row for key, row in part.costs.items() if key not in costs))
    for key in costs.keys() & part.costs.keys():
        ours, theirs = costs[key], part.costs[key]
        if ours.form != theirs["form"]:
            _merge_forms(session, key, ours.form, theirs, seen)
            continue
        odd = [name for name in COSTS if getattr(ours, name) != theirs[name]]
        if odd:
            said = ", ".join(f"{name} {getattr(ours, name):,} here, {theirs[name]:,} there" for name in odd)
            count.different[f"cost of {key[0]} at x{key[1]}: {said}"] = None
        elif ours.parts is None and theirs["parts"] is not None:
            same = (CostRow.genotype_id == key[0], CostRow.scale == key[1])
            session.execute(update(CostRow).where(*same).values(parts=theirs["parts"]))


def _merge_forms(session: Session, key: CostKey, ours: str, theirs: Row, seen: _MergedCosts) -> None:
    """Of a cost of a network as trained and one of it as used, the latter stays."""
    if ours == "use":
        seen.kept.add(key)
        return
    new = {name: theirs[name] for name in (*COSTS, "parts", "form")}
    same = (CostRow.genotype_id == key[0], CostRow.scale == key[1])
    session.execute(update(CostRow).where(*same).values(new))
    seen.replaced.add(key)


def _merge_protocols(session: Session, part: Contents, count: _Count) -> None:
    known = {row.id: row for row in _here(session, ProtocolRow, ProtocolRow.id, part.protocols)}
    for id, row in known.items():
        theirs = part.protocols[id]
        odd = [name for name in _PROTOCOL if getattr(row, name) != theirs[name]]
        if odd:
            raise StoreError(
                f"protocol {id} is another one here: {odd[0]} is {getattr(row, odd[0])!r}, there "
                f"{theirs[odd[0]]!r}"
            )
    _add(session, ProtocolRow, (row for id, row in part.protocols.items() if id not in known))
    count.saw("protocols", part.protocols.keys() - known.keys(), known)


def _merge_evaluations(session: Session, part: Contents, count: _Count) -> dict[Any, tuple[int, bool]]:
    """The id of each evaluation here, and whether it is the one that was found there."""
    before = _evaluations(session, part)
    _add(session, EvaluationRow, (row for key, row in part.evaluations.items() if key not in before))
    kept = {}
    for key, (id, psnr_db, ssim) in _evaluations(session, part).items():
        theirs = part.evaluations[key]
        same = (psnr_db, ssim) == (theirs["psnr_db"], theirs["ssim"])
        kept[key] = id, same
        if same:
            count.saw("evaluations", [key] if key not in before else [], [key])
        else:
            numbers = (
                f"{psnr_db:.4f} dB, {ssim:.5f} here, {theirs['psnr_db']:.4f} dB, {theirs['ssim']:.5f} there"
            )
            count.different[f"{key[0]} under {key[1]}, seed {key[2]}: {numbers}"] = None
    return kept


def _evaluations(session: Session, part: Contents) -> dict[Any, tuple[int, float, float]]:
    run = EvaluationRow
    query = select(run.id, run.genotype_id, run.protocol_id, run.seed, run.psnr_db, run.ssim)
    found = {}
    for some in _chunks({key[0] for key in part.evaluations}):
        for id, genotype, protocol, seed, psnr_db, ssim in session.execute(
            query.where(run.genotype_id.in_(some))
        ):
            if (genotype, protocol, seed) in part.evaluations:
                found[genotype, protocol, seed] = id, psnr_db, ssim
    return found


def _trial_key(row: Any) -> tuple[Any, ...]:
    return tuple(row[name] for name in _TRIAL)


def _merge_trials(
    session: Session, study_id: int, part: Contents, kept: dict[Any, tuple[int, bool]], count: _Count
) -> dict[int, int]:
    """Place in `part.trials` -> id here, for what is here now."""
    known = _trials(session, study_id)
    taken = set(session.execute(select(TrialRow.stage, TrialRow.number).where(TrialRow.study_id == study_id)))
    used = {(stage, number) for stage, number in taken}
    highest: Counter[str] = Counter()
    for stage, number in used:
        highest[stage] = max(highest[stage], number)
    wanted: dict[tuple[Any, ...], int] = {}
    new, same = [], []
    for place, trial in enumerate(part.trials):
        if trial["state"] in ("waiting", "running"):
            count.unfinished += 1
            continue
        key = _trial_key(trial)
        wanted[key] = place
        if key in known:
            same.append((study_id, key))
            continue
        stage, number = trial["stage"], trial["number"]
        if (stage, number) in used:
            number = highest[stage] + 1
        used.add((stage, number))
        highest[stage] = max(highest[stage], number)
        new.append(_own(trial, study_id, number, kept))
    _add(session, TrialRow, new)
    count.saw("trials", ((study_id, _trial_key(row)) for row in new), same)
    return {wanted[key]: id for key, id in _trials(session, study_id).items() if key in wanted}


def _own(trial: Row, study_id: int, number: int, kept: dict[Any, tuple[int, bool]]) -> Row:
    """The trial as a row here; one whose own result is not the one that is kept shows another's."""
    row = {name: value for name, value in trial.items() if name != "result"}
    row |= {"study_id": study_id, "number": number, "evaluation_id": None}
    if trial["result"] is not None:
        row["evaluation_id"], same = kept[trial["result"]]
        row["state"] = trial["state"] if same else "repeated"
    return row


def _trials(session: Session, study_id: int) -> dict[tuple[Any, ...], int]:
    columns = [getattr(TrialRow, name) for name in _TRIAL]
    query = select(TrialRow.id, *columns).where(TrialRow.study_id == study_id)
    return {_trial_key(row): row["id"] for row in session.execute(query).mappings()}


def _merge_events(
    session: Session, study_id: int, events: Sequence[Row], ids: dict[int, int], count: _Count
) -> None:
    known = {
        tuple(row)
        for row in session.execute(
            select(EventRow.trial_id, EventRow.kind, EventRow.at).where(EventRow.study_id == study_id)
        )
    }
    new, same = [], 0
    for event in events:
        place = event["trial"]
        if place is not None and place not in ids:
            continue  # of a trial that is left out
        trial_id = None if place is None else ids[place]
        if (trial_id, event["kind"], event["at"]) in known:
            same += 1
        else:
            new.append({**event, "study_id": study_id, "trial_id": trial_id})
            del new[-1]["trial"]
    _add(session, EventRow, new)
    count.saw(
        "events",
        ((study_id, place) for place in range(len(new))),
        ((-study_id, place) for place in range(same)),
    )


def _merge_measured(
    session: Session, table: Any, rows: Sequence[Row], same: Sequence[str], count: _Count
) -> None:
    kind, number = ("measurements", "psnr_db") if table is MeasurementRow else ("runtimes", "median_ms")
    networks = {row["network"] for row in rows}
    known = {
        tuple(getattr(row, name) for name in same): getattr(row, number)
        for row in _here(session, table, table.network, networks)
    }
    new, equal = [], []
    for row in rows:
        key = tuple(row[name] for name in same)
        if key not in known:
            new.append(row)
        elif known[key] == row[number]:
            equal.append(key)
        else:
            said = ", ".join(str(value) for value in key if value != "")
            count.different[f"{said}: {number} {known[key]:.4f} here, {row[number]:.4f} there"] = None
    _add(session, table, new)
    count.saw(kind, (tuple(row[name] for name in same) for row in new), equal)

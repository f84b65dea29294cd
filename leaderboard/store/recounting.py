"""The store's costs of networks as trained: refused by readers, and replaced by costs of networks as used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Select, select, tuple_, update
from sqlalchemy.orm import Session

from leaderboard.errors import OldCostsError, StudyTakenError
from leaderboard.store.cost_forms import recount_command
from leaderboard.store.owners import is_gone
from leaderboard.store.records import CountedCost, OldCost
from leaderboard.store.rows import lock_study, plain, tell
from leaderboard.store.schema import COSTS, CostRow, GenotypeRow, StudyRow, TrialRow
from leaderboard.store.transactions import Database, moment

Thing = TypeVar("Thing")
CHUNK = 2_000
CostKey = tuple[str, int]
"""What a cost is of: genotype, scale."""

_AT_MOST = ("params", "multi_adds", "conv_multi_adds")
_AT_LEAST = {"min_params": "params", "min_multi_adds": "multi_adds"}
_OLD = CostRow.form == "training"


@dataclass(frozen=True, kw_only=True)
class Recounted:
    """What a recount changed: costs written, and rejected trials that are inside their budget now, by run."""

    costs: int
    inside: dict[str, int]


class Recounting(Database):
    """What the store says of costs that were counted on networks as trained, and how they are replaced."""

    def require_recounted(self, study: str | Sequence[str] | None = None) -> None:
        """Raises `OldCostsError` where a study, one of several, or any has costs of networks as trained.

        A study that is not there has none.
        """

        def work(session: Session) -> None:
            ids = None
            if study is not None:
                names = [study] if isinstance(study, str) else list(study)
                ids = list(session.scalars(select(StudyRow.id).where(StudyRow.name.in_(names))))
            require_use(session, self._where, ids)

        self._read(work)

    def costs_to_recount(self) -> list[OldCost]:
        """All costs of networks as trained, by genotype and scale, with the names of their studies."""

        def work(session: Session) -> list[OldCost]:
            studies = _studies_of(session)
            query = (
                select(
                    *(GenotypeRow.id, GenotypeRow.space, GenotypeRow.choices, GenotypeRow.name),
                    *(CostRow.scale, *(getattr(CostRow, name) for name in COSTS)),
                    CostRow.parts.is_not(None).label("has_parts"),
                )
                .join(GenotypeRow, GenotypeRow.id == CostRow.genotype_id)
                .where(_OLD)
                .order_by(GenotypeRow.id, CostRow.scale)
            )
            return [
                OldCost(
                    genotype_id=row.id,
                    **{name: getattr(row, name) for name in ("space", "choices", "name", "scale")},
                    cost={name: getattr(row, name) for name in COSTS},
                    has_parts=bool(row.has_parts),
                    studies=tuple(studies.get((row.id, row.scale), ())),
                )
                for row in session.execute(query)
            ]

        return self._read(work)

    def recount(self, costs: Sequence[CountedCost]) -> Recounted:
        """Replaces costs of networks as trained by those of the networks as used, all in one transaction.

        The excess of rejected trials of these networks is computed again; an empty one says that the network
        is inside the budget now. Costs that are there as used already stay as they are. Each study concerned
        gets an event. Raises `StudyTakenError` while a study concerned is searched or trained for.
        """
        new = {(each.genotype_id, each.scale): each for each in costs}

        def work(session: Session) -> Recounted:
            for study_id in _ids_of_studies(session, new):
                _require_idle(lock_study(session, study_id, self._where), session)
            old = _old_keys(session, new)
            for key in old:
                _replace(session, key, new[key])
            session.expire_all()
            inside = settle(session, changed=old, now=moment(session))
            return Recounted(costs=len(old), inside=inside)

        return self._write(work)


def require_use(session: Session, where: str, study_ids: Sequence[int] | None) -> None:
    """Raises `OldCostsError` where one of the studies, or any, has costs of networks as trained."""
    if not has_old(session):
        return
    query = (
        select(StudyRow.name, TrialRow.genotype_id, TrialRow.scale)
        .join(TrialRow, TrialRow.study_id == StudyRow.id)
        .join(CostRow, (CostRow.genotype_id == TrialRow.genotype_id) & (CostRow.scale == TrialRow.scale))
        .where(_OLD)
        .distinct()
        .order_by(StudyRow.name)
    )
    if study_ids is not None:
        query = query.where(StudyRow.id.in_(study_ids))
    found: dict[str, int] = {}
    for name, *_ in session.execute(query):
        found[name] = found.get(name, 0) + 1
    if found:
        raise OldCostsError(old_costs(where, found))


def has_old(session: Session) -> bool:
    """Whether there is any cost of a network as trained."""
    return session.scalar(select(CostRow.genotype_id).where(_OLD).limit(1)) is not None


def old_costs(where: str, counts: Mapping[str, int]) -> str:
    """The one line for costs of networks as trained: how many of which run, and what replaces them."""
    runs = ", ".join(
        f"{count:,} cost{'' if count == 1 else 's'} of run {name!r}" for name, count in _first(counts.items())
    )
    return _old(where, f"{runs}{_more(counts)}")


def old_network_costs(where: str, networks: Sequence[str]) -> str:
    """The same line for networks that are read without a run."""
    return _old(where, f"the costs of {', '.join(_first(networks))}{_more(networks)}")


def _old(where: str, costs: str) -> str:
    return (
        f"{where}: {costs}: counted on networks as they are trained, not as they are used; "
        f"count again with: {recount_command(where)}"
    )


_SHOWN = 5


def _first(things: Iterable[Thing]) -> list[Thing]:
    return list(islice(things, _SHOWN))


def _more(things: Sized) -> str:
    return f" and of {len(things) - _SHOWN} more" if len(things) > _SHOWN else ""


def settle(
    session: Session, *, changed: Iterable[CostKey], kept: Iterable[CostKey] = (), now: datetime
) -> dict[str, int]:
    """Judges the rejected trials of networks again, and tells the studies that something changed for them.

    Args:
        session: The transaction.
        changed: Networks whose cost was replaced in it.
        kept: Networks whose cost is as it was, but of which trials may have been rejected by another one.
        now: The moment of the events.

    Returns:
        Study -> trials whose network is inside the budget now, and was not before.
    """
    replaced = set(changed)
    counted: dict[int, set[CostKey]] = {}
    inside: dict[int, int] = {}
    touched: set[int] = set()
    for trial in _trials_of(session, replaced | set(kept)):
        key = trial.genotype_id, trial.scale
        if key in replaced:
            counted.setdefault(trial.study_id, set()).add(key)
        if trial.state != "rejected" or not trial.excess:
            continue
        cost = {name: getattr(trial, name) for name in COSTS}
        budget = session.get_one(StudyRow, trial.study_id).recipe.get("budget")
        excess = excess_again(budget, cost, trial.excess)
        if excess != trial.excess:
            session.execute(update(TrialRow).where(TrialRow.id == trial.id).values(excess=plain(excess)))
            touched.add(trial.study_id)
            inside[trial.study_id] = inside.get(trial.study_id, 0) + (not excess)
    for study_id in sorted(counted.keys() | touched):
        details = {"costs": len(counted.get(study_id, ())), "inside": inside.get(study_id, 0)}
        tell(session, "recounted", now, study_id=study_id, details=details)
    return {session.get_one(StudyRow, study_id).name: count for study_id, count in inside.items() if count}


def excess_again(budget: object, cost: Mapping[str, int], before: Mapping[str, float]) -> dict[str, float]:
    """The fraction by which each limit on a cost is exceeded now; those on measured values stay.

    Args:
        budget: The budget of a stored recipe.
        cost: The cost of the network.
        before: What the trial was rejected with. Limits that the budget does not name stay, too.
    """
    limits = {
        name: limit
        for name, limit in (budget.items() if isinstance(budget, Mapping) else ())
        if isinstance(limit, int | float) and not isinstance(limit, bool) and limit > 0
    }
    over = {name: cost[name] / limits[name] - 1 for name in _AT_MOST if name in limits}
    over |= {name: 1 - cost[of] / limits[name] for name, of in _AT_LEAST.items() if name in limits}
    kept = {name: fraction for name, fraction in before.items() if name not in over}
    return {name: fraction for name, fraction in over.items() if fraction > 0} | kept


def _chunks(keys: Iterable[CostKey]) -> Iterable[list[CostKey]]:
    whole = sorted(keys)
    for start in range(0, len(whole), CHUNK):
        yield whole[start : start + CHUNK]


def _studies_of(session: Session) -> dict[CostKey, list[str]]:
    """Of each cost of a network as trained: the studies that have it."""
    query = (
        select(TrialRow.genotype_id, TrialRow.scale, StudyRow.name)
        .join(StudyRow, StudyRow.id == TrialRow.study_id)
        .join(CostRow, (CostRow.genotype_id == TrialRow.genotype_id) & (CostRow.scale == TrialRow.scale))
        .where(_OLD)
        .distinct()
        .order_by(StudyRow.name)
    )
    found: dict[CostKey, list[str]] = {}
    for genotype_id, scale, name in session.execute(query):
        found.setdefault((genotype_id, scale), []).append(name)
    return found


def _ids_of_studies(session: Session, keys: Iterable[CostKey]) -> list[int]:
    """The studies with trials of these networks, in the order in which all lock them."""
    found: set[int] = set()
    for some in _chunks(keys):
        query = select(TrialRow.study_id).where(tuple_(TrialRow.genotype_id, TrialRow.scale).in_(some))
        found.update(session.scalars(query.distinct()))
    return sorted(found)


def _require_idle(study: StudyRow, session: Session) -> None:
    """Raises `StudyTakenError` while a process leads the study or trains for it."""
    now = moment(session)
    running = select(TrialRow.owner, TrialRow.lease_until).where(
        TrialRow.study_id == study.id, TrialRow.state == "running"
    )
    for what, owner, until in (
        ("searched", study.owner, study.lease_until),
        *(("trained for", row.owner, row.lease_until) for row in session.execute(running)),
    ):
        if owner is not None and until is not None and until > now and not is_gone(owner):
            raise StudyTakenError(
                f"run {study.name!r} is being {what} by {owner}; its costs can be counted again after that: "
                "wait for it, or stop it"
            )


def _old_keys(session: Session, keys: Iterable[CostKey]) -> list[CostKey]:
    """Of the keys those whose cost is that of the network as trained."""
    found: list[CostKey] = []
    for some in _chunks(keys):
        query = select(CostRow.genotype_id, CostRow.scale).where(
            _OLD, tuple_(CostRow.genotype_id, CostRow.scale).in_(some)
        )
        found += [(row.genotype_id, row.scale) for row in session.execute(query)]
    return found


def _replace(session: Session, key: CostKey, new: CountedCost) -> None:
    values: dict[str, Any] = {name: int(new.cost[name]) for name in COSTS}
    values |= {"parts": None if new.parts is None else plain(new.parts), "form": "use"}
    where = (CostRow.genotype_id == key[0], CostRow.scale == key[1])
    session.execute(update(CostRow).where(*where).values(values).execution_options(synchronize_session=False))


def _trials_of(session: Session, keys: Iterable[CostKey]) -> list[Any]:
    """The trials of networks with the present cost and the recipe of their study."""
    found: list[Any] = []
    for some in _chunks(keys):
        query: Select[*tuple[Any, ...]] = (
            select(
                *(TrialRow.id, TrialRow.study_id, TrialRow.genotype_id, TrialRow.scale, TrialRow.state),
                *(TrialRow.excess, *(getattr(CostRow, name) for name in COSTS)),
            )
            .join(CostRow, (CostRow.genotype_id == TrialRow.genotype_id) & (CostRow.scale == TrialRow.scale))
            .where(tuple_(TrialRow.genotype_id, TrialRow.scale).in_(some))
            .order_by(TrialRow.id)
        )
        found += session.execute(query).all()
    return found

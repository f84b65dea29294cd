"""The store as tables: every trial, every event."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from leaderboard.errors import StoreError, unknown_name
from leaderboard.store.recounting import require_use
from leaderboard.store.rows import NUMBER, STAGE_ORDER, STAMP, TEXT, WHOLE, find_study, framed, tell
from leaderboard.store.schema import (
    COSTS,
    EVENTS,
    CostRow,
    EvaluationRow,
    EventRow,
    GenotypeRow,
    ProtocolRow,
    StudyRow,
    TrialRow,
)
from leaderboard.store.transactions import Database, moment

if TYPE_CHECKING:
    import pandas as pd


class Frames(Database):
    """What the store says of all trials and all events at once."""

    def frame(
        self, study: str | Sequence[str] | None = None, columns: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """One row a trial, of one study, of several or of all; what has no value is None or NaN.

        With `columns`, only these are read, in this order: much faster where the long ones are not needed.

        Texts and dicts are objects, numbers float64 or int64, also when there is no row. Raises
        `UnknownStudyError`, `StoreError` for a column that is none, and `OldCostsError` where costs are asked
        for and one of them is that of a network as trained.

        | column | meaning |
        | --- | --- |
        | study, stage, number | name of the study; search, seeds or retrain; counted from 0 in each stage |
        | state | waiting, running, finished, rejected (over budget), repeated (known before) or failed |
        | genotype, space, seed | id of the network; name of its search space; random seed |
        | name | what a paper calls the network |
        | rung, attempt | rung it is trained to, from 0; trainings that were begun |
        | scale | factor of the super-resolution: 2, 3, 4 |
        | params | learnable numbers |
        | multi_adds | multiply-adds of everything that multiplies, for the protocol's output size |
        | conv_multi_adds | multiply-adds of convolution modules only, as many papers count |
        | activations | numbers that the convolutions put out |
        | protocol, plan, data, metric | the protocol, also the planned one: id; plan, data, metric by name |
        | data_digest | of the protocol's data |
        | bicubic_psnr_db | what bicubic upscaling reaches under the protocol, dB |
        | psnr_db, ssim | what the network reaches: dB; 0 to 1 |
        | train_seconds | wall time of the training, seconds |
        | trunk_share | share of the training from which a longer one of its plan continues, 0 to 1 |
        | device, worker | where it was trained; by whom |
        | code_version, torch_version | of the program that trained it, and its torch |
        | owner | who trains it or ended it |
        | checkpoint, folder | file of the weights, and its folder, relative to the runs folder |
        | checkpoint_sha256 | of that file |
        | halvings | list: where the training diverged, `[step, resumed, factor]`; None where it did not |
        | excess | dict: limit to the fraction over it, empty when within budget |
        | failure, reason | kind of the failure; why, in one line |
        | choices | dict: the choices that build the network |
        | created_at, finished_at | proposed; over; aware, UTC |
        """
        wanted = list(_FRAME if columns is None else columns)
        for name in wanted:
            if name not in _FRAME:
                raise StoreError(unknown_name("column", name, _FRAME))

        def work(session: Session) -> list[Any]:
            query, ids = _frame_query(wanted), None
            if study is not None:
                names = [study] if isinstance(study, str) else study
                ids = [find_study(session, name).id for name in names]
                query = query.where(StudyRow.id.in_(ids))
            if not set(COSTS).isdisjoint(wanted):
                require_use(session, self._where, ids)
            rows = session.connection().execute(query).all()  # plain rows, without the mapper's work
            return _computed(session, wanted, rows)

        return framed(self._read(work), {name: _FRAME[name][0] for name in wanted})

    def events(self, study: str, after: int = 0) -> pd.DataFrame:
        """One row an event of a study, oldest first, from the one after the id `after` on.

        | column | meaning |
        | --- | --- |
        | id, kind | counted up as they are written; one of `EVENTS` |
        | at, seconds | when, aware, UTC; seconds since the first event of the study |
        | trial, stage, number | id, stage and number of the trial; None and NaN for events of the search |
        | genotype, seed, rung | of the trial |
        | params, multi_adds | of its network |
        | psnr_db, train_seconds | of its evaluation: only in finished and repeated |
        | worker, device | who did it, and where |
        | details | dict: attempt, excess, reason, from (whose lease ran out), ... |

        Raises `UnknownStudyError`, and `OldCostsError` where the study has costs of networks as trained.
        """
        import pandas as pd

        def work(session: Session) -> tuple[Sequence[Any], datetime | None]:
            study_id = find_study(session, study).id
            require_use(session, self._where, [study_id])
            query = _event_query().where(EventRow.study_id == study_id, EventRow.id > after)
            rows = session.connection().execute(query).all()
            first = select(EventRow.at).where(EventRow.study_id == study_id).order_by(EventRow.id).limit(1)
            return rows, session.scalar(first)

        rows, first = self._read(work)
        frame = framed(rows, _EVENTS)
        done = frame["kind"].isin(("finished", "repeated"))
        frame.loc[~done, ["psnr_db", "train_seconds"]] = float("nan")
        # Without any event there is nothing to count from, and nothing to count.
        since = frame["at"] - pd.Timestamp(first or datetime.now(UTC))
        frame.insert(3, "seconds", since.dt.total_seconds())
        return frame

    def last_event(self, study: str) -> int:
        """The id of the newest event of `study`, 0 without any: every change of a study is one.

        Raises `UnknownStudyError`.
        """

        def work(session: Session) -> int:
            of_study = EventRow.study_id == find_study(session, study).id
            return session.scalar(select(func.max(EventRow.id)).where(of_study)) or 0

        return self._read(work)

    def add_event(
        self,
        study_id: int,
        kind: str,
        *,
        trial_id: int | None = None,
        worker: str | None = None,
        device: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Keeps something that changes no trial, such as `rung`: a candidate goes on, or stops there.

        All other events write themselves, with what they tell of.
        """
        if kind not in EVENTS:
            raise StoreError(unknown_name("event", kind, EVENTS))

        def work(session: Session) -> None:
            tell(
                session,
                kind,
                moment(session),
                study_id=study_id,
                trial_id=trial_id,
                worker=worker,
                device=device,
                details=details,
            )

        self._write(work)


_FRAME: dict[str, tuple[str, Any]] = {  # the dtype of each column, and where it comes from
    **{"study": (TEXT, StudyRow.name), "stage": (TEXT, TrialRow.stage), "number": (WHOLE, TrialRow.number)},
    **{"state": (TEXT, TrialRow.state), "genotype": (TEXT, GenotypeRow.id), "name": (TEXT, GenotypeRow.name)},
    "space": (TEXT, GenotypeRow.space),
    **{name: (WHOLE, getattr(TrialRow, name)) for name in ("seed", "rung", "attempt", "scale")},
    **{name: (WHOLE, getattr(CostRow, name)) for name in COSTS},
    **{"protocol": (TEXT, ProtocolRow.id), "plan": (TEXT, ProtocolRow.plan_name)},
    **{name: (TEXT, getattr(ProtocolRow, name)) for name in ("data", "data_digest", "metric")},
    "bicubic_psnr_db": (NUMBER, ProtocolRow.bicubic_psnr_db),
    **{name: (NUMBER, getattr(EvaluationRow, name)) for name in ("psnr_db", "ssim", "train_seconds")},
    "trunk_share": (NUMBER, ProtocolRow.id),
    **{name: (TEXT, getattr(EvaluationRow, name)) for name in ("device", "code_version", "torch_version")},
    **{"worker": (TEXT, TrialRow.worker), "owner": (TEXT, TrialRow.owner)},
    **{"checkpoint": (TEXT, EvaluationRow.checkpoint), "folder": (TEXT, EvaluationRow.checkpoint)},
    "checkpoint_sha256": (TEXT, EvaluationRow.checkpoint_sha256),
    "halvings": (TEXT, EvaluationRow.halvings),
    **{name: (TEXT, getattr(TrialRow, name)) for name in ("excess", "failure", "reason")},
    "choices": (TEXT, GenotypeRow.choices),
    **{name: (STAMP, getattr(TrialRow, name)) for name in ("created_at", "finished_at")},
}


_EVENTS = {
    **{"id": WHOLE, "kind": TEXT, "at": STAMP, "trial": NUMBER, "stage": TEXT, "number": NUMBER},
    **{"genotype": TEXT, "seed": NUMBER, "rung": NUMBER, "params": NUMBER, "multi_adds": NUMBER},
    **{"psnr_db": NUMBER, "train_seconds": NUMBER, "worker": TEXT, "device": TEXT, "details": TEXT},
}


def _computed(session: Session, wanted: Sequence[str], rows: Sequence[Any]) -> list[Any]:
    """The rows, with the columns that are computed from what was read in their place."""
    if "folder" in wanted:
        rows = _mapped(rows, wanted.index("folder"), _folder)
    if "trunk_share" in wanted:
        plans = session.execute(select(ProtocolRow.id, ProtocolRow.plan)).all()
        shares: dict[str | None, float] = {protocol: _trunk_share(plan) for protocol, plan in plans}
        rows = _mapped(rows, wanted.index("trunk_share"), shares.get)
    return list(rows)


def _mapped(rows: Sequence[Any], place: int, change: Callable[[Any], Any]) -> list[Any]:
    """The rows with one column changed."""
    return [(*row[:place], change(row[place]), *row[place + 1 :]) for row in rows]


def _trunk_share(plan: Any) -> float:
    """Share of a plan's steps that a longer plan has, too, by the words of ``nas.training.plan.Plan``.

    NaN for what is no plan: the database may be anybody's.
    """
    if not isinstance(plan, Mapping):
        return float("nan")
    decay = plan.get("decay_share", 1 / 3)
    falls = 1.0 - decay if isinstance(decay, int | float) else float("nan")
    return {"cosine": 0.0, "linear": 0.0, "wsd": falls}.get(str(plan.get("schedule", "cosine")), 1.0)


def _folder(checkpoint: str | None) -> str | None:
    return None if checkpoint is None else checkpoint.rpartition("/")[0] or "."


def _frame_query(columns: Sequence[str]) -> Select[*tuple[Any, ...]]:
    trial, run, protocol = TrialRow, EvaluationRow, ProtocolRow
    return (
        select(*(_FRAME[name][1].label(name) for name in columns))
        .select_from(trial)
        .join(StudyRow, StudyRow.id == trial.study_id)
        .join(GenotypeRow, GenotypeRow.id == trial.genotype_id)
        .join(CostRow, (CostRow.genotype_id == trial.genotype_id) & (CostRow.scale == trial.scale))
        .outerjoin(run, run.id == trial.evaluation_id)
        .outerjoin(protocol, protocol.id == func.coalesce(run.protocol_id, trial.protocol_id))
        .order_by(trial.study_id, STAGE_ORDER, trial.number)
    )


def _event_query() -> Select[*tuple[Any, ...]]:
    trial, run, cost = TrialRow, EvaluationRow, CostRow
    return (
        select(
            *(EventRow.id, EventRow.kind, EventRow.at, EventRow.trial_id.label("trial")),
            *(trial.stage, trial.number, trial.genotype_id.label("genotype"), trial.seed, trial.rung),
            *(cost.params, cost.multi_adds, run.psnr_db, run.train_seconds),
            *(EventRow.worker, EventRow.device, EventRow.details),
        )
        .select_from(EventRow)
        .outerjoin(trial, trial.id == EventRow.trial_id)
        .outerjoin(cost, (cost.genotype_id == trial.genotype_id) & (cost.scale == trial.scale))
        .outerjoin(run, run.id == trial.evaluation_id)
        .order_by(EventRow.id)
    )

"""The search: ask, cost, budget, train, record, tell. The only module that knows an Optuna study.

The results database is the only truth: the study is rebuilt from it at the start, so that a killed search
goes on from what was recorded. A result is recorded first and told second.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import TrialState

from leaderboard.pareto import hypervolume, pareto_mask
from leaderboard.records import Evaluation, Study, Trial
from leaderboard.store import Store
from nas import __version__
from nas.cost import Budget, Cost, cost_of
from nas.errors import CandidateError, CheckpointError, Interrupted, RunError
from nas.executors import EXECUTORS, Executor, Pool, Result
from nas.protocol import make_protocol
from nas.reach import require_reachable
from nas.recipe import MAY_CHANGE, Recipe
from nas.samplers import SAMPLERS, RandomChooser
from nas.training import Job, Outcome, Progress
from nas.units import format_count
from search_spaces import Axis, Genotype

PATIENCE = 1000
"""Rejections in a row after which a search gives up and names the limit."""

REPEATS_BEFORE_RANDOM = 20
"""Repeats in a row after which candidates are drawn at random instead of by the sampler."""

FAILURES_IN_A_ROW = 5
"""Candidates that fail one after another until the search stops: then it is not the candidates."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that a person watching wants to know.

    ``kind`` is one of started, progress, finished, rejected, repeated, failed, note.
    """

    kind: str
    number: int = -1
    genotype: Genotype | None = None
    cost: Cost | None = None
    psnr_db: float | None = None
    progress: Progress | None = None
    text: str = ""


Listener = Callable[[Event], None]
"""Told of each Event; may raise Interrupted, whereupon the search stops cleanly."""


@dataclass(kw_only=True)
class Tally:
    """Where a search stands. ``results`` maps a genotype id to (multi_adds, psnr_db)."""

    wanted: int
    bicubic_psnr_db: float = 0.0
    results: dict[str, tuple[int, float]] = field(default_factory=dict)
    rejected: int = 0
    rejected_by: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    failed: int = 0

    @property
    def best_psnr_db(self) -> float | None:
        """The best PSNR so far, in dB."""
        return max((psnr for _, psnr in self.results.values()), default=None)

    def front(self) -> list[str]:
        """The genotype ids that nothing dominates, cheapest first."""
        if not self.results:
            return []
        cost, psnr = np.array(list(self.results.values())).T
        ids = np.array(list(self.results))[pareto_mask(cost, psnr)]
        return sorted(ids.tolist(), key=lambda genotype: self.results[genotype])

    def hypervolume(self, multi_adds_limit: float | None = None) -> float:
        """Area between the front and bicubic, in dB times giga Multi-Adds.

        It reaches up to the limit, or to the costliest result where there is none.
        """
        if not self.results:
            return 0.0
        cost, psnr = np.array(list(self.results.values())).T
        limit = float(cost.max()) if multi_adds_limit is None else multi_adds_limit
        floor = self.bicubic_psnr_db
        return hypervolume(cost / 1e9, psnr, cost_limit=limit / 1e9, quality_floor=floor)


@dataclass
class _Candidate:
    """A trial between its proposal and its result; ``asked`` is Optuna's, when a sampler proposed it."""

    trial: Trial
    genotype: Genotype
    cost: Cost
    asked: optuna.trial.Trial | None


class Search:
    """One run of a recipe against a database.

    ``runs`` is the folder of all runs. ``tally`` can be read at any time by the listener. Raises what
    ``Store.open_study`` raises when the name is taken by another recipe, and BudgetError when no architecture
    can be inside the budget.
    """

    def __init__(self, recipe: Recipe, store: Store, runs: Path, device: str, listen: Listener) -> None:
        self.recipe, self.store, self.runs, self.device, self.listen = recipe, store, runs, device, listen
        self.space, self.budget = recipe.search_space(), recipe.limits()
        self.plan = recipe.plan("proxy")
        self.protocol, self.dataset = make_protocol(recipe, recipe.proxy.get("plan", "quick"), self.plan)
        self.tally = Tally(wanted=recipe.trials, bicubic_psnr_db=self.protocol.bicubic_psnr_db)
        self._failed: set[str] = set()
        self._training: dict[int, _Candidate] = {}
        self._repeats = self._rejections = self._failures = 0

    def run(self) -> Tally:
        """Search until the recipe's number of candidates have a result; call :meth:`prepare` first.

        Interrupted leaves through here after everything that was finished is recorded.
        """
        study = self._study
        executor = EXECUTORS[self.recipe.executor](Pool(workers=self.recipe.workers))
        try:
            for candidate in self._rebuild(study):
                self._submit(executor.submit, candidate)
            while len(self.tally.results) < self.tally.wanted:
                self._fill(executor, study)
                if not self._training:
                    break
                done = executor.next_result(self._watch)
                self._finish(self._training.pop(done.key), done.result)
        except Interrupted:
            for done in executor.close(save=True):
                with contextlib.suppress(Interrupted):
                    self._finish(self._training.pop(done.key), done.result)
            raise
        finally:
            executor.close(save=False)
        return self.tally

    def _fill(self, executor: Executor, study: Study) -> None:
        """Propose until every worker has a candidate, enough are under way, or nothing new is left."""
        while len(self._training) < executor.capacity:
            if len(self.tally.results) + len(self._training) >= self.tally.wanted:
                return
            if self._repeats >= PATIENCE:
                text = f"the last {self._repeats} proposals were known already: nothing new fits the budget"
                self.listen(Event(kind="note", text=text))
                return
            candidate = self._propose(study)
            if candidate is not None:
                self._submit(executor.submit, candidate)

    # Starting

    def prepare(self) -> None:
        """Check the budget, and begin or find the run in the database. Nothing is trained yet."""
        known = {study.name for study in self.store.studies()}
        if self.recipe.name not in known:
            require_reachable(self.space, self.recipe.scale, self.budget)
        self._study = self.store.open_study(
            self.recipe.name,
            recipe=self.recipe.to_dict(),
            space_digest=self.space.digest,
            code_version=__version__,
            may_change=MAY_CHANGE,
        )
        self.store.ensure_protocol(self.protocol)
        for line in self.dataset.skipped:
            self.listen(Event(kind="note", text=f"skipped {line}"))

    def _rebuild(self, study: Study) -> list[_Candidate]:
        """An Optuna study of everything recorded; gives back the candidates whose training was cut off."""
        past = self.store.trials(study.id, "search")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # A resumed sampler must not repeat the draws it began with, hence the shifted seed.
        self._chooser = RandomChooser(self.recipe.seed + len(past))
        sampler = SAMPLERS[self.recipe.sampler](self.recipe.seed + len(past))
        self._optuna = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        cut_off = []
        for trial in past:
            genotype = self.space.genotype.from_dict(trial.choices)
            candidate = _Candidate(trial, genotype, Cost(**trial.cost), None)
            if trial.state == "running":
                cut_off.append(candidate)
                continue
            self._count(trial)
            self._tell(candidate, trial.state, trial.evaluation)
        return cut_off

    def _count(self, trial: Trial) -> None:
        if trial.evaluation is not None:
            self.tally.results[trial.genotype_id] = (trial.cost["multi_adds"], trial.evaluation.psnr_db)
        if trial.state == "rejected":
            self.tally.rejected += 1
            for name in trial.excess:
                self.tally.rejected_by[name] = self.tally.rejected_by.get(name, 0) + 1
        elif trial.state == "repeated":
            self.tally.repeated += 1
        elif trial.state == "failed":
            self.tally.failed += 1
            self._failed.add(trial.genotype_id)

    # One candidate

    def _propose(self, study: Study) -> _Candidate | None:
        """The next candidate to train; None where the proposal was rejected, known or in training already."""
        asked = None if self._repeats >= REPEATS_BEFORE_RANDOM else self._optuna.ask()
        genotype = self.space.suggest(self._chooser if asked is None else asked)
        cost = cost_of(genotype, self.recipe.scale)
        excess = self.budget.excess(cost)
        known = self.store.known(genotype.id, self.protocol.id, self.recipe.seed)
        busy = any(other.genotype == genotype for other in self._training.values())
        self._rejections = self._rejections + 1 if excess else 0
        self._repeats = self._repeats + 1 if known or busy or genotype.id in self._failed else 0
        if busy or genotype.id in self._failed:
            if asked is not None:
                self._optuna.tell(asked, state=TrialState.FAIL)
            self._watch(None)
            return None
        state = "rejected" if excess else "repeated" if known else "running"
        trial = self.store.propose(
            study.id,
            stage="search",
            genotype_id=genotype.id,
            space=genotype.space,
            choices=genotype.to_dict(),
            scale=self.recipe.scale,
            cost=cost.to_dict(),
            seed=self.recipe.seed,
            state=state,  # type: ignore[arg-type]
            excess=excess,
            evaluation_id=known.id if known and not excess else None,
        )
        candidate = _Candidate(trial, genotype, cost, asked)
        if state == "running":
            return candidate
        self._count(trial)
        self._tell(candidate, state, trial.evaluation)
        psnr_db = None if trial.evaluation is None else trial.evaluation.psnr_db
        self.listen(Event(kind=state, number=trial.number, genotype=genotype, cost=cost, psnr_db=psnr_db))
        if self._rejections >= PATIENCE:
            raise RunError(self._hopeless(excess))
        return None

    def _hopeless(self, excess: dict[str, float]) -> str:
        tightest = max(self.tally.rejected_by, key=self.tally.rejected_by.__getitem__)
        limit = format_count(self.budget.limits()[tightest])
        return (
            f"{PATIENCE} proposals in a row were over budget; the tightest limit is {tightest} = {limit}, "
            f"which rejected {self.tally.rejected_by[tightest]} of {self.tally.rejected}. "
            "Raise it, or narrow the space to smaller options with [space.only]"
        )

    def _submit(self, submit: Callable[[int, Job], None], candidate: _Candidate) -> None:
        number, genotype = candidate.trial.number, candidate.genotype
        self._training[number] = candidate
        self.listen(Event(kind="started", number=number, genotype=genotype, cost=candidate.cost))
        folder = self.runs / self.recipe.name / "candidates" / f"{genotype.id}-{self.protocol.id}"
        submit(
            number,
            Job(
                genotype=genotype,
                scale=self.recipe.scale,
                plan=self.plan,
                data=self.recipe.data,
                metric=self.recipe.metric,
                seed=candidate.trial.seed,
                device=self.device,
                folder=folder,
            ),
        )

    def _watch(self, seen: tuple[int, Progress] | None) -> None:
        number, progress = seen or (-1, None)
        self.listen(Event(kind="progress", number=number, progress=progress))

    def _finish(self, candidate: _Candidate, result: Result) -> None:
        """Record first, tell second."""
        trial = candidate.trial
        told: dict[str, Any] = {
            "number": trial.number,
            "genotype": candidate.genotype,
            "cost": candidate.cost,
        }
        if isinstance(result, Outcome):
            evaluation = record_outcome(self.store, trial, self.protocol.id, result, self.runs)
            self.tally.results[candidate.genotype.id] = (candidate.cost.multi_adds, result.psnr_db)
            self._failures = 0
            self._tell(candidate, "finished", evaluation)
            self.listen(Event(kind="finished", psnr_db=result.psnr_db, **told))
            return
        if isinstance(result, OSError | CheckpointError):
            raise result  # the disk's failure and not the candidate's, which is trained again later
        reason = str(result) if type(result) is CandidateError else f"{type(result).__name__}: {result}"
        self.store.fail(trial.id, reason)
        self.tally.failed += 1
        self._failed.add(candidate.genotype.id)
        self._failures += 1
        self._tell(candidate, "failed", None)
        self.listen(Event(kind="failed", text=reason, **told))
        if self._failures >= FAILURES_IN_A_ROW:
            raise RunError(f"{self._failures} candidates failed one after another; the last one: {reason}")

    def _tell(self, candidate: _Candidate, state: str, evaluation: Evaluation | None) -> None:
        """Let the sampler know; PRUNED and not FAIL for a rejected one, since samplers forget failures."""
        values = None if evaluation is None else [evaluation.psnr_db, candidate.cost.multi_adds]
        kind = {"rejected": TrialState.PRUNED, "failed": TrialState.FAIL}.get(state, TrialState.COMPLETE)
        constraints = _constraints(self.budget, candidate.cost)
        if candidate.asked is not None:
            for name, violation in constraints.items():
                candidate.asked.set_constraint(name, violation)
            self._optuna.tell(candidate.asked, values=values, state=kind)
            return
        chosen = list(self.space.applicable(candidate.genotype))
        asked_about = [(axis, option) for axis, option in chosen if len(axis.options) > 1]
        trial = optuna.trial.create_trial(
            state=kind,
            values=values,
            params={axis.name: option for axis, option in asked_about},
            distributions={axis.name: distribution(axis) for axis, _ in asked_about},
            constraints=constraints,
        )
        self._optuna.add_trial(trial)


def record_outcome(store: Store, trial: Trial, protocol_id: str, outcome: Outcome, runs: Path) -> Evaluation:
    """Put a training's outcome into the database and end its trial, in one transaction."""
    weights = outcome.weights
    return store.record(
        trial.id,
        genotype_id=trial.genotype_id,
        protocol_id=protocol_id,
        seed=trial.seed,
        psnr_db=outcome.psnr_db,
        ssim=outcome.ssim,
        train_seconds=outcome.train_seconds,
        device=outcome.device,
        torch_version=outcome.torch_version,
        code_version=__version__,
        checkpoint=None if weights is None else weights.relative_to(runs).as_posix(),
        curve=[[step, loss, None] for step, loss in outcome.curve],
        per_image={name: list(scores) for name, scores in outcome.per_image.items()},
    )


def distribution(axis: Axis) -> BaseDistribution:
    """Optuna's word for an axis, equal to what :meth:`Axis.ask` asks a trial for."""
    if axis.step is None:
        return CategoricalDistribution(list(axis.options))
    low, high = axis.options[0], axis.options[-1]
    assert isinstance(low, int) and isinstance(high, int)
    return IntDistribution(low, high, step=axis.step)


def _constraints(budget: Budget, cost: Cost) -> dict[str, float]:
    """How far over each limit, as fractions, in one fixed order; zero or less is inside."""
    return {name: getattr(cost, name) / limit - 1 for name, limit in budget.limits().items()}

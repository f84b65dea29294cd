"""The Optuna study of a search, in memory: rebuilt from the database, asked for candidates, told results."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState

from leaderboard.store.database import said
from leaderboard.store.records import Evaluation, Trial
from nas.cost.budget import Budget, Cost
from nas.errors import RunError
from nas.recipes.recipe import Recipe
from nas.samplers import RUNGS, SAMPLERS, RandomChooser, Setting
from search_spaces import Axis, Genotype, Space

QUALITIES = ("psnr_db", "ssim")
"""Objectives that are to be high; all others are costs."""


@dataclass
class Candidate:
    """A trial between its proposal and its result.

    ``asked`` is Optuna's, when a sampler proposed it; ``attempts`` counts the trainings that this process
    began.
    """

    trial: Trial
    genotype: Genotype
    cost: Cost
    asked: optuna.trial.Trial | None = None
    attempts: int = 1


class Proposer:
    """Asks the sampler, or chance, and tells it what came of it.

    ``objectives`` are names of qualities and costs; ``shares`` the parts of the longest training that each
    rung is.
    """

    def __init__(
        self, sampler: str, setting: Setting, budget: Budget, objectives: list[str], shares: list[float]
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.budget, self.objectives, self.shares = setting.space, budget, objectives, shares
        self._chooser = RandomChooser(setting.seed)
        # A Gaussian process knows what a rung is; other samplers compare the rung that all have reached.
        self._knows_rungs = sampler == "surrogate" and len(shares) > 1
        self._forgets = sampler == "random"  # chance looks at nothing
        self.study = optuna.create_study(
            directions=_directions(objectives),
            sampler=SAMPLERS[sampler](setting),
        )

    def ask(self) -> tuple[Genotype, optuna.trial.Trial]:
        """What the sampler proposes."""
        asked = self.study.ask()
        return self.space.suggest(asked), asked

    def draw(self) -> Genotype:
        """What chance proposes."""
        return self.space.suggest(self._chooser)

    def forget(self, asked: optuna.trial.Trial) -> None:
        """End a proposal that came to nothing."""
        self.study.tell(asked, state=TrialState.FAIL)

    def tell(self, candidate: Candidate, state: str, evaluation: Evaluation | None) -> None:
        """Let the sampler know; PRUNED and not FAIL for a rejected one, since samplers forget failures."""
        rung = candidate.trial.rung
        if rung and not self._knows_rungs:
            return
        values = _values(self.objectives, candidate.trial, evaluation)
        kind = _STATES.get(state, TrialState.COMPLETE)
        attributes: dict[str, Any] = {}
        if self._knows_rungs and evaluation is not None:
            attributes[RUNGS] = [[self.shares[rung], evaluation.psnr_db]]
            if rung < len(self.shares) - 1:
                kind, values = TrialState.PRUNED, None
        constraints = _violations(self.budget, candidate.cost, candidate.trial)
        asked, candidate.asked = candidate.asked, None
        if asked is None and self._forgets:
            return
        if asked is None or rung:
            self.study.add_trial(
                frozen_trial(
                    self.space,
                    candidate.genotype,
                    state=kind,
                    values=values,
                    constraints=constraints,
                    user_attrs=attributes,
                )
            )
            return
        for name, violation in constraints.items():
            asked.set_constraint(name, violation)
        for name, value in attributes.items():
            asked.set_user_attr(name, value)
        self.study.tell(asked, values=values, state=kind)


@contextmanager
def many_trials() -> Iterator[None]:
    """Within it, adding a trial to a study takes a half of its time.

    Optuna copies every distribution of every trial that is added. They are values that nobody changes, so
    that one of each is enough.
    """
    kinds: tuple[type, ...] = (CategoricalDistribution, IntDistribution)
    for kind in kinds:
        setattr(kind, "__deepcopy__", lambda self, memo: self)  # noqa: B010  (no such name is declared)
    try:
        yield
    finally:
        for kind in kinds:
            delattr(kind, "__deepcopy__")


_STATES = {"rejected": TrialState.PRUNED, "failed": TrialState.FAIL}


def _directions(objectives: Sequence[str]) -> list[StudyDirection]:
    up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    return [up if name in QUALITIES else down for name in objectives]


def _values(objectives: Sequence[str], trial: Trial, evaluation: Evaluation | None) -> list[float] | None:
    """One number an objective; None where nothing was measured."""
    if evaluation is None:
        return None
    return [
        float(getattr(evaluation, name)) if name in QUALITIES else trial.price(name) for name in objectives
    ]


def _violations(budget: Budget, cost: Cost, trial: Trial) -> dict[str, float]:
    """In one fixed order; what was measured for the trial stands in its row."""
    return {**budget.violations(cost), **trial.excess}


def frozen_trial(space: Space, genotype: Genotype, **fields: Any) -> optuna.trial.FrozenTrial:
    """A trial as if ``genotype`` had been asked for; ``fields`` are those of Optuna's ``create_trial``."""
    asked_about = [(axis, option) for axis, option in space.applicable(genotype) if len(axis.options) > 1]
    return optuna.trial.create_trial(
        params={axis.name: option for axis, option in asked_about},
        distributions={axis.name: distribution(axis) for axis, _ in asked_about},
        **fields,
    )


def distribution(axis: Axis) -> BaseDistribution:
    """Optuna's word for an axis, equal to what :meth:`Axis.ask` asks a trial for."""
    if axis.step is None:
        return CategoricalDistribution(list(axis.options))
    low, high = axis.options[0], axis.options[-1]
    assert isinstance(low, int) and isinstance(high, int)
    return IntDistribution(low, high, step=axis.step)


def export(recipe: Recipe, trials: Sequence[Trial], storage: str) -> int:
    """Write ``trials`` as a study called ``recipe.name`` into ``storage``; gives back how many.

    ``storage`` is an address (``sqlite:///study.db``) or a file for Optuna's journal. Where there are rungs,
    the longest training of each candidate counts. Raises RunError where the study exists or the storage
    cannot be written.
    """
    space, budget, objectives = recipe.search_space(), recipe.limits(), recipe.objectives
    latest: dict[tuple[str, str], Trial] = {}
    for trial in trials:
        if trial.state in ("finished", "rejected", "failed"):
            key = trial.genotype_id, "rejected" if trial.state == "rejected" else "trained"
            if key not in latest or trial.evaluation is not None:
                latest[key] = trial
    frozen = []
    for trial in sorted(latest.values(), key=lambda one: one.id):
        cost = Cost(**trial.cost)
        frozen.append(
            frozen_trial(
                space,
                space.genotype.from_dict(trial.choices),
                state=_STATES.get(trial.state, TrialState.COMPLETE),
                values=_values(objectives, trial, trial.evaluation),
                constraints=_violations(budget, cost, trial),
                user_attrs={"genotype": trial.genotype_id, "rung": trial.rung, **trial.cost},
            )
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with said(storage):
            study = optuna.create_study(
                study_name=recipe.name,
                storage=_storage(storage),
                directions=_directions(objectives),
            )
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", ExperimentalWarning
                )  # names of objectives have been so for years
                study.set_metric_names(objectives)
            study.add_trials(frozen)
    except DuplicatedStudyError:
        raise RunError(f"{storage}: a study called {recipe.name!r} is there already") from None
    except (StorageInternalError, OSError) as error:
        raise RunError(f"{storage}: cannot be written ({' '.join(str(error).split())[:200]})") from error
    return len(frozen)


def _storage(word: str) -> BaseStorage | str:
    if "://" in word:
        return word
    return JournalStorage(JournalFileBackend(word))

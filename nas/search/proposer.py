"""The Optuna study of a search, in memory: proposes candidates, and is rebuilt from recorded results."""

from __future__ import annotations

import random
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import TrialState

from leaderboard.store.database import said
from leaderboard.store.records import Trial
from nas.cost.budget import Budget
from nas.errors import RunError
from nas.recipes.recipe import Recipe
from nas.samplers import DIVERGED, RUNGS, SAMPLERS, Listed, RandomChooser, Setting
from nas.search.requests import Observation, observation_of, request_of
from search_spaces import Axis, Genotype, Space

QUALITIES = ("psnr_db", "ssim")
"""Objectives that are to be high; all others are costs."""


class Proposer:
    """Asks a sampler, or chance, for candidates, and tells the sampler what became of them.

    Args:
        sampler: A name in SAMPLERS.
        setting: What the sampler may know of the search.
        budget: Limits of every candidate.
        objectives: Names of qualities and costs.
        shares: The part of the longest training that each rung is.
    """

    def __init__(
        self,
        sampler: str,
        setting: Setting,
        budget: Budget,
        objectives: Sequence[str],
        shares: Sequence[float],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space, self.budget, self.objectives, self.shares = setting.space, budget, objectives, shares
        self._chooser, self._random = RandomChooser(setting.seed), random.Random(setting.seed)  # noqa: S311
        kind = SAMPLERS[sampler]
        # Other samplers compare the rung that all candidates have reached.
        self._tells_rungs = kind.handles_rungs and len(shares) > 1
        self._uses_results = kind.uses_results
        self.study = optuna.create_study(directions=_directions(objectives), sampler=kind(setting))

    @property
    def only_draws(self) -> bool:
        """Whether every candidate is drawn: at random from a list, each entry with equal probability.

        A random sampler would propose the entry nearest to a random point instead.
        """
        return isinstance(self.space, Listed) and not self._uses_results

    def ask(self) -> tuple[Genotype, optuna.trial.Trial]:
        """The sampler's proposal, and Optuna's trial for it."""
        token = self.study.ask()
        return self.space.suggest(token), token

    def draw(self, started: Collection[str]) -> Genotype:
        """A random proposal; from a list, one that is not among the ids ``started``."""
        if isinstance(self.space, Listed):
            return self._random.choice([each for each in self.space.entries if each.id not in started])
        return self.space.suggest(self._chooser)

    def forget(self, token: object) -> None:
        """End a proposal that is not evaluated."""
        assert isinstance(token, optuna.trial.Trial)
        self.study.tell(token, state=TrialState.FAIL)

    def tell(self, observation: Observation) -> None:
        """Tell the sampler what became of a candidate.

        A rejected one is PRUNED and not FAIL, since samplers forget failures, and so is one that diverged:
        TPE counts it among the worse ones, and the surrogate as reaching the worst that was seen. It is not
        told as COMPLETE with a bad PSNR, since the cheapest network would then be on the front.
        """
        request, evaluation, token = observation.request, observation.evaluation, observation.request.token
        if request.rung and not self._tells_rungs:
            return
        if token is None and not self._uses_results:
            return
        values = _values(self.objectives, observation)
        state = _state(observation)
        attributes: dict[str, Any] = {DIVERGED: True} if observation.diverged else {}
        if self._tells_rungs and evaluation is not None:
            attributes[RUNGS] = [[self.shares[request.rung], evaluation.psnr_db]]
            if request.rung < len(self.shares) - 1:
                state, values = TrialState.PRUNED, None
        constraints = _violations(self.budget, observation)
        if token is None or request.rung:
            trial = frozen_trial(
                self.space,
                request.genotype,
                state=state,
                values=values,
                constraints=constraints,
                user_attrs=attributes,
            )
            self.study.add_trial(trial)
            return
        assert isinstance(token, optuna.trial.Trial)
        for name, violation in constraints.items():
            token.set_constraint(name, violation)
        for name, value in attributes.items():
            token.set_user_attr(name, value)
        self.study.tell(token, values=values, state=state)


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


def _state(observation: Observation) -> TrialState:
    if observation.diverged:
        return TrialState.PRUNED
    return _STATES.get(observation.state, TrialState.COMPLETE)


def _directions(objectives: Sequence[str]) -> list[StudyDirection]:
    up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    return [up if name in QUALITIES else down for name in objectives]


def _values(objectives: Sequence[str], observation: Observation) -> list[float] | None:
    """One number per objective; None where nothing was measured."""
    evaluation = observation.evaluation
    if evaluation is None:
        return None
    return [
        float(getattr(evaluation, name)) if name in QUALITIES else observation.price(name)
        for name in objectives
    ]


def _violations(budget: Budget, observation: Observation) -> dict[str, float]:
    """Limit -> fraction above it, in one fixed order; measured limits count where they were exceeded."""
    return {**budget.violations(observation.request.cost), **observation.excess}


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
    the longest training of each candidate counts; obsolete rejections are left out. Raises RunError where the
    study exists or the storage cannot be written.
    """
    space, budget, objectives = recipe.search_space(), recipe.limits(), recipe.objectives
    latest: dict[tuple[str, str], Trial] = {}
    for trial in trials:
        if trial.state in ("finished", "rejected", "failed"):
            key = trial.genotype_id, "rejected" if trial.state == "rejected" else "trained"
            if key not in latest or trial.evaluation is not None:
                latest[key] = trial
    frozen = []
    for trial in sorted(latest.values(), key=lambda each: each.id):
        genotype = space.genotype.from_dict(trial.choices)
        observation = observation_of(trial, request_of(trial, genotype))
        if observation.is_obsolete:
            continue
        frozen.append(
            frozen_trial(
                space,
                genotype,
                state=_state(observation),
                values=_values(objectives, observation),
                constraints=_violations(budget, observation),
                user_attrs={
                    **{"genotype": trial.genotype_id, "rung": trial.rung, **trial.cost},
                    **({DIVERGED: True} if observation.diverged else {}),
                },
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

"""Samplers that propose whole candidates, and what they know of a study.

A subclass of :class:`ProposingSampler` says in ``propose`` which candidate is next; that it starts well,
repeats nothing and stays inside the budget is settled here.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.samplers.candidates import Candidates, PricedCandidate
from nas.samplers.starts import STARTS, start_points

RUNGS = "rungs"
"""User attribute of a trial, what it reached on the way: pairs [share of the full training, quality]."""

DIVERGED = "diverged"
"""User attribute of a pruned trial: whether its training diverged, which is a bad result and no accident."""


@dataclass(kw_only=True)
class History:
    """What a study has told so far. Qualities are turned so that more is better: times ``sign``."""

    sign: float
    results: list[tuple[PricedCandidate, float]] = field(default_factory=list)
    """Finished at full length."""
    rungs: list[tuple[PricedCandidate, float, float]] = field(default_factory=list)
    """(candidate, share of the full training below 1, quality), also of unfinished ones."""
    pending: list[PricedCandidate] = field(default_factory=list)
    failed: list[PricedCandidate] = field(default_factory=list)
    known: set[Hashable] = field(default_factory=set)
    """Keys of everything ever asked for, the rejected included."""

    @property
    def under_way(self) -> int:
        """Candidates that have, or will have, a result."""
        return len(self.results) + len(self.pending) + len({one.key for one, _, _ in self.rungs})


class ProposingSampler(BaseSampler):
    """Start points first, then :meth:`propose`; at random where that gives nothing.

    ``quality`` is the number of the objective that costs are traded against. Candidates are random where the
    space has nothing new inside the budget.
    """

    def __init__(
        self,
        candidates: Candidates,
        *,
        quality: int = 0,
        starts: int = STARTS,
        published: Sequence[dict[str, Any]] = (),
    ) -> None:
        self._candidates, self._quality, self._count = candidates, quality, starts
        self._published = [one for one in map(candidates.recall, published) if one is not None and one.inside]
        self._starts: list[PricedCandidate] | None = None
        self._recalled: dict[int, tuple[dict[str, Any], PricedCandidate | None]] = {}
        self._proposed: dict[int, PricedCandidate] = {}
        self._independent = RandomSampler(seed=candidates.random.randrange(2**32))
        self._lock = threading.RLock()

    @abstractmethod
    def propose(self, history: History) -> PricedCandidate | None:
        """The next candidate, inside and not in ``history.known``; None where there is none to be found."""

    def reseed_rng(self) -> None:
        """Forget the seed, as Optuna asks for in every further worker."""
        self._candidates.random.seed()
        self._independent.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Decide on the candidate; an enqueued trial is decided on already."""
        if trial.system_attrs.get("fixed_params"):
            return
        with self._lock:
            history = self.history(study)
            candidate = self._start(history) or self.propose(history) or self._another(history)
            if candidate is not None:
                self._proposed[trial.number] = candidate

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What the trial's candidate answers."""
        candidate = self._proposed.get(trial.number)
        return {} if candidate is None else dict(candidate.distributions)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The candidate's answers."""
        candidate = self._proposed.get(trial.number)
        return {} if candidate is None else dict(candidate.params)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """At random: only where nothing could be proposed."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Forget the proposal, which the trial itself now records."""
        self._proposed.pop(trial.number, None)

    def history(self, study: Study) -> History:
        """Everything that the study's trials tell; trials of another space are passed over."""
        if not 0 <= self._quality < len(study.directions):
            objectives = len(study.directions)
            raise ValueError(f"quality = {self._quality}: the study has objectives 0 to {objectives - 1}")
        sign = 1.0 if study.directions[self._quality] == StudyDirection.MAXIMIZE else -1.0
        history = History(sign=sign)
        failed = []
        for trial in study.get_trials(deepcopy=False):
            candidate = self._recall(trial)
            if candidate is None:
                continue
            history.known.add(candidate.key)
            quality = None if trial.values is None else trial.values[self._quality]
            for share, value in trial.user_attrs.get(RUNGS, ()):
                if not 0 < share <= 1:
                    raise ValueError(f"trial {trial.number}: rungs has the share {share}, not within (0, 1]")
                if share < 1 and np.isfinite(value):
                    history.rungs.append((candidate, share, sign * value))
            if trial.state == TrialState.COMPLETE and quality is not None and np.isfinite(quality):
                history.results.append((candidate, sign * quality))
            elif trial.state == TrialState.RUNNING:
                history.pending.append(candidate)
            elif trial.state in (TrialState.FAIL, TrialState.COMPLETE) or trial.user_attrs.get(DIVERGED):
                failed.append(candidate)
        others = {one.key for one, _ in history.results} | {one.key for one in history.pending}
        history.failed = [one for one in failed if one.key not in others]
        return history

    def _recall(self, trial: FrozenTrial) -> PricedCandidate | None:
        if trial.state == TrialState.RUNNING:
            proposed = self._proposed.get(trial.number)
            return self._candidates.recall(trial.params) if proposed is None else proposed
        params, recalled = self._recalled.get(trial.number, (None, None))
        if params != trial.params:  # not seen yet, or of another study
            params, recalled = trial.params, self._candidates.recall(trial.params)
            self._recalled[trial.number] = params, recalled
        return recalled

    def _start(self, history: History) -> PricedCandidate | None:
        """The next start point: as many as there are results already count as given."""
        if history.under_way >= self._count:
            return None
        if self._starts is None:
            self._starts = start_points(self._candidates, self._count, history.known)
        begun = self._starts[history.under_way :] + self._starts
        return next((one for one in begun if one.key not in history.known), None)

    def _another(self, history: History) -> PricedCandidate | None:
        """A random candidate inside that is new, or at least one that is inside."""
        found = self._candidates.gather(1, history.known) or self._candidates.gather(1)
        return found[0] if found else None

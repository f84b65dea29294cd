"""Optuna's own samplers with a better start, and with proposals kept inside the budget where they need it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from nas.samplers.candidates import Candidates, PricedCandidate
from nas.samplers.proposing_sampler import History, ProposingSampler

REPAIRS = 60
"""Completions and mutants tried for a proposal that is over the budget or known."""


class GuidedSampler(ProposingSampler):
    """``inner`` after start points that are inside the budget and spread over its costs.

    With ``repair`` a proposal of ``inner`` that is over the budget or known is changed until it is neither:
    for samplers that learn nothing from a rejection and would propose the same again.
    """

    def __init__(
        self, inner: BaseSampler, candidates: Candidates, *, starts: int, repair: bool = False
    ) -> None:
        super().__init__(candidates, starts=starts)
        self._inner, self._repair = inner, repair
        self._spaces: dict[int, dict[str, BaseDistribution]] = {}
        self._started = False

    def propose(self, history: History) -> PricedCandidate | None:
        """Nothing: ``inner`` proposes by its own way."""
        return None

    def reseed_rng(self) -> None:
        """Forget both seeds."""
        super().reseed_rng()
        self._inner.reseed_rng()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Decide whether this is a start."""
        self._inner.before_trial(study, trial)
        with self._lock:
            if self._started or trial.system_attrs.get("fixed_params"):
                return
            start = self._start(self.history(study))
            if start is None:
                self._started = True
            else:
                self._proposed[trial.number] = start

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """What ``inner`` infers; and all that is known of where a whole candidate may take its place."""
        space = self._spaces[trial.number] = self._inner.infer_relative_search_space(study, trial)
        start = super().infer_relative_search_space(study, trial)
        return start or ({**self._candidates.distributions, **space} if self._repair else space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What ``inner`` proposes. It is asked at a start, too: genetic samplers count generations then."""
        proposed = self._inner.sample_relative(study, trial, self._spaces.pop(trial.number))
        start = super().sample_relative(study, trial, search_space)
        if start or not self._repair:
            return start or proposed
        with self._lock:
            return dict(self._repaired(proposed, self.history(study)).params)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """As ``inner`` does."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell ``inner``, too."""
        super().after_trial(study, trial, state, values)
        self._inner.after_trial(study, trial, state, values)

    def _repaired(self, proposed: dict[str, Any], history: History) -> PricedCandidate:
        """The proposal with other answers on axes it leaves open; then with one, two, three axes changed."""
        first = candidate = self._candidates.completed(proposed)
        for attempt in range(REPAIRS):
            if candidate.inside and candidate.key not in history.known:
                return candidate
            if attempt < REPAIRS // 4:
                candidate = self._candidates.completed(proposed)
            else:
                candidate = self._candidates.mutant(first, 1 + 4 * attempt // REPAIRS)
        return self._another(history) or first

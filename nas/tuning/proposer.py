"""The Optuna study of a tuning, in memory: proposes settings, and is rebuilt from recorded results."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import Trial, TrialState

from nas.recipes.tuning_fields import FieldDomain

STARTS = 10
"""Settings that are drawn at random before results count; fewer in a short tuning."""

Values = dict[str, Any]
"""Every tuned field with its value."""


def _tpe(seed: int, starts: int) -> BaseSampler:
    """A Parzen estimator of all fields together; settings in training count as bad ones."""
    return TPESampler(seed=seed, multivariate=True, constant_liar=True, n_startup_trials=starts)


def _gp(seed: int, starts: int) -> BaseSampler:
    """Optuna's Gaussian process."""
    return GPSampler(seed=seed, n_startup_trials=starts)


def _random(seed: int, starts: int) -> BaseSampler:
    return RandomSampler(seed=seed)


MAKERS: dict[str, Callable[[int, int], BaseSampler]] = {"tpe": _tpe, "gp": _gp, "random": _random}
"""The samplers of ``SETTING_SAMPLERS``, each from a seed and the number of random settings it begins with."""


class SettingProposer:
    """Asks Optuna, or chance, for settings, and tells it the gain of each.

    Args:
        domains: The tuned fields.
        sampler: One of ``SETTING_SAMPLERS``.
        seed: Another one after a resumption, so that no draw is repeated.
        trials: How many settings are wanted.
    """

    def __init__(self, domains: Mapping[str, FieldDomain], sampler: str, *, seed: int, trials: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.domains = dict(domains)
        self._distributions = {name: distribution_of(domain) for name, domain in domains.items()}
        self._random = random.Random(seed)  # noqa: S311
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            made = MAKERS[sampler](seed, max(4, min(STARTS, trials // 3)))
        self.study = optuna.create_study(direction="maximize", sampler=made)

    def ask(self) -> tuple[Values, Trial]:
        """A proposal, and Optuna's trial for it."""
        token = self.study.ask(self._distributions)
        return {name: self.domains[name].rounded(value) for name, value in token.params.items()}, token

    def draw(self) -> Values:
        """A random setting."""
        drawn = RandomSampler(seed=self._random.randrange(2**31))
        study = optuna.create_study(sampler=drawn)
        params = study.ask(self._distributions).params
        return {name: self.domains[name].rounded(value) for name, value in params.items()}

    def contains(self, values: Mapping[str, Any]) -> bool:
        """Whether the sampler could have proposed these values, so that it can learn from their gain."""
        return bool(self.domains) and all(
            name in values and domain.contains(values[name]) for name, domain in self.domains.items()
        )

    def begin(self, values: Mapping[str, Any]) -> Trial:
        """Optuna's trial for a setting that it did not propose, or that is being trained already."""
        self.study.enqueue_trial(dict(values))
        return self.study.ask(self._distributions)

    def add(self, values: Mapping[str, Any], gain_db: float) -> None:
        """Add a setting with its gain."""
        trial = optuna.trial.create_trial(
            params=dict(values), distributions=self._distributions, value=gain_db
        )
        self.study.add_trial(trial)

    def tell(self, token: Trial, gain_db: float | None) -> None:
        """End a trial with its gain in dB; None where the setting has none."""
        if gain_db is None:
            self.study.tell(token, state=TrialState.FAIL)
        else:
            self.study.tell(token, gain_db)


def distribution_of(domain: FieldDomain) -> BaseDistribution:
    """Optuna's word for a domain."""
    if domain.choices:
        return CategoricalDistribution(list(domain.choices))
    if domain.whole:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)

"""Who proposes the next candidate: Optuna samplers by name.

To add one, write a function from a seed to a BaseSampler and put it in SAMPLERS. A rejected candidate reaches
the sampler as PRUNED with its constraints set, which TPE learns from and the others take as never asked.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler


def tpe(seed: int) -> BaseSampler:
    """Tree-structured Parzen estimator, over whole groups of axes that occur together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # ``group`` has been marked so for years
        return TPESampler(seed=seed, multivariate=True, group=True)


def nsga2(seed: int) -> BaseSampler:
    """NSGA-II with a population of 20."""
    return NSGAIISampler(seed=seed, population_size=20)


SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "tpe": tpe,
    "nsga2": nsga2,
    "random": lambda seed: RandomSampler(seed=seed),
}


class RandomChooser:
    """Chooses every option with equal probability; for candidates that no sampler proposes."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311  (not for secrets)

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any:
        """One of ``choices``."""
        return self._random.choice(choices)

    def suggest_int(self, name: str, low: int, high: int, /, *, step: int = 1) -> int:
        """One of low, low + step, ..., high."""
        return self._random.randrange(low, high + 1, step)

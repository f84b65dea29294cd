"""Samplers by name: they propose the next candidate.

To add one, write a function from a :class:`Setting` to a BaseSampler and put it in SAMPLERS with what it can
do. A rejected candidate reaches a sampler as PRUNED with its constraints set: TPE learns from it, the genetic
samplers ignore it, and the others propose nothing over the budget.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from nas.samplers.candidates import Candidates, RandomChooser
from nas.samplers.evolution import EvolutionSampler
from nas.samplers.guided import GuidedSampler
from nas.samplers.listed import Listed
from nas.samplers.proposing_sampler import DIVERGED, RUNGS
from nas.samplers.starts import STARTS
from search_spaces import Genotype, Option, Space

__all__ = ["DIVERGED", "RUNGS", "SAMPLERS", "Listed", "RandomChooser", "Sampler", "Setting"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a sampler may know of a search.

    ``price`` gives the costs that are objectives (one positive number, or several), ``inside`` says whether a
    genotype is in the budget. ``floor`` is the quality from which hypervolume counts (bicubic's PSNR), None
    where that is not known. ``published`` genotypes are worth a look. ``trials`` is how many results are
    wanted, None where that is not known.
    """

    seed: int
    space: Space
    price: Callable[[Genotype], float | Sequence[float]]
    inside: Callable[[Genotype], bool]
    floor: float | None = None
    published: tuple[Genotype, ...] = ()
    trials: int | None = None

    @property
    def starts(self) -> int:
        """How many start points suit the search: fewer where it is short."""
        return STARTS if self.trials is None else max(4, min(STARTS, self.trials // 3))

    def candidates(self) -> Candidates:
        """The space's candidates, drawn from the seed."""
        return Candidates(self.space.suggest, self.price, self.inside, self.seed, self.answers)

    @property
    def answers(self) -> Callable[[Any], Mapping[str, Option]] | None:
        """What must be answered for a genotype, where the space gives others than were answered."""
        return self.space.answers if isinstance(self.space, Listed) else None


def make_random(setting: Setting) -> BaseSampler:
    """Every option with equal probability: with the budget as a filter, the baseline of all comparisons."""
    return RandomSampler(seed=setting.seed)


def make_tpe(setting: Setting) -> BaseSampler:
    """Tree-structured Parzen estimator, over whole groups of axes that occur together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # ``group`` has been marked so for years
        inner = TPESampler(seed=setting.seed, multivariate=True, group=True, n_startup_trials=setting.starts)
    return GuidedSampler(inner, setting.candidates(), starts=setting.starts)


def make_nsga2(setting: Setting) -> BaseSampler:
    """NSGA-II with a population of 20."""
    inner = NSGAIISampler(seed=setting.seed, population_size=20)
    return GuidedSampler(inner, setting.candidates(), starts=setting.starts)


def make_nsga3(setting: Setting) -> BaseSampler:
    """NSGA-III with a population of 20: for three objectives and more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        inner = NSGAIIISampler(seed=setting.seed, population_size=20)
    return GuidedSampler(inner, setting.candidates(), starts=setting.starts)


def make_gp(setting: Setting) -> BaseSampler:
    """Optuna's Gaussian process of all objectives, over the axes that always apply.

    It forgets pruned trials and would propose the same again: proposals over the budget are changed until
    inside.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        inner = GPSampler(seed=setting.seed, n_startup_trials=setting.starts)
    return GuidedSampler(inner, setting.candidates(), starts=setting.starts, repair=True)


def make_evolution(setting: Setting) -> BaseSampler:
    """Regularised evolution: mutants of the front of the latest results."""
    return EvolutionSampler(setting.candidates(), starts=setting.starts)


def make_surrogate(setting: Setting) -> BaseSampler:
    """A Gaussian process for PSNR alone, and expected hypervolume improvement at known cost."""
    from nas.samplers.surrogate import SurrogateSampler  # it brings GPyTorch, which few need

    return SurrogateSampler(
        setting.space.suggest,
        setting.price,
        setting.inside,
        seed=setting.seed,
        floor=setting.floor,
        starts=setting.starts,
        published=[
            setting.space.choices_of(one)
            for one in setting.published
            if isinstance(one, setting.space.genotype)
        ],
        answers=setting.answers,
    )


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """A sampler by name, and what it can do; called with a :class:`Setting`.

    Attributes:
        make: Gives Optuna's sampler.
        handles_rungs: Whether it learns from results of every rung; others receive the first rung's.
        wants_costs: Whether it computes the costs of thousands of candidates for one proposal, so that a cost
            that has to be measured cannot be an objective.
        max_qualities: How many qualities (PSNR, SSIM) may be objectives; None for any number.
        uses_results: Whether results change what it proposes.
    """

    make: Callable[[Setting], BaseSampler]
    handles_rungs: bool = False
    wants_costs: bool = False
    max_qualities: int | None = None
    uses_results: bool = True

    def __call__(self, setting: Setting) -> BaseSampler:
        """Optuna's sampler for one search."""
        return self.make(setting)


SAMPLERS: dict[str, Sampler] = {
    "surrogate": Sampler(make=make_surrogate, handles_rungs=True, wants_costs=True, max_qualities=1),
    "tpe": Sampler(make=make_tpe),
    "evolution": Sampler(make=make_evolution, wants_costs=True, max_qualities=1),
    "nsga2": Sampler(make=make_nsga2),
    "nsga3": Sampler(make=make_nsga3),
    "gp": Sampler(make=make_gp),
    "random": Sampler(make=make_random, uses_results=False),
}

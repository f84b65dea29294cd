"""Objectives: what a simulation asks instead of training. Costs, PSNR at each rung and seed, and seconds.

Synthetic ones are in ``nas/simulation/synthetic_landscape.py`` and ``synthetic_bottleneck.py``, tables of
recorded trainings in ``nas/simulation/tabular_objective.py``.
"""

from __future__ import annotations

import functools
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np

from leaderboard.fronts.pareto import hypervolume, pareto_mask
from nas.cost.budget import Budget, Cost
from search_spaces import Genotype, Space


class Objective(ABC):
    """Answers for every genotype that ``space`` gives.

    ``shares``: which part of the longest training each rung is, growing, the last one 1. ``goes_on``: a
    longer training continues ``trunk_share`` of the shorter one, and a promotion pays only the rest.
    ``floor_db`` and ``cost_limit`` (Multi-Adds) are the corner up to which hypervolume counts.
    """

    name: str
    space: Space
    budget: Budget
    shares: tuple[float, ...]
    goes_on: bool = True
    trunk_share: float = 1.0
    floor_db: float
    cost_limit: float

    @abstractmethod
    def cost(self, genotype: Genotype) -> Cost:
        """What it costs: known before any training."""

    @abstractmethod
    def truth_db(self, genotype: Genotype) -> float:
        """Its PSNR after the longest training, freed of the noise of single trainings as far as known."""

    @abstractmethod
    def measured_db(self, genotype: Genotype, rung: int, seed: int) -> float:
        """The PSNR that a training to ``rung`` measures; the same for the same ``seed``."""

    @abstractmethod
    def seconds(self, genotype: Genotype, rung: int) -> float:
        """How long a training takes from nothing to ``rung``."""

    @abstractmethod
    def front(self) -> tuple[list[float], list[float]]:
        """Costs and true PSNR of the best front that there is."""

    def is_recorded(self, genotype: Genotype) -> bool:
        """Whether the answers come from the surface itself, and not from a model of it."""
        return True

    def price(self, genotype: Genotype) -> float:
        """The cost that PSNR is traded for: Multi-Adds."""
        return float(self.cost(genotype).multi_adds)

    def inside(self, genotype: Genotype) -> bool:
        """Whether it is in the budget."""
        return not self.budget.excess(self.cost(genotype))

    def pays(self, genotype: Genotype, rung: int, before: int | None = None) -> float:
        """The seconds of a training to ``rung`` by one that was trained to ``before``; None is not at all."""
        whole = self.seconds(genotype, rung)
        if before is None or not self.goes_on:
            return whole
        return max(0.0, whole - self.trunk_share * self.seconds(genotype, before))

    @functools.cached_property
    def best(self) -> float:
        """The hypervolume of the best front."""
        costs, qualities = self.front()
        return hypervolume(costs, qualities, cost_limit=self.cost_limit, quality_floor=self.floor_db)

    def share(self, trained: Iterable[Genotype]) -> float:
        """The true hypervolume of what was trained, as a share of the best front's."""
        covered = Coverage(self)
        for genotype in trained:
            covered.add(genotype)
        return covered.share


class Coverage:
    """The share of the best front's hypervolume that is covered by genotypes added one by one."""

    def __init__(self, surface: Objective) -> None:
        self._surface, self.share = surface, 0.0
        self._costs: Sequence[float] = ()
        self._qualities: Sequence[float] = ()

    def add(self, genotype: Genotype) -> float:
        """The share with ``genotype``, too."""
        surface = self._surface
        costs = np.append(self._costs, surface.price(genotype))
        qualities = np.append(self._qualities, surface.truth_db(genotype))
        front = pareto_mask(costs, qualities)
        if front[-1]:
            self._costs, self._qualities = costs[front].tolist(), qualities[front].tolist()
            area = hypervolume(
                self._costs, self._qualities, cost_limit=surface.cost_limit, quality_floor=surface.floor_db
            )
            self.share = area / surface.best if surface.best > 0 else 0.0
        return self.share


class Synthetic(Objective):
    """A surface by formula: a subclass gives ``cost`` and ``truth_db``, here are noise, rungs and time.

    A short training falls short of the longest by an amount that differs between networks, and is noisier;
    the longest takes ``FULL_SECONDS`` for a network that uses up its budget, and half of it for one of no
    cost. Mechanisms and ratios, not data about super-resolution. ``number`` draws the surface.
    """

    NOISE_DB = 0.015
    FULL_SECONDS = 3600.0

    shares = (1 / 27, 1 / 9, 1 / 3, 1.0)

    def __init__(self, number: int) -> None:
        self.number = number

    def measured_db(self, genotype: Genotype, rung: int, seed: int) -> float:
        """The truth, less what is missing after a short training, plus the luck of a seed."""
        share, truth = self.shares[rung], self.truth_db(genotype)
        if share == 1:
            luck = random.Random(f"{genotype.id}-{seed}")  # noqa: S311
            return truth + luck.gauss(0, self.NOISE_DB)
        slowness = random.Random(f"slow-{self.number}-{genotype.id}").uniform(0.6, 1.4)  # noqa: S311
        luck = random.Random(f"{genotype.id}-{seed}-{share}")  # noqa: S311
        short = 0.15 * ((1 / share) ** 0.35 - 1) * slowness
        return truth - short + luck.gauss(0, self.NOISE_DB * (1 / share) ** 0.25)

    def seconds(self, genotype: Genotype, rung: int) -> float:
        """In proportion to the steps, and more for costly networks."""
        return self.FULL_SECONDS * self.shares[rung] * (0.5 + 0.5 * self.price(genotype) / self.cost_limit)

"""A made-up answer to every genotype of ``lightweight``: what samplers are compared on where nothing is
trained.

Costs are formulas of our own in the style of the space (a block's Multi-Adds grow with the square of the
width and with its depth, kernels differ in taps, sharing saves parameters only). PSNR saturates in log
Multi-Adds, every option of an axis shifts it, pairs of axes interact, shapes of networks have a best
proportion, and a training adds noise. The shifts are drawn once for a landscape. Mechanisms and ratios, not
data about super-resolution.
"""

from __future__ import annotations

import functools
import itertools
import math
import random

import numpy as np

from leaderboard.pareto import hypervolume, pareto_mask
from nas.samplers import RandomChooser
from search_spaces import Genotype, Space
from search_spaces.lightweight import Lightweight

SPACE = Space(Lightweight)
NOISE_DB = 0.015
BUDGETS = {"wide": (100_000.0, 6e9), "tight": (40_000.0, 1.8e9)}
"""Limits of parameters and Multi-Adds: about half, and about a tenth, of random genotypes are inside."""

_PIXELS = 180 * 320
_TAPS = {
    "3x3": 9.0,
    "5x5": 25.0,
    "asymmetric": 6.0,
    "depthwise": 1.6,
    "blueprint": 2.2,
    "strip": 3.0,
    "dilated": 9.0,
}
_SIZES = {axis.name: axis.options for axis in SPACE.axes}
_SHIFTS = {"block": 0.08, "attention": 0.05, "kernel": 0.06, "transformer": 0.03, "aggregation": 0.03}
_PAIRS = (
    ("block", "attention"),
    ("block", "kernel"),
    ("block", "aggregation"),
    ("attention", "kernel"),
    ("attention", "activation"),
    ("transformer", "order"),
    ("sharing", "aggregation"),
    ("stem", "skip"),
)


def costs(genotype: Genotype) -> tuple[float, float]:
    """(parameters, Multi-Adds) of a genotype, by formula: exact and free, as the real ones."""
    return _costs(genotype)


@functools.lru_cache(maxsize=400_000)
def _costs(genotype: Lightweight) -> tuple[float, float]:
    square = genotype.width**2
    kind = 0.5 + 0.12 * _SIZES["block"].index(genotype.block)
    attention = 0.0 if genotype.attention is None else 0.06 * _SIZES["attention"].index(genotype.attention)
    taps = 9.0 if genotype.kernel is None else _TAPS[genotype.kernel]
    kept = 1.0 if genotype.share is None else 1 - genotype.share / 2
    block = square * (kind * taps * kept * (1 + 0.6 * (genotype.depth or 1)) / 2 + 2 * attention)
    sharing = {"interval": 2.0, "pairwise": genotype.blocks / 2, "all": float(genotype.blocks)}
    copies = genotype.blocks / sharing.get(genotype.sharing or "none", 1.0)
    transformer = 0.0
    if genotype.transformers:
        kind = 1 + _SIZES["transformer"].index(genotype.transformer)
        transformer = genotype.transformers * square * (2 + kind + 2 * genotype.mlp_ratio)
    gathered = genotype.blocks if genotype.aggregation.startswith("fuse") else 1
    end = square * gathered * (0.0 if genotype.aggregation == "plain" else 1.0)
    ends = genotype.width * 9 * (3 + 48 * (2 if genotype.shallow_tail else 1))
    params = copies * block + transformer + end + ends
    multi_adds = _PIXELS * (genotype.blocks * block + 1.5 * transformer + end + ends)
    return params, multi_adds


class Landscape:
    """One surface. ``psnr_db`` is the truth; ``train`` is what a training with a seed would measure."""

    def __init__(self, number: int, budget: str = "wide") -> None:
        draw = random.Random(number)  # noqa: S311
        self.number, self.limits = number, BUDGETS[budget]
        self._shift = {
            (axis.name, option): draw.gauss(0, _SHIFTS.get(axis.name, 0.02))
            for axis in SPACE.axes
            if not axis.ordered
            for option in axis.options
        }
        self._pair = {
            (one, a, other, b): draw.gauss(0, 0.025)
            for one, other in _PAIRS
            for a, b in itertools.product(_SIZES[one], _SIZES[other])
        }
        self._proportion = draw.uniform(1.2, 2.4)
        self._depth, self._growth = draw.uniform(1.5, 3.5), draw.uniform(0.6, 1.0)
        self._transformers = draw.uniform(-0.02, 0.06)

    def inside(self, genotype: Genotype) -> bool:
        """Whether a genotype is in the budget."""
        return all(cost <= limit for cost, limit in zip(costs(genotype), self.limits, strict=True))

    def price(self, genotype: Genotype) -> float:
        """The cost objective: Multi-Adds."""
        return costs(genotype)[1]

    def psnr_db(self, genotype: Genotype) -> float:
        """The true quality."""
        params, multi_adds = costs(genotype)
        choices = genotype.to_dict()
        capacity = math.log10(multi_adds) - 8
        value = 29 + 1.5 * (1 - math.exp(-self._growth * capacity)) + 0.12 * (math.log10(params) - 5)
        value += sum(self._shift.get((name, option), 0.0) for name, option in choices.items())
        for one, other in _PAIRS:
            if one in choices and other in choices:
                value += self._pair[one, choices[one], other, choices[other]] * (0.5 + 0.5 * capacity)
        value -= 0.08 * (math.log(choices["width"] / choices["blocks"]) - self._proportion) ** 2
        if "depth" in choices:
            value -= 0.03 * (choices["depth"] - self._depth) ** 2
        return value + self._transformers * math.sqrt(choices["transformers"])

    def train(self, genotype: Genotype, seed: int) -> float:
        """The PSNR that one training with ``seed`` measures."""
        luck = random.Random(f"{genotype.id}-{seed}")  # noqa: S311
        return self.psnr_db(genotype) + luck.gauss(0, NOISE_DB)

    @property
    def floor_db(self) -> float:
        """The quality from which hypervolume counts: about the worst in the budget."""
        return self._bounds[0]

    @functools.cached_property
    def _bounds(self) -> tuple[float, float]:
        """(quality floor, hypervolume of the best front that an unhurried search of the truth finds)."""
        chooser, found = RandomChooser(1_000_000 + self.number), {}
        while len(found) < 4000:
            genotype = SPACE.suggest(chooser)
            if self.inside(genotype):
                found[genotype] = (self.price(genotype), self.psnr_db(genotype))
        floor = min(quality for _, quality in found.values())
        draw = random.Random(self.number)  # noqa: S311
        for _ in range(60):
            genotypes = list(found)
            cost, quality = np.array(list(found.values())).T
            front = [genotypes[index] for index in np.flatnonzero(pareto_mask(cost, quality))]
            for _ in range(700):
                child = _mutant(draw.choice(front), draw)
                if child not in found and self.inside(child):
                    found[child] = (self.price(child), self.psnr_db(child))
        cost, quality = np.array(list(found.values())).T
        return floor, hypervolume(cost, quality, cost_limit=self.limits[1], quality_floor=floor)

    def hypervolume(self, trained: list[Genotype]) -> float:
        """The true values of what was trained, as a share of what the true front covers."""
        floor, best = self._bounds
        cost = [self.price(genotype) for genotype in trained]
        quality = [self.psnr_db(genotype) for genotype in trained]
        return hypervolume(cost, quality, cost_limit=self.limits[1], quality_floor=floor) / best


def _mutant(parent: Genotype, draw: random.Random) -> Genotype:
    defaults = {axis.name: draw.choice(axis.options) for axis in SPACE.axes}
    changed = {axis.name: draw.choice(axis.options) for axis in draw.sample(SPACE.axes, draw.randint(1, 3))}
    return SPACE.genotype(**{**defaults, **parent.to_dict(), **changed})

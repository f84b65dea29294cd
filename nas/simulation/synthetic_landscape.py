"""A made-up answer to every genotype of ``lightweight``: what samplers are compared on where nothing is
trained.

Costs are formulas of our own in the style of the space (a block's Multi-Adds grow with the square of the
width and with its depth, kernels differ in taps, sharing saves parameters only). PSNR saturates in log
Multi-Adds, every option of an axis shifts it, pairs of axes interact, shapes of networks have a best
proportion, and a training adds noise. The shifts are drawn once for a landscape. Mechanisms and ratios, not
data about super-resolution. A further surface is a class and one line in SURFACES.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np

from leaderboard.fronts.pareto import pareto_mask
from nas.cost.budget import Budget, Cost
from nas.errors import unknown
from nas.samplers import RandomChooser
from nas.simulation.objective import Objective, Synthetic
from nas.simulation.synthetic_bottleneck import Bottleneck
from search_spaces import Genotype, Space
from search_spaces.lightweight import Lightweight

SPACE = Space(Lightweight, version=0)
"""The version in which the landscapes were drawn: later axes would draw others."""
BUDGETS = {
    "wide": Budget(params=100_000, multi_adds=6_000_000_000),
    "tight": Budget(params=40_000, multi_adds=1_800_000_000),
}
"""About half, and about a tenth, of random genotypes are inside."""

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


@functools.lru_cache(maxsize=400_000)
def _costs(genotype: Lightweight) -> tuple[int, int]:
    """(parameters, Multi-Adds)."""
    square = genotype.width**2
    kind = 0.5 + 0.12 * _SIZES["block"].index(genotype.block)
    attention = 0.0 if genotype.attention is None else 0.06 * _SIZES["attention"].index(genotype.attention)
    kernel = "asymmetric" if genotype.branches == "asymmetric" else genotype.kernel
    taps = 9.0 if kernel is None else _TAPS[kernel]
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
    return round(params), round(multi_adds)


class Landscape(Synthetic):
    """One landscape of the whole space ``lightweight``.

    Its best front is the one that an unhurried search of the truth itself finds (4,000 random genotypes, then
    42,000 mutants of the front), which takes some seconds once in a process.
    """

    space = SPACE

    def __init__(self, number: int, budget: str = "wide") -> None:
        super().__init__(number)
        draw = random.Random(number)  # noqa: S311
        self.name = f"landscape-{number}" if budget == "wide" else f"landscape-{budget}-{number}"
        self.budget = BUDGETS[budget]
        self.cost_limit = float(self.budget.multi_adds or 0)
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
        self._truth: dict[Genotype, float] = {}

    def cost(self, genotype: Genotype) -> Cost:
        """By formula: exact and free, as the real ones."""
        assert isinstance(genotype, Lightweight)
        params, multi_adds = _costs(genotype)
        return Cost(params=params, multi_adds=multi_adds, conv_multi_adds=multi_adds, activations=params)

    def truth_db(self, genotype: Genotype) -> float:
        """The true quality."""
        known = self._truth.get(genotype)
        if known is None:
            known = self._truth[genotype] = self._psnr_db(genotype)
        return known

    def _psnr_db(self, genotype: Genotype) -> float:
        cost = self.cost(genotype)
        choices: dict[str, Any] = dict(genotype.to_dict())
        capacity = math.log10(cost.multi_adds) - 8
        value = 29 + 1.5 * (1 - math.exp(-self._growth * capacity)) + 0.12 * (math.log10(cost.params) - 5)
        value += sum(self._shift.get((name, option), 0.0) for name, option in choices.items())
        for one, other in _PAIRS:
            if one in choices and other in choices:
                value += self._pair[one, choices[one], other, choices[other]] * (0.5 + 0.5 * capacity)
        value -= 0.08 * (math.log(choices["width"] / choices["blocks"]) - self._proportion) ** 2
        if "depth" in choices:
            value -= 0.03 * (choices["depth"] - self._depth) ** 2
        return float(value + self._transformers * math.sqrt(choices["transformers"]))

    @property
    def floor_db(self) -> float:  # type: ignore[override]
        """The quality from which hypervolume counts: about the worst in the budget."""
        return self._found[0]

    def front(self) -> tuple[list[float], list[float]]:
        """The best front that was found."""
        return self._found[1:]

    @functools.cached_property
    def _found(self) -> tuple[float, list[float], list[float]]:
        """(quality floor, costs of the front, its qualities)."""
        chooser = RandomChooser(1_000_000 + self.number)
        found: dict[Genotype, tuple[float, float]] = {}
        while len(found) < 4000:
            genotype = SPACE.suggest(chooser)
            if self.inside(genotype):
                found[genotype] = (self.price(genotype), self.truth_db(genotype))
        floor = min(quality for _, quality in found.values())
        draw = random.Random(self.number)  # noqa: S311
        for _ in range(60):
            genotypes = list(found)
            cost, quality = np.array(list(found.values())).T
            front = [genotypes[index] for index in np.flatnonzero(pareto_mask(cost, quality))]
            for _ in range(700):
                child = _mutant(draw.choice(front), draw)
                if child not in found and self.inside(child):
                    found[child] = (self.price(child), self.truth_db(child))
        cost, quality = np.array(list(found.values())).T
        best = pareto_mask(cost, quality)
        self._truth.clear()
        return floor, cost[best].tolist(), quality[best].tolist()


def _mutant(parent: Genotype, draw: random.Random) -> Genotype:
    defaults = {axis.name: draw.choice(axis.options) for axis in SPACE.axes}
    changed = {axis.name: draw.choice(axis.options) for axis in draw.sample(SPACE.axes, draw.randint(1, 3))}
    return SPACE.genotype(**{**defaults, **parent.to_dict(), **changed})


SURFACES: dict[str, Callable[[int], Objective]] = {
    "landscape": Landscape,
    "landscape-tight": functools.partial(Landscape, budget="tight"),
    "bottleneck": Bottleneck,
}
"""Made-up surfaces: word -> the surface that a number draws."""

DRAWS = 3
"""So many different surfaces of a kind are made: seed s meets number s % DRAWS."""


def surface_of(name: str, seed: int) -> Objective:
    """The surface ``name`` that a seed meets, one in a process: its best front takes some seconds to find.

    Raises RecipeError for an unknown name.
    """
    if name not in SURFACES:
        raise unknown("surface", name, SURFACES)
    return _drawn(name, seed % DRAWS)


@functools.cache
def _drawn(name: str, number: int) -> Objective:
    return SURFACES[name](number)

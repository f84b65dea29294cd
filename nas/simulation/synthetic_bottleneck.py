"""A made-up space and surface whose best front is known exactly: all of its genotypes are looked at.

It is unlike the landscapes: the quality of a network is what the weaker of two things allows (its width or
its depth, each as good as two words on other axes make it), so that nothing on the strong side helps, and the
best option of an axis depends on others.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from leaderboard.fronts.pareto import pareto_mask
from nas.cost.budget import Budget, Cost
from nas.simulation.objective import Synthetic
from search_spaces import Genotype, Space, SpaceError, choice, span

_WORDS = ("a", "b", "c", "d", "e", "f")
_FACTORS = {"kernel": (0.6, 0.8, 1.0, 1.3, 1.6, 2.0), "gate": (1.0, 1.02, 1.05, 1.1, 1.15, 1.2)}


@dataclass(frozen=True, kw_only=True)
class Choices(Genotype):
    """Eight axes, one of which applies only under some options of another; no network is behind them."""

    space: ClassVar[str] = "nas.bottleneck:Choices"

    width: int = span(8, 64, step=4)
    blocks: int = span(1, 10)
    kernel: str = choice(*_WORDS)
    gate: str = choice(*_WORDS)
    path: str = choice(*_WORDS)
    depth: int = span(1, 4, when={"path": ("d", "e", "f")})
    norm: str = choice(*_WORDS[:4])
    end: str = choice(*_WORDS[:4])

    def build(self, scale: int) -> nn.Module:
        """Nothing: raises SpaceError."""
        raise SpaceError(f"space {self.space!r} is made up: there is no network to build")


SPACE = Space(Choices)
BUDGET = Budget(multi_adds=2_000_000_000)


class Bottleneck(Synthetic):
    """One surface over :class:`Choices`, of which about two thirds are inside the budget."""

    space, budget = SPACE, BUDGET
    cost_limit = float(BUDGET.multi_adds or 0)

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = f"bottleneck-{number}"
        draw = np.random.default_rng(number)
        self._wide = draw.normal(0, 0.6, (6, 6))  # kernel, gate
        self._deep = draw.normal(0, 0.6, (6, 4))  # path, norm
        self._end = draw.normal(0, 0.12, (6, 4))  # gate, end
        self._lag = float(draw.uniform(0.5, 1.5))

    def cost(self, genotype: Genotype) -> Cost:
        """By formula."""
        multi_adds = round(float(_cost(_columns(genotype))[0]))
        params = multi_adds // 50_000
        return Cost(params=params, multi_adds=multi_adds, conv_multi_adds=multi_adds, activations=params)

    def truth_db(self, genotype: Genotype) -> float:
        """The true quality."""
        return float(self._quality(_columns(genotype))[0])

    def _quality(self, at: dict[str, NDArray[np.int64]]) -> NDArray[np.float64]:
        layers = at["blocks"] * (1 + 0.4 * (at["depth"] - 1))
        wide = np.log2(at["width"]) - 3 + self._wide[at["kernel"], at["gate"]]
        deep = np.log2(layers) + self._deep[at["path"], at["norm"]] + self._lag
        shifts = self._end[at["gate"], at["end"]]
        return 28 + 2 * (1 - np.exp(-0.35 * np.minimum(wide, deep))) + shifts

    @property
    def floor_db(self) -> float:  # type: ignore[override]
        """The quality from which hypervolume counts: a quarter of those in the budget are below."""
        return self._exact[0]

    def front(self) -> tuple[list[float], list[float]]:
        """The front of all genotypes."""
        return self._exact[1:]

    @functools.cached_property
    def _exact(self) -> tuple[float, list[float], list[float]]:
        """(quality floor, costs of the front, its qualities), of every genotype there is."""
        at = _everything()
        cost, quality = np.round(_cost(at)), self._quality(at)
        inside = cost <= self.cost_limit
        cost, quality = cost[inside], quality[inside]
        best = pareto_mask(cost, quality)
        return float(np.quantile(quality, 0.25)), cost[best].tolist(), quality[best].tolist()


def _cost(at: dict[str, NDArray[np.int64]]) -> NDArray[np.float64]:
    """Multi-Adds of genotypes given as columns."""
    kernel, gate = (np.array(_FACTORS[name])[at[name]] for name in ("kernel", "gate"))
    layers = at["blocks"] * (1 + 0.35 * (at["depth"] - 1)) * (1 + 0.03 * at["path"])
    ends = 60 * at["width"] * (1 + 0.2 * at["end"])
    return 57_600 * (at["width"] ** 2 * layers * kernel * gate + ends)


def _columns(genotype: Genotype) -> dict[str, NDArray[np.int64]]:
    """One genotype as columns of length 1: counts as they are, words as places; no depth is a depth of 1."""
    choices: dict[str, Any] = {"depth": 1, **genotype.to_dict()}
    return {
        name: np.array([_WORDS.index(value) if isinstance(value, str) else value])
        for name, value in choices.items()
    }


@functools.cache
def _everything() -> dict[str, NDArray[np.int64]]:
    """All genotypes as columns."""
    axes = {axis.name: axis for axis in SPACE.axes}
    steering = {name: axis for name, axis in axes.items() if name not in ("path", "depth")}
    sides = [
        np.array([_WORDS.index(option) if isinstance(option, str) else option for option in axis.options])
        for axis in steering.values()
    ]
    ways = [(path, depth) for path in range(6) for depth in (range(1, 5) if path > 2 else (1,))]
    grid = np.meshgrid(*sides, np.arange(len(ways)), indexing="ij")
    columns = {name: side.ravel() for name, side in zip(steering, grid, strict=False)}
    path, depth = np.array(ways).T
    return columns | {"path": path[grid[-1].ravel()], "depth": depth[grid[-1].ravel()]}

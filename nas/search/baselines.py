"""Baselines: published networks made to fill a budget, by their width and their number of blocks."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nas.cost.budget import Budget, Cost
from nas.cost.counting import cost_of
from search_spaces import Genotype, Option, Space, SpaceError
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED

ENOUGH = 0.95
"""The share of a limit from which a budget counts as filled."""

SIZES = ("width", "blocks")
"""The axes that change when a network is made to fit."""


def _sized(genotype: Genotype | None) -> bool:
    return genotype is not None and set(SIZES) <= {axis.name for axis in genotype.axes()}


FITTABLE = tuple(name for name, entry in PUBLISHED.items() if _sized(entry.genotype))
"""Published networks whose width and number of blocks can be changed."""

LIKE, FILLING = "-like", "-filling"
"""Ends of the names of the two shapes: in the paper's proportions, and the one that fills the budget best."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A published network made to fit, its cost, and the largest share of a limit that it uses, at most 1."""

    genotype: Genotype
    cost: Cost
    fill: float


def published_that_fit(space: Space, scale: int, budget: Budget) -> tuple[Genotype, ...]:
    """The published networks that are points of the narrowed space and inside the budget."""
    published = (entry.genotype_at(scale) for entry in PUBLISHED.values())
    return tuple(
        genotype for genotype in published if genotype is not None and _fits(genotype, space, scale, budget)
    )


def _fits(genotype: Genotype, space: Space, scale: int, budget: Budget) -> bool:
    if not isinstance(genotype, space.genotype):
        return False
    options: dict[str, tuple[Option, ...]] = {axis.name: (axis.null,) for axis in space.genotype.axes()}
    options |= {axis.name: axis.options for axis in space.axes}
    inside = all(value in options[name] for name, value in space.choices_of(genotype).items())
    return inside and not budget.excess(cost_of(genotype, scale))


def made_to_fit(space: Space, scale: int, budget: Budget) -> dict[str, Genotype]:
    """Name -> the other published networks of the space, made to fit the budget in the paper's proportions.

    Left out are networks below the lower limits, those that need an option that the space excludes, and
    those that become one that is there already.
    """
    inside = published_that_fit(space, scale, budget)
    found: dict[str, Genotype] = {}
    for name in FITTABLE:
        genotype = PUBLISHED[name].genotype_at(scale)
        if genotype in inside or not isinstance(genotype, space.genotype):
            continue
        network = fitted(name, space, scale, budget, inside_space=True)
        if network is None or network.genotype in found.values():
            continue
        if _fits(network.genotype, space, scale, budget):
            found[f"{name}{LIKE}"] = network.genotype
    return found


def fitted(
    name: str, space: Space, scale: int, budget: Budget, *, inside_space: bool = False
) -> Fitted | None:
    """The published network ``name`` inside the upper limits, in nearly its paper's proportions.

    Widths are tried from the one that fits with the paper's blocks for its width, each with as many blocks as
    fit. The first shape that fills the budget to 95 % is taken; where none does, the one that fills it most;
    None where nothing fits. Where ``space`` is narrowed to a single
    skip connection, the network gets that one, as all candidates have it. ``inside_space``: width and blocks
    are options of the space, too.
    """
    shapes = _Shapes(name, space, scale, budget, inside_space)
    best: Fitted | None = None
    for found in shapes.from_proportions():
        if best is None or found.fill > best.fill:
            best = found
        if found.fill >= ENOUGH:
            return found
    return best


def filling(name: str, space: Space, scale: int, budget: Budget) -> Fitted | None:
    """The published network ``name`` at the width and the number of blocks that fill the budget most.

    Otherwise as :func:`fitted`, and of shapes that fill it alike the one nearest to the paper's proportions.
    """
    shapes = _Shapes(name, space, scale, budget, inside_space=False)
    return max(shapes.of_all_widths(), key=lambda one: (one.fill, -shapes.distance(one)), default=None)


class _Shapes:
    """The deepest network that fits at each width."""

    def __init__(self, name: str, space: Space, scale: int, budget: Budget, inside_space: bool) -> None:
        genotype = PUBLISHED[name].genotype_at(scale)
        assert genotype is not None
        skips = space.only.get("skip", ())
        if len(skips) == 1 and isinstance(genotype, Lightweight):
            genotype = replace(genotype, skip=str(skips[0]))
        self._genotype, self._scale, self._limits = genotype, scale, budget.ceilings()
        axes = space.axes if inside_space else type(genotype).axes()
        options = {axis.name: sorted(o for o in axis.options if isinstance(o, int)) for axis in axes}
        self._widths, self._blocks = (options[size] for size in SIZES)
        self._proportion = math.log(_size(genotype, "blocks") / _size(genotype, "width"))
        self._known: dict[tuple[int, int], Fitted | None] = {}

    def distance(self, shape: Fitted) -> float:
        """How far from the paper's blocks for its width: the logarithm of the ratio."""
        return abs(self._of(_size(shape.genotype, "width"), _size(shape.genotype, "blocks")))

    def of_all_widths(self) -> Iterator[Fitted]:
        """Each width's deepest network that fits, the narrowest first."""
        guess = len(self._blocks) - 1
        for width in self._widths:
            place = self._deepest(width, guess)
            if place is not None:
                guess = place
                found = self._fitted(width, place)
                assert found is not None
                yield found

    def from_proportions(self) -> Iterator[Fitted]:
        """The same from the width that fits in the paper's proportions, then ever further from it."""
        natural = [self._natural(width) for width in self._widths]
        places = range(len(natural))
        over = bisect_left(places, 1, key=lambda i: self._fitted(self._widths[i], natural[i]) is None)
        order = sorted(places, key=lambda i: abs(i - (over - 1)))
        for index in order:
            place = self._deepest(self._widths[index], natural[index])
            if place is not None:
                found = self._fitted(self._widths[index], place)
                assert found is not None
                yield found

    def _natural(self, width: int) -> int:
        """The place among the numbers of blocks that is nearest to the paper's proportions."""
        return min(range(len(self._blocks)), key=lambda i: abs(self._of(width, self._blocks[i])))

    def _of(self, width: int, blocks: int) -> float:
        return math.log(blocks / width) - self._proportion

    def _deepest(self, width: int, guess: int) -> int | None:
        """The place of the most blocks that fit at ``width``, looked for from ``guess``; None for none."""
        place = guess
        while place >= 0 and self._fitted(width, place) is None:
            place -= 1
        if place == guess:
            while place + 1 < len(self._blocks) and self._fitted(width, place + 1) is not None:
                place += 1
        return place if place >= 0 else None

    def _fitted(self, width: int, place: int) -> Fitted | None:
        """The network of this size; None where it is over a limit or does not exist."""
        blocks = self._blocks[place]
        if (width, blocks) not in self._known:
            self._known[width, blocks] = self._count(width, blocks)
        return self._known[width, blocks]

    def _count(self, width: int, blocks: int) -> Fitted | None:
        try:
            genotype = replace(self._genotype, **{"width": width, "blocks": blocks})
            cost = cost_of(genotype, self._scale)
        except SpaceError:  # the block cannot divide this width
            return None
        fill = max((getattr(cost, name) / limit for name, limit in self._limits.items()), default=0.0)
        return Fitted(genotype=genotype, cost=cost, fill=fill) if fill <= 1 else None


def _size(genotype: Genotype, axis: str) -> int:
    size = getattr(genotype, axis)
    assert isinstance(size, int)
    return size

"""Published networks made to fit a budget: as wide as it allows, and otherwise the paper's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nas.cost.budget import Budget, Cost
from nas.cost.counting import cost_of
from search_spaces import Genotype, Space, SpaceError
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED

FITTABLE = tuple(name for name, entry in PUBLISHED.items() if isinstance(entry.genotype, Lightweight))
"""Those whose width is an axis."""


def called(name: str) -> str:
    """What a published network is called that was made to fit."""
    return f"{name}-like"


def published_that_fit(space: Space, scale: int, budget: Budget) -> tuple[Genotype, ...]:
    """The published networks that are points of the space, as it is narrowed, and inside the budget."""
    known = [entry.genotype for entry in PUBLISHED.values() if entry.genotype is not None]
    return tuple(genotype for genotype in known if _fits(genotype, space, scale, budget))


def _fits(genotype: Genotype, space: Space, scale: int, budget: Budget) -> bool:
    if not isinstance(genotype, space.genotype):
        return False
    names = {axis.name: axis.options for axis in space.axes}
    inside = all(value in names[name] for name, value in genotype.to_dict().items())
    return inside and not budget.excess(cost_of(genotype, scale))


def made_to_fit(space: Space, scale: int, budget: Budget) -> dict[str, Lightweight]:
    """Those published networks that do not fit as they are, made to; by what they are called then.

    One that does not keep the lower limits, or needs what the space was narrowed by, is left out.
    """
    if not issubclass(space.genotype, Lightweight):
        return {}
    inside = published_that_fit(space, scale, budget)
    others = [name for name in FITTABLE if PUBLISHED[name].genotype not in inside]
    made = {called(name): fitted(name, space, scale, budget) for name in others}
    return {name: one[0] for name, one in made.items() if one and _fits(one[0], space, scale, budget)}


def fitted(name: str, space: Space, scale: int, budget: Budget) -> tuple[Lightweight, Cost] | None:
    """The published network ``name`` at the widest that keeps the budget's upper limits of counted costs.

    Where no width does, it has a block fewer, and so on; None where that does not help either. Where
    ``space`` is narrowed to a single skip, it has that one, since all candidates do.
    """
    genotype = PUBLISHED[name].genotype
    assert isinstance(genotype, Lightweight)
    skips = space.only.get("skip", ())
    if len(skips) == 1:
        genotype = replace(genotype, skip=str(skips[0]))
    ceilings = Budget(**budget.ceilings())
    for one in _sizes(genotype):
        try:
            cost = cost_of(one, scale)
        except SpaceError:  # this width does not divide as the block wants it
            continue
        if not ceilings.excess(cost):
            return one, cost
    return None


def _sizes(genotype: Lightweight) -> Iterator[Lightweight]:
    """As many blocks as it has, widest first; then with ever fewer blocks."""
    [widths] = [axis.options for axis in Lightweight.axes() if axis.name == "width"]
    for blocks in range(genotype.blocks, 0, -1):
        for width in sorted(map(int, widths), reverse=True):
            yield replace(genotype, blocks=blocks, width=width)

"""Baselines: published networks made to fit a budget, as wide as it allows and otherwise the paper's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nas.cost.budget import Budget, Cost
from nas.cost.counting import cost_of
from search_spaces import Genotype, Option, Space, SpaceError
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED

FITTABLE = tuple(name for name, entry in PUBLISHED.items() if isinstance(entry.genotype, Lightweight))
"""Published networks whose width can be changed."""


def called(name: str) -> str:
    """The name of a published network that was made to fit."""
    return f"{name}-like"


def published_that_fit(space: Space, scale: int, budget: Budget) -> tuple[Genotype, ...]:
    """The published networks that are points of the narrowed space and inside the budget."""
    published = [entry.genotype for entry in PUBLISHED.values() if entry.genotype is not None]
    return tuple(genotype for genotype in published if _fits(genotype, space, scale, budget))


def _fits(genotype: Genotype, space: Space, scale: int, budget: Budget) -> bool:
    if not isinstance(genotype, space.genotype):
        return False
    options: dict[str, tuple[Option, ...]] = {axis.name: (axis.null,) for axis in space.genotype.axes()}
    options |= {axis.name: axis.options for axis in space.axes}
    inside = all(value in options[name] for name, value in space.choices_of(genotype).items())
    return inside and not budget.excess(cost_of(genotype, scale))


def made_to_fit(space: Space, scale: int, budget: Budget) -> dict[str, Lightweight]:
    """Name -> the other published networks, made to fit the budget.

    Left out are networks below the lower limits, and those that need an option that the space excludes.
    """
    if not issubclass(space.genotype, Lightweight):
        return {}
    inside = published_that_fit(space, scale, budget)
    others = [name for name in FITTABLE if PUBLISHED[name].genotype not in inside]
    resized = {called(name): fitted(name, space, scale, budget) for name in others}
    return {
        name: network[0]
        for name, network in resized.items()
        if network and _fits(network[0], space, scale, budget)
    }


def fitted(name: str, space: Space, scale: int, budget: Budget) -> tuple[Lightweight, Cost] | None:
    """The published network ``name`` at the largest width inside the upper limits, and its cost.

    Where no width fits, blocks are removed one by one; None where nothing fits. Where ``space`` is narrowed
    to a single skip connection, the network gets that one, as all candidates have it.
    """
    genotype = PUBLISHED[name].genotype
    assert isinstance(genotype, Lightweight)
    skips = space.only.get("skip", ())
    if len(skips) == 1:
        genotype = replace(genotype, skip=str(skips[0]))
    ceilings = Budget(**budget.ceilings())
    for resized in _sizes(genotype):
        try:
            cost = cost_of(resized, scale)
        except SpaceError:  # the block cannot divide this width
            continue
        if not ceilings.excess(cost):
            return resized, cost
    return None


def _sizes(genotype: Lightweight) -> Iterator[Lightweight]:
    """All widths with all blocks, widest first; then with one block less, and so on."""
    [widths] = [axis.options for axis in Lightweight.axes() if axis.name == "width"]
    for blocks in range(genotype.blocks, 0, -1):
        for width in sorted(map(int, widths), reverse=True):
            yield replace(genotype, blocks=blocks, width=width)

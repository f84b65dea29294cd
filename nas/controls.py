"""Controls: published networks made to fit a run's budget, to be trained just as its best candidates are.

A number that a paper prints comes from other data and another schedule. A control differs from the search's
best in its architecture alone, so that what is between them is the search's doing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from nas.choosing import Chosen
from nas.cost import Budget, cost_of
from nas.errors import RecipeError, unknown
from nas.recipe import Recipe
from search_spaces import SpaceError
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED


def choose_controls(recipe: Recipe, names: Sequence[str]) -> list[Chosen]:
    """The published networks ``names`` inside the run's budget, each called ``NAME-like``.

    Of a network its width is changed, up or down, to the widest that keeps the budget's upper limits of what
    can be counted; where none does, it has a block fewer, and so on. All else is the paper's, but for the
    skip: where the recipe leaves a single one to all candidates, the control has that one, too. Raises
    RecipeError for a name that is unknown or no point of the run's space, and for a budget that the network
    cannot keep.
    """
    space = recipe.search_space()
    allowed = [name for name, entry in PUBLISHED.items() if isinstance(entry.genotype, Lightweight)]
    if not issubclass(space.genotype, Lightweight):
        raise RecipeError(f"controls are networks of space 'lightweight'; this run's is {space.name!r}")
    found: dict[str, Chosen] = {}
    for name in names:
        if name not in allowed:
            raise unknown("control", name, allowed)
        genotype = PUBLISHED[name].genotype
        assert isinstance(genotype, Lightweight)
        skips = space.only.get("skip", ())
        if len(skips) == 1:
            genotype = replace(genotype, skip=str(skips[0]))
        found[name] = _fitted(name, genotype, recipe.scale, recipe.limits())
    return list(found.values())


def _fitted(name: str, genotype: Lightweight, scale: int, budget: Budget) -> Chosen:
    only_counted = Budget(**budget.ceilings())
    for one in _sizes(genotype):
        try:
            cost = cost_of(one, scale)
        except SpaceError:  # this width does not divide as the block wants it
            continue
        if not only_counted.excess(cost):
            return Chosen(genotype=one, cost=cost, proxy_psnr_db=None, name=f"{name}-like")
    asked = ", ".join(f"{limit} <= {most}" for limit, most in only_counted.limits().items())
    raise RecipeError(f"control {name!r}: no width and no number of its blocks keeps {asked}")


def _sizes(genotype: Lightweight) -> Iterator[Lightweight]:
    """As many blocks as it has, widest first; then with ever fewer blocks."""
    [widths] = [axis.options for axis in Lightweight.axes() if axis.name == "width"]
    for blocks in range(genotype.blocks, 0, -1):
        for width in sorted(map(int, widths), reverse=True):
            yield replace(genotype, blocks=blocks, width=width)

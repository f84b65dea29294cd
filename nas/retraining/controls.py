"""Controls: published networks made to fit a run's budget, to be trained just as its best candidates are.

A number that a paper prints comes from other data and another schedule. A control differs from the search's
best in its architecture alone, so that what is between them is the search's doing.
"""

from __future__ import annotations

from collections.abc import Sequence

from nas.cost.budget import Budget
from nas.errors import RecipeError, unknown
from nas.recipes.recipe import Recipe
from nas.retraining.selection import Chosen
from nas.search.baselines import FITTABLE, called, fitted
from search_spaces.lightweight import Lightweight


def choose_controls(recipe: Recipe, names: Sequence[str]) -> list[Chosen]:
    """The published networks ``names`` inside the run's budget (``nas.search.baselines``), each called
    ``NAME-like``.

    Raises RecipeError for a name that is unknown or no point of the run's space, and for a budget that the
    network cannot keep.
    """
    space, budget = recipe.search_space(), recipe.limits()
    if names and not issubclass(space.genotype, Lightweight):
        raise RecipeError(f"controls are networks of space 'lightweight'; this run's is {space.name!r}")
    found: dict[str, Chosen] = {}
    for name in names:
        if name not in FITTABLE:
            raise unknown("control", name, FITTABLE)
        made = fitted(name, space, recipe.scale, budget)
        if made is None:
            limits = Budget(**budget.ceilings()).limits()
            asked = ", ".join(f"{limit} <= {most}" for limit, most in limits.items())
            raise RecipeError(f"control {name!r}: no width and no number of its blocks keeps {asked}")
        found[name] = Chosen(genotype=made[0], cost=made[1], proxy_psnr_db=None, name=called(name))
    return list(found.values())

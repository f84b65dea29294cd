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
from nas.search.baselines import FILLING, FITTABLE, LIKE, filling, fitted


def choose_controls(recipe: Recipe, names: Sequence[str]) -> list[Chosen]:
    """The published networks ``names`` made to fit the run's budget (``nas.search.baselines``).

    A network NAME is called ``NAME-like`` and has nearly its paper's proportions; ``NAME-filling`` asks for
    the shape that fills the budget best, and is called so.

    Raises RecipeError for a name that is unknown and for a budget that the network cannot keep.
    """
    space, budget = recipe.search_space(), recipe.limits()
    found: dict[str, Chosen] = {}
    for word in names:
        name = word.removesuffix(FILLING)
        if name not in FITTABLE:
            raise unknown("control", word, [*FITTABLE, f"NAME{FILLING}"])
        made = (fitted if name == word else filling)(name, space, recipe.scale, budget)
        if made is None:
            limits = Budget(**budget.ceilings()).limits()
            asked = ", ".join(f"{limit} <= {most}" for limit, most in limits.items())
            raise RecipeError(f"control {word!r}: no width and no number of its blocks keeps {asked}")
        called = f"{name}{LIKE}" if name == word else word
        found[word] = Chosen(genotype=made.genotype, cost=made.cost, proxy_psnr_db=None, name=called)
    return list(found.values())

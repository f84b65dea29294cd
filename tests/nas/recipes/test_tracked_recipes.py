"""The recipes in ``runs/``: each is read, and what it asks for can be reached."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas.recipes.recipe import load_recipe
from nas.search.feasibility import require_reachable

RECIPES = sorted((Path(__file__).parents[3] / "runs").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_tracked_recipe_is_valid_and_its_budget_can_be_met(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    require_reachable(recipe.search_space(), recipe.scale, recipe.limits())
    assert recipe.rung_plans()
    assert recipe.plan("retrain").steps > recipe.plan("proxy").steps


def test_the_recipes_of_the_yardstick_keep_its_budget() -> None:
    """FALSR-B: 326K parameters, 74.7 G Multi-Adds at x2."""
    found = [load_recipe(path) for path in RECIPES if path.stem.startswith("x2-326k")]
    assert len(found) == 2
    for recipe in found:
        limits = recipe.limits()
        assert (recipe.scale, limits.params, limits.multi_adds) == (2, 326_000, 74_700_000_000)

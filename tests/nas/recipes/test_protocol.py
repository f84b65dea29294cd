"""Ids of protocols: they stay those of existing runs, and no run has one of an unresolved precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from leaderboard.store.records import Protocol
from nas.data import Dataset, load_data
from nas.errors import RecipeError
from nas.recipes.protocol import make_protocols, protocol_of
from nas.recipes.recipe import Recipe
from nas.training import PLANS, Plan


@pytest.fixture(scope="module")
def dataset(images: Path) -> Dataset:
    return replace(load_data(f"folder:{images}", 2, 12), digest="0123456789abcdef")


def protocol(dataset: Dataset, plan: Plan) -> Protocol:
    return protocol_of(
        dataset, scale=4, data="folder:x", metric="y_float", plan_name="p", plan=plan, bicubic=(25.0, 0.7)
    )


@pytest.mark.parametrize(
    ("plan", "precision", "id"),
    [
        ("short", "fp32", "efd271699f88"),
        ("short", "bf16", "438b0e8ff13c"),
        ("longer", "fp32", "b8a40ae65388"),
        ("longer", "bf16", "3ce0272dceb4"),
    ],
)
def test_protocols_keep_the_ids_of_runs_before_auto(
    dataset: Dataset, plan: str, precision: str, id: str
) -> None:
    assert protocol(dataset, replace(PLANS[plan], precision=precision)).id == id


def test_an_unresolved_precision_has_no_protocol(
    dataset: Dataset, small_recipe: Callable[..., Recipe]
) -> None:
    with pytest.raises(RecipeError, match="precision = 'auto' is resolved when a run is created"):
        protocol(dataset, replace(PLANS["short"], precision="auto"))
    recipe = small_recipe(proxy={"plan": "short", "precision": "auto"})
    with pytest.raises(RecipeError, match="precision = 'auto'"):
        make_protocols(recipe, "short", recipe.rung_plans())
    with pytest.raises(RecipeError, match="precision = 'auto'"):
        recipe.to_dict()

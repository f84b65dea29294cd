"""Recipes that are read from the results database, whichever version wrote them.

A stored recipe names every key that its version knew. A key that it lacks was added later, and means what
applied when the recipe was written (``Help.before``), never a newer default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from leaderboard.names import shortened
from leaderboard.store import Store
from nas.core.fields import MISSING
from nas.errors import RecipeError, RunError
from nas.recipes.recipe import DEFAULT_PLANS, Recipe, make_recipe, recipe_fields
from nas.training.plan import Plan
from search_spaces import Space

RunKind = Literal["search", "tuning"]

OPTIONAL_SECTIONS = ("tune",)
"""Sections of a recipe that most runs do not have."""


def require_kind(store: Store, name: str, kind: RunKind) -> None:
    """Raise RunError where the run ``name`` is a tuning and ``kind`` a search, or the other way round.

    A run that does not exist yet may become either.
    """
    if name not in store.study_names():
        return
    recipe = store.study(name).recipe
    if kind == "search" and "tune" in recipe:
        raise RunError(
            f"run {name!r} is a tuning, which compares settings of a plan: nas tune {name} continues it, "
            f"nas tune {name} --show prints it; a search needs another name"
        )
    if kind == "tuning" and "tune" not in recipe:
        command = _command_of(recipe)
        raise RunError(
            f"run {name!r} is no tuning: its own {command} command continues it; a tuning needs another name"
        )


def _command_of(recipe: Mapping[str, Any]) -> str:
    words = {"compress": "nas compress", "ladder": "nas calibrate or nas tabulate"}
    return next((command for key, command in words.items() if key in recipe), "nas search")


def absent_keys() -> dict[str, Any]:
    """Dotted key -> the value of a stored recipe that lacks it; ``Store.open_study`` compares with it.

    A plan needs none: what is stored are the fields that differ from ``Plan``'s defaults, and these stay.
    """
    return {key: f.help.before for key, f in recipe_fields().items() if f.help.before is not MISSING}


def stored_recipe(store: Store, name: str, kind: RunKind = "search") -> Recipe:
    """The recipe of the run ``name``, as it was meant when it was written.

    Raises RecipeError, and RunError for a tuning where a search is needed, or the other way round.
    """
    require_kind(store, name, kind)
    table: dict[str, Any] = {**store.study(name).recipe, "name": name}
    for key, value in absent_keys().items():
        section, _, last = key.rpartition(".")
        if section in OPTIONAL_SECTIONS and section not in table:
            continue
        place = table.setdefault(section, {}) if section else table
        if isinstance(place, dict):  # else the recipe says what is wrong with it
            place.setdefault(last, value)
    table |= {stage: _whole(table[stage]) for stage in DEFAULT_PLANS if stage in table}
    return make_recipe(table, where=f"run {name}")


def space_of_run(store: Store, recipe: Recipe) -> Space:
    """The space of a recipe; of a run that began before its space grew, the space as it was then."""
    space = recipe.search_space()
    if recipe.name not in store.study_names():
        return space
    return space.of_digest(store.study(recipe.name).space_digest) or space


def require_named_cluster(recipe: Recipe, changes: Mapping[str, Any]) -> None:
    """Raise RecipeError where the database alone chose the Ray cluster that would run the trainings.

    The cluster exchanges pickled objects with this process, so a person has to name its address.

    Args:
        recipe: A stored recipe with its changes.
        changes: The changes, which a person chose.
    """
    address = recipe.ray_address
    if recipe.executor == "ray" and address not in (None, "auto") and "ray_address" not in changes:
        raise RecipeError(
            f"run {recipe.name}: its stored recipe has ray_address = {shortened(address)!r}, and a cluster "
            "may run any code here; to connect to it, name it with --ray-address"
        )


def _whole(section: Any) -> Any:
    """A stored plan with every field, so that nothing is taken from the plan that has its name today."""
    if not isinstance(section, dict) or "steps" not in section:
        return section
    defaults = {field.name: field.default for field in fields(Plan) if field.name != "steps"}
    whole = {**defaults, **section}
    return {key: value for key, value in whole.items() if (key, value) != ("plan", None)}

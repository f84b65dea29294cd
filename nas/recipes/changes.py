"""Changes of a recipe by dotted keys, as the command line makes them: ``budget.params``, ``proxy.lr``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nas.errors import RecipeError, unknown
from nas.recipes.recipe import DEFAULT_PLANS, Recipe, make_recipe
from nas.training.plan import parse_changes, parse_value

SECTIONS = ("space", "budget", *DEFAULT_PLANS)
"""The sections of a recipe that ``--set`` addresses."""


def changed(recipe: Recipe, changes: Mapping[str, Any], where: str = "options") -> Recipe:
    """The recipe with other values.

    Args:
        recipe: Stays as it is.
        changes: Dotted key -> value, chosen by a person, so that another space is trusted. Another plan or
            space discards what the recipe changes in its own, and the executor ``inline`` is one worker
            unless ``workers`` is among the changes.
        where: Begins the message of an error.

    Raises RecipeError.
    """
    table = recipe.model_dump(exclude_none=True)
    table |= {stage: {} for stage in DEFAULT_PLANS if f"{stage}.plan" in changes}
    if changes.get("space.name", recipe.space.name) != recipe.space.name:
        table["space"]["only"] = {}
    if changes.get("executor") == "inline":
        table["workers"] = 1
    for key, value in changes.items():
        *above, name = key.split(".")
        place = table
        for part in above:
            place = place.setdefault(part, {})
        place[name] = value
    return make_recipe(table, where, trust="space.name" in changes)


def parse_settings(words: Sequence[str], plan: str = "proxy") -> dict[str, Any]:
    """Changes from words like ``budget.params=300k``, or ``lr=1e-4`` for a field of the section ``plan``.

    Raises RecipeError for a section or a field of a plan that there is not, and for a value that is none of
    its type; the recipe itself checks the rest.
    """
    changes: dict[str, Any] = {}
    for word in words:
        key, equals, text = (part.strip() for part in word.partition("="))
        section, dot, name = key.partition(".")
        if not dot:
            [(name, value)] = parse_changes([word]).items()
            changes |= _once(changes, word, f"{plan}.{name}", value)
            continue
        if section not in SECTIONS:
            raise unknown("section", section, SECTIONS, where=f"--set {word}")
        nested = name.removeprefix("only.") if section == "space" else name
        if not equals or not nested or not text or "." in nested:
            raise RecipeError(f"--set {word}: write SECTION.KEY=VALUE, as budget.params=300k")
        changes |= _once(changes, word, key, _value(section, name, text))
    return changes


def _once(changes: Mapping[str, Any], word: str, key: str, value: Any) -> dict[str, Any]:
    if key in changes:
        raise RecipeError(f"--set {word}: {key} was given before")
    return {key: value}


def _value(section: str, name: str, text: str) -> Any:
    if section in DEFAULT_PLANS and name != "plan":
        [value] = parse_changes([f"{name}={text}"]).values()
        return value
    if section == "space" and name.startswith("only."):
        return [_option(option.strip()) for option in text.split(",")]
    return _option(text) if section == "budget" else text


def _option(text: str) -> int | float | bool | str:
    """An option of an axis: a number or a truth value where the text is one."""
    value: int | float | bool | str = parse_value("option", text, bool | int | float | str)
    return value

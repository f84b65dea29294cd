"""The tables of docs/recipes.md from the fields of a recipe; ``python tests/recipes_page.py`` writes them."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from pathlib import Path

from nas.cli.model_options import option_names
from nas.cli.search import OPTIONS
from nas.cli.tune import OPTIONS as TUNE_OPTIONS
from nas.core.fields import DescribedField, fields_of
from nas.recipes.recipe import BudgetSection, Recipe, SpaceSection, TuneSection, recipe_fields
from nas.training.plan import Plan

TUNE_KEYS = (*TUNE_OPTIONS.keys, "tune.fields", "tune.enqueue")

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"


def tables() -> dict[str, str]:
    """Section -> its table; ``plan`` is what ``[proxy]`` and ``[retrain]`` hold besides the plan's name."""
    return {
        "recipe": _with_options("", fields_of(Recipe).values()),
        "space": _with_options("space.", fields_of(SpaceSection).values()),
        "budget": _with_options("budget.", fields_of(BudgetSection).values()),
        "tune": _with_options("tune.", fields_of(TuneSection).values(), TUNE_KEYS),
        "plan": _table(
            ("field", "default", "meaning"), (_cells(field) for field in fields_of(Plan).values())
        ),
    }


def _with_options(section: str, fields: Iterable[DescribedField], keys: Container[str] = OPTIONS.keys) -> str:
    rows = []
    for field in fields:
        key, default, meaning = _cells(field)
        names = option_names(recipe_fields()[section + field.name])
        option = f"`{names[0].partition('/')[0]}`" if section + field.name in keys else ""
        default = "the file's name" if section + field.name == "name" else default
        rows.append((key, default, option, meaning))
    return _table(("key", "default", "option", "meaning"), rows)


def _cells(field: DescribedField) -> tuple[str, str, str]:
    plain = field.default in (None, ..., []) or field.default == {}
    words = field.default_words
    return f"`{field.name}`", words if plain else f"`{words}`", field.help.sentence


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def page_of(text: str) -> str:
    """The page with its tables as the fields have them."""
    for section, table in tables().items():
        pattern = rf"(<!-- fields of {section}\b[^>]*-->\n).*?(<!-- end -->)"
        text, count = re.subn(
            pattern, lambda found, new=table: f"{found[1]}{new}\n{found[2]}", text, flags=re.DOTALL
        )
        assert count == 1, f"docs/recipes.md has no place for the fields of {section}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page_of(PAGE.read_text(encoding="utf-8")), encoding="utf-8")

"""The documentation is true: its commands exist, its example runs, its links and settings are real."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from recipes_page import PAGE, page_of

from nas.recipes.recipe import load_recipe, make_recipe
from nas.training import PLANS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)", prose):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_nas_command_and_option_of_the_pages_exists(page: Path) -> None:
    import typer

    from nas.cli import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for block in blocks(page, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.split("#")[0].split()
            if not words or words[0] != "nas":
                continue
            command = commands[words[1]]
            known = {
                option
                for parameter in command.with_options().params
                for option in (*parameter.opts, *parameter.secondary_opts)
            }
            for word in words[2:]:
                assert not word.startswith("--") or word in known, line


def test_the_example_of_the_samplers_page_runs() -> None:
    (code,) = blocks(ROOT / "docs" / "samplers.md", "python")
    names = {"train_and_score": lambda net: net["width"] + net["depth"] / 10}
    exec(code.replace("n_trials=100", "n_trials=15"), names)  # noqa: S102  (our own page)
    trials = names["study"].trials  # type: ignore[attr-defined]
    assert len(trials) == 15
    assert all(trial.values[1] < 20_000 for trial in trials)


def test_the_readme_is_short_and_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    assert "make demo" in text
    assert "make test" in text


def test_the_readme_counts_as_the_space_does() -> None:
    from search_spaces import Space
    from search_spaces.lightweight import Lightweight

    trillions = Space(Lightweight).count() / 1e12
    assert f"{trillions:.1f} trillion architectures" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_recipe_of_the_docs_is_one_and_names_every_setting() -> None:
    table = tomllib.loads(blocks(ROOT / "docs" / "recipes.md", "toml")[0])
    recipe = make_recipe({"name": "docs", **table})
    assert set(table) == set(type(recipe).model_fields) - {"name", "tune"}
    assert set(table["budget"]) == set(type(recipe.budget).model_fields)


@pytest.mark.parametrize("page", ["recipes.md", "tuning.md"])
def test_the_tunings_of_the_docs_are_recipes(page: str) -> None:
    [text] = [block for block in blocks(ROOT / "docs" / page, "toml") if "[tune]" in block]
    recipe = make_recipe(tomllib.loads(text))
    assert recipe.tune is not None
    if page == "recipes.md":
        assert set(tomllib.loads(text)["tune"]) == set(type(recipe.tune).model_fields)


def test_the_recipes_page_has_the_tables_of_the_fields() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page_of(text) == text, "run make recipes-page"


def test_the_plans_of_the_docs_are_the_plans() -> None:
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    for name, plan in PLANS.items():
        row = f"| `{name}` | {plan.steps:,} | {plan.batch} | {plan.lr_patch} |"
        assert row in text, row


@pytest.mark.parametrize("path", sorted((ROOT / "runs").glob("*.toml")), ids=lambda path: path.name)
def test_tracked_recipes_load(path: Path) -> None:
    assert load_recipe(path).name == path.stem

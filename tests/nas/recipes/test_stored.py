"""A key that a stored recipe lacks means what applied when it was written, never a newer default."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import pytest
from golden import HALF, TRACES, write_images
from grown import Grown

import search_spaces
from leaderboard.errors import StudyMismatchError
from leaderboard.store import Store
from leaderboard.tables.exchange import import_results
from nas.core.fields import MISSING, Help
from nas.errors import Interrupted, NasError, RecipeError
from nas.recipes import recipe as recipes
from nas.recipes.changes import changed
from nas.recipes.recipe import MAY_CHANGE, Recipe, make_recipe, recipe_fields
from nas.recipes.stored import OPTIONAL_SECTIONS, absent_keys, require_named_cluster, stored_recipe
from nas.search.progress import Event
from nas.search.session import search
from nas.training.plan import PLANS, Plan

NAME = "golden"


class WithAFieldOfLater(Recipe):
    """The recipe of a later version: it orders candidates, where earlier ones trained them as they came."""

    order: Annotated[str, Help("Order of candidates.", before="as they come")] = "cheapest first"


@pytest.fixture
def old_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A half-finished search in the database that 78e810e wrote."""
    (tmp_path / "runs").mkdir()
    connection = sqlite3.connect(tmp_path / "runs/results.db")
    connection.executescript((TRACES / "half_finished.sql").read_text(encoding="utf-8"))
    connection.close()
    write_images(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    with Store.at(tmp_path / "runs/results.db") as store:
        yield store


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "Recipe", WithAFieldOfLater)


def resumed(**changes: Any) -> list[str]:
    """What a search that is resumed with some changes says of its next candidate; then it is interrupted."""
    measured: list[str] = []

    def listen(event: Event) -> None:
        if event.kind == "finished":
            measured.append(event.text)
            raise Interrupted("enough")

    with suppress(Interrupted):
        search({**HALF, **changes}, "runs", listen=listen)
    return measured


def test_a_stored_recipe_means_what_applied_when_it_was_written(old_run: Store, later: None) -> None:
    assert "order" not in old_run.study(NAME).recipe
    stored = stored_recipe(old_run, NAME)
    assert isinstance(stored, WithAFieldOfLater)
    assert stored.order == "as they come"
    assert make_recipe(dict(HALF)).order == "cheapest first"  # type: ignore[attr-defined]


def test_an_old_run_resumes_where_the_new_recipe_means_the_same(old_run: Store, later: None) -> None:
    assert len(resumed(order="as they come")) == 1
    assert old_run.study(NAME).recipe["order"] == "as they come"


def test_an_old_run_is_refused_where_the_new_recipe_means_something_else(old_run: Store, later: None) -> None:
    with pytest.raises(
        StudyMismatchError, match="order was 'as they come', now 'cheapest first'; use another --name"
    ):
        resumed()
    assert "order" not in old_run.study(NAME).recipe


def test_importing_an_old_run_again_compares_what_its_recipe_means(old_run: Store, later: None) -> None:
    shutil.copy("runs/results.db", "old.db")
    assert len(resumed(order="as they come")) == 1
    merged = import_results(old_run, "old.db", may_change=MAY_CHANGE, absent=absent_keys())
    assert merged.same["studies"] == 1
    with pytest.raises(StudyMismatchError, match="order was 'as they come', now not set"):
        import_results(old_run, "old.db", may_change=MAY_CHANGE)


def test_a_stored_plan_is_read_without_the_plan_that_has_its_name_today(
    old_run: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored_recipe(old_run, NAME).plan("proxy")
    assert before == make_recipe(dict(HALF)).plan("proxy")
    changed = Plan(steps=9, warmup_steps=5, loss="mse", lr=0.1)
    monkeypatch.setitem(PLANS, "short", changed)
    assert stored_recipe(old_run, NAME).plan("proxy") == before


def test_every_field_that_the_first_stored_recipe_lacks_says_what_applied_before(old_run: Store) -> None:
    stored = old_run.study(NAME).recipe
    for key, field in recipe_fields().items():
        section, _, name = key.rpartition(".")
        if section in ("proxy", "retrain"):
            # Only what differs from a plan's defaults is stored: these stay, so nothing is to be said.
            assert field.help.before is MISSING, key
        elif section in OPTIONAL_SECTIONS:
            assert section not in stored, key
        elif name != "name" or section:
            assert name in (stored[section] if section else stored) or field.help.before is not MISSING, key


def test_a_command_reads_the_recipe_of_an_old_run(
    old_run: Store, later: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nas.cli import main

    monkeypatch.setattr("sys.argv", ["nas", "export-study", NAME, "--storage", "sqlite:///study.db"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "trials of run 'golden'" in capsys.readouterr().out


def test_a_stored_calibration_is_no_search(old_run: Store) -> None:
    recipe = {**old_run.study(NAME).recipe, "ladder": True}
    connection = sqlite3.connect("runs/results.db")
    with connection:
        connection.execute("UPDATE study SET recipe = ?", [json.dumps(recipe)])
    connection.close()
    with pytest.raises(NasError, match="run golden: is a calibration or a table and no search"):
        stored_recipe(old_run, NAME)


def test_a_cluster_that_the_database_alone_names_is_refused(old_run: Store) -> None:
    stored = stored_recipe(old_run, NAME)
    there = changed(stored, {"executor": "ray", "ray_address": "ray://elsewhere:10001"})
    with pytest.raises(RecipeError, match=r"ray_address = 'ray://elsewhere:10001'.*--ray-address"):
        require_named_cluster(there, {"executor": "ray"})
    require_named_cluster(there, {"ray_address": "ray://elsewhere:10001"})
    require_named_cluster(changed(there, {"ray_address": "auto"}), {})
    require_named_cluster(changed(there, {"executor": "inline"}), {})


def test_an_old_run_resumes_in_the_space_that_it_began_in(
    old_run: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tmp_path / "runs", tmp_path / "copy")
    plain = resumed()
    shutil.rmtree(tmp_path / "runs")
    (tmp_path / "copy").rename(tmp_path / "runs")
    monkeypatch.setitem(search_spaces.SPACES, "lightweight", "grown:Grown")
    monkeypatch.setattr(search_spaces, "OWN_MODULES", {*search_spaces.OWN_MODULES, "grown"})
    assert search_spaces.load_space("lightweight") is Grown
    assert resumed() == plain
    with Store.at(tmp_path / "runs/results.db") as store:
        assert store.study(NAME).space_digest == old_run.study(NAME).space_digest

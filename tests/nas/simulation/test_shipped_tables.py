"""The tables that are part of the package: whole, true to the space of today, and replayed by name."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from grown import Grown

import search_spaces
from leaderboard.fronts.pareto import pareto_mask
from nas.cost.counting import cost_of
from nas.errors import RecipeError
from nas.simulation.replays import shipped_tables, source_of
from nas.simulation.table import card_markdown, read_table
from nas.simulation.tabular_objective import TabularObjective
from nas.simulation.validate_table import COSTS
from search_spaces.blocks.folding import folds

Nas = Callable[..., subprocess.CompletedProcess[str]]

TABLES = shipped_tables()


def test_the_first_edition_is_there() -> None:
    assert "nas-bench-sr" in TABLES


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_a_training_that_the_card_speaks_of(name: str) -> None:
    table = read_table(TABLES[name])
    assert table.card["name"] == name
    assert TABLES[name].with_name(f"{name}.parquet.md").read_text() == card_markdown(table)
    assert TABLES[name].stat().st_size < 3_000_000
    steps = [rung["steps"] for rung in table.rungs]
    assert steps == sorted(steps) and len(steps) > 1
    assert (table.frame["psnr_db"] > 15).all() and (table.frame["seconds"] > 0).all()
    assert not table.frame.duplicated(["genotype_id", "protocol", "seed"]).any()
    recorded = TabularObjective(table)
    assert recorded.left_out == 0 and all(noise > 0 for noise in recorded.noise_db)
    for machine in table.card["machines"]:
        assert "/" not in machine and "@" not in machine  # no path and no account


@pytest.mark.parametrize("name", TABLES)
def test_costs_and_space_are_still_those_of_today(name: str) -> None:
    """A space that changed what a genotype means would make the table lie."""
    table = read_table(TABLES[name])
    assert table.card["space_digest"] == table.space.digest
    assert table.card["cost_form"] == "use"
    known = table.frame.drop_duplicates("genotype_id").set_index("genotype_id")
    folding = [id for id, network in table.genotypes.items() if folds(network.build(4))]
    assert len(folding) > 5
    for identity in {*sorted(table.genotypes)[::25], *folding}:
        cost = cost_of(table.genotypes[identity], table.card["scale"])
        assert {column: int(known.loc[identity, column]) for column in COSTS} == {
            column: getattr(cost, column) for column in COSTS
        }


@pytest.mark.parametrize("name", TABLES)
def test_it_opens_in_a_space_that_has_grown_as_what_it_was(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_table(TABLES[name])
    monkeypatch.setitem(search_spaces.SPACES, "lightweight", "grown:Grown")
    monkeypatch.setattr(search_spaces, "OWN_MODULES", {*search_spaces.OWN_MODULES, "grown"})
    after = read_table(TABLES[name])
    assert after.space.genotype is Grown and after.space.digest == before.space.digest
    assert after.space.count() == before.space.count()
    assert list(after.genotypes) == list(before.genotypes)
    assert TabularObjective(after).front() == TabularObjective(before).front()


@pytest.mark.parametrize("name", TABLES)
def test_longer_trainings_are_better_and_the_front_is_more_than_one_network(name: str) -> None:
    table = read_table(TABLES[name])
    means = table.frame.groupby("rung")["psnr_db"].median()
    assert means.is_monotonic_increasing
    longest = table.frame[table.frame["rung"] == table.frame["rung"].max()]
    truths = longest.groupby("genotype_id").agg({"multi_adds": "first", "psnr_db": "mean"})
    assert pareto_mask(truths["multi_adds"].to_numpy(), truths["psnr_db"].to_numpy()).sum() >= 4


def test_a_name_replays_it_from_any_folder(nas: Nas, tmp_path: Path) -> None:
    done = nas(
        "simulate", "--table", "nas-bench-sr", "--sampler", "random", "--seeds", "2", "--trainings", "6"
    )
    assert done.returncode == 0, done.stderr
    assert "nas-bench-sr" in done.stdout
    with pytest.raises(RecipeError, match=r"^nas-bench: there is no such file, and no table .*nas-bench-sr"):
        source_of(None, Path("nas-bench"))

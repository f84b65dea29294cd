"""A sample of a space trained at several lengths, as a table; in parts, and with what replays make of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from leaderboard.store import Store
from nas.data.benchmarks import find_benchmarks
from nas.errors import RecipeError, RunError
from nas.recipes.recipe import Recipe
from nas.search.progress import Event
from nas.simulation.build_table import Tabulation
from nas.simulation.replays import shipped_tables
from nas.simulation.sampling import Sampling, Shard, parse_shard
from nas.simulation.simulation import SimulationPlan, simulate
from nas.simulation.table import merge_tables, read_table, write_table
from nas.simulation.tabular_objective import TabularObjective

Make = Callable[..., Recipe]
Nas = Callable[..., subprocess.CompletedProcess[str]]

SPACE = {
    "only": {"width": [16, 20], "blocks": [1, 2], "block": ["imdb", "gpdb"], "attention": ["none"]}
    | {"kernel": ["3x3", "blueprint"], "activation": ["relu"], "transformers": [0]}
}


@pytest.fixture
def recipe(small_recipe: Make) -> Recipe:
    proxy = {"plan": "steady", "steps": 3, "batch": 2, "lr_patch": 12}
    return small_recipe(name="sample", proxy=proxy, space=SPACE, budget={"params": "60k"})


WHOLE = Shard()
SHIPPED = shipped_tables()["nas-bench-sr"]


def sampling(shard: Shard = WHOLE, count: int = 6) -> Sampling:
    return Sampling(architectures=count, rungs=(2, 4), seeds=(2, 1), shard=shard)


def test_a_table_is_trained_once_written_and_replayed(recipe: Recipe, tmp_path: Path) -> None:
    events: list[Event] = []
    with Store.at(tmp_path / "results.db") as store:
        made = Tabulation(recipe, sampling(), store, tmp_path, "cpu", events.append)
        made.sweep.prepare()
        with pytest.raises(RunError, match="nothing was trained"):
            made.table()
        made.train()
        table = made.table()
        begun = sum(event.kind == "started" for event in events)
        again = Tabulation(recipe, sampling(), store, tmp_path, "cpu", events.append)
        again.train()
        assert sum(event.kind == "started" for event in events) == begun == 18 == made.trainings
        pd.testing.assert_frame_equal(again.table().frame, table.frame)
    write_table(table, tmp_path / "t.parquet")
    read = read_table(tmp_path / "t.parquet")
    assert len(read.genotypes) == 6
    per_rung = read.frame.groupby("rung")["seed"].agg(lambda seeds: sorted(set(seeds)))
    assert per_rung.to_dict() == {0: [0, 1], 1: [0]}
    assert read.card["goes_on"] and read.card["data"].startswith("folder:")
    assert str(tmp_path) not in json.dumps(read.card)  # nobody else has that folder
    surface = TabularObjective(read)
    trace = simulate(surface, SimulationPlan(sampler="surrogate", seed=0, workers=2, trainings=6))
    assert trace.steps[-1].share == pytest.approx(1) and trace.steps[-1].full == 6
    rungs = simulate(surface, SimulationPlan(sampler="random", seed=0, workers=2, trainings=4, rungs=True))
    assert rungs.steps[-1].full >= 1


@pytest.mark.thorough
def test_parts_are_disjoint_and_merge_to_the_whole(recipe: Recipe, tmp_path: Path) -> None:
    tables = []
    for part in (1, 2):
        with Store.at(tmp_path / f"{part}.db") as store:
            shard = Shard(part=part, parts=2)
            made = Tabulation(recipe, sampling(shard), store, tmp_path / str(part), "cpu")
            made.train()
            tables.append(made.table())
    one, other = tables
    assert not set(one.genotypes) & set(other.genotypes)
    merged, repeated = merge_tables(tables, ["1", "2"])
    with Store.at(tmp_path / "whole.db") as store:
        whole = Tabulation(recipe, sampling(), store, tmp_path / "whole", "cpu")
        whole.train()
        all_of_it = whole.table()
    assert repeated == 0 and merged.genotypes == all_of_it.genotypes
    same = [name for name in merged.frame.columns if name != "seconds"]
    pd.testing.assert_frame_equal(merged.frame[same], all_of_it.frame[same])
    assert merged.card["name"] == all_of_it.card["name"] == "sample"


@pytest.mark.thorough
def test_a_merged_table_is_called_as_asked_and_counts_what_both_hold_once(nas: Nas, tmp_path: Path) -> None:
    before = read_table(SHIPPED)
    done = nas("tabulate", "--merge", str(SHIPPED), str(SHIPPED), "--name", "twice", "--out", "twice.parquet")
    assert done.returncode == 0, done.stderr
    merged = read_table(tmp_path / "twice.parquet")
    assert merged.card["name"] == "twice"
    assert f"{len(before.frame)} rows were there more than once" in done.stdout
    pd.testing.assert_frame_equal(merged.frame, before.frame)


def test_weights_of_the_longest_rung_are_measured_on_benchmark_sets(
    recipe: Recipe, images: Path, tmp_path: Path
) -> None:
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "Set5").symlink_to(images)
    sets = find_benchmarks(tmp_path / "sets")
    with Store.at(tmp_path / "results.db") as store:
        made = Tabulation(recipe, sampling(count=2), store, tmp_path, "cpu")
        made.train()
        told: list[str] = []
        made.measure(sets, tell=told.append)
        frame = made.table(sets).frame
    assert len(told) == 2
    assert frame["psnr_db_Set5"].notna().tolist() == (frame["rung"] == 1).tolist()
    assert frame["ssim_Set5"].max() <= 1


@pytest.mark.thorough
def test_a_plan_that_cannot_go_on_is_trained_anew_at_every_rung(small_recipe: Make, tmp_path: Path) -> None:
    with Store.at(tmp_path / "results.db") as store:
        made = Tabulation(small_recipe(space=SPACE), sampling(count=1), store, tmp_path, "cpu")
        made.train()
        assert made.table().card["goes_on"] is False


@pytest.mark.parametrize("word", ["", "2", "0/3", "4/3", "a/b", "1/0", "-1/2"])
def test_a_part_that_cannot_be_is_told(word: str) -> None:
    with pytest.raises(RecipeError, match="PART/PARTS"):
        parse_shard(word)


def test_an_empty_part_is_told(recipe: Recipe, tmp_path: Path) -> None:
    with Store.at(tmp_path / "results.db") as store, pytest.raises(RecipeError, match="is empty"):
        Tabulation(recipe, sampling(Shard(part=4, parts=4), count=2), store, tmp_path, "cpu")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("tabulate a.toml b.toml", "one recipe is tabulated"),
        ("tabulate --shard 3", "PART/PARTS"),
        ("tabulate --rungs 5,x", "whole numbers from 1"),
        ("tabulate --rungs 5,10 --seeds 1,2,3", "one for each of 2"),
        ("tabulate --merge a.parquet", "two or more tables and --out"),
        (f"tabulate --merge {SHIPPED} {SHIPPED} --out c.parquet --name a/b", "--name 'a/b': letters, digits"),
        ("tabulate --merge a.parquet b.parquet --out c.parquet", "a.parquet: is no readable table"),
        ("simulate", "--table FILE or --surface NAME"),
        ("simulate --surface bottleneck --table a.parquet", "one of the two"),
        ("simulate --table a.parquet", "there is no such file"),
        ("simulate --surface nothing", "allowed: landscape"),
        ("simulate --surface bottleneck --surrogate", "is for a table"),
        ("simulate --surface bottleneck --sampler tpo", "did you mean 'tpe'"),
        ("compare-samplers --surface bottleneck --samplers tpe,tpe", "there twice"),
        ("compare-samplers --surface bottleneck --samplers tpe+rung", "NAME+rungs=TRAININGS"),
        ("compare-samplers --surface bottleneck --samplers tpe=0", "NAME=TRAININGS"),
        ("compare-samplers --surface bottleneck --workers 0", "whole numbers from 1"),
    ],
)
def test_mistakes_of_a_command_are_one_line(
    words: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from nas.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["nas", *words.split()])
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1, error

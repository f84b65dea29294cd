"""A table of trainings as a file: written, doubted, merged, and asked by replays."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from nas.cost.budget import Cost
from nas.cost.counting import cost_of
from nas.samplers import Listed, RandomChooser
from nas.simulation.simulation import SimulationPlan, simulate
from nas.simulation.synthetic_landscape import surface_of
from nas.simulation.table import (
    METADATA,
    Table,
    make_table,
    merge_tables,
    read_table,
    write_table,
)
from nas.simulation.tabular_objective import TabularObjective
from nas.simulation.validate_table import COSTS, TableError
from search_spaces import Genotype, Space, trust_space
from search_spaces.blocks.folding import folds
from search_spaces.lightweight import Lightweight

SURFACE = surface_of("landscape", 0)
SPACE = Space(Lightweight, version=0)


def card(**changes: Any) -> dict[str, Any]:
    rungs = [
        {"steps": steps, "protocol": f"p{steps}", "plan": {"steps": steps, "schedule": "constant"}}
        for steps in (10, 30)
    ]
    return {
        **{"version": 1, "name": "made", "space": "lightweight", "only": {}, "space_digest": SPACE.digest},
        **{"scale": 4, "metric": "y_float", "data": "photos", "data_digest": "d", "bicubic_psnr_db": 27.0},
        **{"rungs": rungs, "goes_on": True, "budget": {"params": 100_000}, "sample": "drawn", "wanted": 40},
        **{"licence": "CC-BY-4.0", "machines": ["m"], "created": "2026-01-01", "code_version": "0"},
        "cost_form": "use",
        **changes,
    }


def one_row(one: Genotype, cost: Cost, rung: int, seed: int) -> dict[str, Any]:
    steps, at = (10, 30)[rung], (1, 3)[rung]
    return {
        **{"genotype_id": one.id, "genotype": json.dumps(one.to_dict()), **cost.to_dict()},
        **{"rung": rung, "steps": steps, "seed": seed, "protocol": f"p{steps}"},
        **{"psnr_db": SURFACE.measured_db(one, at, seed), "ssim": 0.8},
        **{"seconds": SURFACE.seconds(one, at), "device": "cpu", "torch_version": "2"},
    }


def rows(
    count: int = 40, seeds: int = 2, cost: Callable[[Genotype], Cost] = SURFACE.cost, space: Space = SPACE
) -> list[dict[str, Any]]:
    """Drawn architectures with the answers of a made-up surface."""
    chooser = RandomChooser(0)
    drawn = dict.fromkeys(space.suggest(chooser) for _ in range(8 * count))
    chosen = [one for one in drawn if SURFACE.inside(one)][:count]
    return [one_row(one, cost(one), rung, seed) for one in chosen for rung in (0, 1) for seed in range(seeds)]


@pytest.fixture(scope="module")
def table() -> Table:
    return make_table(card(), rows())


def test_a_file_gives_back_the_table_and_its_card_tells_it(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    write_table(table, path)
    again = read_table(path)
    pd.testing.assert_frame_equal(again.frame, table.frame)
    assert again.card == table.card
    assert again.genotypes == table.genotypes
    assert table.card["counts"]["rows"] == 160 and table.card["counts"]["architectures"] == 40
    longest = table.frame[table.frame["rung"] == 1]["seconds"].sum()
    assert table.card["counts"]["seconds"] == pytest.approx(longest, abs=0.01)
    text = (tmp_path / "made.parquet.md").read_text(encoding="utf-8")
    for word in ("40 architectures", "160 trainings", "CC-BY-4.0", "y_float", "| 2 | 30 | p30 | 40 | 0, 1 |"):
        assert word in text, word


def test_a_file_that_is_cut_anywhere_is_refused_in_one_line(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    write_table(table, path)
    whole = path.read_bytes()
    for size in [0, 1, 4, 100, len(whole) // 2, len(whole) - 100, len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(TableError) as raised:
            read_table(path)
        assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    draw = random.Random(0)  # noqa: S311
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(5):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        path.write_bytes(bytes(damaged))
        with suppress(TableError):  # anything else would be a traceback; some bytes do not matter
            read_table(path)


def rewritten(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame] | None, **on_card: Any) -> None:
    """A file as somebody else might have made it."""
    made = make_table(card(), rows(6))
    frame = made.frame if change is None else change(made.frame)
    import pyarrow as pa

    content = pa.Table.from_pandas(frame, preserve_index=False)
    text = json.dumps({**made.card, **on_card}).encode()
    pq.write_table(content.replace_schema_metadata({METADATA: text}), path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda f: f.drop(columns="psnr_db"), "no column 'psnr_db'"),
        (lambda f: f.assign(more=1), "column 'more'"),
        (lambda f: f[:0], "no rows"),
        (lambda f: f.assign(psnr_db=float("nan")), "no number"),
        (lambda f: f.assign(psnr_db="a"), "no number"),
        (lambda f: f.assign(psnr_db=1e9), "-50 to 150"),
        (lambda f: f.assign(seconds=-1.0), "'seconds' holds -1.0"),
        (lambda f: f.assign(params=0), "without parameters"),
        (lambda f: f.assign(params=1.5), "no count"),
        (
            lambda f: f.assign(params=range(len(f))).assign(params=lambda g: g["params"] + 1),
            "different costs",
        ),
        (lambda f: pd.concat([f, f]), "two rows"),
        (lambda f: f.assign(steps=11), "is not in its card"),
        (lambda f: f.assign(genotype_id="0" * 12), "different costs or choices|two rows"),
        (lambda f: f.assign(genotype="{}"), "missing"),
        (lambda f: f.assign(genotype="[" * 9000), "genotype"),
        (lambda f: f.assign(genotype="x" * 20_000), "no text"),
        (lambda f: f.assign(device=b"x"), "no text"),
        (lambda f: f.assign(genotype=f["genotype"].str.replace('"width": ', '"width": 1')), "width"),
    ],
)
def test_what_no_table_says_is_refused(change: Any, told: str, tmp_path: Path) -> None:
    rewritten(tmp_path / "t.parquet", change)
    with pytest.raises(TableError, match=told) as raised:
        read_table(tmp_path / "t.parquet")
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    ("on_card", "told"),
    [
        ({"cost_form": "other"}, "cost_form = 'other'"),
        ({"version": 2}, "version 2"),
        ({"scale": 7}, "scale 7"),
        ({"rungs": []}, "growing"),
        ({"rungs": [{"steps": 3}]}, "a rung"),
        ({"rungs": "no"}, "rungs = 'no'"),
        ({"space_digest": "0"}, "another version"),
        ({"only": {"width": [3]}}, "width"),
        ({"only": {"width": 3}}, "int"),
        ({"budget": {"params": "many"}}, "budget"),
        ({"machines": None}, "machines = None"),
        ({"space": "antigravity"}, "is code outside ParetoSR"),
        ({"space": "os:path"}, "expected one Genotype"),
    ],
)
def test_a_card_that_cannot_be_is_refused(on_card: dict[str, Any], told: str, tmp_path: Path) -> None:
    rewritten(tmp_path / "t.parquet", None, **on_card)
    with pytest.raises(TableError, match=told):
        read_table(tmp_path / "t.parquet")
    assert "antigravity" not in sys.modules  # nothing was imported by a file's word


def test_a_space_of_ones_own_is_read_when_it_was_named(tmp_path: Path) -> None:
    rewritten(tmp_path / "t.parquet", None, space="nowhere.at_all")
    trust_space("nowhere.at_all")
    with pytest.raises(TableError, match="cannot be imported"):
        read_table(tmp_path / "t.parquet")


def test_a_table_without_the_mark_is_counted_again_where_networks_fold(tmp_path: Path) -> None:
    """As tables were written before costs were those of networks as used."""
    about = card()
    del about["cost_form"]
    stored = Cost(params=7, multi_adds=8, conv_multi_adds=8, activations=9)
    space = Space(Lightweight, version=0)
    old = make_table(card(), rows(30, cost=lambda one: stored, space=space))
    table = make_table(about, old.frame.copy())
    write_table(table, tmp_path / "t.parquet")
    assert table.card["cost_form"] == read_table(tmp_path / "t.parquet").card["cost_form"] == "use"
    folding = {name for name, one in table.genotypes.items() if folds(one.build(4))}
    assert 0 < len(folding) < len(table.genotypes)
    for row in table.frame.to_dict("records"):
        one = table.genotypes[row["genotype_id"]]
        expected = cost_of(one, 4) if one.id in folding else stored
        assert {name: row[name] for name in COSTS} == expected.to_dict()
    objective = TabularObjective(table)
    assert all(objective.cost(table.genotypes[name]).params > 7 for name in folding)


def test_other_parquet_files_and_missing_ones_are_told(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(TableError, match="no data card"):
        read_table(tmp_path / "t.parquet")
    with pytest.raises(TableError, match="no readable table"):
        read_table(tmp_path / "absent.parquet")


def parted(table: Table, first: int) -> list[Table]:
    """The table's architectures in two parts that share some."""
    ids = list(table.genotypes)
    return [
        make_table(card(machines=[name]), table.frame[table.frame["genotype_id"].isin(part)].copy())
        for name, part in (("a", ids[:first]), ("b", ids[first - 5 :]))
    ]


def test_parts_make_up_the_whole_and_rows_that_agree_count_once(table: Table) -> None:
    merged, repeated = merge_tables(parted(table, 20), ["a", "b"])
    assert repeated == 5 * 4
    pd.testing.assert_frame_equal(merged.frame, table.frame)
    assert merged.card["machines"] == ["a", "b"]
    assert merged.card["counts"] == table.card["counts"]


def test_rows_that_disagree_are_refused_and_seconds_may_differ(table: Table) -> None:
    one, other = parted(table, 20)
    slower = make_table(card(), other.frame.assign(seconds=other.frame["seconds"] * 2))
    merged, _ = merge_tables([one, slower], ["a", "b"])
    assert len(merged.frame) == len(table.frame)
    better = make_table(card(), other.frame.assign(psnr_db=other.frame["psnr_db"] + 0.001))
    with pytest.raises(TableError, match=r"a and b: genotype \w+ at protocol p10 with seed 0 has psnr_db"):
        merge_tables([one, better], ["a", "b"])


@pytest.mark.parametrize("field", ["scale", "data_digest", "goes_on", "metric"])
def test_tables_of_different_kinds_are_not_one(table: Table, field: str) -> None:
    other = make_table(
        card(**{field: {"scale": 2, "goes_on": False}.get(field, "other")}), table.frame.copy()
    )
    with pytest.raises(TableError, match=f"of different kinds: {field}"):
        merge_tables([table, other], ["a", "b"])


def test_scores_on_benchmark_sets_travel_and_fill_each_other(table: Table, tmp_path: Path) -> None:
    one, other = parted(table, 40)
    scored = make_table(card(), one.frame.assign(psnr_db_Set5=30.0, ssim_Set5=0.9))
    merged, _ = merge_tables([other, scored], ["b", "a"])
    assert merged.benchmarks == ["Set5"]
    assert merged.frame["psnr_db_Set5"].notna().all()
    write_table(merged, tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").benchmarks == ["Set5"]


# Replays on a table


@pytest.mark.thorough
def test_all_of_a_table_covers_all_of_its_front(table: Table) -> None:
    surface = TabularObjective(table)
    assert surface.share(surface.entries) == pytest.approx(1)
    assert isinstance(surface.space, Listed)
    for sampler in ("surrogate", "random"):
        trace = simulate(surface, SimulationPlan(sampler=sampler, seed=1, workers=2, trainings=60))
        assert trace.steps[-1].full == 40  # each once, and then the table is used up
        assert trace.steps[-1].share == pytest.approx(1)
        assert trace.rejected == trace.answered == 0


def test_a_table_answers_with_what_was_recorded(table: Table) -> None:
    surface = TabularObjective(table)
    one = surface.entries[7]
    of_one = table.frame[table.frame["genotype_id"] == one.id]
    recorded = of_one.set_index(["rung", "seed"])["psnr_db"]
    assert surface.truth_db(one) == pytest.approx(recorded[1].mean())
    answers = {seed: [surface.measured_db(one, rung, seed) for rung in (0, 1)] for seed in range(20)}
    pairs = [[recorded[rung, seed] for rung in (0, 1)] for seed in (0, 1)]
    assert all(answer in pairs for answer in answers.values())  # the same seed at both rungs
    assert len({tuple(answer) for answer in answers.values()}) == 2
    assert surface.shares == (1 / 3, 1.0)
    assert surface.cost(one).params == of_one["params"].iloc[0]
    assert surface.pays(one, 1, 0) == pytest.approx(surface.seconds(one, 1) - surface.seconds(one, 0))


def test_who_lacks_a_rung_is_left_out_and_too_few_are_refused(table: Table) -> None:
    ids = list(table.genotypes)
    frame = table.frame[~((table.frame["genotype_id"] == ids[0]) & (table.frame["rung"] == 1))]
    surface = TabularObjective(make_table(card(), frame.copy()))
    assert surface.left_out == 1 and len(surface.entries) == 39
    few = make_table(card(), table.frame[table.frame["genotype_id"].isin(ids[:3])].copy())
    with pytest.raises(TableError, match="3 architectures were trained at every rung; 4 are needed"):
        TabularObjective(few)


@pytest.mark.thorough
def test_a_model_answers_elsewhere_when_it_was_asked_for_and_every_answer_is_counted() -> None:
    only = {"block": ("imdb", "gpdb"), "transformers": (0,), "attention": ("none", "cca")}
    space = Space(Lightweight, only, version=0)
    about = card(
        space_digest=space.digest, only={name: list(options) for name, options in space.only.items()}
    )
    made = make_table({**about, "budget": {}}, rows(60, cost=lambda one: cost_of(one, 4), space=space))
    surface = TabularObjective(made, model=True)
    trace = simulate(surface, SimulationPlan(sampler="random", seed=0, trainings=8))
    assert 0 < trace.answered <= 8
    one = surface.entries[0]
    assert surface.is_recorded(one) and surface.truth_db(one) == TabularObjective(made).truth_db(one)
    chooser = RandomChooser(99)
    others = [one for one in (space.suggest(chooser) for _ in range(40)) if SURFACE.inside(one)]
    others = [one for one in others if not surface.is_recorded(one)]
    truths = [SURFACE.truth_db(other) for other in others]
    predicted = [surface.truth_db(other) for other in others]
    assert pd.Series(truths).corr(pd.Series(predicted), method="spearman") > 0.4
    assert all(0 < noise < 0.05 for noise in surface.noise_db)
    asked = surface.asked
    assert 0.3 < asked.tau < 1  # it was not told what it is asked about, or it would know all
    assert 0.01 < asked.error_db < asked.spread_db
    shorter = [surface.seconds(others[0], rung) for rung in (0, 1)]
    assert shorter == sorted(shorter)

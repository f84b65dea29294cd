"""Which networks of a run are chosen for a longer training."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from new_records import propose, record

from leaderboard.store import Store
from leaderboard.store.records import Protocol
from nas.errors import RecipeError, RunError
from nas.recipes.recipe import Recipe
from nas.retraining.selection import choose, choose_best_under, choose_knee, knee, parse_limits
from search_spaces.lightweight import Lightweight

Make = Callable[..., Recipe]

PROTOCOL = Protocol(
    id="p",
    scale=2,
    plan_name="quick",
    plan={},
    data="photos",
    data_digest="d",
    metric="y_float",
    bicubic_psnr_db=25.0,
    bicubic_ssim=0.8,
)


def network(width: int) -> Lightweight:
    return Lightweight(
        **{"width": width, "blocks": 1, "block": "residual", "attention": "none", "kernel": "3x3"},
        **{"aggregation": "plain", "transformers": 0, "skip": "bicubic"},
    )


def fill(store: Store, recipe: Recipe, results: list[tuple[int, float, int]], rung: int = 0) -> None:
    """Results of networks by their width: PSNR in dB and Multi-Adds; parameters are a thousandth of these."""
    if recipe.name not in {study.name for study in store.studies()}:
        store.open_study(recipe.name, recipe=recipe.to_dict(), space_digest="s", code_version="0")
    study = store.study(recipe.name)
    store.ensure_protocol(PROTOCOL)
    for width, psnr_db, multi_adds in results:
        genotype = network(width)
        cost = {"multi_adds": multi_adds, "params": multi_adds // 1000}
        cost |= {"conv_multi_adds": multi_adds, "activations": 1}
        same = {"genotype_id": genotype.id, "seed": rung}
        own = {"space": genotype.space, "choices": genotype.to_dict(), "scale": 2, "rung": rung}
        trial = propose(store, study.id, **same, **own, cost=cost)
        record(store, trial.id, **same, protocol_id="p", psnr_db=psnr_db, ssim=0.9, checkpoint=None)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.at(tmp_path / "results.db") as opened:
        yield opened


def widths(chosen: list[Any]) -> list[int]:
    return [one.genotype.width for one in chosen]


# A front that rises steeply up to width 24 and hardly after it; width 40 is beaten.
FRONT = [
    (16, 30.0, 1_000_000),
    (24, 31.6, 4_000_000),
    (32, 31.8, 16_000_000),
    (40, 31.5, 20_000_000),
    (48, 32.0, 64_000_000),
]


def test_the_knee_is_where_more_cost_brings_little(store: Store, small_recipe: Make) -> None:
    recipe = small_recipe()
    fill(store, recipe, FRONT)
    assert widths(choose_knee(store, recipe)) == [24]
    assert widths(choose(store, recipe, 9)) == [48, 32, 24, 16]


def test_the_knee_is_the_point_furthest_from_the_line_between_the_ends() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        cost = np.sort(generator.uniform(1e6, 1e9, 12))
        psnr = np.sort(generator.uniform(28, 34, 12))
        x = (np.log10(cost) - np.log10(cost[0])) / np.log10(cost[-1] / cost[0])
        y = (psnr - psnr[0]) / (psnr[-1] - psnr[0])
        points, along = np.stack([x, y], axis=1), np.array([1.0, 1.0]) / math.sqrt(2)
        off = points - np.outer(points @ along, along)  # from the foot of the perpendicular to the point
        signed = np.linalg.norm(off, axis=1) * np.sign(off[:, 1])
        expected = int(signed.argmax()) if signed.max() > 1e-9 else 11
        assert knee(cost.tolist(), psnr.tolist()) == expected


def test_a_front_without_a_knee_gives_its_best_member() -> None:
    assert knee([1e6], [30.0]) == 0
    assert knee([1e6, 2e6], [30.0, 31.0]) == 1
    assert knee([1e6, 1e7, 1e8], [30.0, 30.1, 31.0]) == 2  # hollow
    assert knee([1e6, 1e7, 1e8], [30.0, 30.5, 31.0]) == 2  # straight
    assert knee([1e6, 1e6, 1e6], [30.0, 30.0, 30.0]) == 2  # one point, three times


def test_the_best_within_limits_is_found_and_the_cheapest_named_where_none_is(
    store: Store, small_recipe: Make
) -> None:
    recipe = small_recipe()
    fill(store, recipe, FRONT)
    assert widths(choose_best_under(store, recipe, parse_limits("multi_adds=20M"))) == [32]
    assert widths(choose_best_under(store, recipe, parse_limits("multi_adds=1G, params=4.1k"))) == [24]
    with pytest.raises(RunError) as refused:
        choose_best_under(store, recipe, parse_limits("params=900,latency_ms=2.5"))
    cheapest = network(16).id
    assert str(refused.value) == (
        "no trained network of run 'small' is within params = 900, latency_ms = 2.5; the cheapest in params "
        f"has 1K ({cheapest}); latency_ms was measured of none"
    )


def test_only_equally_long_trainings_are_compared(store: Store, small_recipe: Make) -> None:
    recipe = small_recipe()
    fill(store, recipe, FRONT)
    fill(store, recipe, [(32, 31.9, 16_000_000), (48, 31.95, 64_000_000)], rung=1)
    assert widths(choose_best_under(store, recipe, {"multi_adds": 1e9})) == [48]
    assert widths(choose_best_under(store, recipe, {"multi_adds": 5e6})) == [24]  # none of the longer ones
    assert widths(choose_knee(store, recipe)) == [48]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("parms=300k", "unknown cost 'parms'; did you mean 'params'"),
        ("params", "limit 'params': write NAME=VALUE"),
        ("params=many", "'many' is no count above zero"),
        ("params=1k,params=2k", "params has a limit already"),
        ("latency_ms=-1", "milliseconds above zero are needed"),
    ],
)
def test_limits_that_cannot_be_meant_are_told(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said.replace("(", r"\(")):
        parse_limits(text)


def test_a_run_without_results_has_nothing_to_choose(store: Store, small_recipe: Make) -> None:
    recipe = small_recipe()
    fill(store, recipe, [])
    for choice in (choose_knee, lambda *both: choose_best_under(*both, {"params": 1e9})):
        with pytest.raises(RunError, match="has no results yet"):
            choice(store, recipe)

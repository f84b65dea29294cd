from __future__ import annotations

import numpy as np
import pytest

from leaderboard.fronts.pareto import hypervolume
from nas.search.promotion import KEEP, MARGIN, best, next_promotion

Population = dict[str, tuple[float, float]]


def population(count: int, seed: int = 0) -> Population:
    generator = np.random.default_rng(seed)
    costs = 10 ** generator.uniform(9, 10.5, count)
    noise = generator.normal(0, 0.1, count)
    pairs = zip(costs, 20 + np.log10(costs) + noise, strict=True)
    return {f"n{number}": (float(cost), float(quality)) for number, (cost, quality) in enumerate(pairs)}


def promote_all(rungs: list[Population]) -> list[tuple[int, str]]:
    promoted: list[set[str]] = [set() for _ in rungs]
    steps = []
    while (found := next_promotion(rungs, promoted)) is not None:
        rung, name = found
        assert name in rungs[rung - 1] and name not in promoted[rung - 1]
        promoted[rung - 1].add(name)
        steps.append(found)
    return steps


def test_nobody_is_promoted_before_there_is_somebody_to_beat() -> None:
    assert promote_all([{}, {}]) == []
    assert promote_all([population(KEEP - 1), {}]) == []
    assert len(promote_all([population(KEEP), {}])) == 1


@pytest.mark.parametrize("count", [3, 10, 27, 100])
def test_a_third_is_promoted_and_no_more(count: int) -> None:
    assert len(promote_all([population(count), {}])) == count // KEEP


def test_a_third_in_all_though_newer_ones_are_better_all_the_time() -> None:
    """Without a bound on the whole, each of these would lead once and go on."""
    results: Population = {}
    promoted: set[str] = set()
    for number in range(60):
        results[f"n{number:02}"] = 1e9, 30.0 + number
        while (found := next_promotion([results, {}], [promoted, set()])) is not None:
            promoted.add(found[1])
    assert len(promoted) == 60 // KEEP


def added(results: Population, gone: set[str], name: str) -> float:
    """By definition: the hypervolume with it, without it."""
    cost, quality = np.array(list(results.values())).T
    limit = cost.max() + MARGIN * np.ptp(cost)
    floor = quality.min() - MARGIN * np.ptp(quality)

    def area(names: set[str]) -> float:
        points = np.array([results[each] for each in names]).reshape(-1, 2)
        return hypervolume(points[:, 0], points[:, 1], cost_limit=limit, quality_floor=floor)

    return area(gone | {name}) - area(gone)


@pytest.mark.parametrize("seed", range(8))
def test_who_goes_on_adds_the_most_hypervolume_to_those_that_went(seed: int) -> None:
    results, gone = population(40, seed), set[str]()
    for _ in range(12):
        chosen = best(results, gone)
        assert chosen is not None
        gains = {name: added(results, gone, name) for name in results if name not in gone}
        assert gains[chosen] == pytest.approx(max(gains.values()), rel=1e-9)
        gone.add(chosen)


def test_cheap_networks_have_their_share_though_dear_ones_are_better() -> None:
    results = population(60)
    cheapest = sorted(results, key=lambda name: results[name][0])[:20]
    assert len({name for _, name in promote_all([results, {}])} & set(cheapest)) >= 4


def test_a_better_one_that_comes_late_goes_on_at_once() -> None:
    results = population(30)
    promoted = {name for _, name in promote_all([results, {}])}
    later = {**results, **{f"m{number}": value for number, value in population(2, 9).items()}}
    later["late"] = 1e9, 40.0
    assert next_promotion([later, {}], [promoted, set()]) == (1, "late")


def test_those_that_add_nothing_follow_by_rank() -> None:
    results = {"best": (1.0, 9.0), "second": (1.5, 8.0), "worst": (2.0, 2.0), "third": (2.0, 7.0)}
    assert best(results, {"best"}) == "second"
    assert best(results, {"best", "second"}) == "third"
    assert best(results, set(results)) is None


def test_the_order_of_the_results_does_not_matter() -> None:
    results = population(30)
    names = list(results)
    np.random.default_rng(1).shuffle(names)
    assert promote_all([{name: results[name] for name in names}, {}]) == promote_all([results, {}])


def test_equal_results_are_no_trouble() -> None:
    assert len(promote_all([{f"n{number}": (1e9, 30.0) for number in range(9)}, {}])) == 3


def test_the_highest_rung_promotes_first_and_nobody_twice() -> None:
    steps = promote_all([population(9), population(3), {}])
    assert [rung for rung, _ in steps] == [2, 1, 1, 1]
    assert len(set(steps)) == 4
    assert next_promotion([population(50)], [set()]) is None

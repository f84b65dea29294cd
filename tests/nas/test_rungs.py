from __future__ import annotations

import numpy as np
import pytest

from nas.rungs import KEEP, next_promotion, winners


def population(count: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    generator = np.random.default_rng(seed)
    costs = 10 ** generator.uniform(9, 10.5, count)
    noise = generator.normal(0, 0.1, count)
    pairs = zip(costs, 20 + np.log10(costs) + noise, strict=True)
    return {f"n{number}": (float(cost), float(quality)) for number, (cost, quality) in enumerate(pairs)}


def test_nobody_is_promoted_before_there_is_somebody_to_beat() -> None:
    assert winners({}) == []
    assert winners(population(KEEP - 1)) == []
    assert len(winners(population(KEEP))) == 1


@pytest.mark.parametrize("count", [3, 10, 27, 100])
def test_one_in_three_is_promoted_whatever_the_costs(count: int) -> None:
    chosen = winners(population(count))
    assert len(chosen) == len(set(chosen))
    assert count / KEEP - 4 <= len(chosen) <= count / KEEP


def test_nobody_is_promoted_before_somebody_of_its_band_that_dominates_it() -> None:
    results = population(60)
    chosen = winners(results)
    costs = sorted(cost for cost, _ in results.values())
    band = {name: min(3, int(costs.index(cost) // 15)) for name, (cost, _) in results.items()}
    for name in chosen:
        cost, quality = results[name]
        for other, (other_cost, other_quality) in results.items():
            better = other_cost <= cost and other_quality > quality
            if better and band[other] == band[name]:
                assert other in chosen
                assert chosen.index(other) < chosen.index(name)


def test_cheap_networks_have_their_share_though_dear_ones_are_better() -> None:
    results = population(60)
    cheapest = sorted(results, key=lambda name: results[name][0])[:15]
    assert len(set(winners(results)) & set(cheapest)) == 5


def test_the_order_of_the_results_does_not_matter_nor_does_a_far_off_one_hurt() -> None:
    results = population(30)
    names = list(results)
    np.random.default_rng(1).shuffle(names)
    assert winners({name: results[name] for name in names}) == winners(results)
    assert "awful" not in winners({**results, "awful": (1e13, 3.0)})


def test_equal_results_are_no_trouble() -> None:
    assert len(winners({f"n{number}": (1e9, 30.0) for number in range(9)})) == 3


def test_the_highest_rung_promotes_first_and_nobody_twice() -> None:
    rungs: list[dict[str, tuple[float, float]]] = [population(9), population(3), {}]
    promoted: list[set[str]] = [set(), set(), set()]
    steps = []
    while (found := next_promotion(rungs, promoted)) is not None:
        rung, name = found
        promoted[rung - 1].add(name)
        steps.append(found)
    assert [rung for rung, _ in steps] == [2, 1, 1, 1]
    assert len(set(steps)) == 4
    assert next_promotion([population(50)], [set()]) is None

from __future__ import annotations

import itertools

import numpy as np
import pytest

from leaderboard.fronts.pareto import hypervolume
from nas.samplers.improvement import expected_hypervolume_improvement, expected_improvement


def brute_force(cost: np.ndarray, quality: np.ndarray, floor: float, limits: np.ndarray) -> float:
    """Hypervolume by looking at every cell of the grid that the points' costs make."""
    edges = [np.unique(np.append(cost[:, axis], limits[axis])) for axis in range(len(limits))]
    total = 0.0
    for cell in itertools.product(*(range(len(edge) - 1) for edge in edges)):
        low = np.array([edge[i] for edge, i in zip(edges, cell, strict=True)])
        high = np.array([edge[i + 1] for edge, i in zip(edges, cell, strict=True)])
        if np.any(high > limits):
            continue
        reach = quality[np.all(cost <= low, axis=1)]
        total += float(np.prod(high - low)) * max(0.0, float(reach.max(initial=floor)) - floor)
    return total


def test_expected_improvement_is_the_mean_of_what_samples_improve() -> None:
    draws = np.random.default_rng(0).normal(size=400_000)
    for mean, std, level in [(0.3, 0.5, 0.0), (-1.0, 0.7, 0.2), (2.0, 0.1, 1.0)]:
        exact = expected_improvement(np.array(mean), np.array(std), np.array(level))
        assert exact == pytest.approx(np.maximum(mean + std * draws - level, 0).mean(), abs=3e-3)


def test_without_uncertainty_it_is_the_plain_improvement() -> None:
    mean, level = np.array([1.0, 2.0, 3.0]), np.array(2.0)
    assert expected_improvement(mean, np.zeros(3), level).tolist() == [0, 0, 1]


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_a_certain_candidate_adds_exactly_the_hypervolume_that_it_adds(axes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    known_costs, known = random.uniform(0, 1.2, (6, axes)), random.normal(0, 1, 6)
    costs, mean = random.uniform(0, 1.2, (20, axes)), random.normal(0.5, 1, 20)
    limits, floor = np.ones(axes), -0.4
    found = expected_hypervolume_improvement(
        mean,
        np.zeros(20),
        costs,
        known=known,
        known_costs=known_costs,
        floor=floor,
        limits=limits,
    )
    before = brute_force(known_costs, known, floor, limits)
    for index in range(20):
        both = np.vstack((known_costs, costs[index]))
        after = brute_force(both, np.append(known, mean[index]), floor, limits)
        assert found[index] == pytest.approx(after - before, abs=1e-12)
    assert found.max() > 0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.thorough
def test_an_uncertain_candidate_adds_what_samples_of_it_add_on_average(seed: int) -> None:
    random = np.random.default_rng(seed)
    known_costs, known = random.uniform(0, 1, (8, 1)), random.normal(0, 1, 8)
    costs, mean, std = random.uniform(0, 1, (5, 1)), random.normal(0.5, 1, 5), random.uniform(0.1, 1, 5)
    exact = expected_hypervolume_improvement(
        mean, std, costs, known=known, known_costs=known_costs, floor=-1.0, limits=np.ones(1)
    )
    before = hypervolume(known_costs[:, 0], known, cost_limit=1, quality_floor=-1)
    for index in range(5):
        both = np.append(known_costs[:, 0], costs[index, 0])
        draws = random.normal(mean[index], std[index], 4000)
        added = [
            hypervolume(both, np.append(known, draw), cost_limit=1, quality_floor=-1) - before
            for draw in draws
        ]
        error = np.std(added) / np.sqrt(len(added))
        assert exact[index] == pytest.approx(np.mean(added), abs=5 * error + 1e-4)


def test_with_nothing_known_a_candidate_is_worth_its_whole_rectangle() -> None:
    found = expected_hypervolume_improvement(
        np.array([3.0]),
        np.zeros(1),
        np.array([[2.0]]),
        known=np.empty(0),
        known_costs=np.empty((0, 1)),
        floor=1.0,
        limits=np.array([5.0]),
    )
    assert found == pytest.approx([(5 - 2) * (3 - 1)])

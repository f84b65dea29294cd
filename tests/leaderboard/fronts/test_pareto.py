from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from leaderboard.fronts import pareto
from leaderboard.fronts.dominance import LEAF
from leaderboard.fronts.pareto import hypervolume, membership, pareto_mask

# Few distinct values, so that ties are common; NaN and infinities too.
VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, -1.0, math.inf, -math.inf, math.nan])


def by_hand(cost: np.ndarray, quality: np.ndarray) -> list[bool]:
    rows = [(*np.atleast_1d(c), -q) for c, q in zip(cost, quality, strict=True)]
    good = [not any(math.isnan(value) for value in row) for row in rows]

    def beats(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    return [
        good[i] and not any(good[j] and beats(rows[j], rows[i]) for j in range(len(rows)))
        for i in range(len(rows))
    ]


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(0, 12), st.integers(0, 4))
def test_the_front_is_what_comparing_all_pairs_says(data: st.DataObject, count: int, axes: int) -> None:
    shape = (count,) if axes == 0 else (count, axes)
    cost = data.draw(arrays.arrays(np.float64, shape, elements=VALUES))
    quality = data.draw(arrays.arrays(np.float64, (count,), elements=VALUES))
    assert pareto_mask(cost, quality).tolist() == by_hand(cost, quality)


def test_small_blocks_give_the_same_front(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    cost, quality = draw.random((300, 4)), draw.random(300)
    whole = pareto_mask(cost, quality)
    monkeypatch.setattr(pareto, "BLOCK_CELLS", 1000)
    assert (pareto_mask(cost, quality) == whole).all()
    assert 0 < whole.sum() < 300


def crowds(draw: np.random.Generator, count: int, axes: int) -> dict[str, np.ndarray]:
    """Points (count, axes) to minimise: few on the front, all of them, many ties, nothing finite, ..."""
    flat = draw.random((count, axes))
    flat[:, -1] = -flat[:, :-1].sum(axis=1)  # nobody beats anybody
    steps = draw.integers(0, 4, (count, axes)).astype(float)
    wild = draw.choice([0.0, 1.0, math.inf, -math.inf], (count, axes))
    noisy = flat + draw.normal(0, 0.05, (count, axes))
    return {
        "random": draw.random((count, axes)),
        "all on the front": flat,
        "noisy front": noisy,
        "steps on the front": np.round(flat * 5) / 5,
        "ties": steps,
        "wild": wild,
        "one value": np.ones((count, axes)),
        "one axis": np.column_stack((np.arange(count), np.zeros((count, axes - 1)))),
        "a chain": np.repeat(np.arange(count)[::-1, None], axes, axis=1).astype(float),
    }


@pytest.mark.parametrize("axes", [2, 3, 4])
@pytest.mark.parametrize("count", [1, 2, LEAF, LEAF + 1, 4 * LEAF, 700])
def test_the_front_of_many_points_is_what_comparing_all_pairs_says(count: int, axes: int) -> None:
    for name, points in crowds(np.random.default_rng(count), count, axes).items():
        expected = pareto._blockwise(points[:, :-1], -points[:, -1])
        found = pareto_mask(points[:, :-1], -points[:, -1])
        assert (found == expected).all(), name
    assert expected.sum() == 1


def test_the_front_does_not_depend_on_the_order_of_the_points() -> None:
    draw = np.random.default_rng(1)
    points = crowds(draw, 5000, 4)["noisy front"]
    mask, order = pareto_mask(points[:, :3], -points[:, 3]), draw.permutation(5000)
    assert (pareto_mask(points[order, :3], -points[order, 3]) == mask[order]).all()
    assert 0 < mask.sum() < 5000


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 7)] * 3), max_size=9))
def test_the_hypervolume_of_two_costs_is_the_number_of_covered_cubes(
    points: list[tuple[int, int, int]],
) -> None:
    limits, floor = (6, 5), 2
    covered = sum(
        any(a <= x and b <= y and q > z for a, b, q in points)
        for x in range(limits[0])
        for y in range(limits[1])
        for z in range(floor, 8)
    )
    cost, quality = [point[:2] for point in points], [point[2] for point in points]
    found = hypervolume(np.reshape(cost, (-1, 2)), quality, cost_limit=limits, quality_floor=floor)
    assert found == covered


def test_the_hypervolume_of_two_costs_is_that_of_inclusion_and_exclusion() -> None:
    draw = np.random.default_rng(3)
    limits, floor = np.array([0.9, 0.8]), 0.1
    for _ in range(20):
        cost, quality = draw.random((9, 2)), draw.random(9)
        expected = 0.0
        for size in range(1, 10):
            for some in combinations(range(9), size):
                sides = limits - cost[list(some)].max(axis=0)
                height = quality[list(some)].min() - floor
                if (sides > 0).all() and height > 0:
                    expected -= (-1) ** size * sides.prod() * height
        found = hypervolume(cost, quality, cost_limit=limits.tolist(), quality_floor=floor)
        assert found == pytest.approx(expected, rel=1e-12)


def test_a_second_cost_that_is_the_same_for_all_only_stretches_the_area() -> None:
    draw = np.random.default_rng(4)
    cost, quality = draw.random(200), draw.random(200)
    area = hypervolume(cost, quality, cost_limit=0.7, quality_floor=0.2)
    both = np.column_stack((cost, np.full(200, 2.0)))
    assert hypervolume(both, quality, cost_limit=(0.7, 5.0), quality_floor=0.2) == pytest.approx(3 * area)


NAN = math.nan


def test_a_network_that_is_sometimes_the_worse_one_is_a_member_as_often_as_it_is_not() -> None:
    """Two draws of (0, 2) have the means 0, 1, 2 with 1/4, 1/2, 1/4: above 0.5 in three of four."""
    shares = membership([1.0, 2.0], [[0.5, 0.5], [0.0, 2.0]], draws=20_000, seed=1)
    assert shares[0] == 1.0
    assert shares[1] == pytest.approx(3 / 4, abs=0.02)


def test_three_draws_of_three_samples_are_as_a_bootstrap_has_them() -> None:
    """The mean of three draws of (0, 0, 3) is above 0.5 unless all are 0."""
    cost = [1.0, 2.0, 3.0]
    samples = [[0.5, 0.5, 0.5], [0.0, 0.0, 3.0], [-1.0, -1.0, -1.0]]
    shares = membership(cost, samples, draws=20_000)
    assert shares[0] == 1.0 and shares[2] == 0.0
    assert shares[1] == pytest.approx(1 - (2 / 3) ** 3, abs=0.015)


def test_a_network_with_one_seed_has_the_noise_of_those_with_several() -> None:
    """Squares about the means: 0 + 0, 1 + 1, 9 + 9, of six samples about three means."""
    samples = [[0.0, 0.0], [1.0, NAN], [-99.0, -101.0], [-97.0, -103.0]]
    pooled = math.sqrt(20 / 3)
    shares = membership([1.0, 2.0, 3.0, 4.0], samples, draws=20_000)
    above = 0.5 * (1 + math.erf(1 / pooled / math.sqrt(2)))
    assert shares[1] == pytest.approx(above, abs=0.015)
    assert shares[[2, 3]].tolist() == [0.0, 0.0]


def test_without_any_second_seed_nothing_is_in_doubt() -> None:
    draw = np.random.default_rng(2)
    cost, quality = draw.random((50, 2)), draw.random(50)
    shares = membership(cost, quality[:, None], draws=3)
    assert shares.tolist() == pareto_mask(cost, quality).astype(float).tolist()


def test_ties_are_all_members_and_what_is_missing_is_none() -> None:
    samples = [[5.0, 5.0], [5.0, NAN], [NAN, NAN], [9.0, 9.0], [NAN, 5.0]]
    shares = membership([1.0, 1.0, 0.0, NAN, 2.0], samples, draws=10)
    assert shares.tolist() == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert membership([], np.zeros((0, 3))).tolist() == []
    assert membership([1.0], np.full((1, 2), NAN)).tolist() == [0.0]


def test_the_same_seed_gives_the_same_shares_and_where_a_sample_stands_changes_nothing() -> None:
    draw = np.random.default_rng(5)
    cost, samples = draw.random(30), draw.random((30, 3))
    shares = membership(cost, samples, draws=50, seed=7)
    assert (membership(cost, samples, draws=50, seed=7) == shares).all()
    assert (membership(cost, samples, draws=50, seed=8) != shares).any()
    spread = np.column_stack((samples[:, 0], np.full(30, NAN), samples[:, 1:]))
    assert (membership(cost, spread, draws=50, seed=7) == shares).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=8))
def test_the_hypervolume_is_the_number_of_covered_cells(points: list[tuple[int, int]]) -> None:
    limit, floor = 6, 2
    covered = sum(any(c <= x and q > y for c, q in points) for x in range(limit) for y in range(floor, 9))
    below = [(c, q) for c, q in points if c >= 0]
    area = hypervolume([c for c, _ in below], [q for _, q in below], cost_limit=limit, quality_floor=floor)
    assert area == covered


def test_points_outside_the_reference_box_contribute_nothing() -> None:
    assert (
        hypervolume([1.0, 5.0, 2.0, math.nan], [1.0, 9.0, math.nan, 3.0], cost_limit=5, quality_floor=1) == 0
    )
    assert hypervolume([], [], cost_limit=5, quality_floor=1) == 0


def test_equal_points_are_all_members() -> None:
    assert pareto_mask([1, 1, 1, 2], [5, 5, 4, 5]).tolist() == [True, True, False, False]


def test_shapes_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match=r"quality \(n,\): got \(2,\) and \(1,\)"):
        pareto_mask([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="must both be"):
        hypervolume(np.ones((2, 2)), [1.0, 2.0], cost_limit=1, quality_floor=0)
    with pytest.raises(ValueError, match=r"cost \(n, 2\) with two limits"):
        hypervolume([1.0, 2.0], [1.0, 2.0], cost_limit=(1, 2), quality_floor=0)
    with pytest.raises(ValueError, match=r"quality_samples \(n, seeds\).*got \(2,\), \(2,\) and 1000"):
        membership([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="draws at least 1"):
        membership([1.0], [[1.0]], draws=0)

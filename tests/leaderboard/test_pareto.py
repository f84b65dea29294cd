from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from leaderboard import pareto
from leaderboard.pareto import hypervolume, pareto_mask

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
@given(st.data(), st.integers(0, 12), st.integers(0, 3))
def test_the_front_is_what_comparing_all_pairs_says(data: st.DataObject, count: int, axes: int) -> None:
    shape = (count,) if axes == 0 else (count, axes)
    cost = data.draw(arrays.arrays(np.float64, shape, elements=VALUES))
    quality = data.draw(arrays.arrays(np.float64, (count,), elements=VALUES))
    assert pareto_mask(cost, quality).tolist() == by_hand(cost, quality)


def test_small_blocks_give_the_same_front(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    cost, quality = draw.random((300, 2)), draw.random(300)
    whole = pareto_mask(cost, quality)
    monkeypatch.setattr(pareto, "BLOCK_CELLS", 1000)
    assert (pareto_mask(cost, quality) == whole).all()
    assert 0 < whole.sum() < 300


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

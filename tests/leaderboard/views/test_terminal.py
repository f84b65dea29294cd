from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.errors import LeaderboardError
from leaderboard.fronts.pareto import pareto_mask
from leaderboard.views.terminal import (
    EDGE,
    HEIGHT,
    LEAST_HEIGHT,
    LEAST_WIDTH,
    MEMBER,
    OTHER,
    WIDTH,
    front_chart,
)


def test_a_small_front_looks_like_this() -> None:
    cost = [1e6, 1e7, 1e8, 1e8, 1e6]
    psnr = [28.0, 29.0, 30.0, 28.5, 28.0]
    found = front_chart(cost, psnr, pareto_mask(cost, psnr), cost_name="Parameters", width=38, height=7)
    assert found.split("\n") == [
        "PSNR (dB) over Parameters: * on the fr",
        "30.00 |                              *",
        "      |",
        "29.33 |",
        "      |               *--------------",
        "28.67 |                              .",
        "      |",
        "28.00 |*--------------",
        "      +-------------------------------",
        "       1 M          10 M         100 M",
    ]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(1, 1e12) | st.sampled_from([0.0, -1.0, math.nan, math.inf]),
            st.floats(-20, 100) | st.sampled_from([math.nan, -math.inf]),
        ),
        max_size=30,
    ),
    st.integers(LEAST_WIDTH, 120),
    st.integers(LEAST_HEIGHT, 30),
)
def test_whatever_is_drawn_fits_and_every_network_has_a_mark(
    points: list[tuple[float, float]], width: int, height: int
) -> None:
    cost, psnr = [point[0] for point in points], [point[1] for point in points]
    text = front_chart(cost, psnr, pareto_mask(cost, psnr), width=width, height=height)
    lines = text.split("\n")
    assert max(map(len, lines)) <= width
    drawable = [c for c, q in points if math.isfinite(c) and math.isfinite(q) and c > 0]
    if not drawable:
        assert text == "no networks to draw yet"
        return
    assert len(lines) == height + 3
    drawing = "".join(line.partition("|")[2] for line in lines[1:-2])
    marks = drawing.count(MEMBER) + drawing.count(OTHER)
    assert 1 <= marks <= len(drawable)
    assert set(drawing) <= {MEMBER, OTHER, EDGE, " "}


def test_the_front_is_drawn_over_what_it_beats_and_goes_up_to_the_right() -> None:
    cost, psnr = [10.0**n for n in range(5)] * 2, [28.0 + n for n in range(5)] + [20.0] * 5
    lines = front_chart(cost, psnr, pareto_mask(cost, psnr)).split("\n")
    drawing = [line.partition("|")[2] for line in lines[1 : HEIGHT + 1]]
    members = sorted((line.index(MEMBER), -row) for row, line in enumerate(drawing) if MEMBER in line)
    assert len(members) == 5 and members == sorted(members, key=lambda place: place[1])
    assert drawing[-1].count(OTHER) == 5
    assert all(len(line) <= WIDTH for line in lines)
    hidden = front_chart([1.0, 1.0], [30.0, 30.0], [True, False]).split("\n")[1 : HEIGHT + 1]
    assert "".join(line.partition("|")[2] for line in hidden).replace(" ", "").strip(EDGE) == MEMBER


def test_a_chart_needs_some_room_and_as_many_of_each() -> None:
    with pytest.raises(LeaderboardError, match="a chart of 20x18 characters; it takes at least 30x6"):
        front_chart([1.0], [1.0], [True], width=20)
    with pytest.raises(LeaderboardError, match="80x3 characters"):
        front_chart([1.0], [1.0], [True], height=3)
    with pytest.raises(ValueError, match="zip"):
        front_chart([1.0, 2.0], [1.0], [True])

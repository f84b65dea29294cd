from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.core.units import format_count, format_seconds, parse_count
from nas.errors import RecipeError


@pytest.mark.parametrize(
    ("text", "value"),
    [("300k", 300_000), ("15G", 15_000_000_000), ("1.5M", 1_500_000), ("42", 42), (7, 7), ("2_000", 2000)],
)
def test_counts_take_suffixes(text: str | int, value: int) -> None:
    assert parse_count(text) == value


@pytest.mark.parametrize("text", ["", "k", "abc", "-3", "0", "3x", "1,5M", "nan", "inf", "1e999"])
def test_what_is_no_count_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RecipeError, match="300k"):
        parse_count(text)


@given(st.integers(1, 10**15))
def test_a_formatted_count_reads_back_within_its_four_digits(value: int) -> None:
    assert parse_count(format_count(value)) == pytest.approx(value, rel=1e-3)


def test_seconds_read_as_a_clock() -> None:
    assert [format_seconds(s) for s in (42, 725, 11229)] == ["0:42", "12:05", "3:07:09"]

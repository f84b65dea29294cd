"""A sample of a space: inside the budget, even over costs and options, the same each time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from torch import nn

from nas.calibration.design import published_inside, spread
from nas.cost.budget import Budget
from nas.cost.counting import cost_of
from nas.errors import BudgetError
from nas.samplers import RandomChooser
from search_spaces import Genotype, Space, choice, span
from search_spaces.lightweight import Lightweight
from search_spaces.published import published_name

ONLY = {
    **{axis.name: axis.options[:1] for axis in Lightweight.axes()},
    "width": (16, 24),
    "blocks": (1, 2, 3),
    "block": ("imdb", "gpdb", "residual"),
    "attention": ("none", "ca"),
    "kernel": ("3x3", "blueprint"),
    "sharing": ("none", "all"),
    "depth": (1, 2),
    "transformers": (0, 1),
    "order": ("serial", "parallel"),
    "heads": (2, 4),
}
SMALL = Space(Lightweight, ONLY)
BUDGET = Budget(params=60_000, multi_adds=4_000_000_000)


@dataclass(frozen=True, kw_only=True)
class Plain(Genotype):
    """A space of one's own whose axes all apply and all cost nothing but one."""

    width: int = span(8, 256)
    colour: str = choice("red", "green", "blue")
    shape: str = choice("round", "square")

    def build(self, scale: int) -> nn.Module:
        layers = nn.Conv2d(3, self.width, 3, padding=1), nn.Conv2d(self.width, 3 * scale**2, 3, padding=1)
        return nn.Sequential(*layers, nn.PixelShuffle(scale))


@dataclass(frozen=True, kw_only=True)
class Tiny(Genotype):
    """Six networks, two of which are inside 2,000 parameters."""

    width: int = choice(8, 16, 24, 32, 40, 48)

    def build(self, scale: int) -> nn.Module:
        layers = nn.Conv2d(3, self.width, 3, padding=1), nn.Conv2d(self.width, 3 * scale**2, 3, padding=1)
        return nn.Sequential(*layers, nn.PixelShuffle(scale))


def test_all_are_different_and_inside_the_budget_and_the_same_for_the_same_seed() -> None:
    sample = spread(SMALL, 4, 12, budget=BUDGET, seed=3)
    assert len({one.id for one in sample}) == 12
    assert all(not BUDGET.excess(cost_of(one, 4)) for one in sample)
    assert sample == spread(SMALL, 4, 12, budget=BUDGET, seed=3)
    assert sample != spread(SMALL, 4, 12, budget=BUDGET, seed=4)


@pytest.mark.thorough
def test_costs_are_even_on_a_logarithmic_scale() -> None:
    space = Space(Plain)
    sample = spread(space, 2, 16, budget=Budget(), seed=0)
    logs = np.log(sorted(cost_of(one, 2).multi_adds for one in sample))
    ends = [np.log(cost_of(Plain(width=width), 2).multi_adds) for width in (8, 256)]
    strata = np.floor((logs - ends[0]) / (ends[1] - ends[0]) * 16).clip(0, 15)
    assert list(strata) == list(range(16))


@pytest.mark.thorough
def test_every_option_of_an_axis_occurs_equally_often_where_nothing_forbids_it() -> None:
    sample = spread(Space(Plain), 2, 18, budget=Budget(), seed=0)
    assert set(Counter(one.colour for one in sample).values()) == {6}
    assert set(Counter(one.shape for one in sample).values()) == {9}


def test_conditional_axes_are_even_where_they_apply_and_better_than_random() -> None:
    sample = spread(SMALL, 4, 24, budget=Budget(params=150_000), seed=0, published=False)
    chooser = RandomChooser(0)
    drawn = [[SMALL.suggest(chooser) for _ in range(24)] for _ in range(20)]
    assert _unevenness(sample) < 0.6 * min(map(_unevenness, drawn))
    for axis in SMALL.axes:
        if axis.name != "transformer_dense":  # which applies to none of these
            assert {getattr(one, axis.name) for one in sample} >= set(axis.options), axis.name


def _unevenness(sample: list[Genotype]) -> int:
    """Most minus least frequent option, over all axes."""
    found = 0
    for axis in SMALL.axes:
        counts = [sum(getattr(one, axis.name) == option for one in sample) for option in axis.options]
        found += max(counts) - min(counts)
    return found


@pytest.mark.thorough
def test_every_beginning_is_spread_too() -> None:
    sample = spread(Space(Plain), 2, 16, budget=Budget(), seed=0)
    logs = np.log([cost_of(one, 2).multi_adds for one in sample])
    half = (logs.min() + logs.max()) / 2
    for size in (4, 8):
        assert 0.25 <= float(np.mean(logs[:size] > half)) <= 0.75


@pytest.mark.thorough
def test_published_networks_that_fit_come_first() -> None:
    blocks, plain = ("safm", "gpdb"), {"kernel": ("3x3",), "branches": ("none",)}
    only = {"width": (32, 36), "blocks": (8,), "block": blocks, **plain}
    space, budget = Space(Lightweight, only), Budget(params=300_000)
    inside = published_inside(space, 4, budget)
    assert [published_name(one) for one in inside] == ["gpdn", "safmn"]
    sample = spread(space, 4, 6, budget=budget, seed=0)
    assert sample[:2] == inside and len(set(sample)) == 6
    assert spread(space, 4, 1, budget=budget, seed=0) == inside[:1]
    assert spread(space, 4, 6, budget=budget, seed=0, published=False)[:2] != inside
    assert published_inside(SMALL, 4, budget) == []


def test_all_of_a_small_space_can_be_asked_for_and_no_more() -> None:
    budget = Budget(params=3_500)
    fitting = [
        one for width in (8, 16, 24, 32, 40, 48) if not budget.excess(cost_of(one := Tiny(width=width), 2))
    ]
    assert 1 < len(fitting) < 6
    assert set(spread(Space(Tiny), 2, len(fitting), budget=budget, seed=0)) == set(fitting)
    with pytest.raises(
        BudgetError, match=rf"only {len(fitting)} were found with params = 3\.5K; ask for fewer"
    ):
        spread(Space(Tiny), 2, len(fitting) + 1, budget=budget, seed=0)


def test_a_budget_that_nothing_meets_says_what_is_the_smallest() -> None:
    with pytest.raises(BudgetError, match="smallest reachable"):
        spread(SMALL, 4, 4, budget=Budget(params=100), seed=0)
    with pytest.raises(BudgetError, match="at least 1"):
        spread(SMALL, 4, 0, budget=BUDGET, seed=0)


@pytest.mark.thorough
def test_a_tight_budget_is_still_sampled() -> None:
    """One random architecture in thirty is inside."""
    space, budget = Space(Plain), Budget(params=2_000)
    sample = spread(space, 2, 8, budget=budget, seed=0)
    assert len(set(sample)) == 8
    assert all(cost_of(one, 2).params <= 2_000 for one in sample)

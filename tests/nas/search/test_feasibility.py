from __future__ import annotations

import itertools

import pytest

from nas.cost.budget import Budget
from nas.cost.counting import measure
from nas.errors import BudgetError
from nas.search.feasibility import require_reachable
from search_spaces import Space
from search_spaces.lightweight import Lightweight

SMALL = Space(
    Lightweight,
    {
        **{axis.name: axis.options[:1] for axis in Lightweight.axes()},
        "width": (16, 24),
        "blocks": (1, 2),
        "depth": (1, 2),
        "block": ("imdb", "residual"),
        "kernel": ("3x3", "blueprint"),
    },
)


def every_cost(space: Space) -> list[dict[str, int]]:
    """By brute force over all combinations."""
    found = {}
    for options in itertools.product(*(axis.options for axis in space.axes)):
        genotype = space.genotype(**dict(zip((axis.name for axis in space.axes), options, strict=True)))
        found[genotype.id] = genotype
    assert len(found) == space.count()
    return [measure(lambda g=g: g.build(2), 2).to_dict() for g in found.values()]


def test_the_smallest_reachable_cost_is_the_true_minimum() -> None:
    costs = every_cost(SMALL)
    params = min(cost["params"] for cost in costs)
    multi_adds = min(cost["multi_adds"] for cost in costs)
    require_reachable(SMALL, 2, Budget(params=params, multi_adds=10 * multi_adds))
    with pytest.raises(BudgetError, match="params cannot be met") as caught:
        require_reachable(SMALL, 2, Budget(params=params - 1))
    assert f"params {params / 1000:.4g}K" in str(caught.value)
    with pytest.raises(BudgetError, match="multi_adds cannot be met"):
        require_reachable(SMALL, 2, Budget(params=10 * params, multi_adds=multi_adds - 1))


def test_no_budget_is_always_reachable() -> None:
    require_reachable(SMALL, 4, Budget())


@pytest.mark.thorough
def test_a_range_is_met_from_both_sides_or_refused_with_the_nearest() -> None:
    costs = sorted(cost["params"] for cost in every_cost(SMALL))
    least, most = costs[0], costs[-1]
    require_reachable(SMALL, 2, Budget(min_params=most))
    require_reachable(SMALL, 2, Budget(min_params=most, params=most))
    with pytest.raises(BudgetError, match=r"params >= .*the nearest has params"):
        require_reachable(SMALL, 2, Budget(min_params=most + 1))
    gap, start = max((b - a, a) for a, b in itertools.pairwise(costs))
    assert gap > 2
    with pytest.raises(BudgetError, match=r"params <= .*params >= .*the nearest has"):
        require_reachable(SMALL, 2, Budget(min_params=start + 1, params=start + gap - 1))
    assert least < most

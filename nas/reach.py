"""Whether a budget can be met at all: the smallest cost that a space reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter

from nas.cost import Budget, Cost, cost_of
from nas.errors import BudgetError
from nas.units import format_count
from search_spaces import Genotype, Space

Measure = Callable[[Genotype], Cost]


def require_reachable(space: Space, scale: int, budget: Budget) -> None:
    """Raise BudgetError when no architecture meets ``budget``: the smallest cost found, and what binds.

    Descends one axis at a time from the space's first options, and stops at the first architecture
    that fits. Costs grow with every axis of a sensible space, so that the descent ends at its floor.
    """
    limits = budget.limits()
    if not limits:
        return
    known: dict[str, Cost] = {}

    def measured(genotype: Genotype) -> Cost:
        if genotype.id not in known:
            known[genotype.id] = cost_of(genotype, scale)
        return known[genotype.id]

    def worst(cost: Cost) -> float:
        return max(getattr(cost, name) / limit for name, limit in limits.items())

    best = _descend(space, measured, worst, stop_at=1.0)
    if worst(measured(best)) <= 1:
        return
    floors: dict[str, int] = {}
    for name in limits:
        lowest = _descend(space, measured, attrgetter(name), stop_at=0)
        floors[name] = getattr(measured(lowest), name)
    binding = [name for name, limit in limits.items() if floors[name] > limit]
    asked = " and ".join(f"{name} <= {format_count(limit)}" for name, limit in limits.items())
    smallest = ", ".join(f"{name} {format_count(value)}" for name, value in floors.items())
    reason = (
        f"{' and '.join(binding)} cannot be met"
        if binding
        else f"each limit can be met alone, but not together; the nearest has {_told(measured(best), budget)}"
    )
    raise BudgetError(
        f"no architecture of space {space.name!r} at x{scale} meets {asked}: {reason} "
        f"(smallest reachable: {smallest})"
    )


def _told(cost: Cost, budget: Budget) -> str:
    return ", ".join(f"{name} {format_count(getattr(cost, name))}" for name in budget.limits())


def _descend(space: Space, measured: Measure, value: Callable[[Cost], float], *, stop_at: float) -> Genotype:
    """The genotype at which no change of one axis makes ``value`` smaller, or one at ``stop_at``."""
    best = _first(space)
    lowest = value(measured(best))
    improved = True
    while improved and lowest > stop_at:
        improved = False
        for neighbour in _neighbours(space, best):
            now = value(measured(neighbour))
            if now < lowest:
                best, lowest, improved = neighbour, now, True
                break
    return best


def _first(space: Space) -> Genotype:
    return space.genotype(**{axis.name: axis.options[0] for axis in space.axes})


def _neighbours(space: Space, genotype: Genotype) -> Iterator[Genotype]:
    """What one changed axis gives; an axis that then starts to apply takes its first option."""
    defaults = {axis.name: axis.options[0] for axis in space.axes}
    here = {**defaults, **genotype.to_dict()}
    for axis in space.axes:
        for option in axis.options:
            if option != here[axis.name]:
                neighbour = space.genotype(**{**here, axis.name: option})
                if neighbour != genotype:
                    yield neighbour

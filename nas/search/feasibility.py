"""Feasibility of a budget: the smallest cost that a space reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from operator import attrgetter

from nas.core.units import format_count
from nas.cost.budget import Budget, Cost
from nas.cost.counting import cost_of
from nas.errors import BudgetError
from nas.samplers import RandomChooser
from search_spaces import Genotype, Space

TRIES = 5000
"""Random architectures without a hit after which a range counts as empty: about a second."""

Measure = Callable[[Genotype], Cost]


def require_reachable(space: Space, scale: int, budget: Budget) -> None:
    """Raise BudgetError where no architecture meets ``budget``, with the smallest cost and the binding limit.

    Descends one axis at a time from the space's first options, and stops at the first architecture that fits.
    Costs grow with every axis of a sensible space, so that the descent ends at the space's smallest cost. For
    a range, random architectures are tried after that. Limits that have to be measured are ignored.
    """
    limits = budget.ceilings()
    known: dict[str, Cost] = {}

    def measured(genotype: Genotype) -> Cost:
        if genotype.id not in known:
            known[genotype.id] = cost_of(genotype, scale)
        return known[genotype.id]

    def worst(cost: Cost) -> float:
        return max(getattr(cost, name) / limit for name, limit in limits.items())

    if limits:
        best = _descend(space, measured, worst, stop_at=1.0)
        if worst(measured(best)) > 1:
            raise BudgetError(_too_small(space, scale, limits, measured, measured(best)))
    if budget.floors():
        _require_between(space, scale, budget, measured)


def _too_small(space: Space, scale: int, limits: dict[str, int], measured: Measure, nearest: Cost) -> str:
    """Why nothing is below ``limits``."""
    floors: dict[str, int] = {}
    for name in limits:
        lowest = _descend(space, measured, attrgetter(name), stop_at=0)
        floors[name] = getattr(measured(lowest), name)
    smallest = ", ".join(f"{name} {format_count(value)}" for name, value in floors.items())
    binding = [name for name, limit in limits.items() if floors[name] > limit]
    asked = " and ".join(f"{name} <= {format_count(limit)}" for name, limit in limits.items())
    reason = (
        f"{' and '.join(binding)} cannot be met"
        if binding
        else f"each limit can be met alone, but not together; the nearest has {_told(nearest, limits)}"
    )
    return (
        f"no architecture of space {space.name!r} at x{scale} meets {asked}: {reason} "
        f"(smallest reachable: {smallest})"
    )


def _require_between(space: Space, scale: int, budget: Budget, measured: Measure) -> None:
    """Look for an architecture inside a range: downhill from where it is missed, then at random."""
    only_costs = replace(budget, memory=None, latency_ms=None)

    def missed(cost: Cost) -> float:
        return sum(only_costs.excess(cost).values())

    nearest = _descend(space, measured, missed, stop_at=0)
    chooser = RandomChooser(0)
    for _ in range(TRIES):
        if missed(measured(nearest)) == 0:
            return
        other = space.suggest(chooser)
        if missed(measured(other)) < missed(measured(nearest)):
            nearest = other
    asked = ", ".join(
        f"{name.removeprefix('min_')} {'>=' if name.startswith('min_') else '<='} {format_count(limit)}"
        for name, limit in only_costs.limits().items()
    )
    names = {**budget.ceilings(), **budget.floors()}
    raise BudgetError(
        f"no architecture of space {space.name!r} at x{scale} was found with {asked}; "
        f"the nearest has {_told(measured(nearest), names)}"
    )


def _told(cost: Cost, names: Iterable[str]) -> str:
    return ", ".join(f"{name} {format_count(getattr(cost, name))}" for name in names)


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
    here = {**defaults, **space.choices_of(genotype)}
    for axis in space.axes:
        for option in axis.options:
            if option != here[axis.name]:
                neighbour = space.genotype(**{**here, axis.name: option})
                if neighbour != genotype:
                    yield neighbour

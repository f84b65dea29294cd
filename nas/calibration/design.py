"""A sample that stands for a whole space: spread over the costs, and over the options of every axis."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from nas.core.units import format_count
from nas.cost.budget import Budget
from nas.cost.counting import cost_of
from nas.errors import BudgetError
from nas.samplers.candidates import Candidates, PricedCandidate
from nas.samplers.starts import van_der_corput
from nas.search.baselines import published_that_fit
from nas.search.feasibility import require_reachable
from search_spaces import Genotype, Space

POOL, LEAST_POOL = 10, 500
"""Candidates gathered for each one that is wanted, and at least."""

PATIENCE = 1000
"""Candidates in a row that are known or outside, after which there are taken to be no more."""

EACH_OPTION = 8
"""Candidates with a certain option that are looked for where the budget makes it rare."""

TRIES = 25
"""Draws for each of those."""

SWEEPS = 20
"""Rounds of exchanges; three or four reach what no exchange improves."""


def spread(
    space: Space, scale: int, count: int, *, budget: Budget, seed: int, published: bool = True
) -> list[Genotype]:
    """``count`` different genotypes inside ``budget``; the same ones for the same arguments.

    One from each of ``count`` equal strata of the logarithm of Multi-Adds, of those that were drawn; each
    stratum's is chosen, and then exchanged for others of it, so that the options of every axis occur equally
    often among those to which the axis applies, as far as costs and conditions allow. With ``published``,
    networks of papers that are points of the space come first, as many as fit and as are wanted, and their
    strata count as filled. The rest is in an order of which every beginning is spread over the costs, too.

    Limits of what has to be measured are not looked at. Raises BudgetError where no architecture, or fewer
    than ``count``, are inside.
    """
    if count < 1:
        raise BudgetError(f"{count} architectures: a whole number of at least 1 is needed")
    require_reachable(space, scale, budget)
    first = published_inside(space, scale, budget)[:count] if published else []
    # Never more than there are: in a small space random draws would find the same ones for ever.
    pool = _pool(space, scale, budget, min(max(LEAST_POOL, POOL * count), space.count()), seed)
    left = [one for one in pool if one not in first]
    if len(first) + len(left) < count:
        raise BudgetError(_too_few(space, scale, budget, len(first) + len(left), count))
    everybody = [*first, *left]
    log_costs = np.log([cost_of(one, scale).multi_adds for one in everybody])
    design = _Design(space, everybody, log_costs, fixed=len(first), count=count)
    return [everybody[place] for place in design.choose()]


def published_inside(space: Space, scale: int, budget: Budget) -> list[Genotype]:
    """The networks of papers that are points of ``space`` and inside ``budget``, cheapest first."""
    found = published_that_fit(space, scale, budget)
    return sorted(found, key=lambda one: (cost_of(one, scale).multi_adds, one.id))


def _pool(space: Space, scale: int, budget: Budget, size: int, seed: int) -> list[Genotype]:
    """Different genotypes inside, in the order in which they were found."""
    candidates = Candidates(
        space.suggest,
        lambda genotype: float(cost_of(genotype, scale).multi_adds),
        lambda genotype: not budget.excess(cost_of(genotype, scale)),
        seed,
    )
    found = _gathered(candidates, size)
    for axis in space.axes:
        for option in axis.options:
            have = sum(1 for one in found if getattr(one, axis.name) == option)
            for _ in range(TRIES * max(0, EACH_OPTION - have)):
                one = candidates.completed({axis.name: option})
                if one.inside and getattr(one.key, axis.name) == option:
                    found.setdefault(one.key, one)
                    have += 1
                    if have >= EACH_OPTION:
                        break
    return [one for one in found if isinstance(one, Genotype)]


def _gathered(candidates: Candidates, size: int) -> dict[Hashable, PricedCandidate]:
    """``size`` different ones inside, drawn and mutated in turn; fewer where there are no more."""
    found = {one.key: one for one in candidates.gather(min(size, LEAST_POOL // 5))}
    known, idle = list(found.values()), 0
    while known and len(known) < size and idle < PATIENCE:
        if candidates.random.random() < 0.5:
            one = candidates.draw()
        else:
            one = candidates.mutant(candidates.random.choice(known), candidates.random.randint(1, 3))
        idle += 1
        if one.inside and one.key not in found:
            found[one.key], idle = one, 0
            known.append(one)
    return found


class _Design:
    """Which of ``everybody`` are taken: the first ``fixed`` ones, and then one from each stratum.

    ``log_costs`` are theirs, (N,). Strata are equal parts of the range of costs; the fixed ones fill theirs.
    """

    def __init__(
        self,
        space: Space,
        everybody: list[Genotype],
        log_costs: NDArray[np.float64],
        *,
        fixed: int,
        count: int,
    ) -> None:
        self._log_costs, self._fixed, self._count = log_costs, fixed, count
        self._options, self._centre = _options(space, everybody)
        self._free = np.arange(len(everybody)) >= fixed
        low, high = float(log_costs.min()), float(log_costs.max())
        self._edges = np.linspace(low, high, count + 1)

    def choose(self) -> list[int]:
        """Their places in ``everybody``."""
        taken = list(range(self._fixed))
        free = self._free.copy()
        total = self._options[taken].sum(axis=0)
        strata = self._unfilled()
        members = []
        for stratum in strata:
            inside = self._members(stratum, free)
            best = inside[int(np.argmin(self._imbalance(total + self._options[inside])))]
            members.append(best)
            free[best] = False
            total = total + self._options[best]
        for _ in range(SWEEPS):
            if not self._sweep(strata, members, free, total):
                break
            total = self._options[taken + members].sum(axis=0)
        return [int(place) for place in taken + members]

    def _sweep(
        self, strata: list[int], members: list[int], free: NDArray[np.bool_], total: NDArray[np.float64]
    ) -> bool:
        """Exchange each member for the one of its stratum that balances the options best; whether any was."""
        changed = False
        for index, (stratum, member) in enumerate(zip(strata, list(members), strict=True)):
            others = self._members(stratum, free)
            if not self._lies_in(member, stratum) or not self._lies_in(others[0], stratum):
                continue  # the nearest to a stratum in which there is nobody
            without = total - self._options[member]
            after = self._imbalance(without + self._options[others])
            best = int(np.argmin(after))
            if after[best] < float(self._imbalance(total[None])[0]) - 1e-9:
                members[index] = int(others[best])
                free[member], free[others[best]] = True, False
                total = without + self._options[others[best]]
                changed = True
        return changed

    def _unfilled(self) -> list[int]:
        """The strata to take from: those that the fixed ones leave, each next one in the widest gap so far.

        Where several fixed ones lie in one stratum, those furthest from all of them stay.
        """
        strata = [self._stratum(place) for place in range(self._fixed)]
        open_ = [stratum for stratum in van_der_corput(self._count) if stratum not in strata]
        while len(open_) > self._count - self._fixed:
            open_.remove(min(open_, key=lambda one: (min(abs(one - other) for other in strata), one)))
        return open_

    def _stratum(self, place: int) -> int:
        found = int(np.searchsorted(self._edges, self._log_costs[place], side="right")) - 1
        return min(max(found, 0), self._count - 1)

    def _lies_in(self, place: int, stratum: int) -> bool:
        low, high = self._edges[stratum], self._edges[stratum + 1]
        return bool(low <= self._log_costs[place] <= high)

    def _members(self, stratum: int, free: NDArray[np.bool_]) -> NDArray[np.intp]:
        """The free ones of a stratum, or the one nearest to its middle where there is none."""
        low, high = self._edges[stratum], self._edges[stratum + 1]
        inside = np.flatnonzero(free & (self._log_costs >= low) & (self._log_costs <= high))
        if len(inside):
            return inside
        everybody = np.flatnonzero(free)
        if not len(everybody):
            return np.arange(1)  # nobody is left to exchange with; nothing is nearer than the member itself
        distance = np.abs(self._log_costs[everybody] - (low + high) / 2)
        return everybody[[int(np.argmin(distance))]]

    def _imbalance(self, totals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of rows of counts, (N, options): chi-square against equal counts within each axis, summed up.

        An axis that applies to nobody counts as many as it has options, where an even beginning starts from.
        """
        mean = totals @ self._centre
        apart = np.square(totals - mean) / np.where(mean > 0, mean, 1)
        return np.where(mean > 0, apart, 1.0).sum(axis=1)


def _options(space: Space, everybody: list[Genotype]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Who has which option, (N, options), and the matrix by which counts become the means of their axes."""
    columns = [(axis.name, option) for axis in space.axes for option in axis.options if len(axis.options) > 1]
    table = np.zeros((len(everybody), len(columns)))
    places = {column: place for place, column in enumerate(columns)}
    for row, one in enumerate(everybody):
        for axis, option in space.applicable(one):
            if (axis.name, option) in places:
                table[row, places[axis.name, option]] = 1.0
    centre = np.array([[float(one[0] == other[0]) for other in columns] for one in columns])
    if not columns:
        return np.zeros((len(everybody), 1)), np.zeros((1, 1))
    return table, centre / centre.sum(axis=0)


def _too_few(space: Space, scale: int, budget: Budget, found: int, count: int) -> str:
    limits = {**budget.ceilings(), **{f"min_{name}": least for name, least in budget.floors().items()}}
    told = ", ".join(f"{name} = {format_count(limit)}" for name, limit in limits.items()) or "no limits"
    return (
        f"{count} architectures of space {space.name!r} at x{scale} are wanted, and only {found} were found "
        f"with {told}; ask for fewer, or widen the budget or the space"
    )

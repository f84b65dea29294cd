"""The first candidates of a search: inside the budget, and spread over the range of costs."""

from __future__ import annotations

from collections.abc import Container, Hashable

import numpy as np

from nas.samplers.candidates import Candidates, PricedCandidate

STARTS = 12
"""How many start points a long search gets."""

POOL = 8
"""Candidates gathered for each start point. Each must be priced, and a network that is new takes a while."""


def start_points(
    candidates: Candidates, count: int, avoid: Container[Hashable] = ()
) -> list[PricedCandidate]:
    """``count`` candidates inside, one from each of ``count`` equal strata of the (first) cost's logarithm.

    In an order of which every beginning is spread, too. A stratum that is empty takes what is nearest to its
    middle. Fewer where the space has fewer inside.
    """
    left = candidates.gather(count * POOL, avoid)
    if not left:
        return []
    log_costs = {one.key: float(np.log(one.costs[0])) for one in left}
    low, high = min(log_costs.values()), max(log_costs.values())
    width = (high - low) / count
    chosen = []
    for stratum in van_der_corput(min(count, len(left))):
        begin = low + stratum * width
        members = [one for one in left if begin <= log_costs[one.key] <= begin + width]
        if members:
            taken = candidates.random.choice(members)
        else:
            middle = begin + width / 2
            taken = min(left, key=lambda one: abs(log_costs[one.key] - middle))
        left.remove(taken)
        chosen.append(taken)
    return chosen


def van_der_corput(count: int) -> list[int]:
    """0 ... count - 1 in van der Corput's order: each next one falls into the widest gap so far."""
    bits = max(1, (count - 1).bit_length())
    reversed_bits = [int(format(number, f"0{bits}b")[::-1], 2) for number in range(2**bits)]
    return [number for number in reversed_bits if number < count]

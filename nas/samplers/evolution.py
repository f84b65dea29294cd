"""Regularised evolution for several objectives: mutants of the front of the young."""

from __future__ import annotations

import numpy as np

from leaderboard.fronts.pareto import pareto_mask
from nas.samplers.candidates import PricedCandidate
from nas.samplers.proposing_sampler import History, ProposingSampler

POPULATION = 50
"""Results that may have children: the latest ones. Older ones have died of age, however good they are."""

ATTEMPTS = 60
"""Mutants made for one proposal until one is new and inside."""


class EvolutionSampler(ProposingSampler):
    """Ageing evolution (regularised evolution, arXiv 1802.01548) with parents from the Pareto front.

    The paper's tournament picks the best of a sample of the population by one objective; here the parent is
    any member of the population's front. Every proposal is new and inside.
    """

    def propose(self, history: History) -> PricedCandidate | None:
        """A mutant of one axis; of more axes where such mutants are all known or over the budget."""
        young = history.results[-POPULATION:]
        if not young:
            return None
        costs = np.array([one.costs for one, _ in young])
        front = np.flatnonzero(pareto_mask(costs, [quality for _, quality in young]))
        for attempt in range(ATTEMPTS):
            parent, _ = young[self._candidates.random.choice(front.tolist())]
            child = self._candidates.mutant(parent, 1 + attempt // 20)
            if child.inside and child.key not in history.known:
                return child
        return None

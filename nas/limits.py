"""Limits of what costs time to know: the memory and the latency of one inference, found before training."""

from __future__ import annotations

import functools

import torch

from nas.cost import Budget, Cost
from nas.latency import measure_latency
from nas.memory import peak_memory
from search_spaces import Genotype


class Measured:
    """How far candidates are over the budget's memory and latency, each found once in this process.

    Memory is counted on the meta device, latency measured on ``device`` with torch's present threads, and
    only for those that keep the memory.
    """

    def __init__(self, budget: Budget, scale: int, device: str) -> None:
        self.budget, self.scale, self.device = budget, scale, torch.device(device.split(",")[0])
        self._found = functools.cache(self._find)

    def excess(self, genotype: Genotype, cost: Cost) -> dict[str, float]:
        """The limits that are broken, with their fractions; empty where none is set."""
        if not self.budget.measured():
            return {}
        return self.budget.excess(cost, self._found(genotype))

    def _find(self, genotype: Genotype) -> dict[str, float]:
        found: dict[str, float] = {}

        def build() -> torch.nn.Module:
            return genotype.build(self.scale)

        if self.budget.memory is not None:
            found["memory"] = peak_memory(build, self.scale)
            if found["memory"] > self.budget.memory:
                return found
        if self.budget.latency_ms is not None:
            found["latency_ms"] = measure_latency(build, self.scale, self.device).median_ms
        return found

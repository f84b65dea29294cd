"""What costs time to know: the memory and the latency of one inference, found before training."""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch

from nas.cost.budget import Budget
from nas.cost.latency import Latency, measure_latency
from nas.cost.memory import peak_memory
from search_spaces import Genotype

NAMES = ("memory", "latency_ms")


class Measured:
    """The memory (bytes) and latency (milliseconds) of candidates, each found once in this process.

    Found are those that the budget limits and those ``wanted`` besides. Memory is counted on the meta device;
    latency is measured on ``device`` with torch's present threads, only for those that keep the memory.
    """

    def __init__(self, budget: Budget, scale: int, device: str, wanted: Collection[str] = ()) -> None:
        self.budget, self.scale, self.device = budget, scale, torch.device(device.split(",")[0])
        self._names = [name for name in NAMES if name in budget.measured() or name in wanted]
        self._known: dict[str, dict[str, float]] = {}

    def know(self, genotype_id: str, values: dict[str, float]) -> None:
        """Remember what an earlier process found."""
        self._known[genotype_id] = values

    def knows(self, genotype: Genotype) -> bool:
        """Whether it was found already."""
        return genotype.id in self._known

    def of(
        self, genotype: Genotype, tell: Callable[[Latency], None] = lambda latency: None
    ) -> dict[str, float]:
        """What there is to know of a genotype, by name; ``tell`` hears of a latency that was measured now."""
        found = self._known.get(genotype.id)
        if found is None:
            found = self._known[genotype.id] = self._find(genotype, tell)
        return found

    def _find(self, genotype: Genotype, tell: Callable[[Latency], None]) -> dict[str, float]:
        found: dict[str, float] = {}

        def build() -> torch.nn.Module:
            return genotype.build(self.scale)

        if "memory" in self._names:
            found["memory"] = peak_memory(build, self.scale)
            if self.budget.memory is not None and found["memory"] > self.budget.memory:
                return found
        if "latency_ms" in self._names:
            latency = measure_latency(build, self.scale, self.device)
            found["latency_ms"] = latency.median_ms
            tell(latency)
        return found

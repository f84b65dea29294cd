"""A network that a compression begins with, or learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nas.errors import CompressError
from nas.evaluation.benchmark_sets import Network
from nas.training.checkpoint import save_described
from search_spaces import Genotype
from search_spaces.named import genotype_of
from search_spaces.published import PUBLISHED


@dataclass(frozen=True, kw_only=True)
class CompressionSource:
    """A network to begin with or to learn from; ``trained``: whether its weights mean anything."""

    network: Network
    genotype: Genotype
    trained: bool

    @classmethod
    def of(cls, network: Network, *, trained: bool) -> CompressionSource:
        """Raises CompressError for a network that no genotype describes."""
        genotype = network.genotype
        if genotype is None and network.name in PUBLISHED:
            genotype = genotype_of(network.name, PUBLISHED[network.name], network.scale)
        if genotype is None:
            raise CompressError(
                f"{network.name}: no genotype describes it, so that what becomes of it could not be kept; "
                "make its class a space (docs/extending.md)"
            )
        return cls(network=network, genotype=genotype, trained=trained)

    def told(self) -> dict[str, object]:
        """What identifies it."""
        made = {"space": self.genotype.space, "choices": self.genotype.to_dict()}
        return {**made, "weights": self.network.weights if self.trained else ""}

    def save(self, path: Path) -> Path:
        """Its weights as a file of ours, written once."""
        if not path.exists():
            save_described(path, self.genotype, self.network.scale, self.network.module)
        return path

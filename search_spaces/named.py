"""Published networks that are no point of a space, as genotypes: to be trained, kept and compressed.

Nothing is added here: a network of ``published.PUBLISHED`` with a builder is an option by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from search_spaces.axes import choice
from search_spaces.genotype import Genotype
from search_spaces.published import PUBLISHED, Published


@dataclass(frozen=True, kw_only=True)
class Named(Genotype):
    """A published network by its name; its only axis is which."""

    space: ClassVar[str] = "published"

    network: str = choice(
        *(name for name, entry in PUBLISHED.items() if entry.builder is not None), doc="what papers call it"
    )

    def build(self, scale: int) -> nn.Module:
        """The network, with fresh weights. Raises SpaceError for a scale that it does not have."""
        return PUBLISHED[self.network].build(scale)


def genotype_of(name: str, entry: Published, scale: int) -> Genotype:
    """The genotype of a published network at ``scale``: its own, or its name for a network of its own."""
    return entry.genotype_at(scale) or Named(network=name)

"""Published networks as fixed genotypes, with the costs that their papers print.

To add one, put a line in PUBLISHED: its test compares the built network with the printed costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn

from search_spaces.errors import unknown
from search_spaces.genotype import Genotype
from search_spaces.lightweight import Lightweight


@dataclass(frozen=True, kw_only=True)
class Published:
    """A network of a paper: how to build it and what its paper prints.

    ``printed`` maps a scale to (parameters, Multi-Adds at a 1280x720 output) in the paper's own rounding.
    """

    genotype: Genotype
    source: str
    printed: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    def build(self, scale: int) -> nn.Module:
        """The network with fresh weights."""
        return self.genotype.build(scale)


PUBLISHED: dict[str, Published] = {
    "imdn": Published(
        genotype=Lightweight(
            width=64,
            blocks=6,
            block="imdb",
            depth=3,
            share=0.25,
            attention="cca",
            kernel="3x3",
            sharing="none",
            aggregation="fuse",
            transformers=0,
            skip="none",
        ),
        source="IMDN, arXiv 1909.11856",
        printed={2: (694e3, 158.8e9), 3: (703e3, 71.5e9), 4: (715e3, 40.9e9)},
    ),
}


def published(name: str) -> Published:
    """The network called ``name``. Raises SpaceError that names the nearest one."""
    if name not in PUBLISHED:
        raise unknown("published network", name, PUBLISHED)
    return PUBLISHED[name]

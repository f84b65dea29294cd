"""Networks that together take every option of the composed space."""

from __future__ import annotations

from search_spaces.blocks.branches import BRANCHES
from search_spaces.lightweight import Lightweight


def spread(number: int) -> Lightweight:
    """Genotypes that together take every option of every table: the n-th option of each, in turn.

    Every second one has a block that takes all attentions, kernels and activations, and the kernel of its
    branches.
    """
    turn = number // 2
    choices = {name: list(table)[turn % len(table)] for name, table in Lightweight.tables.items()}
    branches = BRANCHES[str(choices["branches"])]
    if number % 2 and branches is not None:
        choices["kernel"] = branches.kernel
    if number % 2:
        choices |= {"block": "rfdb"}
    few = {"width": 16, "blocks": 4, "transformers": number % 2 * 2 or 1, "heads": 2, "depth": 2}
    return Lightweight(**{**choices, **few})


SPREAD = range(2 * max(len(table) for table in Lightweight.tables.values()))

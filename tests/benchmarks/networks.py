"""Networks that the benchmarks share."""

from __future__ import annotations

from collections.abc import Sequence

from nas.cost.counting import cost_of
from nas.samplers import RandomChooser
from search_spaces import Genotype, Space
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED

SCALE = 4

IMDN_LIKE = Lightweight(
    width=48,
    blocks=4,
    block="imdb",
    depth=3,
    share=0.25,
    attention="cca",
    kernel="3x3",
    sharing="none",
    aggregation="fuse",
    transformers=0,
    skip="bicubic",
)
"""IMDN's blocks, thinner and fewer, with a bicubic skip: about 300,000 parameters at x4."""


def about(params: int, scale: int, count: int, seed: int = 0) -> list[Genotype]:
    """``count`` random architectures within a tenth of ``params``, different in their block."""
    chooser, space = RandomChooser(seed), Space(Lightweight)
    found: dict[str, Genotype] = {}
    while len(found) < count:
        genotype = space.suggest(chooser)
        if abs(cost_of(genotype, scale).params / params - 1) < 0.1:
            found.setdefault(str(genotype.to_dict()["block"]), genotype)
    return list(found.values())


def wanted(names: Sequence[str]) -> dict[str, Genotype]:
    """The networks of a command line: ``imdn``, ``small`` (IMDN_LIKE), ``random`` (three of 300,000)."""
    imdn = PUBLISHED["imdn"].genotype
    assert imdn is not None
    choices: dict[str, Genotype] = {"small": IMDN_LIKE, "imdn": imdn}
    found = {name: choices[name] for name in names if name != "random"}
    if "random" in names:
        found |= {f"random {n}": g for n, g in enumerate(about(300_000, SCALE, 3), start=1)}
    return found

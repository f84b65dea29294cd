"""What papers call a converted network, and the description of one that its space is too coarse for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from search_spaces.compressed import Compressed
from search_spaces.genotype import Genotype
from search_spaces.published import PUBLISHED

_PLAIN = {"branches": {"*": "none"}, "tail": {"pixel_shuffle-rep": "pixel_shuffle"}}
"""Axis -> option that has training-time branches -> the one that it is folded to."""


def plain_form(genotype: Genotype) -> Genotype:
    """The network without training-time branches: what folding leaves of it."""
    changes = {}
    for axis, folded in _PLAIN.items():
        option = getattr(genotype, axis, None)
        if option is not None and (option in folded or "*" in folded):
            changes[axis] = folded.get(option, folded.get("*"))
    return dataclasses.replace(genotype, **changes) if changes else genotype


def sized(name: str, width: int, blocks: int, **choices: str) -> Genotype:
    """The published network ``name`` without training-time branches, at another size and with ``choices``."""
    genotype: Any = PUBLISHED[name].genotype
    return plain_form(dataclasses.replace(genotype, width=width, blocks=blocks, **choices))


def plain_name(genotype: Genotype, scale: int) -> str | None:
    """The published name of a network as used at a scale, without its training-time branches."""
    for name, entry in PUBLISHED.items():
        known = entry.genotype_at(scale)
        if known is not None and plain_form(known).id == genotype.id:
            return name
    return None


def narrowed(genotype: Genotype, scale: int, shapes: Mapping[str, Sequence[int]]) -> Compressed:
    """The network with some convolutions narrower: ``shapes`` are those of its tensors.

    Raises SpaceError where they do not fit each other.
    """
    with torch.device("meta"):
        network = genotype.build(scale)
    changed = {}
    for name, module in network.named_modules():
        weight = shapes.get(f"{name}.weight")
        if isinstance(module, nn.Conv2d) and weight is not None and tuple(weight) != module.weight.shape:
            changed[name] = {
                "weight": list(weight),
                "bias": list(weight[:1]),
                "out_channels": weight[0],
                "in_channels": weight[1],
            }
    return Compressed(of=genotype.space, choices=genotype.to_dict(), shapes=changed)

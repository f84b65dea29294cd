"""Aggregation: how the CNN part's blocks are connected and what leaves it; every entry of AGGREGATIONS says.

To add one, put an Aggregation in the table at the foot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search_spaces.blocks.activations import ActivationFactory, gelu, leaky_relu
from search_spaces.blocks.convolutions import BlueprintConv, ConvFactory, pointwise, square3x3


class Fusion(nn.Sequential):
    """All blocks' outputs through 1x1, an activation and a convolution (IMDN, RFDN; BSRN's is blueprint)."""

    def __init__(self, blocks: int, width: int, *, conv: ConvFactory, activation: ActivationFactory) -> None:
        super().__init__(pointwise(blocks * width, width), activation(), conv(width, width))


def square_fusion(blocks: int, width: int) -> nn.Module:
    """1x1, LeakyReLU 0.05, 3x3: what IMDN's and RFDN's released code has."""
    return Fusion(blocks, width, conv=square3x3, activation=leaky_relu)


def blueprint_fusion(blocks: int, width: int) -> nn.Module:
    """1x1, GELU, blueprint separable convolution: what BSRN's released code has."""
    return Fusion(blocks, width, conv=BlueprintConv, activation=gelu)


def last_convolution(blocks: int, width: int) -> nn.Module:
    """3x3 on the last block's output."""
    return square3x3(width, width)


def grouped_last_convolution(blocks: int, width: int) -> nn.Module:
    """3x3 in two groups on the last block's output."""
    return nn.Conv2d(width, width, 3, padding=1, groups=2)


def mean_of(features: list[Tensor]) -> Tensor:
    """Their mean. The list is not empty."""
    return features[0] if len(features) == 1 else torch.stack(features).mean(dim=0)


@dataclass(frozen=True, kw_only=True)
class Aggregation:
    """One way to connect blocks.

    ``dense``: a block takes the mean of the stem and all previous outputs, and so does what follows the CNN
    part. ``collects``: ``end`` takes all outputs, concatenated. ``end(blocks, width)`` closes the CNN part.
    """

    doc: str
    dense: bool = False
    collects: bool = False
    end: Callable[[int, int], nn.Module] | None = None


AGGREGATIONS: dict[str, Aggregation] = {
    "plain": Aggregation(doc="The last block's output (SAFMN, GPDN)."),
    "conv": Aggregation(
        doc="The last block's output through 3x3 (RLFN, arXiv 2205.07514, released code).",
        end=last_convolution,
    ),
    "dense": Aggregation(
        doc="Dense additive connections (EFRDN, eqs. 2 and 3), without its convolutions after each addition;"
        " the mean stands for the sum, so that residual blocks do not double the features each time (ours).",
        dense=True,
    ),
    "fuse": Aggregation(
        doc="All outputs through 1x1, LeakyReLU and 3x3 (IMDN, arXiv 1909.11856, sec. 3.1, as released).",
        collects=True,
        end=square_fusion,
    ),
    "fuse-blueprint": Aggregation(
        doc="All outputs through 1x1, GELU, blueprint convolution (BSRN, arXiv 2205.05996, released code).",
        collects=True,
        end=blueprint_fusion,
    ),
    "conv-grouped": Aggregation(
        doc="The last block's output through 3x3 in two groups (VapSR-S, arXiv 2210.05960, released code).",
        end=grouped_last_convolution,
    ),
}

LATER_AGGREGATIONS = {"conv-grouped": 2}
"""Options that were added -> the version of the space that has them first."""

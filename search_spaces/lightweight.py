"""The composed space of lightweight super-resolution networks: the papers' modules on orthogonal axes.

An option of an axis is one line in the table of its file under ``blocks/``; a further axis is one field here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from search_spaces.blocks.attention import ATTENTIONS
from search_spaces.blocks.convolutions import CONVOLUTIONS, pointwise, square3x3
from search_spaces.blocks.distillation import DISTILLERS, DISTILLING
from search_spaces.blocks.sharing import SHARINGS
from search_spaces.blocks.stems import STEMS
from search_spaces.blocks.tails import SKIPS, TAILS
from search_spaces.blocks.transformers import TRANSFORMERS
from search_spaces.errors import SpaceError
from search_spaces.genotype import Genotype, choice, span

SCALES = (2, 3, 4)


@dataclass(frozen=True, kw_only=True)
class Lightweight(Genotype):
    """Stem, CNN blocks, fusion, transformer blocks, reconstruction: in this order, at one width."""

    space: ClassVar[str] = "lightweight"

    width: int = span(16, 64, step=8, doc="channels of the features")
    blocks: int = span(1, 8, doc="blocks of the CNN part")
    block: str = choice(*DISTILLERS, doc="what a CNN block is")
    depth: int = span(1, 4, when={"block": DISTILLING}, doc="distillation steps in a block")
    share: float = choice(0.25, 0.5, when={"block": DISTILLING}, doc="share of the channels set aside a step")
    attention: str = choice(*ATTENTIONS, doc="attention of a CNN block")
    kernel: str = choice(*CONVOLUTIONS, doc="kernel shape of a block's convolutions")
    sharing: str = choice(*SHARINGS, when={"blocks": range(3, 9)}, doc="which CNN blocks share weights")
    aggregation: str = choice("plain", "fuse", doc="what leaves the CNN part: the last block, or all fused")
    transformers: int = span(0, 3, doc="transformer blocks after the CNN part")
    transformer: str = choice(*TRANSFORMERS, when={"transformers": range(1, 4)}, doc="kind of self-attention")
    heads: int = choice(2, 4, when={"transformers": range(1, 4)}, doc="attention heads")
    mlp_ratio: int = choice(1, 2, when={"transformers": range(1, 4)}, doc="width of the feed-forward part")
    skip: str = choice(*SKIPS, doc="interpolated input added to the output")

    def build(self, scale: int) -> nn.Module:
        """The network at x2, x3 or x4, with fresh weights. Raises SpaceError for another scale."""
        if scale not in SCALES:
            raise SpaceError(f"scale {scale!r} is not supported (allowed: {', '.join(map(str, SCALES))})")
        return LightweightNetwork(self, scale)


class LightweightNetwork(nn.Module):
    """The network that a Lightweight genotype describes."""

    def __init__(self, genotype: Lightweight, scale: int) -> None:
        super().__init__()
        width = genotype.width
        self.scale = scale
        self.stem = STEMS["3x3"](width)
        self.order = SHARINGS[genotype.sharing or "none"](genotype.blocks)
        self.blocks = nn.ModuleList(_block(genotype) for _ in range(max(self.order) + 1))
        self.fuse: nn.Module | None = None
        if genotype.aggregation == "fuse":
            activation = nn.LeakyReLU(0.05, inplace=True)
            self.fuse = nn.Sequential(
                pointwise(genotype.blocks * width, width), activation, square3x3(width, width)
            )
        self.transformers = nn.Sequential(
            *(
                TRANSFORMERS[genotype.transformer](
                    width, heads=genotype.heads, mlp_ratio=genotype.mlp_ratio, shifted=position % 2 == 1
                )
                for position in range(genotype.transformers)
            )
        )
        self.tail = TAILS["pixel_shuffle"](width, scale)
        self.skip = SKIPS[genotype.skip]
        if self.skip is not None:
            self.tail.start_silent()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        shallow = self.stem(x)
        features, collected = shallow, []
        for index in self.order:
            features = self.blocks[index](features)
            collected.append(features)
        if self.fuse is not None:
            features = self.fuse(torch.cat(collected, dim=1))
        image = self.tail(self.transformers(features + shallow))
        return image if self.skip is None else image + self.skip(x, self.scale)


def _block(genotype: Lightweight) -> nn.Module:
    parts = {"conv": CONVOLUTIONS[genotype.kernel], "attention": ATTENTIONS[genotype.attention]}
    make = partial(DISTILLERS[genotype.block], genotype.width, **parts)
    if genotype.block in DISTILLING:
        return make(depth=genotype.depth, share=genotype.share)
    return make()

"""SPAN: blocks that gate themselves without attention weights, trained with Conv3XC branches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search_spaces.axes import choice, span
from search_spaces.blocks.branches import BRANCHES
from search_spaces.blocks.convolutions import pointwise, square3x3
from search_spaces.blocks.span import SpanBlock
from search_spaces.blocks.tails import PixelShuffleTail
from search_spaces.errors import require_scale
from search_spaces.genotype import Genotype
from search_spaces.networks.means import Div2kMean


@dataclass(frozen=True, kw_only=True)
class Span(Genotype):
    """SPAN (arXiv 2311.12770, and its released code): 48 or 52 channels, 28 in the NTIRE challenge, 6 blocks.

    The paper's ``branches`` are ``conv3xc``; the others are ours. They are folded for use.
    """

    width: int = span(8, 96, step=2, doc="channels of the features")
    blocks: int = span(1, 32, doc="blocks")
    branches: str = choice(
        *("conv3xc", "none", "asymmetric", "repvgg", "ecb", "repmb"),
        doc="training-time branches of the 3x3 convolutions, folded for use: part of the training",
    )

    def build(self, scale: int) -> nn.Module:
        """The network, (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), with fresh weights.

        Raises SpaceError for another scale than 2, 3 or 4.
        """
        require_scale(scale)
        return SpanNetwork(self, scale)


class SpanNetwork(nn.Module):
    """The network that a Span describes.

    The reconstruction sees the stem, a convolution of the last block, the first block, and the first map
    inside the last block, which is activated: the released code hands out a tensor on which SiLU works in
    place. There is no skip, and nothing is put back on the output, although the input is shifted by the mean
    colour and multiplied by 255.
    """

    def __init__(self, choices: Span, scale: int) -> None:
        super().__init__()
        width, conv = choices.width, BRANCHES[choices.branches] or square3x3
        self.mean = Div2kMean()
        self.stem = conv(3, width)
        self.blocks = nn.ModuleList(SpanBlock(width, conv=conv) for _ in range(choices.blocks - 1))
        self.last = SpanBlock(width, conv=conv)
        self.end = conv(width, width)
        self.fuse = pointwise(4 * width, width)
        self.tail = PixelShuffleTail(width, scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        shallow = self.stem(255 * self.mean.subtract(x))
        features, outputs = shallow, []
        for block in self.blocks:
            features = block(features)
            outputs.append(features)
        entered = self.last.enter(features)
        outputs.append(self.last.gated(features, entered))
        collected = torch.cat([shallow, self.end(outputs[-1]), outputs[0], entered], dim=1)
        return self.tail(self.fuse(collected))

"""PlainUSR: plain convolutions on fewer and fewer, then on more and more channels, without skips."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import torch
from torch import Tensor, nn

from search_spaces.axes import choice, span
from search_spaces.blocks.attention import (
    AttentionFactory,
    ConvolvedImportanceAttention,
    LocalImportanceAttention,
    NoAttention,
)
from search_spaces.blocks.branches import BRANCHES
from search_spaces.blocks.convolutions import square3x3
from search_spaces.blocks.plainusr import GuidedInvertedConv, PlainBlock
from search_spaces.blocks.tails import PixelShuffleTail
from search_spaces.errors import require_scale
from search_spaces.genotype import Genotype


@dataclass(frozen=True, kw_only=True)
class Proportions:
    """What distinguishes the sizes of PlainUSR but for width and blocks.

    Attributes:
        levels: Part of the width that a block convolves, from the outermost blocks to the innermost.
        hidden: Channels inside LIA, as a part of the width; None is the attention of the ultra-light sizes,
            which only the innermost blocks have.
        depth: Convolutions in a block.
    """

    levels: tuple[Fraction, ...]
    hidden: Fraction | None
    depth: int = 2


SIZES = {
    "base": Proportions(levels=(Fraction(1), Fraction(3, 4), Fraction(1, 2)), hidden=Fraction(1, 4)),
    "large": Proportions(
        levels=(Fraction(1), Fraction(4, 5), Fraction(3, 5)), hidden=Fraction(1, 5), depth=3
    ),
    "medium": Proportions(levels=(Fraction(1), Fraction(2, 3), Fraction(1, 3)), hidden=Fraction(1, 6)),
    "small": Proportions(levels=(Fraction(1), Fraction(1, 2), Fraction(1, 4)), hidden=Fraction(1, 8)),
    "ultra": Proportions(levels=(Fraction(1), Fraction(1, 2)), hidden=None),
}
"""The proportions of PlainUSR (base), -L, -M, -S, and of -U and -T together."""


@dataclass(frozen=True, kw_only=True)
class PlainUsr(Genotype):
    """PlainUSR (arXiv 2409.13435, and its released code).

    The paper's sizes, with their widths and blocks: U (ultra, 16, 3), T (ultra, 32, 3), S (small, 32, 5), M
    (medium, 48, 5), base (64, 5), L (large, 80, 5). The rule for all other widths and numbers of blocks is
    ours: channels are the same parts of the width, rounded; every block from an end of the network inwards is
    one level deeper, and the blocks in the middle share the deepest level.

    The paper's ``branches`` are ``repmb``, folded for use; with them the last convolution of a block with
    attention also learns its first channel as a 1x1 of all. The other branches are ours and lack that 1x1.
    """

    size: str = choice(*SIZES, doc="proportions of which of the paper's sizes; ultra is -U's and -T's")
    width: int = span(8, 96, step=2, doc="channels of the outermost blocks; three more carry the image")
    blocks: int = span(1, 31, step=2, doc="blocks")
    branches: str = choice(
        *("repmb", "none", "asymmetric", "repvgg", "ecb", "conv3xc"),
        doc="training-time branches of the blocks' 3x3 convolutions, folded for use: part of the training",
    )

    def build(self, scale: int) -> nn.Module:
        """The network, (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), with fresh weights.

        Raises SpaceError for another scale than 2, 3 or 4.
        """
        require_scale(scale)
        return PlainUsrNetwork(self, scale)


class PlainUsrNetwork(nn.Module):
    """The network that a PlainUsr describes.

    The last three channels of the stem begin as the image plus default weights, and the tail begins as the
    nearest-neighbour enlargement of these channels plus default weights, as released; no block changes them.
    """

    def __init__(self, choices: PlainUsr, scale: int) -> None:
        super().__init__()
        width = choices.width
        self.stem = nn.Conv2d(3, width + 3, 3, padding=1)
        self.blocks = nn.ModuleList(_block(choices, place) for place in range(choices.blocks))
        self.tail = PixelShuffleTail(width + 3, scale)
        last = self.tail[0]
        assert isinstance(last, nn.Conv2d)
        with torch.no_grad():
            for colour in range(3):
                outputs = slice(colour * scale**2, (colour + 1) * scale**2)
                self.stem.weight[width + colour, colour, 1, 1] += 1
                last.weight[outputs, width + colour, 1, 1] += 1

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        features = self.stem(x)
        for block in self.blocks:
            features = block(features)
        return self.tail(features)


def _block(choices: PlainUsr, place: int) -> PlainBlock:
    """The block at ``place``."""
    size, width = SIZES[choices.size], choices.width
    deepest = min(len(size.levels) - 1, choices.blocks // 2)
    level = min(place, choices.blocks - 1 - place, deepest)
    part = max(1, round(width * size.levels[level]))
    attention: AttentionFactory = NoAttention
    if size.hidden is not None:
        attention = partial(LocalImportanceAttention, hidden=max(1, round(width * size.hidden)))
    elif level == deepest:
        attention = ConvolvedImportanceAttention
    guided = choices.branches == "repmb" and attention is not NoAttention
    return PlainBlock(
        width + 3,
        conv=BRANCHES[choices.branches] or square3x3,
        attention=attention,
        depth=size.depth,
        share=(width + 3 - part) / (width + 3),
        last=GuidedInvertedConv if guided else None,
    )

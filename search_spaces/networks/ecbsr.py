"""ECBSR: a chain of 3x3 convolutions that are trained as edge-oriented branches, on the luma alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.axes import choice, span
from search_spaces.blocks.branches import BRANCHES
from search_spaces.blocks.convolutions import square3x3
from search_spaces.blocks.tails import bicubic_skip
from search_spaces.errors import require_scale
from search_spaces.genotype import Genotype

_LUMA = (0.299, 0.587, 0.114)
"""Y of BT.601 in R, G and B."""

_BLACK, _RANGE = 16.0, 219.0
"""Y of BT.601 in 8 bits: 16 for black, 235 for white."""


@dataclass(frozen=True, kw_only=True)
class Ecbsr(Genotype):
    """ECBSR (ACM MM 2021, and its released code); ``blocks`` and ``width`` are m and c of its names "m4c16".

    The paper's network is for luma alone, in 0 to 255. ``colour`` "rgb", with three channels from end to end,
    is ours. The paper's ``branches`` are ``ecb``; the others are ours. They are folded for use.
    """

    width: int = span(8, 96, step=2, doc="channels of the features")
    blocks: int = span(1, 32, doc="convolutions between the first and the last")
    colour: str = choice("y", "rgb", doc="what the network sees: luma, with bicubic chroma, or all colours")
    branches: str = choice(
        *("ecb", "none", "asymmetric", "repvgg", "conv3xc", "repmb"),
        doc="training-time branches of the 3x3 convolutions, folded for use: part of the training",
    )

    def build(self, scale: int) -> nn.Module:
        """The network, (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), with fresh weights.

        Raises SpaceError for another scale than 2, 3 or 4.
        """
        require_scale(scale)
        body = EcbsrBody(self, scale)
        return LumaNetwork(body, scale) if self.colour == "y" else body


class EcbsrBody(nn.Module):
    """The network that an Ecbsr describes, with one or three channels.

    Inside values are 0 to 255, as the released code trains it; every output pixel begins from the nearest
    input pixel, which is added.
    """

    def __init__(self, choices: Ecbsr, scale: int) -> None:
        super().__init__()
        width, conv = choices.width, BRANCHES[choices.branches] or square3x3
        self.channels, self.scale = (1 if choices.colour == "y" else 3), scale
        sources = [self.channels] + [width] * choices.blocks
        self.blocks = nn.ModuleList(
            nn.Sequential(conv(source, width), nn.PReLU(width, init=0.25)) for source in sources
        )
        self.last = conv(width, self.channels * scale**2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) in [0, 1] -> (B, channels, scale * H, scale * W), not clipped."""
        x = 255 * x
        features = x
        for block in self.blocks:
            features = block(features)
        nearest = x.repeat_interleave(self.scale**2, dim=1)
        return F.pixel_shuffle(self.last(features) + nearest, self.scale) / 255


class LumaNetwork(nn.Module):
    """A network for luma as one for RGB: its luma, with the bicubically enlarged chroma.

    So the field shows the results of such networks. The conversions to BT.601 (Y in 16 to 235) and back are
    linear; together they add the difference of luma to the bicubically enlarged image, which is what is
    computed. Neither is counted.
    """

    luma: Tensor

    def __init__(self, body: nn.Module, scale: int) -> None:
        super().__init__()
        self.body, self.scale = body, scale
        self.register_buffer("luma", torch.tensor(_LUMA).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        enlarged = bicubic_skip(x, self.scale)
        return enlarged + (self.body(self._y(x)) - self._y(enlarged)) * (255 / _RANGE)

    def _y(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> Y of BT.601 as (B, 1, H, W) in [16 / 255, 235 / 255]."""
        luma = (self.luma * x).sum(dim=1, keepdim=True)
        return (_RANGE * luma + _BLACK) / 255

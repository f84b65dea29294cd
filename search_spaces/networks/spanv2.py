"""SPANV2: SPAN without stem and fusion, gated by a 1x1 convolution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search_spaces.axes import span
from search_spaces.blocks.activations import relu
from search_spaces.blocks.convolutions import depthwise, pointwise
from search_spaces.errors import require_scale
from search_spaces.genotype import Genotype


@dataclass(frozen=True, kw_only=True)
class SpanV2(Genotype):
    """SPANV2 (NTIRE 2026 challenge on efficient super-resolution, released code): 32 channels, 5 blocks.

    Only the network in use was released. The form in which it was trained is not published, so that this one
    is trained as it is used (ours).
    """

    width: int = span(8, 96, step=2, doc="channels of the features")
    blocks: int = span(1, 32, doc="blocks, of which the first takes the image")

    def build(self, scale: int) -> nn.Module:
        """The network, (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), with fresh weights.

        Raises SpaceError for another scale than 2, 3 or 4.
        """
        require_scale(scale)
        return SpanV2Network(self, scale)


class SpanV2Block(nn.Module):
    """SPABV2: three 3x3 with ReLU between them, the input added, times a 1x1 of their result."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = _convolutions(width, width)
        self.guide = pointwise(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        refined = self.body(x)
        return (x + refined) * self.guide(refined)


class SpanV2Network(nn.Module):
    """The network that a SpanV2 describes. Its 3x3 convolutions have no biases.

    ``near`` begins as a copy of every pixel, as released. The depthwise 3x3 and the 1x1 that follow it begin
    at random: how they began is not published.
    """

    def __init__(self, choices: SpanV2, scale: int) -> None:
        super().__init__()
        width, colours = choices.width, 3 * scale**2
        self.near = nn.Conv2d(3, colours, 3, padding=1, groups=3, bias=False)
        nn.init.dirac_(self.near.weight, groups=colours)
        self.enter = nn.Sequential(_convolutions(3, width), relu())
        self.blocks = nn.ModuleList(SpanV2Block(width) for _ in range(choices.blocks - 1))
        self.tail = nn.Sequential(
            depthwise(colours + width, 3, bias=False),
            pointwise(colours + width, colours, bias=False),
            nn.PixelShuffle(scale),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        features = self.enter(x)
        for block in self.blocks:
            features = block(features)
        return self.tail(torch.cat([self.near(x), features], dim=1))


def _convolutions(in_channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
        relu(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        relu(),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
    )

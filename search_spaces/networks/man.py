"""MAN: large-kernel attention at three scales and gated spatial units, without other convolutions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search_spaces.axes import span
from search_spaces.blocks.convolutions import channels_into, depthwise, pointwise, square3x3
from search_spaces.blocks.norms import ChannelNorm
from search_spaces.blocks.tails import PixelShuffleTail
from search_spaces.errors import require_scale
from search_spaces.genotype import Genotype
from search_spaces.networks.means import Div2kMean

_KERNELS = ((3, 5, 2), (5, 7, 3), (7, 9, 4))
"""Of each third of the channels: kernel, dilated kernel, dilation."""


@dataclass(frozen=True, kw_only=True)
class Man(Genotype):
    """MAN (released code): MAN-tiny has 48 channels and 5 blocks, MAN-light 60 and 24.

    The width is divisible by 3, one third for each kernel size.
    """

    width: int = span(9, 96, step=3, doc="channels of the features")
    blocks: int = span(1, 32, doc="blocks")

    def build(self, scale: int) -> nn.Module:
        """The network, (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), with fresh weights.

        Raises SpaceError for another scale than 2, 3 or 4.
        """
        require_scale(scale)
        return ManNetwork(self, scale)


class MultiScaleLargeKernelAttention(nn.Module):
    """MLKA: half of the features, seen through three large kernels, gates the other half.

    Each third of the gate is its large-kernel attention times its own depthwise convolution. A scale per
    channel that begins as 0 weights the result, to which the input is added.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        third = width // 3
        self.norm = ChannelNorm(width, eps=1e-6)
        self.enter = pointwise(width, 2 * width)
        self.large = nn.ModuleList(
            nn.Sequential(
                depthwise(third, kernel), depthwise(third, wide, dilation=dilation), pointwise(third, third)
            )
            for kernel, wide, dilation in _KERNELS
        )
        self.small = nn.ModuleList(depthwise(third, kernel) for kernel, _, _ in _KERNELS)
        self.leave = pointwise(width, width)
        self.scale = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        *parts, value = self._split(self.enter(self.norm(x)))
        gates = [
            large(part) * small(part)
            for part, large, small in zip(parts, self.large, self.small, strict=True)
        ]
        return x + self.scale * self.leave(value * torch.cat(gates, dim=1))

    def _split(self, entered: Tensor) -> tuple[Tensor, ...]:
        """The thirds of the gate, then the values."""
        thirds = [channels_into(large) for large in self.large]
        return entered.split([*thirds, entered.shape[1] - sum(thirds)], dim=1)


class GatedSpatialUnit(nn.Module):
    """GSAU: half of the features, through a depthwise 7x7, gates the other half; scaled and added as MLKA."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width, eps=1e-6)
        self.enter = pointwise(width, 2 * width)
        self.gate = depthwise(width, 7)
        self.leave = pointwise(width, width)
        self.scale = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        entered = self.enter(self.norm(x))
        gates = channels_into(self.gate)
        gate, value = entered.split([gates, entered.shape[1] - gates], dim=1)
        return x + self.scale * self.leave(value * self.gate(gate))


class LargeKernelEnd(nn.Module):
    """LKAT: 1x1, GELU, large-kernel attention (7x7, 9x9 with dilation 3, 1x1), 1x1; no norm and no skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Sequential(pointwise(width, width), nn.GELU())
        self.weight = nn.Sequential(
            depthwise(width, 7), depthwise(width, 9, dilation=3), pointwise(width, width)
        )
        self.leave = pointwise(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        entered = self.enter(x)
        return self.leave(entered * self.weight(entered))


class ManNetwork(nn.Module):
    """The network that a Man describes."""

    def __init__(self, choices: Man, scale: int) -> None:
        super().__init__()
        width = choices.width
        self.mean = Div2kMean()
        self.stem = square3x3(3, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(MultiScaleLargeKernelAttention(width), GatedSpatialUnit(width))
            for _ in range(choices.blocks)
        )
        self.end = LargeKernelEnd(width)
        self.tail = PixelShuffleTail(width, scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        shallow = self.stem(self.mean.subtract(x))
        features = shallow
        for block in self.blocks:
            features = block(features)
        return self.mean.add(self.tail(self.end(features) + shallow))

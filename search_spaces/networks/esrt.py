"""ESRT: convolutions that treat fine and coarse features apart, then one efficient transformer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks.calibration import ChannelGate
from search_spaces.blocks.convolutions import pointwise
from search_spaces.blocks.esrt import TokenStage
from search_spaces.errors import require_scale


@dataclass(frozen=True, kw_only=True)
class Esrt:
    """ESRT (arXiv 2108.11084, and its released code): 32 channels, 3 high-preserving blocks, 4 chunks.

    The paper prints 67.7 G Multi-Adds at x4; counting everything that multiplies gives about 298 G, as others
    have measured: most of it is attention over 14,400 tokens in each of the 4 chunks.
    """

    width: int = 32
    blocks: int = 3
    heads: int = 8
    chunks: int = 4

    def build(self, scale: int) -> nn.Module:
        """The network, (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), with fresh weights.

        Raises SpaceError for another scale than 2, 3 or 4.
        """
        require_scale(scale)
        return EsrtNetwork(self, scale)


class EsrtNetwork(nn.Module):
    """The network that an Esrt describes, wired as in the released code.

    Deviation: the code declares scalars that it never uses; they are left out.
    """

    def __init__(self, choices: Esrt, scale: int) -> None:
        super().__init__()
        width = choices.width
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(HighPreservingBlock(width) for _ in range(choices.blocks))
        self.reduce = nn.Conv2d(choices.blocks * width, width, 3, padding=1)
        self.transformer = TokenStage(width, heads=choices.heads, chunks=choices.chunks)
        self.scales = nn.Parameter(torch.ones(2))
        self.last = nn.Conv2d(width, width, 3, padding=1)
        self.tail = nn.Sequential(*_upsampler(width, scale), nn.Conv2d(width, 3, 3, padding=1))
        self.shallow_tail = nn.Sequential(
            *_upsampler(width, scale), nn.Conv2d(width, 3, 3, padding=1, bias=False), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        shallow = features = self.stem(x)
        collected = []
        for block in self.blocks:
            features = block(features)
            collected.append(features)
        mixed = self.transformer(self.reduce(torch.cat(collected, dim=1)))
        deep = self.last(self.scales[0] * shallow + self.scales[1] * mixed)
        return self.shallow_tail(shallow) + self.tail(deep)


class ResidualUnit(nn.Module):
    """RU: half the width inside, both summands with a learned scalar (ESRT, sec. 3.2; PReLU as released)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = width // 2
        self.body = nn.Sequential(
            nn.Conv2d(width, inner, 3, padding=1), nn.PReLU(inner), nn.Conv2d(inner, width, 3, padding=1)
        )
        self.scales = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return self.scales[0] * x + self.scales[1] * self.body(x)


class AdaptiveResidualBlock(nn.Module):
    """ARFB: two residual units, fused, weighted by channel, convolved, added by scalars (ESRT, sec. 3.2)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(ResidualUnit(width) for _ in range(2))
        self.reduce = nn.Sequential(pointwise(2 * width, width, bias=False), nn.ReLU(inplace=True))
        self.gate = ChannelGate(width)
        self.last = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.ReLU(inplace=True))
        self.scales = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        first = self.units[0](x)
        second = self.units[1](first)
        fused = self.reduce(torch.cat([self.scales[0] * second, self.scales[1] * first], dim=1))
        return self.scales[2] * x + self.scales[3] * self.last(fused * self.gate(fused))


class HighPreservingBlock(nn.Module):
    """HPB: fine features pass one ARFB, the pooled ones the same ARFB five times (ESRT, sec. 3.2).

    The split is by average pooling and bilinear enlargement with aligned corners, as released. Maps one pixel
    high or wide are not pooled along that side (ours: the released code has no output for them).
    """

    coarse_steps = 5

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encode, self.coarse, self.fine, self.decode = (AdaptiveResidualBlock(width) for _ in range(4))
        self.reduce = nn.Sequential(pointwise(2 * width, width, bias=False), nn.ReLU(inplace=True))
        self.gate = ChannelGate(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        size = (x.shape[2], x.shape[3])
        encoded = self.encode(x)
        coarse = F.avg_pool2d(encoded, (min(2, size[0]), min(2, size[1])))
        fine = self.fine(encoded - F.interpolate(coarse, size, mode="bilinear", align_corners=True))
        for _ in range(self.coarse_steps):
            coarse = self.coarse(coarse)
        coarse = F.interpolate(coarse, size, mode="bilinear", align_corners=True)
        fused = self.reduce(torch.cat([coarse, fine], dim=1))
        return x + self.decode(fused * self.gate(fused))


def _upsampler(width: int, scale: int) -> list[nn.Module]:
    """Convolution and pixel shuffle, once for each factor 2 of the scale or once for 3 (EDSR's upsampler)."""
    factors = [2, 2] if scale == 4 else [scale]
    return [
        part
        for factor in factors
        for part in (nn.Conv2d(width, width * factor**2, 3, padding=1), nn.PixelShuffle(factor))
    ]

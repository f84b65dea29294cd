"""SMFANet's parts: self-modulation (SMFA), a partly convolved feed-forward part (PCFN), and both (FMB)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks.cnn_block import CnnBlock
from search_spaces.blocks.convolutions import channels_into, depthwise, pointwise


class SelfModulation(nn.Module):
    """SMFA: half of the features gated by a coarse map, added to a local estimate of the other half.

    (SMFANet, ECCV 2024, released code.)

    The coarse map has an eighth of the image's height and width: depthwise 3x3 of the maxima, plus the
    variance of each channel over the image, both with learned weights. So tiles differ from the whole image.
    Below 8 pixels the map has one pixel, and one pixel has variance 0 (both ours; the released code fails
    there).
    """

    factor = 8

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.enter = pointwise(channels, 2 * channels)
        self.coarse = depthwise(channels, 3)
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.variance_weight = nn.Parameter(torch.zeros(channels, 1, 1))
        self.gate = pointwise(channels, channels)
        self.local = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 3, padding=1, groups=channels),
            pointwise(2 * channels, 2 * channels),
            nn.GELU(),
            pointwise(2 * channels, channels),
        )
        self.leave = pointwise(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        entered = self.enter(x)
        nearby = channels_into(self.local)
        local, wide = entered.split([nearby, entered.shape[1] - nearby], dim=1)
        freedom = max(1, wide.shape[2] * wide.shape[3] - 1)
        variance = (wide - wide.mean((2, 3), keepdim=True)).square().sum((2, 3), keepdim=True) / freedom
        coarse = self.weight * self.coarse(self._pooled(wide)) + self.variance_weight * variance
        gate = self._enlarged(F.gelu(self.gate(coarse)), wide)
        return self.leave(wide * gate + self.local(local))

    def _pooled(self, x: Tensor) -> Tensor:
        """The largest value in each of the cells of a coarse map."""
        return F.adaptive_max_pool2d(x, [max(1, side // self.factor) for side in x.shape[-2:]])

    def _enlarged(self, coarse: Tensor, like: Tensor) -> Tensor:
        """``coarse`` at the size of ``like``, each value repeated."""
        return F.interpolate(coarse, like.shape[-2:], mode="nearest")


class PartialFeedForward(nn.Module):
    """PCFN: 1x1 to twice the width, 3x3 on a quarter of it, 1x1 back (SMFANet, ECCV 2024, released code)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = pointwise(width, 2 * width)
        part = width // 2
        self.partial = nn.Conv2d(part, part, 3, padding=1)
        self.leave = pointwise(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        entered = F.gelu(self.enter(x))
        part = channels_into(self.partial)
        seen, rest = entered.split([part, entered.shape[1] - part], dim=1)
        return self.leave(torch.cat([F.gelu(self.partial(seen)), rest], dim=1))


class FeatureModulationBlock(CnnBlock):
    """FMB: SMFA and then PCFN, each of normalised features and added (SMFANet, ECCV 2024, released code).

    The features of each pixel are divided by their Euclidean norm.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.modulation = SelfModulation(width)
        self.mixer = PartialFeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        x = x + self.modulation(F.normalize(x))
        return x + self.mixer(F.normalize(x))

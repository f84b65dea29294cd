"""Attention: every entry of ATTENTIONS is called as ``attention(channels)`` and keeps the shape.

To add one, write a module (B, C, H, W) -> (B, C, H, W) and put it in the table at the foot.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks.convolutions import pointwise

AttentionFactory = Callable[[int], nn.Module]


class NoAttention(nn.Identity):
    """The null option: the input as it is."""

    def __init__(self, channels: int) -> None:
        super().__init__()


class ContrastChannelAttention(nn.Module):
    """CCA: channels weighted by their mean plus their standard deviation (IMDN, arXiv 1909.11856, sec. 3.3).

    The squeeze is ``reduction`` (16 in the paper); the bottleneck has at least one channel (ours, for
    widths below 16).
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.gate = nn.Sequential(
            pointwise(channels, hidden), nn.ReLU(inplace=True), pointwise(hidden, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        # The small constant keeps the gradient of the root finite on constant maps.
        contrast = ((x - mean).square().mean(dim=(2, 3), keepdim=True) + 1e-10).sqrt()
        return x * self.gate(contrast + mean)


class EnhancedSpatialAttention(nn.Module):
    """ESA: a spatial mask seen through a large receptive field (RFDN, arXiv 2009.11551, sec. 3.3).

    Built as in the released code: three 3x3 convolutions at the pooled size, f = C / 4. Maps smaller than 15
    pixels, where its pooling has no output, are extended by replication before the pooling (ours).
    """

    smallest = 15

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // 4)
        self.squeeze = pointwise(channels, hidden)
        self.skip = pointwise(hidden, hidden)
        self.stride = nn.Conv2d(hidden, hidden, 3, stride=2)
        self.body = nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=1),
        )
        self.expand = pointwise(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = x.shape[-2:]
        squeezed = self.squeeze(x)
        below, right = max(0, self.smallest - height), max(0, self.smallest - width)
        small = F.pad(squeezed, (0, right, 0, below), mode="replicate") if below or right else squeezed
        pooled = F.max_pool2d(self.stride(small), kernel_size=7, stride=3)
        mask = F.interpolate(self.body(pooled), (height, width), mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.expand(mask + self.skip(squeezed)))


ATTENTIONS: dict[str, AttentionFactory] = {
    "none": NoAttention,
    "cca": ContrastChannelAttention,
    "esa": EnhancedSpatialAttention,
}

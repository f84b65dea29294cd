"""Attention: every entry of ATTENTIONS is called as ``attention(channels)`` and keeps the shape.

To add one, write a module (B, C, H, W) -> (B, C, H, W) and put it in the table at the foot.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks.calibration import (
    ChannelGate,
    CombinationAttention,
    SelfCalibratedChannel,
    SelfCalibratedSpatial,
)
from search_spaces.blocks.convolutions import BlueprintConv, channels_into, depthwise, pointwise
from search_spaces.blocks.smfanet import SelfModulation

AttentionFactory = Callable[[int], nn.Module]


class NoAttention(nn.Identity):
    """The null option: the input as it is."""

    def __init__(self, channels: int) -> None:
        super().__init__()


class MeanChannelAttention(nn.Module):
    """CA: channels weighted by their mean through a squeeze of 16 (RCAN, arXiv 1807.02758, sec. 3.3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = ChannelGate(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * self.gate(x)


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

    def __init__(self, channels: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or max(1, channels // 4)
        self.squeeze = pointwise(channels, hidden)
        self.skip = pointwise(hidden, hidden)
        self.stride = self._stride(hidden)
        self.body = self._body(hidden)
        self.expand = pointwise(hidden, channels)

    def _stride(self, hidden: int) -> nn.Module:
        return nn.Conv2d(hidden, hidden, 3, stride=2)

    def _body(self, hidden: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = x.shape[-2:]
        squeezed = self.squeeze(x)
        below, right = max(0, self.smallest - height), max(0, self.smallest - width)
        small = F.pad(squeezed, (0, right, 0, below), mode="replicate") if below or right else squeezed
        pooled = F.max_pool2d(self.stride(small), kernel_size=7, stride=3)
        mask = F.interpolate(self.body(pooled), (height, width), mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.expand(mask + self.skip(squeezed)))


class BlueprintSpatialAttention(EnhancedSpatialAttention):
    """ESA whose four 3x3 are blueprint separable, with GELU (BSRN, arXiv 2205.05996, released code).

    That the strided one is too, its 1x1 at full size, is inferred: only so the counts come out exactly.
    """

    def _stride(self, hidden: int) -> nn.Module:
        return nn.Sequential(
            pointwise(hidden, hidden, bias=False), nn.Conv2d(hidden, hidden, 3, stride=2, groups=hidden)
        )

    def _body(self, hidden: int) -> nn.Module:
        return nn.Sequential(
            BlueprintConv(hidden, hidden),
            nn.GELU(),
            BlueprintConv(hidden, hidden),
            nn.GELU(),
            BlueprintConv(hidden, hidden),
        )


class BlueprintChannelSpatialAttention(nn.Sequential):
    """BSRN's attention: blueprint ESA, then CCA (BSRN, arXiv 2205.05996, released code)."""

    def __init__(self, channels: int) -> None:
        super().__init__(BlueprintSpatialAttention(channels), ContrastChannelAttention(channels))


class ProjectedSpatialAttention(nn.Sequential):
    """BSRN-S's attention: blueprint ESA whose strided 3x3 is a plain one, then 1x1.

    (BSRN, arXiv 2205.05996, released code of its challenge entry, where a learned weight for each channel
    stands before the 1x1; it is part of the 1x1 here.)
    """

    def __init__(self, channels: int) -> None:
        super().__init__(_PlainlyStridedAttention(channels), pointwise(channels, channels))


class _PlainlyStridedAttention(BlueprintSpatialAttention):
    def _stride(self, hidden: int) -> nn.Module:
        return nn.Conv2d(hidden, hidden, 3, stride=2)


class SlimSpatialAttention(EnhancedSpatialAttention):
    """ESA with one convolution left at the pooled size (RLFN, arXiv 2205.07514, released code).

    As in the released code f is 16 whatever the width; here at most the width itself (ours).
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, hidden=min(16, channels))

    def _body(self, hidden: int) -> nn.Module:
        return nn.Conv2d(hidden, hidden, 3, padding=1)


class ConvolvedChannelAttention(nn.Module):
    """FCA: 3x3 to half the width, GELU, 3x3 back, then channels weighted by their mean with a squeeze of 10.

    (GPDN's released code; no text of its article could be read. As an attention of another block it is ours.)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = max(1, channels // 2)
        self.body = nn.Sequential(
            nn.Conv2d(channels, half, 3, padding=1), nn.GELU(), nn.Conv2d(half, channels, 3, padding=1)
        )
        self.gate = ChannelGate(channels, reduction=10)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = self.body(x)
        return x * self.gate(x)


class PixelAttention(nn.Module):
    """PA: every value weighted by a 1x1 convolution of its pixel (PAN, arXiv 2010.01073, released code)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = pointwise(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * torch.sigmoid(self.gate(x))


class LargeKernelAttention(nn.Module):
    """LKA: depthwise 5x5, depthwise 7x7 with dilation 3, 1x1, times the input.

    (VAN, arXiv 2202.09741, sec. 3.1.)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Sequential(
            depthwise(channels, 5), depthwise(channels, 7, dilation=3), pointwise(channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * self.weight(x)


class LocalImportanceAttention(nn.Module):
    """LIA: a coarse map of importance, and the first channel of every pixel, weight the input.

    (PlainUSR, arXiv 2409.13435, released code.)

    The coarse map: 1x1 to ``hidden`` channels, soft pooling
    (7x7, stride 3), 3x3 with stride 2, 3x3 back, sigmoid, bilinear enlargement. ``hidden`` is 16 in the base
    network, 4 to 16 in the others; a quarter of the channels unless given (ours; the paper's 16 for 64).
    Maps smaller than 7 pixels, where the pooling has no output, are extended by replication before it, and
    the exponents of the soft pooling are kept within +-40, so that they stay finite (both ours).
    """

    smallest = 7
    most = 40.0

    def __init__(self, channels: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or max(1, channels // 4)
        self.squeeze = pointwise(channels, hidden)
        self.stride = nn.Conv2d(hidden, hidden, 3, stride=2, padding=1)
        self.expand = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * self.importance(x) * torch.sigmoid(x[:, :1])

    def importance(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> weights in (0, 1) of the same shape."""
        height, width = x.shape[-2:]
        squeezed = self.squeeze(x)
        below, right = max(0, self.smallest - height), max(0, self.smallest - width)
        small = F.pad(squeezed, (0, right, 0, below), mode="replicate") if below or right else squeezed
        weights = small.clamp(-self.most, self.most).exp()
        pooled = F.avg_pool2d(weights * small, 7, 3) / F.avg_pool2d(weights, 7, 3)
        coarse = torch.sigmoid(self.expand(self.stride(pooled)))
        return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)


class ConvolvedImportanceAttention(nn.Module):
    """The attention of PlainUSR's ultra-light sizes: LIA with one 3x3 in place of the coarse map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.importance = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * torch.sigmoid(self.importance(x)) * torch.sigmoid(x[:, :1])


class SmallerLargeKernelAttention(nn.Module):
    """LKA-5: 1x1, depthwise 5x5, depthwise 5x5 with dilation 3, times the input.

    (LKDN, arXiv 2407.14340, and VapSR, arXiv 2210.05960, released code: a reach of 17 pixels, the 1x1 first.)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Sequential(
            pointwise(channels, channels), depthwise(channels, 5), depthwise(channels, 5, dilation=3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * self.weight(x)


class MultiShapeLargeKernelAttention(nn.Module):
    """MM-LKA, inspired by SDAN (arXiv 2506.12475), of which only the abstract is known.

    Ours: 1x1, then a third of the channels each through a square large kernel (5x5, 7x7 with dilation 3),
    strips (1x9, 9x1) and dilated strips (both with dilation 5, the shape of LCAN's released code by the same
    first author), then 1x1, times the input. Channels left over by the division go to the square.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        third = channels // 3
        rest = channels - 2 * third
        self.enter = pointwise(channels, channels)
        self.square = nn.Sequential(depthwise(rest, 5), depthwise(rest, 7, dilation=3))
        self.strips = nn.Sequential(depthwise(third, (1, 9)), depthwise(third, (9, 1)))
        self.dilated = nn.Sequential(
            depthwise(third, (1, 9), dilation=(1, 5)), depthwise(third, (9, 1), dilation=(5, 1))
        )
        self.leave = pointwise(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W); C is at least 3."""
        parts = [channels_into(branch) for branch in (self.square, self.strips, self.dilated)]
        square, strips, dilated = self.enter(x).split(parts, dim=1)
        seen = [self.square(square), self.strips(strips), self.dilated(dilated)]
        return x * self.leave(torch.cat(seen, dim=1))


ATTENTIONS: dict[str, AttentionFactory] = {
    "none": NoAttention,
    "ca": MeanChannelAttention,
    "cca": ContrastChannelAttention,
    "esa": EnhancedSpatialAttention,
    "esa-slim": SlimSpatialAttention,
    "esa-cca": BlueprintChannelSpatialAttention,
    "cc": CombinationAttention,
    "fca": ConvolvedChannelAttention,
    "scca": SelfCalibratedChannel,
    "scsa": SelfCalibratedSpatial,
    "pa": PixelAttention,
    "lka": LargeKernelAttention,
    "mm-lka": MultiShapeLargeKernelAttention,
    "lka-5": SmallerLargeKernelAttention,
    "smfa": SelfModulation,
    "lia": LocalImportanceAttention,
    "esa-point": ProjectedSpatialAttention,
}

LATER_ATTENTIONS = {"lka-5": 2, "smfa": 2, "lia": 2, "esa-point": 2}
"""Options that were added -> the version of the space that has them first."""

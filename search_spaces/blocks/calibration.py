"""Gates that calibrate features: combination coefficients (LatticeNet) and self-calibrated units (EFRDN).

Each module called as ``module(channels)`` here keeps (B, C, H, W) and can stand in the table of attentions.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from search_spaces.blocks.convolutions import pointwise

Fuse = Literal["1x1", "3x3"]


def fitting_groups(wanted: int, *channels: int) -> int:
    """The largest number of groups, at most ``wanted``, that divides all ``channels``.

    This is the rule (ours) by which grouped convolutions follow the width; at the papers' widths it gives
    ``wanted`` itself.
    """
    return next(groups for groups in range(wanted, 0, -1) if all(count % groups == 0 for count in channels))


def squeezed_gate(channels: int, reduction: int = 16) -> nn.Sequential:
    """(B, C, 1, 1) -> weights in (0, 1) of the same shape, through a bottleneck of C / reduction channels.

    The bottleneck has at least one channel (ours, for widths below ``reduction``).
    """
    hidden = max(1, channels // reduction)
    return nn.Sequential(
        pointwise(channels, hidden), nn.ReLU(inplace=True), pointwise(hidden, channels), nn.Sigmoid()
    )


class ChannelGate(nn.Sequential):
    """A weight per channel from its mean: RCAN's squeeze and excitation (arXiv 1807.02758, sec. 3.3).

    As in LBNet's and ESRT's released code the squeeze is 16.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), squeezed_gate(channels, reduction))


class SpatialGate(nn.Module):
    """A weight per position from the channels' mean and maximum: CBAM's (arXiv 1807.06521, sec. 3).

    As in LBNet's released code: one 7x7 convolution without bias.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, H, W) in (0, 1)."""
        described = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return torch.sigmoid(self.conv(described))


class CombinationCoefficient(nn.Module):
    """CC: one coefficient per channel, learned from the mean and the standard deviation (LatticeNet).

    (LatticeNet, ECCV 2020, sec. 3.3, and its released code: two bottlenecks of C / 16 with biases, the mean
    of their two sigmoids, the unbiased deviation.) ``tied`` lets the two branches share one bottleneck: one
    reading of EFRDN's budget (inferred). A small constant under the root keeps its gradient finite on
    constant maps, and a single pixel has deviation zero (both ours).
    """

    def __init__(self, channels: int, *, tied: bool = False) -> None:
        super().__init__()
        self.mean = squeezed_gate(channels)
        self.deviation = self.mean if tied else squeezed_gate(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1) in (0, 1)."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        freedom = max(1, x.shape[2] * x.shape[3] - 1)
        variance = (x - mean).square().sum(dim=(2, 3), keepdim=True) / freedom
        return (self.mean(mean) + self.deviation((variance + 1e-10).sqrt())) / 2


class CombinationAttention(nn.Module):
    """Channels weighted by their own combination coefficient: x * CC(x).

    (The product as LatticeNet uses it, ECCV 2020, sec. 3.3; as an attention of its own it is ours.)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = CombinationCoefficient(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * self.coefficient(x)


class _SelfCalibrated(nn.Module):
    """What both units share: halves, a gated and a plain convolution, fusion, the input added.

    (EFRDN, doi 10.1016/j.cviu.2024.104178, sec. 3.2.) The text gives this order and neither widths nor the
    gates' insides. Inferred from the printed costs: no biases, a full 3x3 for the calibrated half, a 3x3 in
    2 groups for the other, and a 1x1 for the fusion, where the text has a 3x3 (a full one alone costs twice
    what the tables leave for the unit); ``fuse="3x3"`` takes a 3x3 in 8 groups. The gate looks at the half
    itself and multiplies its convolution, as in SCNet (CVPR 2020, sec. 3.2) without the pooled branch,
    which the equal numbers of weights and Multi-Adds exclude (inferred). An odd channel goes to the plain
    half (ours).
    """

    def __init__(self, channels: int, gate: type[nn.Module], fuse: Fuse) -> None:
        super().__init__()
        half = channels // 2
        rest = channels - half
        self.gate = gate(half) if gate is ChannelGate else gate()
        self.calibrated = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.plain = nn.Conv2d(rest, rest, 3, padding=1, groups=fitting_groups(2, rest), bias=False)
        if fuse == "1x1":
            self.fuse = pointwise(channels, channels, bias=False)
        else:
            groups = fitting_groups(8, channels)
            self.fuse = nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        left, right = x.split([self.calibrated.in_channels, self.plain.in_channels], dim=1)
        left = self.gate(left) * self.calibrated(left)
        return x + self.fuse(torch.cat([left, self.plain(right)], dim=1))


class SelfCalibratedSpatial(_SelfCalibrated):
    """SCSA: self-calibrated convolution with spatial attention (EFRDN, sec. 3.2 and Fig. 2).

    The gate is LBNet's 7x7 spatial attention (inferred: the same group, and the budget closes).
    """

    def __init__(self, channels: int, *, fuse: Fuse = "1x1") -> None:
        super().__init__(channels, SpatialGate, fuse)


class SelfCalibratedChannel(_SelfCalibrated):
    """SCCA: self-calibrated convolution with channel attention (EFRDN, sec. 3.2 and Fig. 2).

    The gate is RCAN's with a squeeze of 16 (inferred: the same group, and the budget closes).
    """

    def __init__(self, channels: int, *, fuse: Fuse = "1x1") -> None:
        super().__init__(channels, ChannelGate, fuse)

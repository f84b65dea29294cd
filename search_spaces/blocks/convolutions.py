"""Kernel shapes: every entry of CONVOLUTIONS is called as ``conv(in_channels, out_channels)``.

To add one, write a module that keeps height and width and put it in the table at the foot.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ConvFactory = Callable[[int, int], nn.Module]


def pointwise(in_channels: int, out_channels: int, *, bias: bool = True) -> nn.Conv2d:
    """A 1x1 convolution."""
    return nn.Conv2d(in_channels, out_channels, 1, bias=bias)


def square3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A plain 3x3 convolution, zero padded."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


class AsymmetricConv(nn.Module):
    """The sum of a 3x3, a 1x3 and a 3x1 convolution: a 3x3 with a strengthened skeleton.

    (ACNet, arXiv 1908.03930, sec. 3; the batch normalisation of its branches is left out, as it is throughout
    super-resolution.) Being linear it equals one 3x3 convolution, which :meth:`folded` gives.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.square = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.horizontal = nn.Conv2d(in_channels, out_channels, (1, 3), padding=(0, 1), bias=False)
        self.vertical = nn.Conv2d(in_channels, out_channels, (3, 1), padding=(1, 0), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        return self.square(x) + self.horizontal(x) + self.vertical(x)

    @torch.no_grad()
    def folded(self) -> nn.Conv2d:
        """The one 3x3 convolution that computes the same, with a copy of the weights."""
        square = self.square
        conv = nn.Conv2d(square.in_channels, square.out_channels, 3, padding=1).to(square.weight)
        strips = F.pad(self.horizontal.weight, (0, 0, 1, 1)) + F.pad(self.vertical.weight, (1, 1, 0, 0))
        conv.weight.copy_(square.weight + strips)
        assert conv.bias is not None and square.bias is not None
        conv.bias.copy_(square.bias)
        return conv


class BlueprintConv(nn.Sequential):
    """Blueprint separable convolution: 1x1 without bias, then depthwise 3x3.

    (BSConv-U, arXiv 2003.13549, sec. 3; as used by BSRN, arXiv 2205.05996, sec. 3.2.)
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            pointwise(in_channels, out_channels, bias=False),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, groups=out_channels),
        )


CONVOLUTIONS: dict[str, ConvFactory] = {
    "3x3": square3x3,
    "asymmetric": AsymmetricConv,
    "blueprint": BlueprintConv,
}

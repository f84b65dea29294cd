"""Shallow extraction: every entry of STEMS is ``stem(width)``, (B, 3, H, W) -> (B, width, H, W).

To add one, write it and put it in the table at the foot.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from search_spaces.blocks.convolutions import BlueprintConv, pointwise


def square_stem(width: int) -> nn.Module:
    """One 3x3 convolution from RGB: what IMDN, RFDN and EFRDN use."""
    return nn.Conv2d(3, width, 3, padding=1)


class PyramidStem(nn.Module):
    """3x3, 5x5 and 7x7 convolutions side by side, fused by 1x1: several scales at once.

    (Inspired by LMSWN, Comput. Eng. Sci. 46(8), 2024, whose abstract has a pyramid-like module in the shallow
    extraction and no more; each kernel gives a third of the width, the remainder goes to 3x3: ours.)
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        third = width // 3
        self.levels = nn.ModuleList(
            nn.Conv2d(3, channels, kernel, padding=kernel // 2)
            for channels, kernel in ((width - 2 * third, 3), (third, 5), (third, 7))
        )
        self.fuse = pointwise(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, width, H, W)."""
        return self.fuse(torch.cat([level(x) for level in self.levels], dim=1))


class BlueprintStem(nn.Module):
    """RGB repeated four times, then a blueprint convolution (BSRN, arXiv 2205.05996, released code)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = BlueprintConv(12, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, width, H, W)."""
        return self.conv(x.repeat(1, 4, 1, 1))


STEMS: dict[str, Callable[[int], nn.Module]] = {
    "3x3": square_stem,
    "pyramid": PyramidStem,
    "blueprint": BlueprintStem,
}

"""Reconstruction: TAILS turn features into the image, SKIPS enlarge the input that is added to it.

A tail is called as ``tail(width, scale)``: (B, width, H, W) -> (B, 3, scale * H, scale * W); a skip as
``skip(x, scale)``. To add one, write it and put it in its table at the foot.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks.branches import BesideConv


class Tail(nn.Module):
    """What every entry of TAILS is."""

    @abstractmethod
    def start_silent(self) -> None:
        """Make the output zero, so that a network with a skip begins as that skip's interpolation."""


class PixelShuffleTail(nn.Sequential, Tail):
    """A 3x3 convolution to 3 * scale^2 channels, then pixel shuffle (IMDN, RFDN; ESPCN, arXiv 1609.05158)."""

    def __init__(self, width: int, scale: int) -> None:
        super().__init__(nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def start_silent(self) -> None:
        """Zero the tail, so that a network with a skip begins as that skip's interpolation (ours)."""
        _zero(self[0])


class BranchedPixelShuffleTail(nn.Sequential, Tail):
    """The 3x3 convolution of pixel shuffle trained with branches, folded for use.

    (LKDN-S, arXiv 2407.14340, released code.) Beside it a 1x1, and a 1x1 to twice the width before a 3x3.
    """

    def __init__(self, width: int, scale: int) -> None:
        super().__init__(BesideConv(width, 3 * scale**2), nn.PixelShuffle(scale))

    def start_silent(self) -> None:
        """Zero what leaves each branch (ours)."""
        branches = self[0]
        assert isinstance(branches, BesideConv)
        for conv in (branches.square, branches.point, branches.narrow):
            _zero(conv)


class TwoStepTail(nn.Sequential, Tail):
    """3x3, LeakyReLU 0.1 and 3x3: at x4 to 64 channels and 12 with a pixel shuffle of 2 after each.

    (VapSR, arXiv 2210.05960, released code.) At x2 and x3 to 56 channels, then to 3 * scale^2 and one pixel
    shuffle.
    """

    def __init__(self, width: int, scale: int) -> None:
        between: tuple[nn.Module, ...] = (nn.PixelShuffle(2),) if scale == 4 else ()
        inner, factor = (64, 2) if scale == 4 else (56, scale)
        super().__init__(
            nn.Conv2d(width, inner, 3, padding=1),
            *between,
            nn.LeakyReLU(0.1, inplace=True),
            nn.Conv2d(inner // 4 if between else inner, 3 * factor**2, 3, padding=1),
            nn.PixelShuffle(factor),
        )

    def start_silent(self) -> None:
        """Zero the last convolution (ours)."""
        _zero(self[-2])


def _zero(conv: nn.Module) -> None:
    assert isinstance(conv, nn.Conv2d)
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def bicubic_skip(x: Tensor, scale: int) -> Tensor:
    """The input enlarged by bicubic interpolation (as GPDN's released code adds it)."""
    return F.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False)


TAILS: dict[str, Callable[[int, int], Tail]] = {
    "pixel_shuffle": PixelShuffleTail,
    "pixel_shuffle-rep": BranchedPixelShuffleTail,
    "two-step": TwoStepTail,
}

LATER_TAILS = {"pixel_shuffle-rep": 2, "two-step": 2}
"""Options that were added -> the version of the space that has them first."""

SKIPS: dict[str, Callable[[Tensor, int], Tensor] | None] = {"none": None, "bicubic": bicubic_skip}

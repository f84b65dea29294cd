"""Reconstruction: TAILS turn features into the image, SKIPS enlarge the input that is added to it.

A tail is called as ``tail(width, scale)``: (B, width, H, W) -> (B, 3, scale * H, scale * W); a skip as
``skip(x, scale)``. To add one, write it and put it in its table at the foot.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn


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
        conv = self[0]
        assert isinstance(conv, nn.Conv2d) and conv.bias is not None
        nn.init.zeros_(conv.weight)
        nn.init.zeros_(conv.bias)


def bicubic_skip(x: Tensor, scale: int) -> Tensor:
    """The input enlarged by bicubic interpolation (as GPDN's released code adds it)."""
    return F.interpolate(x, scale_factor=scale, mode="bicubic", align_corners=False)


TAILS: dict[str, Callable[[int, int], Tail]] = {"pixel_shuffle": PixelShuffleTail}
SKIPS: dict[str, Callable[[Tensor, int], Tensor] | None] = {"none": None, "bicubic": bicubic_skip}

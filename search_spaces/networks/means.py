"""The mean colour of DIV2K, which several networks take off their input and put back on their output."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Div2kMean(nn.Module):
    """DIV2K's mean colour in [0, 1], as in EDSR's released code (arXiv 1707.02921) and its descendants.

    They use two frozen 1x1 convolutions of 12 numbers each; here it is a constant that counts as neither
    parameter nor Multi-Adds (ours).
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(
            "mean", torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1), persistent=False
        )

    def subtract(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) without the mean colour."""
        return x - self.mean

    def add(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) with the mean colour."""
        return x + self.mean

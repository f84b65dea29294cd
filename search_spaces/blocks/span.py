"""SPAN's block SPAB: the result of three convolutions gates itself and the input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_spaces.blocks.activations import silu
from search_spaces.blocks.cnn_block import CnnBlock
from search_spaces.blocks.convolutions import ConvFactory


class SpanBlock(CnnBlock):
    """SPAB: three convolutions with SiLU between them, the input added, times sigmoid - 1/2 of their result.

    (SPAN, arXiv 2311.12770, released code.) The paper: 3x3 kernels with the branches ``conv3xc``. A network
    that also needs the first activated map, as SPAN does, calls :attr:`enter` and :meth:`gated` itself.
    """

    convolves = True

    def __init__(self, width: int, *, conv: ConvFactory) -> None:
        super().__init__()
        self.enter = nn.Sequential(conv(width, width), silu())
        self.refine = nn.Sequential(conv(width, width), silu(), conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return self.gated(x, self.enter(x))

    def gated(self, x: Tensor, entered: Tensor) -> Tensor:
        """The output of the block.

        Args:
            x: Input of the block, (B, width, H, W).
            entered: Output of :attr:`enter` for ``x``, the same shape.
        """
        refined = self.refine(entered)
        return (refined + x) * (torch.sigmoid(refined) - 0.5)

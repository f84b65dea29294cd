"""LKDN's block: distillation without skips inside, and large-kernel attention before a norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_spaces.blocks.activations import ActivationFactory, gelu
from search_spaces.blocks.attention import AttentionFactory
from search_spaces.blocks.cnn_block import CnnBlock
from search_spaces.blocks.convolutions import ConvFactory, plain, pointwise
from search_spaces.blocks.norms import ChannelNorm


class LargeKernelDistillationBlock(CnnBlock):
    """LKDB: distillation as in BSRN without its inner skips, attention between two 1x1, norm, the input.

    (LKDN, arXiv 2407.14340, released code.)

    The paper: depth 3, share 1/2, blueprint kernels, GELU, the attention `lka-5`. The last kernel of a block
    has no training-time branches, as released (LKDN-S).
    """

    convolves = attends = activates = distils = True

    def __init__(
        self,
        width: int,
        *,
        conv: ConvFactory,
        attention: AttentionFactory,
        depth: int,
        share: float,
        activation: ActivationFactory = gelu,
    ) -> None:
        super().__init__()
        distilled = round(width * share)
        self.distillers = nn.ModuleList(pointwise(width, distilled) for _ in range(depth))
        self.refiners = nn.ModuleList(conv(width, width) for _ in range(depth))
        self.last = plain(conv)(width, distilled)
        self.activation = activation()
        self.fuse = pointwise(distilled * (depth + 1), width)
        self.attention = attention(width)
        self.project = pointwise(width, width)
        self.norm = ChannelNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        kept, rest = [], x
        for distil, refine in zip(self.distillers, self.refiners, strict=True):
            kept.append(self.activation(distil(rest)))
            rest = self.activation(refine(rest))
        kept.append(self.activation(self.last(rest)))
        return x + self.norm(self.project(self.attention(self.fuse(torch.cat(kept, dim=1)))))

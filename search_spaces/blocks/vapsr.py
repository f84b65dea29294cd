"""VapSR's block: an attention wider than the features, and a norm after the skip."""

from __future__ import annotations

from torch import Tensor, nn

from search_spaces.blocks.attention import AttentionFactory
from search_spaces.blocks.cnn_block import CnnBlock
from search_spaces.blocks.convolutions import pointwise
from search_spaces.blocks.norms import ChannelNorm


class VastReceptiveBlock(CnnBlock):
    """VAB: 1x1 to 64 channels, GELU, attention, 1x1 back, the input, norm.

    (VapSR, arXiv 2210.05960, released code: the attention is `lka-5`, and 64 whatever the width.)

    No path leads around the norms.
    """

    attends = True
    inner = 64

    def __init__(self, width: int, *, attention: AttentionFactory) -> None:
        super().__init__()
        self.body = nn.Sequential(
            pointwise(width, self.inner), nn.GELU(), attention(self.inner), pointwise(self.inner, width)
        )
        self.norm = ChannelNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return self.norm(x + self.body(x))

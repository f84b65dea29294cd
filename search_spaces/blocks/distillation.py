"""Blocks of the CNN part: information distillation, and the plain residual block as the null option.

Every entry of DISTILLERS keeps (B, width, H, W). One whose ``distils`` is True is called as
``block(width, conv=..., attention=..., depth=..., share=...)``, the others without depth and share. To add
one, write the class and put it in the table at the foot.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from search_spaces.blocks.attention import AttentionFactory
from search_spaces.blocks.convolutions import ConvFactory, pointwise


def _activation() -> nn.Module:
    return nn.LeakyReLU(0.05, inplace=True)


class CnnBlock(nn.Module):
    """What every block of the CNN part says of itself."""

    distils: ClassVar[bool]
    """Whether distillation depth and share apply to it."""


class MultiDistillationBlock(CnnBlock):
    """IMDB: after each convolution a share of the channels is set aside (IMDN, arXiv 1909.11856, sec. 3.2).

    The paper: depth 3, share 1/4, CCA on the concatenation, 3x3 kernels.
    """

    distils = True

    def __init__(
        self, width: int, *, conv: ConvFactory, attention: AttentionFactory, depth: int, share: float
    ) -> None:
        super().__init__()
        self.distilled = round(width * share)
        self.remaining = width - self.distilled
        sources = [width] + [self.remaining] * (depth - 1)
        self.steps = nn.ModuleList(nn.Sequential(conv(source, width), _activation()) for source in sources)
        self.last = conv(self.remaining, self.distilled)
        collected = self.distilled * (depth + 1)
        self.attention = attention(collected)
        self.fuse = pointwise(collected, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        kept, rest = [], x
        for step in self.steps:
            aside, rest = step(rest).split([self.distilled, self.remaining], dim=1)
            kept.append(aside)
        collected = torch.cat([*kept, self.last(rest)], dim=1)
        return x + self.fuse(self.attention(collected))


class ResidualDistillationBlock(CnnBlock):
    """RFDB: 1x1 convolutions distil beside shallow residual refinement (RFDN, arXiv 2009.11551, sec. 3.2).

    The released code: depth 3, share 1/2, ESA after the fusion, and no skip around the whole block.
    """

    distils = True

    def __init__(
        self, width: int, *, conv: ConvFactory, attention: AttentionFactory, depth: int, share: float
    ) -> None:
        super().__init__()
        distilled = round(width * share)
        self.distillers = nn.ModuleList(pointwise(width, distilled) for _ in range(depth))
        self.refiners = nn.ModuleList(conv(width, width) for _ in range(depth))
        self.last = conv(width, distilled)
        self.activation = _activation()
        self.fuse = pointwise(distilled * (depth + 1), width)
        self.attention = attention(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        kept, rest = [], x
        for distil, refine in zip(self.distillers, self.refiners, strict=True):
            kept.append(self.activation(distil(rest)))
            rest = self.activation(refine(rest) + rest)
        kept.append(self.activation(self.last(rest)))
        return self.attention(self.fuse(torch.cat(kept, dim=1)))


class ResidualBlock(CnnBlock):
    """Two convolutions with a skip: the null option (EDSR, arXiv 1707.02921, sec. 3.1; attention is ours)."""

    distils = False

    def __init__(self, width: int, *, conv: ConvFactory, attention: AttentionFactory) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(width, width), _activation(), conv(width, width), attention(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return x + self.body(x)


DISTILLERS: dict[str, type[CnnBlock]] = {
    "imdb": MultiDistillationBlock,
    "rfdb": ResidualDistillationBlock,
    "residual": ResidualBlock,
}

DISTILLING: tuple[str, ...] = tuple(name for name, block in DISTILLERS.items() if block.distils)
"""The blocks to which distillation depth and share apply."""

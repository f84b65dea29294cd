"""LatticeNet: lattice blocks whose outputs are fused backwards, from the deepest to the first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search_spaces.blocks.convolutions import pointwise
from search_spaces.blocks.lattice import LatticeBlock
from search_spaces.blocks.tails import PixelShuffleTail
from search_spaces.errors import require_scale
from search_spaces.networks.means import Div2kMean


@dataclass(frozen=True, kw_only=True)
class LatticeNet:
    """LatticeNet (Luo et al., ECCV 2020, sec. 3.1, and its released code): 64 channels, 4 blocks."""

    width: int = 64
    blocks: int = 4

    def build(self, scale: int) -> nn.Module:
        """The network, (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), with fresh weights.

        Raises SpaceError for another scale than 2, 3 or 4.
        """
        require_scale(scale)
        return LatticeNetwork(self, scale)


class LatticeNetwork(nn.Module):
    """The network that a LatticeNet describes.

    Backward fusion as in the released code: the deeper features and those of the block before are each
    halved by a 1x1 convolution with ReLU and concatenated, until the first block is reached.
    """

    def __init__(self, choices: LatticeNet, scale: int) -> None:
        super().__init__()
        width = choices.width
        self.mean = Div2kMean()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1))
        self.blocks = nn.ModuleList(LatticeBlock(width) for _ in range(choices.blocks))
        self.halves = nn.ModuleList(
            nn.ModuleList(nn.Sequential(pointwise(width, width // 2), nn.ReLU()) for _ in range(2))
            for _ in range(choices.blocks - 1)
        )
        self.tail = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), PixelShuffleTail(width, scale))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        shallow = features = self.stem(self.mean.subtract(x))
        collected = []
        for block in self.blocks:
            features = block(features)
            collected.append(features)
        fused = collected.pop()
        for halves in self.halves:
            assert isinstance(halves, nn.ModuleList)
            deeper, before = halves
            fused = torch.cat([deeper(fused), before(collected.pop())], dim=1)
        return self.mean.add(self.tail(fused + shallow))

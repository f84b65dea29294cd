"""LBNet: a symmetric convolutional part whose blocks are used twice, then two recursive transformers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks.calibration import ChannelGate, SpatialGate
from search_spaces.blocks.convolutions import pointwise
from search_spaces.blocks.esrt import TokenStage
from search_spaces.blocks.tails import PixelShuffleTail
from search_spaces.errors import require_scale
from search_spaces.networks.means import Div2kMean


@dataclass(frozen=True, kw_only=True)
class Lbnet:
    """LBNet (arXiv 2204.13286, and its released code): 32 channels; LBNet-T has 18 and 9 heads.

    The printed Multi-Adds count convolutions only; the transformers are left out of them.
    """

    width: int = 32
    heads: int = 8
    chunks: int = 16
    repeats: int = 3

    def build(self, scale: int) -> nn.Module:
        """The network, (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), with fresh weights.

        Raises SpaceError for another scale than 2, 3 or 4.
        """
        require_scale(scale)
        return LbnetNetwork(self, scale)


class LbnetNetwork(nn.Module):
    """The network that an Lbnet describes, wired as in the released code."""

    def __init__(self, choices: Lbnet, scale: int) -> None:
        super().__init__()
        width = choices.width
        self.mean = Div2kMean()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(LocalFusionModule(width) for _ in range(3))
        self.gates = nn.ModuleList(ChannelGate(width) for _ in range(3))
        self.reduce = pointwise(6 * width, width)
        self.transformers = nn.Sequential(
            *(
                TokenStage(width, heads=choices.heads, chunks=choices.chunks, repeats=choices.repeats)
                for _ in range(2)
            )
        )
        self.tail = PixelShuffleTail(width, scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        shallow = features = self.stem(self.mean.subtract(x))
        collected = []
        for block in self.blocks:
            features = block(features)
            collected.append(features)
        for position, (block, gate) in enumerate(zip(self.blocks, self.gates, strict=True)):
            skipped = collected[position]
            features = block(features + skipped * gate(skipped))
            collected.append(features)
        deep = self.transformers(self.reduce(torch.cat(collected, dim=1)))
        return self.mean.add(self.tail(deep + shallow))


class DualAttentionBlock(nn.Module):
    """FRDAB: feature refinement with channel plus spatial attention (LBNet, sec. 3.2, as released)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.enter = pointwise(width, width)
        self.left, self.right = (nn.Conv2d(width, half, 3, padding=1) for _ in range(2))
        self.deep = nn.Conv2d(width + 2 * half, width, 3, padding=1)
        self.refine = nn.Conv2d(half, half, 3, padding=1)
        self.channel, self.spatial = ChannelGate(width + 2 * half), SpatialGate()
        self.leave = pointwise(width + 2 * half, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        entered = F.relu(self.enter(x))
        left, right = F.relu(self.left(entered)), F.relu(self.right(entered))
        deep = F.relu(self.deep(torch.cat([entered, left, right], dim=1)))
        collected = torch.cat([left, self.refine(right), deep], dim=1)
        weighted = collected * self.channel(collected) + collected * self.spatial(collected)
        return x + self.leave(weighted)


class LocalFusionModule(nn.Module):
    """LFFM: three FRDAB with dense connections (LBNet, sec. 3.2; the first two fusions in 2 groups)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(DualAttentionBlock(width) for _ in range(3))
        self.fusions = nn.ModuleList(
            nn.Conv2d(count * width, width, 1, groups=groups) for count, groups in ((2, 2), (3, 2), (4, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        collected, features = [x], x
        for block, fusion in zip(self.blocks, self.fusions, strict=True):
            collected.append(block(features))
            features = fusion(torch.cat(collected, dim=1))
        return x + features

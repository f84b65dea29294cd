"""SwinIR in its light size: residual groups of shifted-window transformers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from search_spaces.blocks.norms import ChannelNorm
from search_spaces.blocks.tails import PixelShuffleTail
from search_spaces.blocks.transformers import WindowTransformer
from search_spaces.errors import require_scale
from search_spaces.networks.means import Div2kMean


@dataclass(frozen=True, kw_only=True)
class SwinIr:
    """SwinIR (arXiv 2108.10257, and its released code): by default SwinIR-light for classical enlargement.

    The paper prints 897 K parameters and 49.6 G Multi-Adds at x4; the released code has 929,628, and counting
    its attention products gives 62.7 G, as others have measured.
    """

    width: int = 60
    groups: int = 4
    blocks: int = 6
    heads: int = 6
    mlp_ratio: int = 2

    def build(self, scale: int) -> nn.Module:
        """The network, (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), with fresh weights.

        Raises SpaceError for another scale than 2, 3 or 4.
        """
        require_scale(scale)
        return SwinIrNetwork(self, scale)


class SwinIrNetwork(nn.Module):
    """The network that a SwinIr describes ("pixelshuffledirect" reconstruction).

    Deviations: every window attention pads its input to whole windows by replication, where the released code
    mirrors the image once; no stochastic depth.
    """

    def __init__(self, choices: SwinIr, scale: int) -> None:
        super().__init__()
        width = choices.width
        self.mean = Div2kMean()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.enter, self.leave = ChannelNorm(width), ChannelNorm(width)
        self.groups = nn.ModuleList(_group(choices) for _ in range(choices.groups))
        self.last = nn.Conv2d(width, width, 3, padding=1)
        self.tail = PixelShuffleTail(width, scale)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        shallow = self.stem(self.mean.subtract(x))
        features = self.enter(shallow)
        for group in self.groups:
            features = features + group(features)
        return self.mean.add(self.tail(shallow + self.last(self.leave(features))))


def _group(choices: SwinIr) -> nn.Sequential:
    """RSTB without its skip: transformer blocks, every second one shifted, then 3x3 (SwinIR, sec. 3.2)."""
    blocks = [
        WindowTransformer(
            choices.width, heads=choices.heads, mlp_ratio=choices.mlp_ratio, shifted=position % 2 == 1
        )
        for position in range(choices.blocks)
    ]
    return nn.Sequential(*blocks, nn.Conv2d(choices.width, choices.width, 3, padding=1))

"""F2SRGAN's generator: separable and fast Fourier convolutions in turn; and its light student."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from search_spaces.blocks.convolutions import DepthwiseConv
from search_spaces.blocks.fourier import FastFourierConv
from search_spaces.errors import SpaceError, require_scale
from search_spaces.networks.means import Div2kMean


@dataclass(frozen=True, kw_only=True)
class F2srgan:
    """F2SRGAN's generator (Electronics 2023, 12(11), 2544, and its released code): 64 channels, 16 blocks.

    ``fourier=False`` with 8 blocks is the distilled student of Light-F2SRGAN. Scales 2 and 4. Multi-Adds
    leave out the Fourier transforms, which no counter sees (see ``blocks/fourier.py``).
    """

    width: int = 64
    blocks: int = 16
    fourier: bool = True

    def build(self, scale: int) -> nn.Module:
        """The network, (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), with fresh weights.

        Raises SpaceError for another scale than 2, 3 or 4.
        """
        require_scale(scale)
        return F2srganNetwork(self, scale)


class F2srganNetwork(nn.Module):
    """The generator that an F2srgan describes.

    Deviation: the released code subtracts 255 times DIV2K's mean colour and adds it back, with frozen
    convolutions of 24 numbers in all; here the mean in [0, 1] is a constant (see ``networks/means.py``).
    """

    def __init__(self, choices: F2srgan, scale: int) -> None:
        super().__init__()
        if scale not in (2, 4):
            raise SpaceError(f"scale {scale!r} is not supported by F2SRGAN (allowed: 2, 4)")
        width = choices.width
        self.mean = Div2kMean()
        self.stem = DepthwiseConv(3, width)
        self.blocks = nn.Sequential(
            *(
                SeparableResidual(width, fourier=choices.fourier and position % 2 == 0)
                for position in range(choices.blocks)
            )
        )
        stages = [
            nn.Sequential(DepthwiseConv(width, 4 * width), nn.PixelShuffle(2), nn.PReLU(width))
            for _ in range(scale // 2)
        ]
        self.tail = nn.Sequential(*stages, DepthwiseConv(width, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        shallow = self.stem(self.mean.subtract(x))
        return self.mean.add(self.tail(shallow + self.blocks(shallow)))


class SeparableResidual(nn.Module):
    """Fourier or separable convolution, PReLU, separable convolution; a tenth is added (released code)."""

    def __init__(self, width: int, *, fourier: bool) -> None:
        super().__init__()
        first = FastFourierConv(width) if fourier else DepthwiseConv(width, width)
        self.body = nn.Sequential(first, nn.PReLU(width), DepthwiseConv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return x + 0.1 * self.body(x)

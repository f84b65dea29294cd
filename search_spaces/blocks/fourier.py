"""Fast Fourier convolution: convolutions between frequencies, which see the whole image at once.

(F2SRGAN, Electronics 2023, 12(11), 2544, and its released code; FFC: NeurIPS 2020.) ``torch.fft``
multiplies too, of the order of C * H * W * log2(H * W) times each way, but no counter of Multi-Adds counts
it: a network with a :class:`FourierUnit` inside costs more than its Multi-Adds say, and ``nas cost`` says so.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks.convolutions import depthwise, pointwise


class FourierUnit(nn.Module):
    """A complex 1x1 convolution between the channels of every frequency, without bias.

    (F2SRGAN, released code.) There the spectrum is rolled, channels and batch included, before the
    convolution and back after it; that permutes weights and images only, and is left out. Transforms run in
    single precision at least.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.real = nn.Parameter(torch.randn(channels, channels, 1, 1) * 0.02)
        self.imaginary = nn.Parameter(torch.randn(channels, channels, 1, 1) * 0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        exact = x if x.dtype == torch.float64 else x.float()
        spectrum = torch.fft.rfft2(exact, norm="ortho")
        real, imaginary = spectrum.real.to(self.real.dtype), spectrum.imag.to(self.real.dtype)
        # One real convolution of both parts: the four products that a complex one consists of.
        weight = torch.cat(
            [torch.cat([self.real, -self.imaginary], dim=1), torch.cat([self.imaginary, self.real], dim=1)]
        )
        mixed = F.conv2d(torch.cat([real, imaginary], dim=1), weight).to(exact.dtype)
        real, imaginary = mixed.chunk(2, dim=1)
        out = torch.fft.irfft2(torch.complex(real, imaginary), s=x.shape[-2:], norm="ortho")
        return out.to(x.dtype)


class SpectralTransform(nn.Module):
    """Separable 1x1 to half the channels, ReLU, Fourier units on whole and quadrants, separable 1x1 back.

    (F2SRGAN, released code.) The local unit takes the first quarter of the channels, its four quadrants as
    channels, and its result is tiled. The released code drops the last row or column of an odd size there
    and leaves it zero; here it is repeated first and cut again (ours), as are channels that four does not
    divide.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = max(1, channels // 2)
        self.enter = nn.Sequential(
            depthwise(channels, 1, bias=False), pointwise(channels, half), nn.ReLU(inplace=True)
        )
        self.whole, self.local = FourierUnit(half), FourierUnit(half)
        self.leave = nn.Sequential(depthwise(half, 1, bias=False), pointwise(half, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        x = self.enter(x)
        return self.leave(x + self.whole(x) + self._quadrants(x))

    def _quadrants(self, x: Tensor) -> Tensor:
        channels, height, width = x.shape[-3:]
        quarter = F.pad(x[:, : -(-channels // 4)], (0, width % 2, 0, height % 2), mode="replicate")
        rows = torch.cat(quarter.chunk(2, dim=2), dim=1)
        patches = torch.cat(rows.chunk(2, dim=3), dim=1)[:, :channels]
        return self.local(patches).repeat(1, 1, 2, 2)[:, :, :height, :width]


class MirroredConv(nn.Module):
    """Depthwise 3x3 with mirrored borders, then 1x1 (F2SRGAN, released code).

    A side of one pixel, which has nothing to mirror, is repeated (ours).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, groups=in_channels)
        self.pointwise = pointwise(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        mode = "reflect" if min(x.shape[-2:]) > 1 else "replicate"
        return self.pointwise(self.depthwise(F.pad(x, (1, 1, 1, 1), mode=mode)))


class FastFourierConv(nn.Module):
    """Revised FFC: local and global halves of the channels, each fed by both (F2SRGAN, released code).

    The halves exchange through separable convolutions; global to global is a spectral transform. An odd
    channel goes to the local half (ours).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        across = channels // 2
        local = channels - across
        self.local_to_local = MirroredConv(local, local)
        self.local_to_global = MirroredConv(local, across)
        self.global_to_local = MirroredConv(across, local)
        self.global_to_global = SpectralTransform(across)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        parts = [branch.depthwise.in_channels for branch in (self.local_to_local, self.global_to_local)]
        local, across = x.split(parts, dim=1)
        return torch.cat(
            [
                self.local_to_local(local) + self.global_to_local(across),
                self.local_to_global(local) + self.global_to_global(across),
            ],
            dim=1,
        )

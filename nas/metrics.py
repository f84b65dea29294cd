"""How far an image is from the truth: named protocols of PSNR and SSIM, since their details differ by 0.1 dB.

To add one, write a function (sr, hr, border) -> (psnr_db, ssim) and put it in METRICS.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Metric = Callable[[Tensor, Tensor, int], tuple[float, float]]

_LUMA = (65.481, 128.553, 24.966)
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def y_float(sr: Tensor, hr: Tensor, border: int) -> tuple[float, float]:
    """PSNR (dB) and SSIM on Y of YCbCr, Y not rounded: BasicSR's habit and this project's default.

    ``sr`` and ``hr``: (3, H, W) uint8; ``border`` pixels are cut from each side first.
    """
    return _compare(_luma(_cut(sr, border)), _luma(_cut(hr, border)))


def y_uint8(sr: Tensor, hr: Tensor, border: int) -> tuple[float, float]:
    """The same with Y rounded to 8 bits, as MATLAB's ``rgb2ycbcr`` on uint8: the papers' scripts."""
    return _compare(_half_up(_luma(_cut(sr, border))), _half_up(_luma(_cut(hr, border))))


def rgb(sr: Tensor, hr: Tensor, border: int) -> tuple[float, float]:
    """PSNR over the three channels together; SSIM of each channel, averaged."""
    return _compare(_cut(sr, border).double(), _cut(hr, border).double())


METRICS: dict[str, Metric] = {"y_float": y_float, "y_uint8": y_uint8, "rgb": rgb}


def to_uint8(image: Tensor) -> Tensor:
    """An image in [0, 1] as 8 bits: clipped, then rounded."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def _cut(image: Tensor, border: int) -> Tensor:
    return image[..., border : image.shape[-2] - border, border : image.shape[-1] - border]


def _luma(image: Tensor) -> Tensor:
    """(1, H, W) in [16, 235], ITU-R BT.601."""
    weight = torch.tensor(_LUMA, dtype=torch.float64, device=image.device) / 255
    return 16 + (image.double() * weight[:, None, None]).sum(0, keepdim=True)


def _half_up(luma: Tensor) -> Tensor:
    """Rounded as MATLAB does; torch would round halves to even."""
    return (luma + 0.5).floor()


def _compare(a: Tensor, b: Tensor) -> tuple[float, float]:
    error = (a - b).square().mean().item()
    psnr = float("inf") if error == 0 else 10 * math.log10(255**2 / error)
    return psnr, _ssim(a, b)


def _ssim(a: Tensor, b: Tensor) -> float:
    """SSIM with an 11x11 Gaussian of sigma 1.5 over the valid region, mean over pixels and channels.

    NaN where a side is shorter than the window.
    """
    if min(a.shape[-2:]) < 11:
        return float("nan")
    mean_a, mean_b, aa, bb, ab = (_blur(x) for x in (a, b, a * a, b * b, a * b))
    var_a, var_b, cov = aa - mean_a**2, bb - mean_b**2, ab - mean_a * mean_b
    top = (2 * mean_a * mean_b + _SSIM_C1) * (2 * cov + _SSIM_C2)
    bottom = (mean_a**2 + mean_b**2 + _SSIM_C1) * (var_a + var_b + _SSIM_C2)
    return (top / bottom).mean().item()


def _blur(x: Tensor) -> Tensor:
    """The Gaussian window as two sums of shifted copies: far quicker on a CPU than a float64 convolution."""
    offsets = torch.arange(11, dtype=torch.float64) - 5
    window = (-(offsets**2) / (2 * 1.5**2)).exp()
    weights = (window / window.sum()).tolist()
    for dim in (-1, -2):
        size = x.shape[dim] - 10
        total = x.narrow(dim, 0, size) * weights[0]
        for shift in range(1, 11):
            total.add_(x.narrow(dim, shift, size), alpha=weights[shift])
        x = total
    return x

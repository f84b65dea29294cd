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
_STRIP = 100_000
"""Pixels of a strip of an image, of which five float64 maps are worked on at a time."""

_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def y_float(sr: Tensor, hr: Tensor, border: int) -> tuple[float, float]:
    """PSNR (dB) and SSIM on Y of YCbCr, Y not rounded: BasicSR's habit and this project's default.

    ``sr`` and ``hr``: (3, H, W) uint8; ``border`` pixels are cut from each side first.
    """
    return compare(luma(cut(sr, border)), luma(cut(hr, border)))


def y_uint8(sr: Tensor, hr: Tensor, border: int) -> tuple[float, float]:
    """The same with Y rounded to 8 bits, as MATLAB's ``rgb2ycbcr`` on uint8: the papers' scripts."""
    return compare(half_up(luma(cut(sr, border))), half_up(luma(cut(hr, border))))


def rgb(sr: Tensor, hr: Tensor, border: int) -> tuple[float, float]:
    """PSNR over the three channels together; SSIM of each channel, averaged."""
    return compare(cut(sr, border).double(), cut(hr, border).double())


METRICS: dict[str, Metric] = {"y_float": y_float, "y_uint8": y_uint8, "rgb": rgb}


def to_uint8(image: Tensor) -> Tensor:
    """An image in [0, 1] as 8 bits: clipped, then rounded."""
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def cut(image: Tensor, border: int) -> Tensor:
    """The image (..., H, W) without ``border`` pixels on each side."""
    return image[..., border : image.shape[-2] - border, border : image.shape[-1] - border]


def luma(image: Tensor) -> Tensor:
    """Y of YCbCr, (1, H, W) float64 in [16, 235], of an image (3, H, W) in [0, 255]; ITU-R BT.601."""
    red, green, blue = image.to(torch.float64, copy=True).unbind(0)
    weights = [weight / 255 for weight in _LUMA]
    y = red.mul_(weights[0]).add_(green.mul_(weights[1])).add_(blue.mul_(weights[2]))
    return y.add_(16)[None]


def half_up(image: Tensor) -> Tensor:
    """Rounded as MATLAB does; torch would round halves to even."""
    return (image + 0.5).floor()


def compare(a: Tensor, b: Tensor) -> tuple[float, float]:
    """PSNR (dB) and SSIM of two images (C, H, W) in [0, 255], over all pixels and channels."""
    error = (a - b).square().mean().item()
    psnr = float("inf") if error == 0 else 10 * math.log10(255**2 / error)
    return psnr, _ssim(a, b)


def _ssim(a: Tensor, b: Tensor) -> float:
    """SSIM with an 11x11 Gaussian of sigma 1.5 over the valid region, mean over pixels and channels.

    NaN where a side is shorter than the window.
    """
    channels, height, width = a.shape
    if min(height, width) < 11:
        return float("nan")
    rows = height - 10
    if a.device.type == "cpu":  # in strips that stay in the processor's cache, over twice as fast
        rows = max(16, _STRIP // (channels * width))
    total = 0.0
    for top in range(0, height - 10, rows):
        strip = slice(top, min(top + rows, height - 10) + 10)
        total += _ssim_sum(a[:, strip], b[:, strip])
    return total / (channels * (height - 10) * (width - 10))


def _ssim_sum(a: Tensor, b: Tensor) -> float:
    mean_a, mean_b, squares, products = (_blur(x) for x in (a, b, a * a + b * b, a * b))
    product, square = mean_a * mean_b, mean_a * mean_a + mean_b * mean_b
    top = (2 * product + _SSIM_C1) * (2 * (products - product) + _SSIM_C2)
    bottom = (square + _SSIM_C1) * (squares - square + _SSIM_C2)
    return (top / bottom).sum().item()


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

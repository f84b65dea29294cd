"""Bicubic resizing that equals MATLAB's ``imresize`` pixel for pixel, on any device.

MATLAB stretches the kernel when it makes an image smaller, mirrors at the edges, and, for 8-bit images,
rounds and saturates after each of the two one-dimensional passes. All of that is done here.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from torch import Tensor

KERNEL_WIDTH = 4.0


def imresize(image: Tensor, scale: Fraction | int) -> Tensor:
    """``image`` (..., H, W) made ``scale`` times as large: (..., ceil(scale * H), ceil(scale * W)).

    uint8 stays uint8 and follows MATLAB's 8-bit path; a floating image is computed and returned in float64,
    neither rounded nor clipped. Raises TypeError for other types.
    """
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise TypeError(f"imresize takes uint8 or floating images, not {image.dtype}")
    exact = Fraction(scale)
    rows_first = _resize_last(image.transpose(-1, -2), exact).transpose(-1, -2)
    return _resize_last(rows_first, exact).contiguous()


def _resize_last(image: Tensor, scale: Fraction) -> Tensor:
    """One pass along the last dimension."""
    index, weight = _taps(image.shape[-1], scale)
    index, weight = index.to(image.device), weight.to(image.device)
    values = image.double()
    out = torch.zeros(*image.shape[:-1], index.shape[0], dtype=torch.float64, device=image.device)
    for tap in range(index.shape[1]):  # the order of the sum decides ties, so it is kept fixed
        out += values[..., index[:, tap]] * weight[:, tap]
    if image.dtype == torch.uint8:
        return (out + 0.5).floor().clamp(0, 255).to(torch.uint8)
    return out


def _taps(length: int, scale: Fraction) -> tuple[Tensor, Tensor]:
    """For each output pixel the source pixels it reads and their weights, both (outputs, taps)."""
    ratio = float(scale)
    shrink = min(1.0, ratio)
    width = KERNEL_WIDTH / shrink
    outputs = math.ceil(length * scale)
    centre = torch.arange(1, outputs + 1, dtype=torch.float64) / ratio + 0.5 * (1 - 1 / ratio)
    first = (centre - width / 2).floor()
    source = first[:, None] + torch.arange(math.ceil(width) + 2, dtype=torch.float64)
    weight = shrink * _cubic(shrink * (centre[:, None] - source))
    weight = weight / weight.sum(1, keepdim=True)
    mirror = (source.long() - 1) % (2 * length)
    return torch.where(mirror < length, mirror, 2 * length - 1 - mirror), weight


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic kernel with a = -1/2."""
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, torch.zeros_like(x)))

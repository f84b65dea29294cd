"""Bicubic resizing that equals MATLAB's ``imresize`` pixel for pixel, on any device.

MATLAB stretches the kernel when it makes an image smaller, mirrors at the edges, and, for 8-bit images,
rounds and saturates after each of the two one-dimensional passes. All of that is done here.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

KERNEL_WIDTH = 4.0

Edge = Literal["symmetric", "replicate"]


def imresize(image: Tensor, scale: Fraction | int, *, edge: Edge = "symmetric") -> Tensor:
    """``image`` (..., H, W) made ``scale`` times as large: (..., ceil(scale * H), ceil(scale * W)).

    uint8 stays uint8 and follows MATLAB's 8-bit path; a floating image is computed and returned in float64,
    neither rounded nor clipped. ``edge``: ``symmetric`` mirrors, as MATLAB does; ``replicate`` repeats the
    last pixel, as it did when most benchmark rows of bicubic were made. Raises TypeError for other types.
    """
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise TypeError(f"imresize takes uint8 or floating images, not {image.dtype}")
    exact = Fraction(scale)
    rows = _resize_rows(image, exact, edge)
    return _resize_rows(rows.transpose(-1, -2).contiguous(), exact, edge).transpose(-1, -2).contiguous()


def _resize_rows(image: Tensor, scale: Fraction, edge: Edge) -> Tensor:
    """One pass: another number of rows, each a weighted sum of whole rows."""
    index, weight = _taps(image.shape[-2], scale, edge)
    index, weight = index.to(image.device), weight.to(image.device)
    values = image.double()
    shape = (*image.shape[:-2], index.shape[0], image.shape[-1])
    out = torch.zeros(shape, dtype=torch.float64, device=image.device)
    for tap in range(index.shape[1]):  # the order of the sum decides ties, so it is kept fixed
        out += values.index_select(-2, index[:, tap]).mul_(weight[:, tap, None])
    if image.dtype == torch.uint8:
        return out.add_(0.5).floor_().clamp_(0, 255).to(torch.uint8)
    return out


def _taps(length: int, scale: Fraction, edge: Edge) -> tuple[Tensor, Tensor]:
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
    place = source.long() - 1
    if edge == "replicate":
        return place.clamp(0, length - 1), weight
    mirror = place % (2 * length)
    return torch.where(mirror < length, mirror, 2 * length - 1 - mirror), weight


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic kernel with a = -1/2."""
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, torch.zeros_like(x)))

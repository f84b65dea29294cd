"""Enlarging an image that is too large to be computed at once: overlapping tiles, and what they change.

A network whose output depends only on a bounded neighbourhood gives the same with tiles, when the overlap
covers that neighbourhood, which is measured here. One that pools over the whole image, or divides it into
windows, does not; then the difference is measured.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ALIGN = 24
"""LR pixels of which every tile's corner is a multiple: windows of 8 and strides of 2, 3, 4 still fit."""

PROBES = (48, 96, 144)
"""Sides of the inputs, in LR pixels, on which a receptive field is looked for."""

UNKNOWN_OVERLAP = 48
"""Overlap in LR pixels where the receptive field is the whole image."""


def receptive_radius(network: nn.Module, *, seed: int = 0) -> int | None:
    """How many LR pixels beyond its own place an output depends on, by its gradient; None: the whole image.

    Found on random inputs of growing size on the CPU, twice on the small one, since an input may switch a
    path off. More than 70 LR pixels count as the whole image.
    """
    probe = copy.deepcopy(network).cpu().float().eval()
    for parameter in probe.parameters():
        parameter.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for side in PROBES:
        radius = max(_reach(probe, side, generator) for _ in range(2 if side == PROBES[0] else 1))
        if radius < side // 2 - 1:  # it ends before the border of the input does
            return radius
    return None


def _reach(network: nn.Module, side: int, generator: torch.Generator) -> int:
    """The furthest LR pixel that the outputs over the centre pixel depend on."""
    x = torch.rand(1, 3, side, side, generator=generator).requires_grad_()
    y = network(x)
    scale, centre = y.shape[-1] // side, side // 2
    rows = slice(centre * scale, (centre + 1) * scale)
    patch = y[..., rows, rows]
    weight = torch.randn(patch.shape, generator=generator)
    (gradient,) = torch.autograd.grad((patch * weight).sum(), x)
    touched = (gradient[0] != 0).any(0).nonzero()
    return int((touched - centre).abs().max()) if len(touched) else 0


@torch.no_grad()
def enlarge(network: nn.Module, x: Tensor, scale: int, *, tile: int = 0, overlap: int = 0) -> Tensor:
    """``network(x)`` for x (B, 3, H, W), in tiles of about ``tile`` LR pixels a side; 0 is all at once.

    Each tile is computed with ``overlap`` LR pixels more on each side, which are thrown away; towards the
    image's own border nothing is added, so that the network pads there as it does for the whole image.
    """
    height, width = x.shape[-2:]
    if tile <= 0 or (height <= tile and width <= tile):
        return network(x)
    step = max(ALIGN, tile // ALIGN * ALIGN)
    margin = math.ceil(overlap / ALIGN) * ALIGN
    out: Tensor | None = None
    for top in range(0, height, step):
        for left in range(0, width, step):
            bottom, right = min(top + step, height), min(left + step, width)
            first_row, first_column = max(0, top - margin), max(0, left - margin)
            part = network(x[..., first_row : bottom + margin, first_column : right + margin])
            if out is None:
                out = part.new_empty(*part.shape[:-2], height * scale, width * scale)
            rows = slice((top - first_row) * scale, (bottom - first_row) * scale)
            columns = slice((left - first_column) * scale, (right - first_column) * scale)
            out[..., top * scale : bottom * scale, left * scale : right * scale] = part[..., rows, columns]
    assert out is not None
    return out


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """How an image is to be cut up; ``difference`` is the largest one found to the whole, in [0, 1]."""

    tile: int
    overlap: int
    radius: int | None
    difference: float

    def told(self) -> str:
        """One line about it."""
        field = "the whole image" if self.radius is None else f"{self.radius} LR pixels around"
        exact = "as the whole image" if self.difference <= 1e-5 else "NOT as the whole image"
        return (
            f"tiles of {self.tile} with an overlap of {self.overlap} LR pixels (outputs depend on {field}): "
            f"{exact}, largest difference {self.difference:.1e} of 1"
        )


def plan_tiling(network: nn.Module, scale: int, tile: int, device: torch.device) -> Tiling:
    """The tiling for ``network``: its overlap by the receptive field, and the difference on a noisy image.

    The image has two tiles and a half on each side, so that it has tiles inside and at every border.
    """
    radius = receptive_radius(network)
    overlap = UNKNOWN_OVERLAP if radius is None else radius
    side = max(ALIGN, tile // ALIGN * ALIGN) * 5 // 2
    x = torch.rand(1, 3, side, side + 7, generator=torch.Generator().manual_seed(1)).to(device)
    was_training = network.training
    network.eval()
    whole = enlarge(network, x, scale)
    parts = enlarge(network, x, scale, tile=tile, overlap=overlap)
    network.train(was_training)
    difference = (whole - parts).abs().max().item()
    return Tiling(tile=tile, overlap=overlap, radius=radius, difference=difference)


@torch.no_grad()
def enlarge_in_bands(
    network: nn.Module,
    rows: Callable[[int, int], Tensor],
    size: tuple[int, int],
    scale: int,
    *,
    tile: int,
    overlap: int,
) -> Iterator[tuple[int, Tensor]]:
    """The same as :func:`enlarge` for an image of ``size``, a band of tiles at a time, from the top.

    ``rows(top, bottom)`` gives a part of the input, (1, 3, bottom - top, W). Each band comes with its first
    LR row, on the CPU, so that no more than one is in memory.
    """
    height, width = size
    if tile <= 0 or (height <= tile and width <= tile):
        yield 0, network(rows(0, height)).cpu()
        return
    step = max(ALIGN, tile // ALIGN * ALIGN)
    margin = math.ceil(overlap / ALIGN) * ALIGN
    for top in range(0, height, step):
        bottom, first_row = min(top + step, height), max(0, top - margin)
        x = rows(first_row, min(height, bottom + margin))
        parts = []
        for left in range(0, width, step):
            right, first_column = min(left + step, width), max(0, left - margin)
            part = network(x[..., first_column : right + margin])
            inside = slice((top - first_row) * scale, (bottom - first_row) * scale)
            across = slice((left - first_column) * scale, (right - first_column) * scale)
            parts.append(part[..., inside, across].cpu())
        yield top, torch.cat(parts, dim=-1)

"""Measuring a network, or bicubic interpolation, on the held-out images."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from nas.data import Pairs
from nas.imaging.bicubic import imresize
from nas.metrics.fidelity import METRICS, to_uint8

Scores = dict[str, tuple[float, float]]


@torch.no_grad()
def validate(
    network: nn.Module,
    pairs: Pairs,
    scale: int,
    metric: str,
    device: torch.device,
    see: Callable[[str, Tensor], None] | None = None,
) -> Scores:
    """PSNR (dB) and SSIM of each image by name: float32, whole images, 8-bit output, ``scale`` pixels cut.

    ``see`` is given each image's name and output, (3, H, W) uint8 on ``device``.
    """
    was_training = network.training
    network.eval()
    try:
        scores = {}
        for name, lr, hr in zip(pairs.names, pairs.lr, pairs.hr, strict=True):
            x = lr.to(device)[None].float() / 255
            sr = to_uint8(network(x.contiguous(memory_format=torch.channels_last))[0])
            if see is not None:
                see(name, sr)
            scores[name] = METRICS[metric](sr, hr.to(device), scale)
        return scores
    finally:
        network.train(was_training)


def bicubic_baseline(pairs: Pairs, scale: int, metric: str) -> Scores:
    """The same for MATLAB's bicubic enlargement of the 8-bit LR images."""
    return {
        name: METRICS[metric](imresize(lr, scale), hr, scale)
        for name, lr, hr in zip(pairs.names, pairs.lr, pairs.hr, strict=True)
    }


def mean_scores(scores: Scores) -> tuple[float, float]:
    """Mean PSNR (dB) and mean SSIM over the images."""
    psnr, ssim = zip(*scores.values(), strict=True)
    return math.fsum(psnr) / len(scores), math.fsum(ssim) / len(scores)

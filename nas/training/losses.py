"""What a training makes small, by name.

To add a loss, write a function from (sr, hr, weight) to a scalar, put it in LOSSES, and its word into the
words of ``Plan.loss``. A term that needs more
than the two images (a teacher's output, say) is a callable that holds what it needs.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

CHARBONNIER_EPSILON = 1e-3
"""Where the Charbonnier loss turns from a parabola into a line, in units of [0, 1]."""


def l1(sr: Tensor, hr: Tensor, weight: float) -> Tensor:
    """Mean absolute difference."""
    return F.l1_loss(sr, hr)


def mse(sr: Tensor, hr: Tensor, weight: float) -> Tensor:
    """Mean squared difference."""
    return F.mse_loss(sr, hr)


def charbonnier(sr: Tensor, hr: Tensor, weight: float) -> Tensor:
    """Mean of sqrt(difference^2 + epsilon^2): L1 with a rounded tip (LapSRN, arXiv 1704.03915, sec. 3.3)."""
    return ((sr - hr).square() + CHARBONNIER_EPSILON**2).sqrt().mean()


def l1_fft(sr: Tensor, hr: Tensor, weight: float) -> Tensor:
    """L1 plus ``weight`` times the L1 of the two-dimensional spectra.

    As SAFMN is trained (released code): an unnormalised transform, real and imaginary parts apart.
    """
    spectrum = torch.view_as_real(torch.fft.rfft2(sr)) - torch.view_as_real(torch.fft.rfft2(hr))
    return F.l1_loss(sr, hr) + weight * spectrum.abs().mean()


Loss = Callable[[Tensor, Tensor, float], Tensor]
"""From SR and HR, float32 (B, 3, H, W) in [0, 1], and the weight of a second term, to a scalar."""

LOSSES: dict[str, Loss] = {"l1": l1, "mse": mse, "charbonnier": charbonnier, "l1_fft": l1_fft}

"""Activations: every entry of ACTIVATIONS is called without arguments and gives a module.

To add one, put a line in the table at the foot.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

ActivationFactory = Callable[[], nn.Module]


def leaky_relu() -> nn.Module:
    """Leaky ReLU with slope 0.05: what IMDN, RFDN and RLFN use."""
    return nn.LeakyReLU(0.05, inplace=True)


def relu() -> nn.Module:
    """Rectified linear unit, as in EDSR."""
    return nn.ReLU(inplace=True)


def gelu() -> nn.Module:
    """Gaussian error linear unit (arXiv 1606.08415): what BSRN, SAFMN and GPDN use."""
    return nn.GELU()


def silu() -> nn.Module:
    """Sigmoid linear unit, x * sigmoid(x) (arXiv 1710.05941)."""
    return nn.SiLU(inplace=True)


ACTIVATIONS: dict[str, ActivationFactory] = {
    "lrelu": leaky_relu,
    "relu": relu,
    "gelu": gelu,
    "silu": silu,
}

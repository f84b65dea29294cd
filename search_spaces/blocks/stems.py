"""Shallow extraction: every entry of STEMS is ``stem(width)``, (B, 3, H, W) -> (B, width, H, W).

To add one, write it and put it in the table at the foot.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def square_stem(width: int) -> nn.Module:
    """One 3x3 convolution from RGB: what IMDN, RFDN and EFRDN use."""
    return nn.Conv2d(3, width, 3, padding=1)


STEMS: dict[str, Callable[[int], nn.Module]] = {"3x3": square_stem}

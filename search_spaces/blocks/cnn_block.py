"""What every block of the CNN part says of itself."""

from __future__ import annotations

from typing import ClassVar

from torch import nn


class CnnBlock(nn.Module):
    """What a block of the CNN part says of itself: which keywords its constructor takes.

    A class that does not say takes none. An axis is asked about only for the blocks that take it.
    """

    convolves: ClassVar[bool] = False
    """``conv``: the kernel shape makes a difference."""
    attends: ClassVar[bool] = False
    """``attention``."""
    activates: ClassVar[bool] = False
    """``activation``: the paper's is one of several."""
    repeats: ClassVar[bool] = False
    """``depth`` alone: how many steps."""
    distils: ClassVar[bool] = False
    """``depth`` and ``share``: how many steps, and the part of the channels that each sets aside."""

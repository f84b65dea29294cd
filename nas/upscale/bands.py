"""Images of which some rows are read at a time, so that they need not fit into memory.

To add a format, write a subclass of Bands, and ask for it in ``nas.upscale.reading``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np

from nas.upscale.decoding import Pixels


class Bands(ABC):
    """An image, (H, W, channels) uint8 or uint16, whose rows are read when they are asked for.

    ``icc`` is its colour profile, None where there is none.
    """

    def __init__(
        self, path: Path, shape: tuple[int, int, int], dtype: np.dtype[Any], icc: bytes | None
    ) -> None:
        self.path, self.shape, self.dtype, self.icc = path, shape, dtype, icc

    @abstractmethod
    def rows(self, top: int, bottom: int) -> Pixels:
        """(bottom - top, W, channels). Raises DataError where the file is damaged there."""

    def channels(self, first: int, end: int) -> ChannelSlice:
        """Some channels of it, to be cut like an array."""
        return ChannelSlice(self, slice(first, end))


class ChannelSlice:
    """Channels of an image in bands; ``part[top:bottom]`` reads rows, as of an array (H, W, channels)."""

    def __init__(self, of: Bands, channels: slice) -> None:
        self._of, self._channels, self.dtype = of, channels, of.dtype
        height, width, count = of.shape
        self.shape = height, width, len(range(count)[channels])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Pixels:
        top, bottom, _ = rows.indices(len(self))
        return self._of.rows(top, max(top, bottom))[..., self._channels]

"""Image files written in bands of rows, so that the whole of a large one never is in memory.

To add a format, write a class with the methods of Writer and put its suffixes in WRITERS.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from nas.upscale.reading import Pixels


@dataclass(frozen=True, kw_only=True)
class Form:
    """What is to be written: ``channels`` 1 to 4 (grey, grey and alpha, RGB, RGBA), 8 or 16 ``bits``."""

    height: int
    width: int
    channels: int
    bits: int
    icc: bytes | None = None


class Writer(Protocol):
    """Takes (rows, W, channels) from the top to the bottom, uint8 or uint16; then it is closed."""

    def rows(self, band: Pixels) -> None:
        """The next rows."""

    def close(self) -> None:
        """Everything is there."""

    def release(self) -> None:
        """Lets go of the file, whether everything is there or not."""


class PngWriter:
    """PNG, 8 or 16 bits: one band of rows in memory. Rows are coded as differences to the row above."""

    _COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}  # noqa: RUF012  (a table of the format)

    def __init__(self, path: Path, form: Form) -> None:
        self._file = path.open("wb")
        self._bytes = 1 if form.bits == 8 else 2
        self._packer = zlib.compressobj(6)
        self._above = np.zeros(form.width * form.channels * self._bytes, dtype=np.uint8)
        self._file.write(b"\x89PNG\r\n\x1a\n")
        colours = self._COLOURS[form.channels]
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", form.width, form.height, form.bits, colours, 0, 0, 0))
        if form.icc:
            self._chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(form.icc))

    def rows(self, band: Pixels) -> None:
        """The next rows."""
        raw = band.astype(f">u{self._bytes}", copy=False).reshape(len(band), -1)
        lines = np.ascontiguousarray(raw).view(np.uint8)
        coded = np.empty((len(band), 1 + lines.shape[1]), dtype=np.uint8)
        coded[:, 0] = 2  # "Up"
        coded[0, 1:] = lines[0] - self._above
        coded[1:, 1:] = lines[1:] - lines[:-1]
        self._above = lines[-1].copy()
        self._data(self._packer.compress(coded.tobytes()))

    def close(self) -> None:
        """Everything is there."""
        self._data(self._packer.flush())
        self._chunk(b"IEND", b"")

    def release(self) -> None:
        """Lets go of the file."""
        self._file.close()

    def _data(self, packed: bytes) -> None:
        if packed:
            self._chunk(b"IDAT", packed)

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self._file.write(struct.pack(">I", len(data)) + kind + data)
        self._file.write(struct.pack(">I", zlib.crc32(kind + data)))


class TiffWriter:
    """Uncompressed TIFF, 8 or 16 bits, BigTIFF where it must be: the file itself is the memory."""

    def __init__(self, path: Path, form: Form) -> None:
        import tifffile

        shape = (form.height, form.width, *([form.channels] if form.channels > 1 else []))
        settings: dict[str, Any] = {"photometric": "rgb" if form.channels > 2 else "minisblack"}
        if form.channels in (2, 4):
            settings |= {"extrasamples": ["unassalpha"], "planarconfig": "contig"}
        if form.icc:
            settings["iccprofile"] = form.icc
        kind = np.uint8 if form.bits == 8 else np.uint16
        big = form.height * form.width * form.channels * form.bits // 8 > 2**32 - 2**25
        self._map = tifffile.memmap(path, shape=shape, dtype=kind, bigtiff=big, metadata=None, **settings)
        self._next = 0

    def rows(self, band: Pixels) -> None:
        """The next rows."""
        end = self._next + len(band)
        self._map[self._next : end] = band[..., 0] if self._map.ndim == 2 else band
        self._next = end

    def close(self) -> None:
        """Everything is there."""
        self._map.flush()

    def release(self) -> None:
        """Lets go of the file."""
        del self._map


class PillowWriter:
    """JPEG and WebP, 8 bits: Pillow encodes the whole image at once, which has to fit into memory."""

    def __init__(self, path: Path, form: Form, kind: str, **settings: int) -> None:
        self._path, self._form, self._kind, self._settings = path, form, kind, settings
        self._image = np.empty((form.height, form.width, form.channels), dtype=np.uint8)
        self._next = 0

    def rows(self, band: Pixels) -> None:
        """The next rows."""
        self._image[self._next : self._next + len(band)] = band
        self._next += len(band)

    def close(self) -> None:
        """Everything is there."""
        plain = self._image[..., 0] if self._form.channels == 1 else self._image
        profile = {"icc_profile": self._form.icc} if self._form.icc else {}
        Image.fromarray(plain).save(self._path, format=self._kind, **self._settings, **profile)

    def release(self) -> None:
        """Lets go of the image."""
        del self._image


def _jpeg(path: Path, form: Form) -> Writer:
    return PillowWriter(path, form, "JPEG", quality=95, subsampling=0)


def _webp(path: Path, form: Form) -> Writer:
    return PillowWriter(path, form, "WEBP", quality=95)


WRITERS: dict[str, Callable[[Path, Form], Writer]] = {
    ".png": PngWriter,
    ".tif": TiffWriter,
    ".tiff": TiffWriter,
    ".jpg": _jpeg,
    ".jpeg": _jpeg,
    ".webp": _webp,
}
MOST = {".jpg": (8, 1, 3), ".jpeg": (8, 1, 3), ".webp": (8, 3, 4)}
"""What a format can hold where it cannot hold everything: bits, and the numbers of channels."""

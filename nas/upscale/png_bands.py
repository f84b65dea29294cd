"""PNG read in bands: rows are unpacked one after the other, and Pillow undoes their filters, band by band.

Pillow decodes whole images alone. The rows of a band are therefore given to it as a small image of its own,
below the last row before them, to which their filters refer.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from nas.errors import DataError
from nas.upscale.bands import Bands
from nas.upscale.decoding import Pixels, any_size, deep_pixels, plain_pixels

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
_ORIENTATION = 0x0112
_TELLING = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
"""Chunks in which an orientation may stand."""

_PIECE = 2**20

KEPT = 64
"""Rows before a band that are kept: the next one begins within the last one's margin."""


class PngBands(Bands):
    """A PNG of 8 or 16 bits without palette and interlacing; its rows are had from the top to the bottom.

    Bands may overlap by KEPT rows; for earlier rows it begins again from the top.
    """

    def __init__(self, path: Path, header: bytes, icc: bytes | None) -> None:
        width, height, depth, colour = struct.unpack(">IIBB", header[:10])
        kind = np.dtype(np.uint8 if depth == 8 else np.uint16)
        super().__init__(path, (height, width, _CHANNELS[colour]), kind, icc)
        self._header = header
        self._begin()

    def _begin(self) -> None:
        self._lines = _Lines(self.path, self.shape[1] * self.shape[2] * self.dtype.itemsize)
        self._first, self._window = 0, np.empty((0, *self.shape[1:]), self.dtype)
        self._above = bytes(1 + self._lines.size)

    def rows(self, top: int, bottom: int) -> Pixels:
        """The rows, decoded up to the last of them."""
        if top < self._first:
            self._begin()
        end = self._first + len(self._window)
        if end < bottom:
            keep = max(self._first, min(end, top - KEPT))
            kept, self._first = self._window[keep - self._first :], keep
            self._window = np.concatenate([kept, self._decoded(bottom - end)])
        return self._window[top - self._first : bottom - self._first]

    def _decoded(self, count: int) -> Pixels:
        """The next rows."""
        made = self._small(self._above + self._lines.read(count), count + 1)
        try:
            with any_size(), Image.open(made) as image:
                deep = self.dtype == np.uint16
                pixels = deep_pixels(made, image) if deep else plain_pixels(self.path, image)
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(f"{self.path}: cannot be read ({error})") from error
        last = np.ascontiguousarray(pixels[-1])
        self._above = b"\0" + (last.astype(">u2") if deep else last).tobytes()
        return pixels[1:]

    def _small(self, lines: bytes, height: int) -> io.BytesIO:
        header = self._header[:4] + struct.pack(">I", height) + self._header[8:]
        chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines, 0)), (b"IEND", b"")
        made = io.BytesIO()
        made.write(_SIGNATURE)
        for kind, data in chunks:
            made.write(
                struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            )
        made.seek(0)
        return made


class _Lines:
    """The rows of a PNG as they were packed, each with the number of its filter and ``size`` bytes."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self.size = path, size
        self._pieces = _pieces(path)
        self._packer = zlib.decompressobj()

    def read(self, count: int) -> bytes:
        """The next rows. Raises DataError where they are damaged or missing."""
        needed = count * (1 + self.size)
        found = bytearray()
        try:
            while len(found) < needed:
                packed = self._packer.unconsumed_tail or next(self._pieces, b"")
                unpacked = self._packer.decompress(packed, needed - len(found))
                if (self._packer.eof and len(found) + len(unpacked) < needed) or not (packed or unpacked):
                    raise DataError(f"{self._path}: cannot be read (it is cut off)")
                found += unpacked
        except (OSError, zlib.error, struct.error) as error:
            raise DataError(f"{self._path}: cannot be read ({error})") from error
        return bytes(found)


def _chunks(path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Kind, place and length of each chunk; ends where the file does."""
    with path.open("rb") as file:
        place = file.seek(len(_SIGNATURE))
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            yield kind, place + 8, length
            place = file.seek(place + 12 + length)


def _pieces(path: Path) -> Iterator[bytes]:
    """The packed pixels. Raises DataError for a chunk whose checksum is wrong, or that is cut off."""
    for kind, place, length in _chunks(path):
        if kind != b"IDAT":
            continue
        with path.open("rb") as file:
            file.seek(place)
            check, left = zlib.crc32(kind), length
            while left:
                piece = file.read(min(left, _PIECE))
                if not piece:
                    return
                check, left = zlib.crc32(piece, check), left - len(piece)
                yield piece
            if file.read(4) != struct.pack(">I", check):
                raise DataError(f"{path}: cannot be read (a checksum is wrong)")


def open_png(path: Path) -> PngBands | None:
    """The PNG in ``path``, to be read in bands; None for one that is to be read whole.

    That is one with a palette, a transparent colour, fewer than 8 bits, interlacing, several pictures or an
    orientation that is not plainly upright, and one that has no header.
    """
    try:
        with path.open("rb") as file:
            header = file.read(len(_SIGNATURE) + 8 + 13)[len(_SIGNATURE) + 8 :]
            if len(header) < 13 or not _plain_kind(header):
                return None
            for kind, place, length in _chunks(path):
                if kind in (b"tRNS", b"acTL") or (kind in _TELLING and _may_turn(file, kind, place, length)):
                    return None
        with any_size(), warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("error")
            return PngBands(path, header, image.info.get("icc_profile"))
    except Exception:  # what decoders raise has no common type; what reads it whole says what is wrong
        return None


def _may_turn(file: IO[bytes], kind: bytes, place: int, length: int) -> bool:
    """Whether a chunk says, or may say, that the image lies on its side."""
    file.seek(place)
    data = file.read(length)
    if kind == b"eXIf":
        exif = Image.Exif()
        exif.load(data)
        return bool(exif.get(_ORIENTATION, 1) != 1)
    return data.startswith((b"XML:com.adobe.xmp", b"Raw profile type"))


def _plain_kind(header: bytes) -> bool:
    width, height, depth, colour, packing, filters, interlaced = struct.unpack(">IIBBBBB", header)
    return (
        min(width, height) > 0
        and depth in (8, 16)
        and colour in _CHANNELS
        and (packing, filters, interlaced) == (0, 0, 0)
    )

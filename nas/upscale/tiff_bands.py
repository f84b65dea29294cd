"""TIFF read in bands: strips and tiles are decoded where their rows are asked for.

To add a coding, write a function (bytes, rows, bytes of a row) -> bytes and put it in CODINGS.
"""

from __future__ import annotations

import io
import logging
import struct
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from nas.errors import DataError
from nas.upscale.bands import Bands
from nas.upscale.decoding import Pixels, any_size


def _by_libtiff(data: bytes, rows: int, row_bytes: int, compression: int) -> bytes:
    """Decoded by Pillow: a file of its own is made of the one segment, as grey bytes without a predictor."""
    tags = [(256, row_bytes), (257, rows), (258, 8), (259, compression), (262, 1)]
    tags += [(273, 0), (277, 1), (278, rows), (279, len(data))]
    start = 8 + 2 + 12 * len(tags) + 4
    made = io.BytesIO()
    made.write(struct.pack("<2sHIH", b"II", 42, 8, len(tags)))
    for tag, value in tags:
        made.write(struct.pack("<HHII", tag, 4, 1, start if tag == 273 else value))
    made.write(struct.pack("<I", 0) + data)
    with any_size(), Image.open(made) as image:
        return image.tobytes()


def _lzw(data: bytes, rows: int, row_bytes: int) -> bytes:
    return _by_libtiff(data, rows, row_bytes, 5)


def _packbits(data: bytes, rows: int, row_bytes: int) -> bytes:
    return _by_libtiff(data, rows, row_bytes, 32773)


def _deflate(data: bytes, rows: int, row_bytes: int) -> bytes:
    return zlib.decompressobj().decompress(data, rows * row_bytes)


PLAIN = 1
CODINGS: dict[int, Callable[[bytes, int, int], bytes]] = {
    5: _lzw,
    8: _deflate,
    32946: _deflate,
    32773: _packbits,
}
"""How segments are decoded, by TIFF's number; PLAIN ones need no decoding, and any of their rows is read."""

_ICC = 34675
_GREY, _COLOUR = 1, 2
_DIFFERENCES = 2


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """How a TIFF is cut up: segments of (rows, columns), so many across, each of ``samples`` channels.

    Planes apart follow each other in ``places``, (offset, bytes) of each segment.
    """

    rows: int
    columns: int
    across: int
    down: int
    planes: int
    samples: int
    tiled: bool
    coding: int
    differences: bool
    order: str
    places: list[tuple[int, int]]


class TiffBands(Bands):
    """A TIFF of 8 or 16 bits, grey or RGB, with or without alpha, in strips or tiles.

    What was decoded for a band is kept for the next, which overlaps it.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        layout: _Layout,
        icc: bytes | None,
    ) -> None:
        super().__init__(path, shape, dtype, icc)
        self._layout = layout
        self._kept: OrderedDict[int, Pixels] = OrderedDict()
        self._most = 1

    @property
    def bytes_at_once(self) -> int:
        """Of the rows that are decoded together."""
        height, width, channels = self.shape
        rows = (
            1 if self._layout.coding == PLAIN and not self._layout.tiled else min(self._layout.rows, height)
        )
        return rows * width * channels * self.dtype.itemsize

    @property
    def is_complete(self) -> bool:
        """Whether every segment is there, and plain ones hold all their rows; some files leave them out."""
        layout = self._layout
        row_bytes = layout.columns * layout.samples * self.dtype.itemsize
        for number, (_, length) in enumerate(layout.places):
            block = number // layout.across % layout.down
            rows = layout.rows if layout.tiled else self._height(block)
            if length < (rows * row_bytes if layout.coding == PLAIN else 1):
                return False
        return True

    def rows(self, top: int, bottom: int) -> Pixels:
        """The rows, decoded from the segments that they touch."""
        height = self._layout.rows
        found = np.empty((bottom - top, *self.shape[1:]), self.dtype)
        blocks = range(top // height, -(-bottom // height)) if bottom > top else range(0)
        self._most = max(self._most, len(blocks) + 1)
        with self.path.open("rb") as file:
            for block in blocks:
                first, last = max(top, block * height), min(bottom, (block + 1) * height)
                inside = slice(first - block * height, last - block * height)
                found[first - top : last - top] = self._block(file, block, inside)
        return found

    def _block(self, file: Any, block: int, inside: slice) -> Pixels:
        """Rows ``inside`` one row of segments."""
        layout = self._layout
        if layout.coding == PLAIN and not layout.tiled:
            return self._joined(file, block, inside.start, inside.stop)
        if block not in self._kept:
            self._kept[block] = self._joined(file, block, 0, self._height(block))
        self._kept.move_to_end(block)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return self._kept[block][inside]

    def _height(self, block: int) -> int:
        return min(self._layout.rows, self.shape[0] - block * self._layout.rows)

    def _joined(self, file: Any, block: int, first: int, last: int) -> Pixels:
        layout = self._layout
        planes = []
        for plane in range(layout.planes):
            start = (plane * layout.down + block) * layout.across
            across = [self._segment(file, start + n, block, first, last) for n in range(layout.across)]
            planes.append(
                np.concatenate(across, axis=1)[:, : self.shape[1]] if len(across) > 1 else across[0]
            )
        whole = np.concatenate(planes, axis=2) if len(planes) > 1 else planes[0]
        return whole[:, : self.shape[1]]

    def _segment(self, file: Any, number: int, block: int, first: int, last: int) -> Pixels:
        """Rows ``first`` to ``last`` of one segment, (rows, columns, samples)."""
        layout, (offset, size) = self._layout, self._layout.places[number]
        row_bytes = layout.columns * layout.samples * self.dtype.itemsize
        coded = layout.rows if layout.tiled else self._height(block)  # tiles are whole, also at the border
        try:
            if layout.coding == PLAIN:
                file.seek(offset + first * row_bytes)
                data = file.read((last - first) * row_bytes)
            else:
                file.seek(offset)
                data = CODINGS[layout.coding](file.read(size), coded, row_bytes)[: last * row_bytes]
                data = data[first * row_bytes :]
        except (OSError, ValueError, SyntaxError, zlib.error, struct.error) as error:
            raise DataError(f"{self.path}: cannot be read ({error})") from error
        if len(data) < (last - first) * row_bytes:
            raise DataError(f"{self.path}: cannot be read (rows from {block * layout.rows} on are cut off)")
        stored = np.frombuffer(data, self.dtype.newbyteorder(layout.order))  # type: ignore[arg-type]
        pixels = stored.reshape(last - first, layout.columns, layout.samples).astype(self.dtype, copy=False)
        return np.cumsum(pixels, axis=1, dtype=self.dtype) if layout.differences else pixels


def open_tiff(path: Path) -> TiffBands | None:
    """The TIFF in ``path``, to be read in bands; None for one of another kind, which is to be read whole.

    Raises DataError for one of that kind that is cut off or contradicts itself.
    """
    import tifffile

    try:
        with _quiet(), tifffile.TiffFile(path) as file:
            if len(file.pages) != 1:
                return None
            page: Any = file.pages[0]
            if not _plain_kind(page):
                return None
            layout = _layout(page, file.byteorder)
            size = file.filehandle.size
            shape = (page.imagelength, page.imagewidth, page.samplesperpixel)
            icc = page.tags.valueof(_ICC)
            kind = np.dtype(page.dtype)
    except Exception:  # its errors have no common type; Pillow may know better
        return None
    wanted = layout.planes * layout.across * layout.down
    if len(layout.places) != wanted:
        raise DataError(f"{path}: cannot be read ({len(layout.places)} segments, {wanted} are needed)")
    if any(offset + length > size for offset, length in layout.places):
        raise DataError(f"{path}: cannot be read (the file is cut off)")
    bands = TiffBands(path, shape, kind, layout, icc)
    return bands if bands.is_complete else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without tifffile's words to the log: what is wrong with a file is said in one line, and here."""
    log = logging.getLogger("tifffile")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


def _plain_kind(page: Any) -> bool:
    """Whether a page is of the kind that :class:`TiffBands` reads; the rest is for Pillow and tifffile."""
    samples, extra = page.samplesperpixel, tuple(map(int, page.extrasamples))
    usual = {(_GREY, 1): (), (_GREY, 2): (2,), (_COLOUR, 3): (), (_COLOUR, 4): (2,)}  # 2: alpha of its own
    return (
        page.dtype in (np.uint8, np.uint16)
        and page.bitspersample in (8, 16)
        and usual.get((int(page.photometric), samples)) == extra
        and (int(page.compression) in CODINGS or int(page.compression) == PLAIN)
        and int(page.predictor) in ((1,) if int(page.compression) == PLAIN else (1, _DIFFERENCES))
        and int(page.fillorder) == 1
        and page.imagedepth == 1
        and (page.tags.valueof(274) or 1) == 1  # lies upright
    )


def _layout(page: Any, order: str) -> _Layout:
    height, width = page.imagelength, page.imagewidth
    rows = page.tilelength if page.is_tiled else min(page.rowsperstrip, height)
    columns = page.tilewidth if page.is_tiled else width
    planes = page.samplesperpixel if int(page.planarconfig) == 2 else 1
    return _Layout(
        rows=rows,
        columns=columns,
        across=-(-width // columns),
        down=-(-height // rows),
        planes=planes,
        samples=page.samplesperpixel // planes,
        tiled=bool(page.is_tiled),
        coding=int(page.compression),
        differences=int(page.predictor) == _DIFFERENCES,
        order=order,
        places=list(zip(page.dataoffsets, page.databytecounts, strict=True)),
    )

"""Image files as they are: 8 or 16 bits, grey or colour, with transparency and colour profile."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from nas.core.device import free_memory
from nas.core.units import format_count
from nas.errors import DataError
from nas.upscale.bands import Bands, ChannelSlice
from nas.upscale.decoding import Pixels, any_size, deep_pixels, plain_pixels
from nas.upscale.png_bands import open_png
from nas.upscale.tiff_bands import open_tiff

_ORIENTATION = 0x0112  # an EXIF tag
_BITS_PER_SAMPLE = 258  # a TIFF tag
_PNG_DEPTH = slice(24, 25)
_PNG = b"\x89PNG\r\n\x1a\n"
LARGE = 2**26
"""Bytes of pixels from which on a PNG is read in bands."""

_COPIES = 3
"""How often the decoded image exists at once while it is read."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """``colours`` (H, W, 1 or 3) and ``alpha`` (H, W, 1) or None, both uint8 or uint16, upright.

    Both are cut by rows, ``colours[top:bottom]``, and may be read from the file only then. ``icc`` is the
    colour profile, None where there is none or it does not fit the colours any more.
    """

    colours: Pixels | ChannelSlice
    alpha: Pixels | ChannelSlice | None
    icc: bytes | None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.colours.shape[0], self.colours.shape[1]


def read_picture(path: Path) -> Picture:
    """The image in ``path``: palettes become colours, CMYK and YCbCr become RGB, EXIF turns it upright.

    However many pixels it has, as long as they fit into free memory; those of most TIFF files and of most
    large PNG files need not, and are read when they are cut. Raises DataError for what is no image, is
    damaged, has several pages, floating-point or 32-bit values, or does not fit.
    """
    bands = _bands(path)
    if bands is not None:
        return _in_bands(bands)
    try:
        with warnings.catch_warnings(), any_size():
            warnings.simplefilter("error")
            with Image.open(path) as image:
                if getattr(image, "n_frames", 1) > 1:
                    raise DataError(f"{path}: has {image.n_frames} pictures; one is expected")  # type: ignore[attr-defined]
                deep = _is_deep(path, image)
                _require_memory(path, image.size, deep)
                icc = image.info.get("icc_profile")
                if image.mode in ("CMYK", "YCbCr", "LAB"):
                    icc = None  # it describes those colours
                turn = image.getexif().get(_ORIENTATION, 1)
                pixels = _pixels(path, image, deep)
                if not deep:  # Pillow has turned a TIFF by now, and says so
                    turn = image.getexif().get(_ORIENTATION, 1)
    except UnidentifiedImageError as error:
        if not _is_tiff(path):
            raise DataError(f"{path}: is no image that can be read") from error
        pixels, turn, icc = _deep_tiff(path), 1, None  # 16 bits with alpha, which Pillow does not know
    except MemoryError as error:
        raise DataError(f"{path}: does not fit into memory") from error
    except DataError:
        raise
    except Exception as error:  # what decoders raise for damage has no common type
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason})") from error
    pixels = _upright(pixels, turn)
    split = _split(pixels.shape[2])
    alpha = pixels[..., split:] if pixels.shape[2] in (2, 4) else None
    return Picture(colours=pixels[..., :split], alpha=alpha, icc=icc)


def _bands(path: Path) -> Bands | None:
    """The image in bands where that can be; None where it is to be read whole."""
    if _is_tiff(path):
        tiff = open_tiff(path)
        return tiff if tiff is not None and tiff.bytes_at_once * _COPIES <= free_memory() else None
    if _head(path) != _PNG:
        return None
    png = open_png(path)
    return png if png is not None and math.prod(png.shape) * png.dtype.itemsize >= LARGE else None


def _in_bands(bands: Bands) -> Picture:
    count = bands.shape[2]
    split = _split(count)
    alpha = bands.channels(split, count) if count in (2, 4) else None
    return Picture(colours=bands.channels(0, split), alpha=alpha, icc=bands.icc)


def _split(channels: int) -> int:
    """How many of the channels are colours."""
    return 1 if channels <= 2 else 3


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(_PNG))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _is_tiff(path: Path) -> bool:
    return _head(path)[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _require_memory(path: Path, size: tuple[int, int], deep: bool) -> None:
    width, height = size
    needed = width * height * 4 * (2 if deep else 1) * _COPIES
    free = free_memory()
    if needed > free:
        raise DataError(
            f"{path}: {width}x{height} needs {format_count(needed)}B of memory to be read, "
            f"{format_count(free)}B are free"
        )


def _is_deep(path: Path, image: Image.Image) -> bool:
    """Whether a file holds 16 bits a channel, whatever Pillow's mode says of it."""
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(25)[_PNG_DEPTH] == b"\x10"
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    return False


def _pixels(path: Path, image: Image.Image, deep: bool) -> Pixels:
    if not deep:
        return plain_pixels(path, image)
    return _deep_tiff(path) if image.format == "TIFF" else deep_pixels(path, image)


def _deep_tiff(path: Path) -> Pixels:
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            if page.dtype != np.uint16 or page.photometric not in (1, 2):  # grey from black, RGB
                raise DataError(f"{path}: {page.dtype} of this kind is not supported (uint8 and uint16 are)")
            _require_memory(path, (page.imagewidth, page.imagelength), deep=True)
            pixels = page.asarray()
            separate = page.planarconfig == 2 and pixels.ndim == 3
    except DataError:
        raise
    except Exception as error:  # its errors have no common type
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
    if separate:
        pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[2] > 4:
        raise DataError(f"{path}: has {pixels.shape} values; grey or RGB, with or without alpha, is expected")
    return pixels


def _upright(pixels: Pixels, turn: int) -> Pixels:
    """What EXIF's orientation 1 to 8 asks for."""
    if turn in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels

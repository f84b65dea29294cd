"""What Pillow decoded, as plain pixels: 8 or 16 bits, grey or colour, with or without alpha."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.errors import DataError

Pixels = NDArray[Any]


@contextmanager
def any_size() -> Iterator[None]:
    """Without Pillow's limit on pixels: what counts here is memory, and it is asked before decoding."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def plain_pixels(name: Path, image: Image.Image) -> Pixels:
    """(H, W, 1 to 4) uint8. Raises DataError, which begins with ``name``, for a mode of another kind."""
    clear = "transparency" in image.info
    wanted = {"1": "L", "L": "LA" if clear else "L", "LA": "LA", "PA": "RGBA", "RGBa": "RGBA", "La": "LA"}
    wanted |= {"RGBA": "RGBA", "RGB": "RGBA" if clear else "RGB", "P": "RGBA" if clear else "RGB"}
    wanted |= dict.fromkeys(("CMYK", "YCbCr", "LAB"), "RGB")
    if image.mode not in wanted:
        raise DataError(f"{name}: mode {image.mode} is not supported (8 or 16 bits a channel are)")
    mode = wanted[image.mode]
    pixels = np.array(image if image.mode == mode and not clear else image.convert(mode))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def deep_pixels(source: Path | io.BytesIO, image: Any) -> Pixels:
    """(H, W, 1 to 4) uint16, of a PNG; ``source`` is what ``image`` was opened from."""
    if image.mode.startswith("I"):
        return np.array(image).astype(np.uint16)[..., None]
    with Image.open(source) as fresh:
        raw_mode = str(fresh.tile[0].args)
    if raw_mode == "LA;16B":  # both bytes of both channels, as if they were four
        return _joined(np.array(_decoded(source, "RGBA")), (0, 2))
    # Pillow keeps the higher byte of each channel. Read as if the bytes were swapped, that is the lower one.
    higher = np.array(image)
    lower = np.array(_decoded(source, raw_mode.replace(";16B", ";16L")))
    return higher.astype(np.uint16) << 8 | lower


def _decoded(source: Path | io.BytesIO, raw_mode: str) -> Image.Image:
    with Image.open(source) as image:
        image.tile = [tile._replace(args=raw_mode) for tile in image.tile]
        image.load()
        return image


def _joined(pixels: Pixels, first: tuple[int, ...]) -> Pixels:
    return np.stack([pixels[..., at].astype(np.uint16) << 8 | pixels[..., at + 1] for at in first], axis=-1)

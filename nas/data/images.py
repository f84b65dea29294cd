"""Reading one image file: upright 8-bit RGB, or a reason why not."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from nas.errors import DataError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}

_MODES = ("RGB", "RGBA", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr")
_BITS_PER_SAMPLE = 258  # a TIFF tag


def list_images(folder: Path, *, below: bool = False) -> list[Path]:
    """The image files of a folder (``below``: and of all folders in it), sorted; by their suffix only."""
    found = folder.rglob("*") if below else folder.iterdir()
    return sorted(path for path in found if path.suffix.lower() in SUFFIXES and path.is_file())


def read_image(path: Path) -> Tensor:
    """(3, H, W) uint8, turned upright; grayscale becomes RGB and an alpha channel is dropped.

    Raises DataError for what cannot be read, is damaged, or holds more than 8 bits a channel: cutting those
    off is a choice that belongs to whoever made the image.
    """
    try:
        with warnings.catch_warnings():
            # A suspiciously large or damaged file is refused, not warned about.
            warnings.simplefilter("error")
            with Image.open(path) as image:
                if image.mode not in _MODES or _deep(path, image):
                    raise DataError(f"mode {image.mode} (more than 8 bits a channel) is not supported")
                upright = ImageOps.exif_transpose(image)
                return torch.from_numpy(np.array(upright.convert("RGB"))).permute(2, 0, 1).contiguous()
    except UnidentifiedImageError as error:
        raise DataError("is no image that can be read") from error
    except (OSError, SyntaxError, ValueError, Warning, Image.DecompressionBombError) as error:
        raise DataError(f"cannot be read ({error})") from error


def _deep(path: Path, image: Image.Image) -> bool:
    """Whether a file whose mode says 8 bits holds 16: Pillow cuts the lower ones off without a word."""
    if image.format == "PNG":
        with path.open("rb") as file:
            header = file.read(25)
        return len(header) == 25 and header[24] > 8
    tags = getattr(image, "tag_v2", None)
    return tags is not None and max(tags.get(_BITS_PER_SAMPLE, (8,))) > 8

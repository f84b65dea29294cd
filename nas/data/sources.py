"""Where images come from: each source is one word of a recipe, ``word`` or ``word:argument``.

To add one, write a function from the argument to Photographs and put it in SOURCES at the foot.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from nas.errors import DataError

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}

PHOTOS_TRAIN = ("astronaut.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "retina.jpg")
PHOTOS_VALID = ("chelsea.png", "coffee.png", "rocket.jpg")

MOST_HELD_OUT = 20
"""A folder keeps one image in ten for validation, but never more than this."""


@dataclass(frozen=True, kw_only=True)
class Photographs:
    """Images by name, each (3, H, W) uint8; ``skipped`` says in a line each what was left out and why."""

    train: dict[str, Tensor]
    valid: dict[str, Tensor]
    skipped: tuple[str, ...] = ()


def photos(argument: str) -> Photographs:
    """The colour photographs that scikit-image installs with itself: five to train on, three held out.

    The right eye's motorcycle is left out, since it shows the scene of the left one's.
    """
    if argument:
        raise DataError(f"data 'photos' takes no argument, but got {argument!r}; folder:PATH reads a folder")
    import skimage  # it takes a moment, and only this source needs it

    folder = Path(skimage.__file__).parent / "data"
    return Photographs(
        train={name: read_image(folder / name) for name in PHOTOS_TRAIN},
        valid={name: read_image(folder / name) for name in PHOTOS_VALID},
    )


def folder(argument: str) -> Photographs:
    """Every image below a folder: by name, one in ten (at least one) is held out, evenly spread."""
    root = Path(argument).expanduser()
    if not argument or not root.is_dir():
        raise DataError(f"data 'folder:{argument}': {argument or '(nothing)'} is no folder")
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise DataError(
            f"data 'folder:{argument}': no images there (looked for {', '.join(sorted(SUFFIXES))})"
        )
    images, skipped = {}, []
    for path in paths:
        name = path.relative_to(root).as_posix()
        try:
            images[name] = read_image(path)
        except DataError as error:
            skipped.append(f"{name}: {error}")
    if len(images) < 2:
        reasons = f"; skipped {'; '.join(skipped[:3])}" if skipped else ""
        raise DataError(
            f"data 'folder:{argument}': {len(images)} readable image(s), and at least 2 are needed, "
            f"one to train on and one held out{reasons}"
        )
    held_out = min(MOST_HELD_OUT, max(1, len(images) // 10))
    names = list(images)
    valid = {names[(2 * i + 1) * len(names) // (2 * held_out)] for i in range(held_out)}
    return Photographs(
        train={name: image for name, image in images.items() if name not in valid},
        valid={name: image for name, image in images.items() if name in valid},
        skipped=tuple(skipped),
    )


def read_image(path: Path) -> Tensor:
    """(3, H, W) uint8, turned upright; grayscale becomes RGB and an alpha channel is dropped.

    Raises DataError for what cannot be read, is damaged, or holds more than 8 bits a channel.
    """
    try:
        with warnings.catch_warnings():
            # A suspiciously large or damaged file is refused, not warned about.
            warnings.simplefilter("error")
            with Image.open(path) as image:
                if image.mode not in ("RGB", "RGBA", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr"):
                    raise DataError(f"mode {image.mode} (more than 8 bits a channel) is not supported")
                upright = ImageOps.exif_transpose(image)
                return torch.from_numpy(np.array(upright.convert("RGB"))).permute(2, 0, 1).contiguous()
    except UnidentifiedImageError as error:
        raise DataError("is no image that can be read") from error
    except (OSError, SyntaxError, ValueError, Warning, Image.DecompressionBombError) as error:
        raise DataError(f"cannot be read ({error})") from error


SOURCES: dict[str, Callable[[str], Photographs]] = {"photos": photos, "folder": folder}

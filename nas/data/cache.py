"""Decoded images in one flat file that is mapped into memory, so that nothing is decoded twice.

A cache is a ``.bin`` of pixels and a ``.json`` that says what lies where. Both are written beside their
places and renamed, the index last; a name holds the digest of what went in, so that a changed image gives a
new one.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from nas.core.files import cache_folder

_log = logging.getLogger(__name__)

TELL_SECONDS = 5.0
"""Seconds between two lines of the log about a cache that is being made."""

FORMAT = 1
"""Raised whenever the same files would be stored otherwise than before."""

Produced = Iterable[tuple[str, Tensor | str]]
"""Name and (3, H, W) uint8 image of each image in turn, or the reason why there is none."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Images by name, (3, H, W) uint8, not to be written to; SHA-256 of each; reasons for what is missing."""

    images: dict[str, Tensor]
    digests: dict[str, str]
    skipped: dict[str, str]


def cache_paths(slug: str, key: object) -> tuple[Path, Path] | None:
    """The pixels' and the index's file of a cache, there or not; None where caching is off."""
    folder = cache_folder()
    if folder is None:
        return None
    digest = hashlib.sha256(json.dumps([FORMAT, slug, key]).encode()).hexdigest()[:24]
    return folder / f"{slug}-{digest}.bin", folder / f"{slug}-{digest}.json"


def stored(slug: str, key: object, produced: Produced, total: int = 0) -> Stored:
    """The images of ``produced``, from the cache where it holds them; otherwise they are put there.

    ``slug`` names the collection (a word for file names), of which only the newest ``key`` is kept; ``key``
    is plain values that change when the images do. ``produced`` is consumed one image at a time, and not at
    all when the cache is there. Processes that ask for the same at once wait for the first. Where caching is
    off the images are held in memory. How many of ``total`` are there is logged every few seconds.
    """
    produced = _told(slug, produced, total)
    paths = cache_paths(slug, key)
    if paths is None:
        memory = io.BytesIO()
        index = _write(memory, produced)
        flat = torch.frombuffer(memory.getbuffer(), dtype=torch.uint8) if index["bytes"] else torch.empty(0)
        return _view(index, flat)
    found = _open(*paths)
    if found is not None:
        return found
    with FileLock(paths[0].parent / f"{slug}.lock"):
        found = _open(*paths)
        if found is None:
            _build(*paths, produced)
            _remove_older(slug, paths[0])
            found = _open(*paths)
    assert found is not None
    return found


def _told(slug: str, produced: Produced, total: int) -> Produced:
    last = time.monotonic()
    for number, one in enumerate(produced):
        if time.monotonic() - last > TELL_SECONDS:
            last = time.monotonic()
            _log.info("decoding images, this once: %d of %d (%s)", number, total, slug)
        yield one


def _build(pixels: Path, index: Path, produced: Produced) -> None:
    made = []
    try:
        with tempfile.NamedTemporaryFile(dir=pixels.parent, prefix=".building-", delete=False) as file:
            made.append(Path(file.name))
            told = _write(file, produced)
            file.flush()
            os.fsync(file.fileno())
        with tempfile.NamedTemporaryFile(
            "w", dir=pixels.parent, prefix=".building-", delete=False, encoding="utf-8"
        ) as text:
            made.append(Path(text.name))
            json.dump(told, text)
            text.flush()
            os.fsync(text.fileno())
        made[0].replace(pixels)
        made[1].replace(index)
    finally:
        for path in made:
            path.unlink(missing_ok=True)


def _write(file: IO[bytes], produced: Produced) -> dict[str, Any]:
    """Write the pixels one after the other; what lies where."""
    images, skipped, offset = [], {}, 0
    for name, image in produced:
        if isinstance(image, str):
            skipped[name] = image
            continue
        pixels = np.ascontiguousarray(image.numpy())
        file.write(pixels.data)
        digest = hashlib.sha256(pixels.data).hexdigest()
        images.append([name, image.shape[1], image.shape[2], offset, digest])
        offset += pixels.size
    return {"format": FORMAT, "bytes": offset, "images": images, "skipped": skipped}


def _open(pixels: Path, index: Path) -> Stored | None:
    """The images of a whole cache; None where it is missing or not whole."""
    try:
        told = json.loads(index.read_text(encoding="utf-8"))
        if told["format"] != FORMAT or pixels.stat().st_size != told["bytes"]:
            return None
        if not told["bytes"]:
            return _view(told, torch.empty(0, dtype=torch.uint8))
        # Shared and read-only: costs no memory that the system could not take back at any time.
        mapped = np.memmap(pixels, dtype=np.uint8, mode="r")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have memory that can be written to
        return _view(told, torch.from_numpy(mapped))


def _view(index: dict[str, Any], flat: Tensor) -> Stored:
    images, digests = {}, {}
    for name, height, width, offset, digest in index["images"]:
        images[name] = flat[offset : offset + 3 * height * width].view(3, height, width)
        digests[name] = digest
    return Stored(images=images, digests=digests, skipped=dict(index["skipped"]))


def _remove_older(slug: str, newest: Path) -> None:
    """Whoever has an older one mapped keeps it."""
    for path in newest.parent.glob(f"{slug}-*"):
        if path.suffix in (".json", ".bin") and path.stem != newest.stem:
            path.unlink(missing_ok=True)

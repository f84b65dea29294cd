"""A data set for one scale: high resolution, its bicubic low resolution, and a digest of both."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from nas.data.sources import SOURCES, Photographs
from nas.errors import DataError, unknown
from nas.imresize import imresize


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Images of one split: ``hr[i]`` is (3, s * H, s * W) uint8 and ``lr[i]`` is (3, H, W) uint8."""

    names: tuple[str, ...]
    lr: tuple[Tensor, ...]
    hr: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a candidate is trained and measured on."""

    source: str
    scale: int
    train: Pairs
    valid: Pairs
    digest: str
    skipped: tuple[str, ...]


@functools.lru_cache(maxsize=2)
def load_data(source: str, scale: int, lr_patch: int) -> Dataset:
    """The data set that ``source`` names (``photos``, ``folder:PATH``), remembered within a process.

    Images are cut to a multiple of ``scale``, then made ``scale`` times smaller by MATLAB's bicubic. Training
    images that do not hold one patch of ``lr_patch`` x ``lr_patch`` LR pixels are skipped by name. Raises
    DataError when nothing is left.
    """
    word, _, argument = source.partition(":")
    if word not in SOURCES:
        raise unknown("data source", word, SOURCES)
    photographs = SOURCES[word](argument)
    train, small = _fitting(photographs.train, lr_patch * scale)
    valid, tiny = _fitting(photographs.valid, max(16, 4 * scale))
    skipped = (*photographs.skipped, *small, *tiny)
    for images, use in ((train, "train on"), (valid, "validate on")):
        if not images:
            raise DataError(f"data {source!r}: no image is left to {use}: {'; '.join(skipped[:3])}")
    return Dataset(
        source=source,
        scale=scale,
        train=_pairs(train, scale),
        valid=_pairs(valid, scale),
        digest=_digest(Photographs(train=train, valid=valid)),
        skipped=skipped,
    )


def _fitting(images: dict[str, Tensor], side: int) -> tuple[dict[str, Tensor], list[str]]:
    """The images with both sides at least ``side``, and a line for each of the others."""
    kept = {name: image for name, image in images.items() if min(image.shape[1:]) >= side}
    return kept, [
        f"{name}: {image.shape[2]}x{image.shape[1]} is too small, {side}x{side} pixels are needed"
        for name, image in images.items()
        if name not in kept
    ]


def _pairs(images: dict[str, Tensor], scale: int) -> Pairs:
    hr = tuple(
        image[:, : image.shape[1] // scale * scale, : image.shape[2] // scale * scale].contiguous()
        for image in images.values()
    )
    return Pairs(names=tuple(images), hr=hr, lr=tuple(imresize(image, Fraction(1, scale)) for image in hr))


def _digest(photographs: Photographs) -> str:
    """SHA-256 over every pixel that is used, so that a result names the data it was made with."""
    total = hashlib.sha256()
    for split in (photographs.train, photographs.valid):
        for name, image in split.items():
            total.update(f"{name} {tuple(image.shape)}".encode())
            total.update(image.numpy().tobytes())
    return total.hexdigest()[:16]

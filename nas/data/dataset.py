"""A data set for one scale: high resolution, its low resolution, read or made, and a digest of both."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from nas.data.cache import Produced, Stored, cache_paths, stored
from nas.data.images import read_image
from nas.data.sources import Entry, Listing, list_source
from nas.errors import DataError
from nas.imaging.bicubic import imresize

MOST_HELD_OUT = 20
"""One image in ten is held out for validation where a source does not say which, but never more than this."""

HASHED_WHOLE = 64 * 2**20
"""Bytes of pixels up to which a digest runs over the pixels; above, over the digests of the images."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Images of one split: ``hr[i]`` is (3, s * H, s * W) uint8 and ``lr[i]`` is (3, H, W) uint8.

    They may be views of a file that is mapped into memory: nobody writes to them.
    """

    names: tuple[str, ...]
    lr: tuple[Tensor, ...]
    hr: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a candidate is trained and measured on.

    ``low_resolution`` says where it is from: ``made`` by bicubic, ``read`` from files, or ``read and made``.
    """

    source: str
    scale: int
    train: Pairs
    valid: Pairs
    digest: str
    skipped: tuple[str, ...]
    low_resolution: str = "made"


@dataclass
class _Split:
    """Images of one split while a data set is put together: whole HR, LR, SHA-256s, and whose LR was read."""

    hr: dict[str, Tensor] = field(default_factory=dict)
    lr: dict[str, Tensor] = field(default_factory=dict)
    digests: dict[str, tuple[str, str]] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    scenes: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def load_data(source: str, scale: int, lr_patch: int) -> Dataset:
    """The data set that ``source`` names (``photos``, ``folder:PATH``, ``div2k:PATH+folder:PATH``).

    It is remembered within a process, and its decoded images on the disk. Images are cut to a multiple of
    ``scale``; low resolution is read where the source has it and made by MATLAB's bicubic where not. Training
    images that do not hold one patch of ``lr_patch`` x ``lr_patch`` LR pixels are skipped by name. Where a
    source does not say what to validate on, one image in ten (at least one) is held out, evenly spread.
    Raises DataError when nothing is left.
    """
    try:
        folder = str(Path.cwd())  # which a relative path in ``source`` is relative to
    except OSError:
        folder = ""
    return remembered_data(source, scale, lr_patch, folder)


@functools.lru_cache(maxsize=2)
def remembered_data(source: str, scale: int, lr_patch: int, folder: str) -> Dataset:
    """The data set of :func:`load_data`; ``folder`` is the one that the process is in."""
    train, valid = _gather(source, scale)
    small = _drop_small(train, lr_patch * scale)
    tiny = _drop_small(valid, max(16, 4 * scale))
    skipped = (*train.skipped, *valid.skipped, *small, *tiny)
    for split, use in ((train, "train on"), (valid, "validate on")):
        if not split.hr:
            raise DataError(f"data {source!r}: no image is left to {use}: {'; '.join(skipped[:3])}")
    read = len(train.read) + len(valid.read)
    made = len(train.hr) + len(valid.hr) - read
    return Dataset(
        source=source,
        scale=scale,
        train=_pairs(train, scale),
        valid=_pairs(valid, scale),
        digest=_digest(train, valid),
        skipped=skipped,
        low_resolution=" and ".join([word for word, n in (("read", read), ("made", made)) if n]),
    )


def _gather(source: str, scale: int) -> tuple[_Split, _Split]:
    """Every readable image of every part of ``source``, divided into training and validation."""
    listings = list_source(source, scale)
    train, valid, pool = _Split(), _Split(), _Split()
    labels: dict[str, int] = {}
    for word, listing in listings:
        label = ""
        if len(listings) > 1:  # two folders may both hold a 1.png
            name = word if word == "photos" else listing.root.resolve().name
            labels[name] = labels.get(name, 0) + 1
            label = f"{name}/" if labels[name] == 1 else f"{name}#{labels[name]}/"
        if listing.valid is None:
            _load(pool, word, "all", listing, listing.train, scale, label)
        else:
            _load(train, word, "train", listing, listing.train, scale, label)
            _load(valid, word, "valid", listing, listing.valid, scale, label)
    if pool.hr or pool.skipped:
        fixed = any(listing.valid is not None for _, listing in listings)
        _hold_out(pool, train, valid, source, none=fixed)
    return train, valid


def _load(
    into: _Split, word: str, part: str, listing: Listing, entries: Sequence[Entry], scale: int, label: str
) -> None:
    """Add the images of ``entries`` to a split, through the cache."""
    slug, key = _cache_name(word, part, listing, entries)
    hr = stored(f"{slug}-hr", key, _decoded(entries), len(entries))
    lr_key = [key, [_stamp(entry.lr) for entry in entries]]
    lr = stored(f"{slug}-x{scale}", lr_key, _reduced(entries, hr, scale), len(entries))
    into.skipped += [f"{label}{name}: {why}" for name, why in {**hr.skipped, **lr.skipped}.items()]
    for entry in entries:
        if entry.name not in lr.images:
            continue
        name = label + entry.name
        into.hr[name], into.lr[name] = hr.images[entry.name], lr.images[entry.name]
        into.digests[name] = hr.digests[entry.name], lr.digests[entry.name]
        into.scenes[name] = label + (entry.scene or entry.name)
        if entry.lr is not None:
            into.read.add(name)


def is_cached(word: str, listing: Listing, scale: int) -> bool:
    """Whether all that ``listing`` holds lies decoded in the cache, at this scale."""
    parts = {"all": listing.train}
    if listing.valid is not None:
        parts = {"train": listing.train, "valid": listing.valid}
    for part, entries in parts.items():
        slug, key = _cache_name(word, part, listing, entries)
        lr_key = [key, [_stamp(entry.lr) for entry in entries]]
        for name, one in ((f"{slug}-hr", key), (f"{slug}-x{scale}", lr_key)):
            paths = cache_paths(name, one)
            if paths is None or not all(path.exists() for path in paths):
                return False
    return True


def _cache_name(word: str, part: str, listing: Listing, entries: Sequence[Entry]) -> tuple[str, object]:
    place = hashlib.sha256(os.fsencode(listing.root.resolve())).hexdigest()[:12]
    return f"{word}-{place}-{part}", [[entry.name, _stamp(entry.hr)] for entry in entries]


def _stamp(path: Path | None) -> object:
    """What changes when a file does: its place, size and time of change."""
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return [os.fspath(path), None, None]  # reading it says what is wrong
    return [os.fspath(path.absolute()), status.st_size, status.st_mtime_ns]


def _decoded(entries: Sequence[Entry]) -> Produced:
    for entry in entries:
        try:
            yield entry.name, read_image(entry.hr)
        except DataError as error:
            yield entry.name, str(error)


def _reduced(entries: Sequence[Entry], hr: Stored, scale: int) -> Iterator[tuple[str, Tensor | str]]:
    """Low resolution of what could be read: from its file where there is one, made where not."""
    for entry in entries:
        if entry.name not in hr.images:
            continue
        image = hr.images[entry.name]
        height, width = (side // scale for side in image.shape[1:])
        if not height or not width:
            yield entry.name, f"{image.shape[2]}x{image.shape[1]} is too small for x{scale}"
        elif entry.lr is None:
            yield entry.name, imresize(image[:, : height * scale, : width * scale], Fraction(1, scale))
        else:
            yield entry.name, read_low_resolution(entry.lr, image, scale)


def read_low_resolution(path: Path, hr: Tensor, scale: int) -> Tensor | str:
    """The low resolution of ``hr`` from its file, or why it cannot be that.

    MATLAB rounds sizes up: one row or column beyond the multiple of ``scale`` is cut off.
    """
    try:
        lr = read_image(path)
    except DataError as error:
        return f"low resolution {path.name} {error}"
    height, width = (side // scale for side in hr.shape[1:])
    if not (
        height <= lr.shape[1] <= -(-hr.shape[1] // scale) and width <= lr.shape[2] <= -(-hr.shape[2] // scale)
    ):
        return (
            f"low resolution {path.name} is {lr.shape[2]}x{lr.shape[1]}, and {hr.shape[2]}x{hr.shape[1]} "
            f"at x{scale} needs {width}x{height}"
        )
    return lr[:, :height, :width].contiguous()


def _hold_out(pool: _Split, train: _Split, valid: _Split, source: str, *, none: bool) -> None:
    """Move images of ``pool`` to training, one in ten of the scenes to validation unless ``none``."""
    train.skipped += pool.skipped
    scenes = list(dict.fromkeys(pool.scenes.values()))
    held_out: dict[str, bool] = {}
    if not none:
        if len(scenes) < 2:
            reasons = f"; skipped {'; '.join(pool.skipped[:3])}" if pool.skipped else ""
            raise DataError(
                f"data {source!r}: {len(scenes)} readable image(s), and at least 2 are needed, "
                f"one to train on and one held out{reasons}"
            )
        count = min(MOST_HELD_OUT, max(1, len(scenes) // 10))
        held_out = {scenes[(2 * i + 1) * len(scenes) // (2 * count)]: False for i in range(count)}
    for name, scene in pool.scenes.items():
        if held_out.get(scene):
            continue  # of the many parts of a held-out photograph the first one is enough
        into = valid if scene in held_out else train
        if scene in held_out:
            held_out[scene] = True
        into.hr[name], into.lr[name] = pool.hr[name], pool.lr[name]
        into.digests[name] = pool.digests[name]
        if name in pool.read:
            into.read.add(name)


def _drop_small(split: _Split, side: int) -> list[str]:
    """Leave the images with both sides at least ``side``; a line for each of the others."""
    lines = []
    for name, image in list(split.hr.items()):
        if min(image.shape[1:]) < side:
            lines.append(
                f"{name}: {image.shape[2]}x{image.shape[1]} is too small, {side}x{side} pixels are needed"
            )
            del split.hr[name], split.lr[name]
            split.read.discard(name)
    return lines


def _pairs(split: _Split, scale: int) -> Pairs:
    hr = [
        image[:, : image.shape[1] // scale * scale, : image.shape[2] // scale * scale]
        for image in split.hr.values()
    ]
    return Pairs(names=tuple(split.hr), hr=tuple(hr), lr=tuple(split.lr.values()))


def _digest(train: _Split, valid: _Split) -> str:
    """SHA-256 over every pixel that is used, so that a result names the data it was made with.

    Low resolution counts where it was read: elsewhere it follows from the high one.
    """
    total = hashlib.sha256()
    whole = sum(image.numel() for split in (train, valid) for image in split.hr.values()) <= HASHED_WHOLE
    for split in (train, valid):
        for name, image in split.hr.items():
            total.update(f"{name} {tuple(image.shape)}".encode())
            total.update(image.numpy().tobytes() if whole else split.digests[name][0].encode())
        for name in split.hr:
            if name in split.read:
                total.update(f"low resolution of {name}: {split.digests[name][1]}".encode())
    return total.hexdigest()[:16]

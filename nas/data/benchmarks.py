"""Benchmark sets by the names of their folders, in the layouts that they are distributed in.

To add a set, put a line in BENCHMARKS.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from nas.data.dataset import read_low_resolution
from nas.data.images import list_images, read_image
from nas.errors import DataError, unknown
from nas.imaging.bicubic import imresize

BENCHMARKS: dict[str, tuple[str, ...]] = {
    "Set5": ("set5",),
    "Set14": ("set14",),
    "B100": ("b100", "bsd100", "bsds100"),
    "Urban100": ("urban100",),
    "Manga109": ("manga109",),
}
"""The name of a set -> names that its folder goes by, in small letters."""

DEPTH = 3
"""Folders below the data folder that are looked into."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkSet:
    """A benchmark set that was found; its high resolution lies in ``root`` by one of several conventions."""

    name: str
    root: Path


@dataclass(frozen=True, kw_only=True)
class BenchmarkImage:
    """One image: ``hr`` (3, s * H, s * W) and ``lr`` (3, H, W), uint8; ``read`` where LR is from a file."""

    name: str
    hr: Tensor
    lr: Tensor
    read: bool


def data_folder(given: Path | None) -> Path:
    """``given``, or the folder that ``NAS_DATA`` names. Raises DataError where it is none."""
    word = os.environ.get("NAS_DATA", "")
    if given is None and not word:
        raise DataError("no data folder: give --data-dir PATH, or set NAS_DATA")
    folder = (given or Path(word)).expanduser()
    if not folder.is_dir():
        raise DataError(f"data folder {str(folder)!r} ({'--data-dir' if given else 'NAS_DATA'}) is no folder")
    return folder


def find_benchmarks(folder: Path) -> list[BenchmarkSet]:
    """The benchmark sets in ``folder`` or a few folders below, the first of each name."""
    found: dict[str, Path] = {}
    level = [folder]
    for _ in range(DEPTH + 1):
        below: list[Path] = []
        for path in level:
            for name, words in BENCHMARKS.items():
                if path.name.lower() in words and name not in found and _high_resolution(path, 4):
                    found[name] = path
            below += sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
        level = below
    return [BenchmarkSet(name=name, root=found[name]) for name in BENCHMARKS if name in found]


def choose_benchmarks(folder: Path, names: list[str]) -> list[BenchmarkSet]:
    """The sets called ``names``, or all that are found where none is named.

    Raises DataError where there is none, RecipeError for a name that is not there.
    """
    found = {one.name: one for one in find_benchmarks(folder)}
    if not found:
        raise DataError(f"no benchmark set below {folder} (looked for {', '.join(BENCHMARKS)})")
    spelled = {word: name for name, words in BENCHMARKS.items() for word in (*words, name.lower())}
    chosen = []
    for word in names:
        name = spelled.get(word.lower(), word)
        if name not in found:
            raise unknown("benchmark set", word, found, where=str(folder))
        chosen.append(found[name])
    return chosen or list(found.values())


def read_benchmark(benchmark: BenchmarkSet, scale: int) -> Iterator[BenchmarkImage]:
    """Its images one by one, cut to a multiple of ``scale``; LR read where it lies beside, made where not.

    Grayscale is read as RGB. Raises DataError, with the file's name, for an image that cannot be used: a set
    with an image left out would be another set.
    """
    for name, path in _high_resolution(benchmark.root, scale):
        try:
            hr = read_image(path)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        height, width = (side // scale for side in hr.shape[1:])
        if min(height, width) < 1:
            raise DataError(f"{path}: {hr.shape[2]}x{hr.shape[1]} is too small for x{scale}")
        beside = next((p for p in _low_resolution(path, name, scale) if p.is_file()), None)
        lr = None if beside is None else read_low_resolution(beside, hr, scale)
        if isinstance(lr, str):
            raise DataError(f"{path}: {lr}")
        hr = hr[:, : height * scale, : width * scale].contiguous()
        if lr is None:
            lr = imresize(hr, Fraction(1, scale))
        yield BenchmarkImage(name=name, hr=hr, lr=lr, read=beside is not None)


def count_images(benchmark: BenchmarkSet) -> tuple[int, list[int]]:
    """How many images a set has, and the scales of which all have their LR on the disk."""
    images = _high_resolution(benchmark.root, 4)
    scales = [
        scale
        for scale in (2, 3, 4)
        if all(
            any(p.is_file() for p in _low_resolution(path, name, scale))
            for name, path in _high_resolution(benchmark.root, scale)
        )
    ]
    return len(images), scales


def digest_of(images: list[tuple[str, str]]) -> str:
    """A name for exactly these images: of (name, :func:`digest_image`) of each."""
    return hashlib.sha256(repr(images).encode()).hexdigest()[:16]


def digest_image(image: BenchmarkImage) -> str:
    """SHA-256 of the pixels of both resolutions."""
    total = hashlib.sha256()
    for pixels in (image.hr, image.lr):
        total.update(f"{tuple(pixels.shape)}".encode())
        total.update(pixels.contiguous().numpy().data)
    return total.hexdigest()


def _high_resolution(root: Path, scale: int) -> list[tuple[str, Path]]:
    """(name, file) of the images, by the first convention that holds any."""
    for folder in (root / "HR", root / "original", root / "GT", root):
        if folder.is_dir() and (images := list_images(folder)):
            return [(path.stem, path) for path in images]
    # Of Urban100 in this layout, x2 is of half size: the community's sets are those of x4 at every scale.
    for factor in (4, scale) if root.name.lower() == "urban100" else (scale, 4, 3, 2):
        ending = f"_SRF_{factor}_HR"
        folder = root / f"image_SRF_{factor}"
        if folder.is_dir():
            images = [path for path in list_images(folder) if path.stem.endswith(ending)]
            if images:
                return [(path.stem.removesuffix(ending), path) for path in images]
    folder = root / "GTmod12"
    return [(path.stem, path) for path in list_images(folder)] if folder.is_dir() else []


def _low_resolution(path: Path, name: str, scale: int) -> Iterator[Path]:
    """Where the LR of a file may lie."""
    if path.stem.endswith("_HR") and path.parent.name.startswith("image_SRF_"):
        if path.parent.name == f"image_SRF_{scale}":
            yield path.with_name(f"{path.stem.removesuffix('_HR')}_LR{path.suffix}")
        return
    suffixes = dict.fromkeys((path.suffix, ".png"))
    for root in (path.parent.parent, path.parent):
        for folder in (f"LR_bicubic/X{scale}", f"LR_bicubic/x{scale}", f"LRbicx{scale}", f"LR/X{scale}"):
            for stem in (f"{name}x{scale}", name):
                for suffix in suffixes:
                    yield root / folder / f"{stem}{suffix}"

"""Where images come from: each source is one word of a recipe, ``word`` or ``word:argument``.

To add one, write a function from the argument and the scale to a Listing and put it in SOURCES at the foot.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from nas.data.images import SUFFIXES, list_images
from nas.errors import DataError, unknown

PHOTOS_TRAIN = ("astronaut.png", "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "retina.jpg")
PHOTOS_VALID = ("chelsea.png", "coffee.png", "rocket.jpg")

MOST_VALIDATED = 10
"""Of DIV2K's validation images the last ones, this many, measure a candidate."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One image on the disk; ``lr`` None where low resolution has to be made.

    ``scene`` is shared by images cut from one photograph, which are never split between training and
    validation.
    """

    name: str
    hr: Path
    lr: Path | None = None
    scene: str = ""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a source holds below ``root``; ``valid`` None: some of ``train`` have to be held out."""

    root: Path
    train: tuple[Entry, ...]
    valid: tuple[Entry, ...] | None = None


def photos(argument: str, scale: int) -> Listing:
    """The colour photographs that scikit-image installs with itself: five to train on, three held out.

    The right eye's motorcycle is left out, since it shows the scene of the left one's.
    """
    if argument:
        raise DataError(f"data 'photos' takes no argument, but got {argument!r}; folder:PATH reads a folder")
    found = importlib.util.find_spec("skimage")  # importing it would take a moment
    if found is None or found.origin is None:
        raise DataError("data 'photos': scikit-image is not installed; pip install scikit-image")
    root = Path(found.origin).parent / "data"
    return Listing(
        root=root,
        train=tuple(Entry(name=name, hr=root / name) for name in PHOTOS_TRAIN),
        valid=tuple(Entry(name=name, hr=root / name) for name in PHOTOS_VALID),
    )


def folder(argument: str, scale: int) -> Listing:
    """Every image below a folder; some are held out."""
    root = _root("folder", argument)
    paths = list_images(root, below=True)
    if not paths:
        raise DataError(
            f"data 'folder:{argument}': no images there (looked for {', '.join(sorted(SUFFIXES))})"
        )
    return Listing(
        root=root, train=tuple(Entry(name=path.relative_to(root).as_posix(), hr=path) for path in paths)
    )


def div2k(argument: str, scale: int) -> Listing:
    """DIV2K as it is distributed, or its sub-images; the last ten of its validation images are held out."""
    return _known_set("div2k", argument, scale)


def flickr2k(argument: str, scale: int) -> Listing:
    """Flickr2K as it is distributed, or its sub-images; some are held out."""
    return _known_set("flickr2k", argument, scale)


def df2k(argument: str, scale: int) -> Listing:
    """DIV2K and Flickr2K side by side in one folder, or put together into one as ``DF2K_train_HR``."""
    root = _root("df2k", argument)
    if _first_folder(root, _HR["df2k"]) is not None:
        return _known_set("df2k", argument, scale)
    first, second = _known_set("div2k", argument, scale), _known_set("flickr2k", argument, scale)
    return replace(first, train=(*first.train, *second.train))


SOURCES: dict[str, Callable[[str, int], Listing]] = {
    "photos": photos,
    "folder": folder,
    "div2k": div2k,
    "flickr2k": flickr2k,
    "df2k": df2k,
}


def list_source(source: str, scale: int) -> list[tuple[str, Listing]]:
    """(word, listing) of each part of ``source``, whose parts are joined with ``+``.

    A ``+`` inside a path stays one: it divides only before a source's word. Raises RecipeError for an unknown
    word and DataError where nothing is found.
    """
    words = "|".join(SOURCES)
    listings = []
    for part in re.split(rf"\+(?=(?:{words})(?:[:+]|$))", source):
        word, _, argument = part.partition(":")
        if word not in SOURCES:
            raise unknown("data source", word, SOURCES)
        listings.append((word, SOURCES[word](argument, scale)))
    return listings


def list_found(folder: Path) -> list[tuple[str, str]]:
    """(word, source) of what lies in ``folder`` or a folder in it and can be trained on.

    Sets by their names, then every plain folder that holds images itself.
    """
    found: list[tuple[str, str]] = []
    known = {name for names in _HR.values() for name in names} | {"DIV2K_valid_HR"}
    for root in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        found += [
            (word, f"{word}:{root}")
            for word, names in _HR.items()
            if any((root / name).is_dir() and list_images(root / name) for name in names)
        ]
        below = [path for path in sorted(root.iterdir()) if path.is_dir()] if root != folder else []
        plain = (path for path in (root, *below) if path.name not in known and list_images(path))
        found += [("folder", f"folder:{path}") for path in plain]
    return found


_HR = {
    "div2k": ("DIV2K_train_HR", "DIV2K_HR", "DIV2K_train_HR_sub"),
    "flickr2k": ("Flickr2K_HR", "Flickr2K_train_HR", "Flickr2K_HR_sub"),
    "df2k": ("DF2K_train_HR", "DF2K_HR", "DF2K_train_HR_sub", "DF2K_HR_sub"),
}
"""Names of the folder of high resolution, whole images before their sub-images."""


def _root(word: str, argument: str) -> Path:
    root = Path(argument).expanduser()
    if not argument or not root.is_dir():
        raise DataError(f"data '{word}:{argument}': {argument or '(nothing)'} is no folder")
    return root


def _known_set(word: str, argument: str, scale: int) -> Listing:
    root = _root(word, argument)
    if root.name in _HR[word]:  # the folder of the images was given, not the one that it lies in
        root = root.parent
    hr = _first_folder(root, _HR[word])
    if hr is None:
        raise DataError(
            f"data '{word}:{argument}': no images there (looked for the folders {', '.join(_HR[word])}, "
            "also one level down)"
        )
    train = _entries(hr, scale)
    valid_folder = _first_folder(root, ("DIV2K_valid_HR",)) if word != "flickr2k" else None
    valid = None if valid_folder is None else _entries(valid_folder, scale)[-MOST_VALIDATED:]
    return Listing(root=root, train=train, valid=valid)


def _first_folder(root: Path, names: tuple[str, ...]) -> Path | None:
    """The first of the folders that exists and holds images: in ``root``, or in a folder in it."""
    for name in names:
        for path in (root / name, *sorted(root.glob(f"*/{name}"))):
            if path.is_dir() and list_images(path):
                return path
    return None


def _entries(hr: Path, scale: int) -> tuple[Entry, ...]:
    """The images of a folder, each with its low resolution where a folder beside has it."""
    sub = "_sub" if hr.name.endswith("_sub") else ""
    stem = re.sub(r"_HR(_sub)?$", "", hr.name)
    beside = [
        hr.parent / f"{name}_LR_bicubic{place}{sub}"
        for name in dict.fromkeys((stem, f"{stem}_train", stem.removesuffix("_train")))
        for place in (f"/X{scale}", f"_X{scale}")
    ]
    folders = [path for path in beside if path.is_dir()]
    entries = []
    for path in list_images(hr):
        names = (f"{path.stem}x{scale}{path.suffix}", f"{path.stem}x{scale}.png", path.name)
        lr = next((found for f in folders for name in names if (found := f / name).is_file()), None)
        scene = re.sub(r"_s\d+$", "", path.stem) if sub else ""
        entries.append(Entry(name=path.name, hr=path, lr=lr, scene=scene))
    return tuple(entries)

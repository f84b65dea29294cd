"""The crops that a training left beside its weights: read with care, from one folder and nowhere else.

`nas.training.crops` writes them. A folder may come from anybody, so everything in it is doubted: names,
sizes, links.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leaderboard.untrusted import UntrustedError, parse_json

FOLDER, INDEX = "pictures", "index.json"
KINDS = ("lr", "bicubic", "network", "hr")
MOST_CROPS = 12
MOST_BYTES = 1 << 20
"""Of one file: a crop of 96 x 96 pixels has some 20 thousand."""
MOST_DECIBELS = 1e6
MOST_PIXELS = 1 << 20
"""Of any side or place: far beyond every image."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,80}\.png")
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True)
class CropImage:
    """One PNG file; `psnr_db` is against the HR crop, None for the LR and the HR crop themselves."""

    file: Path
    psnr_db: float | None = None

    def data_url(self) -> str:
        """The picture as a URL that holds it, for a page without a server; of nothing when it is gone."""
        data = _bytes(self.file) or b""
        return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


@dataclass(frozen=True, kw_only=True)
class Crop:
    """One crop of a validation image in four pictures: as the network sees it, enlarged twice, and the truth.

    `box` is left, top, width and height in HR pixels. `metric` names how PSNR was measured, over the crop
    alone and without a border.
    """

    image: str
    box: tuple[int, int, int, int]
    metric: str
    lr: CropImage
    bicubic: CropImage
    network: CropImage
    hr: CropImage

    @property
    def gain_db(self) -> float | None:
        """How far the network is above bicubic on this crop, dB."""
        network, bicubic = self.network.psnr_db, self.bicubic.psnr_db
        return None if network is None or bicubic is None else network - bicubic


def pictures(runs: str | Path, folder: str | None) -> list[Crop]:
    """The crops in `<runs>/<folder>/pictures`; empty where there are none, or none that can be trusted.

    `folder` is relative to `runs`, as in `Store.frame`. Nothing outside of the folder is read: a path that
    leaves it, a link, a file that is no PNG or larger than `MOST_BYTES` leaves its crop out.
    """
    place = _inside(Path(runs), folder)
    if place is None:
        return []
    index = _index(place)
    made = index.get("crops")
    metric = index.get("metric")
    if not isinstance(made, list) or not isinstance(metric, str):
        return []
    crops = (_crop(place, entry, metric) for entry in made[:MOST_CROPS])
    return [crop for crop in crops if crop is not None]


def _inside(runs: Path, folder: str | None) -> Path | None:
    """The real pictures folder, if no link on the way leads elsewhere."""
    if not folder or Path(folder).is_absolute():
        return None
    try:
        root = runs.resolve(strict=True)
        place = (root / folder / FOLDER).resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        return None
    honest = root.joinpath(*Path(folder).parts, FOLDER)
    return place if place == honest and place.is_dir() and place.is_relative_to(root) else None


def _index(place: Path) -> dict[str, Any]:
    data = _bytes(place / INDEX)
    try:
        found = parse_json(data or b"{}")
    except UntrustedError:
        return {}
    return found if isinstance(found, dict) else {}


def _crop(place: Path, entry: object, metric: str) -> Crop | None:
    if not isinstance(entry, dict):
        return None
    image, box = entry.get("image"), entry.get("box")
    if not isinstance(image, str) or not _is_box(box):
        return None
    found = {kind: _picture(place, entry.get(kind)) for kind in KINDS}
    lr, bicubic, network, hr = (found[kind] for kind in KINDS)
    if lr is None or bicubic is None or network is None or hr is None:
        return None
    assert isinstance(box, list)
    left, top, width, height = box
    return Crop(
        image=image,
        box=(left, top, width, height),
        metric=metric,
        lr=lr,
        bicubic=bicubic,
        network=network,
        hr=hr,
    )


def _is_box(box: object) -> bool:
    if not isinstance(box, list) or len(box) != 4 or any(type(side) is not int for side in box):
        return False
    return min(box[:2]) >= 0 and min(box[2:]) > 0 and max(box) < MOST_PIXELS


def _picture(place: Path, entry: object) -> CropImage | None:
    name = entry.get("file") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return None
    data = _bytes(place / name)
    if data is None or not data.startswith(_PNG):
        return None
    assert isinstance(entry, dict)
    return CropImage(file=place / name, psnr_db=_decibels(entry.get("psnr_db")))


def _decibels(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MOST_DECIBELS:
        return None
    return float(value)


def _bytes(path: Path) -> bytes | None:
    """What a plain file holds; None for a link, a folder, or one that is too large."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_BYTES:
            return None
        return path.read_bytes()
    except OSError:
        return None

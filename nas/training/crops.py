"""Crops of a few validation images as a network enlarges them, beside its weights: what a number looks like.

`leaderboard.crops` reads them. They cost no inference of their own: the outputs that are measured anyway
are looked at. There are none where the environment says ``NAS_PICTURES=0``.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from nas.data import Pairs
from nas.imaging.bicubic import imresize
from nas.metrics.fidelity import METRICS, luma

FOLDER, INDEX = "pictures", "index.json"

IMAGES = 3
"""Validation images that are looked at, evenly spread over all."""

SIDE = 96
"""Sides of a crop in HR pixels; less in an image that is smaller. Divisible by the scales 2, 3 and 4."""

_MARGIN = 4
"""LR pixels around a crop that bicubic enlargement reaches for, and some."""

_EQUAL_DB = 1000.0
"""Equal images: JSON knows no infinity."""


@dataclass(frozen=True, kw_only=True)
class ReferenceCrop:
    """One crop without a network: ``box`` is left, top, width and height in HR pixels; PNG files by kind."""

    image: str
    box: tuple[int, int, int, int]
    hr: Tensor
    files: dict[str, bytes]
    bicubic_psnr_db: float


@dataclass
class Album:
    """The crops of one measured network; ``see`` is shown each of its outputs, ``save`` writes them."""

    scenes: tuple[ReferenceCrop, ...]
    scale: int
    metric: str
    outputs: dict[str, Tensor] = field(default_factory=dict)

    def see(self, name: str, sr: Tensor) -> None:
        """Keep the crop of an output, (3, H, W) uint8 on any device, where it belongs to a scene."""
        for scene in self.scenes:
            if scene.image == name:
                self.outputs[name] = _cut(sr, scene.box).cpu()

    def save(self, folder: Path) -> bool:
        """Write ``folder/pictures`` anew, whole or not at all; False where the disk refuses.

        A picture is not worth the loss of a result, so that nothing is raised then.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{FOLDER}-", dir=folder) as beside:
                fresh = Path(beside) / FOLDER
                fresh.mkdir()
                for name, data in self._files().items():
                    _write(fresh / name, data)
                old = folder / FOLDER
                with contextlib.suppress(FileNotFoundError):
                    old.rename(Path(beside) / "old")
                fresh.rename(old)
        except OSError:
            return False
        return True

    def _files(self) -> dict[str, bytes]:
        """All files by name, the index among them."""
        files: dict[str, bytes] = {}
        crops = []
        for number, scene in enumerate(self.scenes):
            if scene.image not in self.outputs:
                continue
            sr = self.outputs[scene.image]
            reached = {"bicubic": scene.bicubic_psnr_db, "network": _psnr(sr, scene.hr, self.metric)}
            entry: dict[str, object] = {"image": scene.image, "box": list(scene.box)}
            for kind, data in (scene.files | {"network": _png(sr)}).items():
                name = f"{number}-{kind}.png"
                files[name] = data
                entry[kind] = {"file": name, "psnr_db": reached.get(kind)}
            crops.append(entry)
        index = {"version": 1, "scale": self.scale, "metric": self.metric, "crops": crops}
        return files | {INDEX: json.dumps(index, indent=1).encode()}


def open_album(pairs: Pairs, scale: int, metric: str) -> Album | None:
    """An empty album over the validation images ``pairs``; None where no pictures are wanted."""
    if os.environ.get("NAS_PICTURES") == "0":
        return None
    return Album(scenes=scenes(pairs, scale, metric), scale=scale, metric=metric)


@functools.lru_cache(maxsize=2)
def scenes(pairs: Pairs, scale: int, metric: str) -> tuple[ReferenceCrop, ...]:
    """What is looked at of ``pairs``: in each of up to IMAGES images the crop with the most detail.

    The same for every network, so it is made once in a process.
    """
    count = len(pairs)
    chosen = sorted({round((count - 1) * part / max(1, IMAGES - 1)) for part in range(IMAGES)})
    return tuple(
        _scene(pairs.names[place], pairs.lr[place], pairs.hr[place], scale, metric) for place in chosen
    )


def most_detailed_box(hr: Tensor, scale: int) -> tuple[int, int, int, int]:
    """Left, top, width and height, multiples of ``scale``, of the crop of ``hr`` with the steepest edges.

    ``hr`` is (3, H, W) uint8. The sum of the differences of neighbouring pixels' luma decides, the first such
    crop where several have it. Whole numbers, so that every machine chooses alike.
    """
    height, width = (min(SIDE, side // scale * scale) for side in hr.shape[1:])
    y = luma(hr.cpu())[0].round().to(torch.int64)
    steep = torch.zeros_like(y)
    steep[:, :-1] += (y[:, 1:] - y[:, :-1]).abs()
    steep[:-1] += (y[1:] - y[:-1]).abs()
    total = torch.zeros(y.shape[0] + 1, y.shape[1] + 1, dtype=torch.int64)
    total[1:, 1:] = steep.cumsum(0).cumsum(1)
    sums = (
        total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    )
    sums = sums[::scale, ::scale]
    top, left = divmod(int(sums.flatten().argmax()), sums.shape[1])
    return left * scale, top * scale, width, height


def _scene(name: str, lr: Tensor, hr: Tensor, scale: int, metric: str) -> ReferenceCrop:
    box = most_detailed_box(hr, scale)
    truth, small = _cut(hr, box), _cut(lr, tuple(side // scale for side in box))
    bicubic = _bicubic(lr, box, scale)
    return ReferenceCrop(
        image=name,
        box=box,
        hr=truth,
        files={"lr": _png(small), "bicubic": _png(bicubic), "hr": _png(truth)},
        bicubic_psnr_db=_psnr(bicubic, truth, metric),
    )


def _bicubic(lr: Tensor, box: tuple[int, int, int, int], scale: int) -> Tensor:
    """The crop of the enlarged image, from no more of ``lr`` than it needs."""
    left, top, width, height = (side // scale for side in box)
    first, above = max(0, left - _MARGIN), max(0, top - _MARGIN)
    near = lr[:, above : top + height + _MARGIN, first : left + width + _MARGIN]
    inside = ((left - first) * scale, (top - above) * scale, box[2], box[3])
    return _cut(imresize(near.contiguous(), scale), inside)


def _cut(image: Tensor, box: tuple[int, ...]) -> Tensor:
    left, top, width, height = box
    return image[:, top : top + height, left : left + width].clone()


def _psnr(sr: Tensor, hr: Tensor, metric: str) -> float:
    return min(METRICS[metric](sr, hr, 0)[0], _EQUAL_DB)


def _png(image: Tensor) -> bytes:
    held = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(held, format="PNG")
    return held.getvalue()


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())

"""One image or a folder of them through a network, in tiles that fit into memory."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.core.device import free_memory, out_of_memory
from nas.core.files import write_whole
from nas.cost.memory import peak_memory
from nas.data.images import list_images
from nas.errors import DataError, DiskError, NasError, RecipeError
from nas.export.onnx import OnnxNetwork, first_line
from nas.imaging.tiling import UNKNOWN_OVERLAP, enlarge_in_bands, receptive_radius
from nas.upscale.bands import ChannelSlice
from nas.upscale.reading import Picture, Pixels, read_picture
from nas.upscale.writing import MOST, WRITERS, Form

TILES = (768, 512, 384, 256, 192, 144, 96, 48)
"""Sides in LR pixels that are tried, largest first, after the whole image."""

WHOLE = 1536
"""Images of longer sides are cut into tiles without asking: one tile less would gain nothing."""

UNKNOWN_TILE = 192
"""Where the memory of a network cannot be counted: an ONNX file."""

SHARE = 4
"""One part in so many of the free memory is for a tile: what libraries take for themselves is not counted."""

_MARGIN = 4  # LR rows beyond a band that bicubic enlargement of its alpha looks at


@dataclass(frozen=True, kw_only=True)
class Upscaler:
    """A network ready to enlarge: on its device, in its precision; ``overlap`` in LR pixels.

    ``tile`` 0 chooses it for each image; ``radius`` is how far an output looks, None for the whole image.
    """

    network: nn.Module
    scale: int
    device: torch.device
    half: bool
    tile: int
    radius: int | None

    @property
    def overlap(self) -> int:
        """LR pixels that a tile is computed with on each side beyond its own."""
        return UNKNOWN_OVERLAP if self.radius is None else self.radius

    def tile_for(self, size: tuple[int, int]) -> int:
        """The tile's side for an image of this height and width; 0: the whole at once."""
        if self.tile:
            return self.tile
        if isinstance(self.network, OnnxNetwork):
            return UNKNOWN_TILE
        free = free_memory()
        if self.device.type == "cuda":
            free = torch.cuda.mem_get_info(self.device)[0]
        plain = copy.deepcopy(self.network).float().to("meta")
        for tile in (0, *TILES):
            height, width = (min(side, tile + 2 * self.overlap) if tile else side for side in size)
            output = (height * self.scale, width * self.scale)
            if not tile and max(size) > WHOLE:
                continue
            needed = peak_memory(lambda: plain, self.scale, output) // (2 if self.half else 1)
            if needed <= free // SHARE:
                return tile
        return TILES[-1]

    def bands(self, picture: Picture, tile: int) -> Iterator[Pixels]:
        """The enlarged picture in bands, (rows, W, channels), of the picture's own type."""
        most = np.iinfo(picture.colours.dtype).max
        kind = torch.float16 if self.half else torch.float32

        def rows(top: int, bottom: int) -> Tensor:
            x = torch.from_numpy(picture.colours[top:bottom].astype(np.float32) / most)
            x = x.permute(2, 0, 1)[None].expand(1, 3, -1, -1)
            return x.to(self.device, kind).contiguous(memory_format=torch.channels_last)

        bands = enlarge_in_bands(
            self.network, rows, picture.size, self.scale, tile=tile, overlap=self.overlap
        )
        for top, band in bands:
            sr = band[0].float()
            if not torch.isfinite(sr).all():
                raise DataError(
                    "the network gives values that are no numbers" + " (try without --half)" * self.half
                )
            if picture.colours.shape[2] == 1:
                sr = sr.mean(dim=0, keepdim=True)
            parts = [_levels(sr, most)]
            if picture.alpha is not None:
                parts.append(_levels(self._alpha(picture.alpha, top, band.shape[2], most), most))
            yield np.concatenate(parts, axis=2).astype(picture.colours.dtype)

    def _alpha(self, alpha: Pixels | ChannelSlice, top: int, height: int, most: int) -> Tensor:
        """The rows of the alpha channel that belong to a band: bicubic, and sharp edges stay within range."""
        bottom = top + height // self.scale
        first, last = max(0, top - _MARGIN), min(len(alpha), bottom + _MARGIN)
        x = torch.from_numpy(alpha[first:last].astype(np.float32) / most).permute(2, 0, 1)[None]
        large = F.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)[0]
        start = (top - first) * self.scale
        return large[:, start : start + height]


def _levels(x: Tensor, most: int) -> Pixels:
    """(C, H, W) in [0, 1] -> (H, W, C), rounded to whole levels."""
    levels: Pixels = (x.clamp(0, 1) * most + 0.5).floor().permute(1, 2, 0).cpu().numpy()
    return levels


def make_upscaler(
    network: nn.Module, scale: int, device: torch.device, *, half: bool = False, tile: int = 0
) -> Upscaler:
    """Raises RecipeError for half precision without a GPU, and for an ONNX file on one."""
    onnx = isinstance(network, OnnxNetwork)
    if half and (device.type != "cuda" or onnx):
        raise RecipeError("--half: half precision needs a network on a CUDA device")
    if onnx and device.type != "cpu":
        raise RecipeError("--device: ONNX files run on the CPU here")
    radius = None if onnx else receptive_radius(network)
    network = network.eval() if onnx else network.to(device, torch.float16 if half else torch.float32).eval()
    return Upscaler(network=network, scale=scale, device=device, half=half, tile=tile, radius=radius)


@torch.no_grad()
def upscale_file(
    upscaler: Upscaler,
    source: Path,
    target: Path,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Enlarges ``source`` into ``target``, whose suffix is its format; says how, in a few words.

    ``progress`` is told rows done and rows in all. Raises DataError or RecipeError, with nothing written.
    """
    if target.suffix.lower() not in WRITERS:
        raise RecipeError(f"{target}: cannot be written as that (allowed: {', '.join(WRITERS)})")
    if target.exists() and not force:
        raise RecipeError(f"{target}: is there already; --force replaces it")
    picture = read_picture(source)
    form = form_of(picture, upscaler.scale)
    _require_fitting(target, form)
    tile = upscaler.tile_for(picture.size)

    def write(temporary: Path) -> None:
        writer, done = WRITERS[target.suffix.lower()](temporary, form), 0
        try:
            for band in upscaler.bands(picture, tile):
                writer.rows(band)
                done += len(band)
                if progress is not None:
                    progress(done, form.height)
            writer.close()
        except (RuntimeError, MemoryError) as error:
            memory = out_of_memory(error)
            what = "not enough memory; try a smaller --tile" if memory else "the network failed on it"
            raise DataError(f"{source}: {what} ({memory or first_line(error)})") from error
        finally:
            writer.release()

    try:
        write_whole(target, write)
    except OSError as error:
        if isinstance(error, NasError):
            raise
        raise DiskError(f"{target}: cannot be written ({error.strerror or error})") from error
    height, width = picture.size
    how = "whole" if tile == 0 or tile >= max(picture.size) else f"tiles of {tile}"
    return f"{width}x{height} -> {form.width}x{form.height}, {form.bits} bits, {how}"


def form_of(picture: Picture, scale: int) -> Form:
    """The form of the enlarged picture."""
    height, width = picture.size
    return Form(
        height=height * scale,
        width=width * scale,
        channels=picture.colours.shape[2] + (picture.alpha is not None),
        bits=8 * picture.colours.dtype.itemsize,
        icc=picture.icc,
    )


def _require_fitting(target: Path, form: Form) -> None:
    """Raises DataError for what the format cannot hold and for a disk that cannot hold the file."""
    suffix = target.suffix.lower()
    if suffix in MOST:
        bits, *channels = MOST[suffix]
        if form.bits > bits or form.channels not in channels:
            kind = f"{form.channels} channels of {form.bits} bits"
            raise DataError(f"{target}: {suffix} cannot hold {kind} (.png and .tif can)")
    folder = next(parent for parent in target.absolute().parents if parent.exists())
    size = form.height * form.width * form.channels * form.bits // 8
    needed = size if suffix in (".tif", ".tiff") else size // 20  # coded: far less than that is not seen
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(f"{target}: needs at least {needed >> 20} MiB on the disk, {free >> 20} MiB are free")


def targets_of(source: Path, out: Path | None, scale: int) -> dict[Path, Path]:
    """Which image becomes which file: one, or those of a folder. An image of theirs is PNG, a TIFF stays one.

    Raises DataError for a folder without images, and where two images would become one file.
    """
    if source.is_dir():
        folder = out or source.with_name(f"{source.resolve().name}_x{scale}")
        found = list_images(source)
        if not found:
            raise DataError(f"{source}: is a folder without images in it")
    elif source.is_file():
        if out is not None and out.suffix and not out.is_dir():
            return {source: out}
        folder, found = out or source.parent, [source]
    else:
        raise DataError(f"{source}: there is no such image or folder")
    made: dict[Path, Path] = {}
    for path in found:
        suffix = path.suffix if path.suffix.lower() in (".tif", ".tiff") else ".png"
        target = folder / f"{path.stem}_x{scale}{suffix}"
        other = next((one for one, taken in made.items() if taken == target), None)
        if other is not None:
            raise DataError(f"{other} and {path} would both become {target}; rename one")
        made[path] = target
    return made

"""Images read in bands: the same as read whole by others, from every kind of TIFF, in little memory."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms, ImageOps
from small_networks import Nearest

from nas.errors import DataError
from nas.upscale import reading
from nas.upscale.bands import Bands, ChannelSlice
from nas.upscale.png_bands import KEPT, open_png
from nas.upscale.reading import read_picture
from nas.upscale.tiff_bands import CODINGS, PLAIN, TiffBands, open_tiff
from nas.upscale.upscaling import make_upscaler, upscale_file

CPU = torch.device("cpu")
PILLOWS = {PLAIN: "raw", 5: "tiff_lzw", 8: "tiff_adobe_deflate", 32946: "tiff_deflate", 32773: "packbits"}


def smooth(*shape: int, bits: int = 8) -> np.ndarray:
    """Slopes and some noise, which codings find something to do with."""
    random = np.random.default_rng(1)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    pixels = (rows * 3 + columns * 2)[..., None] * np.arange(1, shape[2] + 1) + random.integers(0, 3, shape)
    return (pixels * (1 if bits == 8 else 97) % 2**bits).astype(f"u{bits // 8}")


def cut_up(bands: Bands, rows: int, margin: int = 0) -> np.ndarray:
    """The image put together from bands of so many rows, each read with a margin as tiles are."""
    height = bands.shape[0]
    parts = []
    for top in range(0, height, rows):
        first, bottom = max(0, top - margin), min(top + rows, height)
        parts.append(bands.rows(first, min(bottom + margin, height))[top - first : bottom - first])
    return np.concatenate(parts)


def renumber(path: Path, was: int, now: int) -> None:
    """Say that a TIFF's segments are of another coding."""
    old, new = (struct.pack("<HHIHH", 259, 3, 1, number, 0) for number in (was, now))
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))


def opened(path: Path) -> TiffBands:
    bands = open_tiff(path)
    assert bands is not None
    return bands


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("coding", [PLAIN, *CODINGS])
@pytest.mark.parametrize("predictor", [1, 2])
def test_8_bits_of_pillows_files_are_those_that_pillow_reads(
    tmp_path: Path, channels: int, coding: int, predictor: int
) -> None:
    pixels = smooth(67, 41, channels)
    strip = {278: 5} if coding != 1 else {}
    differences = {317: predictor} if coding in (5, 8, 32946) else {}
    image = Image.fromarray(pixels.squeeze())
    image.save(tmp_path / "a.tif", compression=PILLOWS[coding], tiffinfo={**strip, **differences})
    if coding == 32946:  # the older number of the same, which Pillow replaces
        renumber(tmp_path / "a.tif", 8, 32946)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page: Any = file.pages[0]
        assert (int(page.compression), int(page.predictor)) == (coding, differences.get(317, 1))
    for rows, margin in ((67, 0), (7, 0), (10, 4)):
        assert np.array_equal(cut_up(opened(tmp_path / "a.tif"), rows, margin), pixels)
    picture = read_picture(tmp_path / "a.tif")
    assert isinstance(picture.colours, ChannelSlice)
    assert picture.colours.shape == (67, 41, 1 if channels <= 2 else 3)
    with Image.open(tmp_path / "a.tif") as image:
        assert np.array_equal(np.array(image), pixels.squeeze())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "form",
    [
        {},
        {"rowsperstrip": 9},
        {"tile": (32, 16)},
        {"rowsperstrip": 9, "planarconfig": "separate"},
        {"tile": (16, 48), "planarconfig": "separate", "compression": "zlib"},
        {"rowsperstrip": 9, "compression": "zlib", "predictor": 2},
        {"tile": (16, 16), "compression": "zlib", "predictor": 2},
        {"rowsperstrip": 9, "bigtiff": True},
    ],
    ids=str,
)
def test_files_of_tifffile_are_those_that_tifffile_reads(
    tmp_path: Path, channels: int, bits: int, order: str, form: dict[str, Any]
) -> None:
    pixels = smooth(67, 41, channels, bits=bits)
    separate = form.get("planarconfig") == "separate"
    if separate and channels == 1:
        form = {name: value for name, value in form.items() if name != "planarconfig"}
    stored = pixels.transpose(2, 0, 1) if separate and channels > 1 else pixels.squeeze()
    kind = {"photometric": "rgb" if channels > 2 else "minisblack"}
    if channels in (2, 4):
        kind |= {"extrasamples": ["unassalpha"], **({} if separate else {"planarconfig": "contig"})}
    tifffile.imwrite(tmp_path / "a.tif", stored, byteorder=order, metadata=None, **kind, **form)
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), stored)
    for rows, margin in ((67, 0), (7, 0), (10, 4)):
        found = cut_up(opened(tmp_path / "a.tif"), rows, margin)
        assert found.dtype == np.dtype(f"u{bits // 8}")
        assert np.array_equal(found, pixels)


def test_16_bits_in_lzw_are_read_though_tifffile_alone_cannot(tmp_path: Path) -> None:
    """As others write them: each strip of the same bytes as an 8-bit one of Pillow's, under other tags."""
    pixels = smooth(30, 20, 3, bits=16)
    as_bytes = pixels.view(np.uint8).reshape(30, -1)
    Image.fromarray(as_bytes).save(tmp_path / "b.tif", compression="tiff_lzw", tiffinfo={278: 7})
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        page: Any = file.pages[0]
        strips = [
            (tmp_path / "b.tif").read_bytes()[o : o + n]
            for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
    tifffile.imwrite(
        tmp_path / "a.tif",
        iter(strips),
        shape=(30, 20, 3),
        dtype=np.uint16,
        rowsperstrip=7,
        compression="zlib",
        photometric="rgb",
        metadata=None,
    )
    renumber(tmp_path / "a.tif", 8, 5)
    assert np.array_equal(cut_up(opened(tmp_path / "a.tif"), 11), pixels)
    assert np.array_equal(read_picture(tmp_path / "a.tif").colours[:], pixels)


@pytest.mark.parametrize("tile", [0, 48])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_tiff_in_bands_is_enlarged_to_the_same_bits_as_one_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile: int, channels: int
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(smooth(150, 70, channels).squeeze())
    image.save(tmp_path / "a.tif", compression="tiff_lzw", icc_profile=profile, tiffinfo={278: 11})
    upscaler = make_upscaler(Nearest(), 2, CPU, tile=tile)
    upscale_file(upscaler, tmp_path / "a.tif", tmp_path / "b.png")
    monkeypatch.setattr(reading, "open_tiff", lambda path: None)
    assert not isinstance(read_picture(tmp_path / "a.tif").colours, ChannelSlice)
    upscale_file(upscaler, tmp_path / "a.tif", tmp_path / "c.png")
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["icc_profile"] == profile


def test_what_is_of_another_kind_is_read_whole_as_before(tmp_path: Path) -> None:
    colours = Image.fromarray(smooth(20, 30, 3))
    colours.quantize(16).save(tmp_path / "palette.tif")
    colours.convert("CMYK").save(tmp_path / "cmyk.tif")
    colours.convert("1").save(tmp_path / "bits.tif")
    colours.save(tmp_path / "jpeg.tif", compression="jpeg")
    tifffile.imwrite(
        tmp_path / "white.tif", smooth(20, 30, 1)[..., 0], photometric="miniswhite", metadata=None
    )
    tifffile.imwrite(
        tmp_path / "premultiplied.tif",
        smooth(20, 30, 4),
        photometric="rgb",
        extrasamples=["assocalpha"],
        metadata=None,
    )
    for path in tmp_path.iterdir():
        assert open_tiff(path) is None
        picture = read_picture(path)
        assert isinstance(picture.colours, np.ndarray)
        with Image.open(path) as image:
            mode = "L" if path.name in ("bits.tif", "white.tif") else "RGB"
            wanted = np.array(
                image.convert("RGBA").convert("RGB") if image.mode == "RGBa" else image.convert(mode)
            )
        assert np.array_equal(picture.colours.squeeze(), wanted), path.name


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("coding", ["raw", "tiff_lzw"])
def test_a_tiff_is_turned_upright_once(tmp_path: Path, turn: int, coding: str) -> None:
    pixels = smooth(5, 8, 3)
    Image.fromarray(pixels).save(tmp_path / "a.tif", tiffinfo={274: turn}, compression=coding)
    picture = read_picture(tmp_path / "a.tif")
    exif = Image.Exif()
    exif[274] = turn
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(picture.colours[:], np.array(ImageOps.exif_transpose(image)))


def test_damage_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    pixels = smooth(200, 50, 3)
    upscaler = make_upscaler(Nearest(), 2, CPU, tile=48)
    for coding in PILLOWS.values():
        path = tmp_path / "a.tif"
        Image.fromarray(pixels).save(path, compression=coding, tiffinfo={278: 20})
        with tifffile.TiffFile(path) as file:
            page: Any = file.pages[0]
            places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        content = path.read_bytes()
        offset, size = places[len(places) // 2]
        damaged = [content[: offset + size // 2]] if offset > 200 or coding == "raw" else []
        filling = b"\x80" if coding == "packbits" else b"\xff"
        if coding != "raw":
            damaged.append(content[:offset] + filling * size + content[offset + size :])
        for one in damaged:
            path.write_bytes(one)
            with pytest.raises(DataError, match=r"a\.tif: (cannot be read|is no image)") as caught:
                upscale_file(upscaler, path, tmp_path / "b.png")
            assert "\n" not in str(caught.value)
            assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.tif"]


def test_segments_that_are_left_out_or_too_short_are_left_to_others(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], float]] = [
        *[({"tile": (16, 16)}, share) for share in (0, 0.5)],
        *[({"rowsperstrip": 10}, share) for share in (0, 0.5)],
        ({"tile": (16, 16), "compression": "zlib"}, 0),
    ]
    for form, share in cases:
        tifffile.imwrite(tmp_path / "a.tif", smooth(40, 30, 3), photometric="rgb", metadata=None, **form)
        assert open_tiff(tmp_path / "a.tif") is not None
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
            page: Any = file.pages[0]
            counts = list(page.databytecounts)
            tag = page.tags["TileByteCounts" if "tile" in form else "StripByteCounts"]
            tag.overwrite([counts[0], int(counts[1] * share), *counts[2:]])
        assert open_tiff(tmp_path / "a.tif") is None


def test_a_segment_of_more_than_it_should_hold_is_not_unpacked_whole(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        iter([zlib.compress(bytes(10**8))]),
        shape=(10, 10),
        dtype=np.uint8,
        rowsperstrip=10,
        compression="zlib",
        metadata=None,
    )
    assert np.array_equal(opened(tmp_path / "a.tif").rows(2, 5), np.zeros((3, 10, 1)))


def test_a_tiff_whose_rows_cannot_be_had_apart_is_refused_where_it_does_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.zeros((3000, 3000), np.uint8),
        rowsperstrip=3000,
        compression="zlib",
        metadata=None,
    )
    monkeypatch.setattr(reading, "free_memory", lambda: 2**20)
    with pytest.raises(DataError, match=r"3000x3000 needs .* of memory to be read"):
        read_picture(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((3000, 3000), np.uint8), metadata=None)
    assert read_picture(tmp_path / "b.tif").size == (3000, 3000)  # its rows lie one after the other


# PNG


def filtered(pixels: np.ndarray, filters: np.ndarray) -> bytes:
    """A PNG with a filter of its own for each row, as the standard's formulas have them (sec. 9)."""
    height, _, channels = pixels.shape
    step = channels * pixels.itemsize
    raw = pixels.astype(f">u{pixels.itemsize}").view(np.uint8).reshape(height, -1).astype(int)
    lines, above = [], np.zeros(raw.shape[1], int)
    for row, kind in zip(raw, filters, strict=True):
        left = np.concatenate([np.zeros(step, int), row[:-step]])
        corner = np.concatenate([np.zeros(step, int), above[:-step]])
        first = left + above - corner
        apart = [abs(first - left), abs(first - above), abs(first - corner)]
        paeth = np.where(
            (apart[0] <= apart[1]) & (apart[0] <= apart[2]),
            left,
            np.where(apart[1] <= apart[2], above, corner),
        )
        guess = [0, left, above, (left + above) // 2, paeth][kind]
        lines.append(bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes())
        above = row
    return png(pixels, zlib.compress(b"".join(lines)))


def png(pixels: np.ndarray, packed: bytes, piece: int = 999, besides: bytes = b"") -> bytes:
    height, width, channels = pixels.shape
    depth, colour = 8 * pixels.itemsize, {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    made = b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    )
    made += besides
    for start in range(0, len(packed), piece):
        made += chunk(b"IDAT", packed[start : start + piece])
    return made + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_rows_of_a_png_are_those_of_the_whole_whatever_their_filters(
    tmp_path: Path, channels: int, bits: int
) -> None:
    pixels = smooth(203, 31, channels, bits=bits)
    (tmp_path / "a.png").write_bytes(filtered(pixels, np.random.default_rng(2).integers(0, 5, 203)))
    whole = read_picture(tmp_path / "a.png")
    assert isinstance(whole.colours, np.ndarray)  # a small one
    assert np.array_equal(whole.colours, pixels[..., : whole.colours.shape[2]])
    for rows, margin in ((203, 0), (1, 0), (7, 0), (10, 4), (48, 72)):
        bands = open_png(tmp_path / "a.png")
        assert bands is not None
        assert np.array_equal(cut_up(bands, rows, margin), pixels)
    assert np.array_equal(bands.rows(3, 20), pixels[3:20])  # from the top again
    assert np.array_equal(bands.rows(190 - KEPT, 203), pixels[190 - KEPT :])


@pytest.mark.parametrize("tile", [0, 48])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_in_bands_is_enlarged_to_the_same_bits_as_one_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile: int, channels: int, bits: int
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = smooth(250, 40, channels, bits=bits)
    lines = b"".join(b"\0" + row.astype(f">u{bits // 8}").tobytes() for row in pixels)
    named = chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(profile))
    (tmp_path / "a.png").write_bytes(png(pixels, zlib.compress(lines), besides=named))
    upscaler = make_upscaler(Nearest(), 2, CPU, tile=tile)
    upscale_file(upscaler, tmp_path / "a.png", tmp_path / "whole.png")
    monkeypatch.setattr(reading, "LARGE", 0)
    assert isinstance(read_picture(tmp_path / "a.png").colours, ChannelSlice)
    upscale_file(upscaler, tmp_path / "a.png", tmp_path / "bands.png")
    assert (tmp_path / "bands.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
    with Image.open(tmp_path / "bands.png") as image:
        assert image.info["icc_profile"] == profile


def test_a_png_of_another_kind_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGE", 0)
    colours = Image.fromarray(smooth(20, 30, 3))
    exif = Image.Exif()
    exif[274] = 6
    settings: dict[str, dict[str, Any]] = {"turned": {"exif": exif}, "clear": {"transparency": (1, 2, 3)}}
    for name, more in settings.items():
        colours.save(tmp_path / f"{name}.png", **more)
    colours.quantize(16).save(tmp_path / "palette.png")
    colours.convert("1").save(tmp_path / "bits.png")
    colours.save(tmp_path / "plain.png")
    content = (tmp_path / "plain.png").read_bytes()
    woven = chunk(
        b"IHDR", content[16:28] + b"\1"
    )  # only by its header: Pillow does not write interlaced ones
    (tmp_path / "plain.png").write_bytes(content[:8] + woven + content[33:])
    for path in tmp_path.iterdir():
        assert open_png(path) is None, path.name
    assert read_picture(tmp_path / "turned.png").size == (30, 20)
    upright = tmp_path / "upright.png"
    exif[274] = 1
    colours.save(upright, exif=exif)
    assert isinstance(read_picture(upright).colours, ChannelSlice)


def test_damage_of_a_png_is_said_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LARGE", 0)
    content = filtered(smooth(300, 40, 3), np.full(300, 4))
    upscaler = make_upscaler(Nearest(), 2, CPU, tile=48)
    path = tmp_path / "a.png"
    random = np.random.default_rng(0)
    for place in random.integers(33, len(content) - 16, 60):
        for one in (content[:place], content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]):
            path.write_bytes(one)
            with pytest.raises(DataError, match=r"a\.png: cannot be read") as caught:
                upscale_file(upscaler, path, tmp_path / "b.png")
            assert "\n" not in str(caught.value)
            assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


LIMITED = """
import resource, sys
from pathlib import Path
import torch
from nas.upscale import reading
from nas.upscale.upscaling import make_upscaler, upscale_file

class Same(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one = torch.nn.Parameter(torch.ones(1))
    def forward(self, x):
        return torch.nn.functional.interpolate(x * self.one, scale_factor=2)

torch.set_num_threads(1)
reading.LARGE = 0
source, target, allowed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
if sys.argv[4] == "whole":
    reading.open_tiff = reading.open_png = lambda path: None
upscaler = make_upscaler(Same(), 2, torch.device("cpu"), tile=48)
small = source.with_name("small.tif")
upscale_file(upscaler, small, target, force=True)  # libraries take what they need for themselves
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + allowed, size + allowed))
upscale_file(upscaler, source, target, force=True)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc to see the address space")
@pytest.mark.thorough
@pytest.mark.parametrize("coding", ["tiles", "none", "zlib", "lzw", "png"])
def test_an_image_much_larger_than_the_memory_allowed_goes_through_to_the_last_bit(
    tmp_path: Path, coding: str
) -> None:
    """34 MB of pixels with 20 MiB allowed beyond what the libraries have: no copy of the image fits."""
    height, width = 28_000, 400
    rows = np.arange(height)[:, None, None] * 7 + np.arange(width)[None, :, None] * np.array([1, 3, 5])
    pixels = (rows // 3 % 256).astype(np.uint8)
    assert pixels.nbytes == 33_600_000
    for name, part in (("a.tif", pixels), ("small.tif", pixels[:100])):
        if coding == "png":
            Image.fromarray(part).save(tmp_path / name, format="PNG")
        elif coding == "lzw":
            Image.fromarray(part).save(tmp_path / name, compression="tiff_lzw", tiffinfo={278: 64})
        else:
            form: dict[str, Any] = {"none": {}, "zlib": {"compression": "zlib"}, "tiles": {"tile": (64, 64)}}[
                coding
            ]
            tifffile.imwrite(tmp_path / name, part, photometric="rgb", metadata=None, **form)
    allowed = 20 * 2**20
    words = [str(tmp_path / "a.tif"), str(tmp_path / "b.png"), str(allowed)]

    def limited(way: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", LIMITED, *words, way]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    if coding in ("none", "png"):  # the limit is one: what is read whole does not fit
        assert "a.tif: does not fit into memory" in limited("whole").stderr
    done = limited("bands")
    assert done.returncode == 0, done.stderr[-2000:]
    with Image.open(tmp_path / "b.png") as image:
        assert image.size == (2 * width, 2 * height)
        large = np.array(image)
    assert np.array_equal(large[::2, ::2], pixels)
    assert np.array_equal(large[1::2, 1::2], pixels)

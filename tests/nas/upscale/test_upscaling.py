"""Images of every kind, enlarged by a network whose result is known, and what cannot be."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import torch.nn.functional as F
from PIL import Image, ImageCms
from small_networks import Nearest
from torch import Tensor, nn

from nas.errors import DataError, NasError, RecipeError
from nas.imaging.tiling import enlarge, enlarge_in_bands
from nas.upscale import upscaling
from nas.upscale.reading import read_picture
from nas.upscale.upscaling import make_upscaler, targets_of, upscale_file
from nas.upscale.writing import Form, PngWriter
from search_spaces.lightweight import Lightweight

Nas = Callable[..., subprocess.CompletedProcess[str]]
CPU = torch.device("cpu")


def noise(*shape: int, bits: int = 8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**bits, shape, dtype=f"u{bits // 8}")


def doubled(pixels: np.ndarray) -> np.ndarray:
    return pixels.repeat(2, axis=0).repeat(2, axis=1)


def write_png(path: Path, pixels: np.ndarray) -> None:
    """By the project's own writer, whose 8-bit files are compared with Pillow below."""
    form = Form(
        height=pixels.shape[0], width=pixels.shape[1], channels=pixels.shape[2], bits=8 * pixels.itemsize
    )
    writer = PngWriter(path, form)
    for top in range(0, len(pixels), 7):
        writer.rows(pixels[top : top + 7])
    writer.close()


def foreign_png16(pixels: np.ndarray) -> bytes:
    """A 16-bit PNG made by hand, without filters."""
    height, width, channels = pixels.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    ends = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(ends)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("tile", [0, 48])
def test_png_of_8_bits_comes_out_to_the_last_level(tmp_path: Path, channels: int, tile: int) -> None:
    pixels = noise(61, 101, channels)
    pixels[..., -1] = 200 if channels in (2, 4) else pixels[..., -1]
    Image.fromarray(pixels.squeeze()).save(tmp_path / "a.png")
    upscaler = make_upscaler(Nearest(), 2, CPU, tile=tile)
    upscale_file(upscaler, tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert np.array_equal(np.array(image), doubled(pixels).squeeze())


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_stay_16_bits_in_png_and_tiff(tmp_path: Path, channels: int) -> None:
    pixels = noise(30, 50, channels, bits=16)
    if channels in (2, 4):
        pixels[..., -1] = 40_000  # its enlargement is bicubic, so that only an even one is known
    (tmp_path / "a.png").write_bytes(foreign_png16(pixels))
    upscaler = make_upscaler(Nearest(), 2, CPU)
    upscale_file(upscaler, tmp_path / "a.png", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), doubled(pixels).squeeze())
    # and back: the TIFF as an input, PNG as the output
    upscale_file(upscaler, tmp_path / "b.tif", tmp_path / "c.png")
    again = read_picture(tmp_path / "c.png")
    assert again.colours.dtype == np.uint16
    assert np.array_equal(again.colours, doubled(doubled(pixels))[..., : again.colours.shape[2]])
    assert (again.alpha is not None) == (channels in (2, 4))


def test_alpha_is_enlarged_bicubically_whatever_the_bands(tmp_path: Path) -> None:
    pixels = noise(120, 60, 4)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    wanted = F.interpolate(
        torch.from_numpy(pixels[..., 3] / 255.0)[None, None].float(), scale_factor=2, mode="bicubic"
    )
    for tile in (0, 48):
        upscale_file(
            make_upscaler(Nearest(), 2, CPU, tile=tile), tmp_path / "a.png", tmp_path / f"{tile}.png"
        )
        with Image.open(tmp_path / f"{tile}.png") as image:
            alpha = np.array(image)[..., 3]
        assert np.array_equal(alpha, (wanted[0, 0].clamp(0, 1) * 255 + 0.5).floor().numpy())


def test_palettes_transparency_exif_and_profiles_are_kept_or_resolved(tmp_path: Path) -> None:
    colours = Image.fromarray(noise(20, 30, 3))
    upscaler = make_upscaler(Nearest(), 2, CPU)
    palette = colours.quantize(16)
    palette.save(tmp_path / "p.png")
    upscale_file(upscaler, tmp_path / "p.png", tmp_path / "p2.png")
    with Image.open(tmp_path / "p2.png") as image:
        assert np.array_equal(np.array(image), doubled(np.array(palette.convert("RGB"))))
    palette.save(tmp_path / "t.png", transparency=0)
    assert read_picture(tmp_path / "t.png").alpha is not None
    exif = Image.Exif()
    exif[0x0112] = 6  # lying on its side
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    colours.save(tmp_path / "e.png", exif=exif, icc_profile=profile)
    upscale_file(upscaler, tmp_path / "e.png", tmp_path / "e2.png")
    with Image.open(tmp_path / "e2.png") as image:
        assert image.size == (40, 60)
        assert np.array_equal(np.array(image), doubled(np.rot90(np.array(colours), -1)))
        assert image.info["icc_profile"] == profile
        assert image.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_is_turned_as_pillow_turns_it(tmp_path: Path, turn: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(noise(5, 8, 3)).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        wanted = np.array(ImageOps.exif_transpose(image))
    assert np.array_equal(read_picture(tmp_path / "a.png").colours, wanted)


def test_bands_are_the_same_as_the_whole_for_a_bounded_network() -> None:
    network = (
        Lightweight(width=16, blocks=1, block="residual", transformers=0, skip="bicubic").build(2).eval()
    )
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1)
    x = torch.rand(1, 3, 130, 75)
    with torch.no_grad():
        whole = network(x)
        pieces = enlarge_in_bands(
            network, lambda top, bottom: x[:, :, top:bottom], (130, 75), 2, tile=48, overlap=24
        )
        bands = torch.cat([band for _, band in pieces], dim=2)
        assert (bands - whole).abs().max() < 1e-5
        assert torch.equal(bands, enlarge(network, x, 2, tile=48, overlap=24))


def test_an_image_of_one_pixel_is_enlarged(tmp_path: Path) -> None:
    Image.fromarray(noise(1, 1, 3)).save(tmp_path / "a.png")
    network = Lightweight(block="imdb", attention="esa").build(4)
    told = upscale_file(make_upscaler(network, 4, CPU), tmp_path / "a.png", tmp_path / "b.png")
    assert told.startswith("1x1 -> 4x4")


def test_an_image_beyond_memory_is_refused_by_its_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = foreign_png16(noise(1, 1, 3, bits=16)).replace(
        struct.pack(">II", 1, 1), struct.pack(">II", 30_000, 30_000)
    )
    monkeypatch.setattr("nas.upscale.reading.free_memory", lambda: 2**30)
    upscaler = make_upscaler(Nearest(), 2, CPU)
    for interlaced, says in (
        (b"\1", r"30000x30000 needs .* of memory"),
        (b"\0", "cannot be read .it is cut off"),
    ):
        header = bomb[12:28] + interlaced
        (tmp_path / "a.png").write_bytes(
            bomb[:12] + header + struct.pack(">I", zlib.crc32(header)) + bomb[33:]
        )
        with pytest.raises(DataError, match=says):  # the second is read in bands, and holds less than it says
            upscale_file(upscaler, tmp_path / "a.png", tmp_path / "b.png")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]
    assert Image.MAX_IMAGE_PIXELS is not None  # the limit is back for everybody else


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no image", "is no image"),
        (b"", "is no image"),
        (foreign_png16(noise(40, 40, 3, bits=16))[:300], "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said_and_nothing_is_written(
    tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=says):
        upscale_file(make_upscaler(Nearest(), 2, CPU), tmp_path / "a.png", tmp_path / "b.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


def test_floats_pages_and_formats_that_cannot_hold_it_are_refused(tmp_path: Path) -> None:
    upscaler = make_upscaler(Nearest(), 2, CPU)
    tifffile.imwrite(tmp_path / "f.tif", np.zeros((9, 9, 3), np.float32), photometric="rgb")
    with pytest.raises(DataError, match="float32"):
        upscale_file(upscaler, tmp_path / "f.tif", tmp_path / "o.png")
    frames = [Image.fromarray(noise(9, 9, 3)), Image.fromarray(noise(9, 9, 3) // 2)]
    frames[0].save(tmp_path / "m.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="2 pictures"):
        upscale_file(upscaler, tmp_path / "m.tif", tmp_path / "o.png")
    Image.fromarray(noise(9, 9, 4)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="cannot hold 4 channels"):
        upscale_file(upscaler, tmp_path / "a.png", tmp_path / "o.jpg")
    with pytest.raises(RecipeError, match="cannot be written as that"):
        upscale_file(upscaler, tmp_path / "a.png", tmp_path / "o.gif")
    assert not list(tmp_path.glob("*o.*"))


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(noise(40, 40, 3)).save(tmp_path / "a.png")
    upscaler = make_upscaler(Nearest(), 2, CPU)

    class Usage:
        free = 10

    monkeypatch.setattr(upscaling.shutil, "disk_usage", lambda folder: Usage)
    with pytest.raises(DataError, match="on the disk"):
        upscale_file(upscaler, tmp_path / "a.png", tmp_path / "b.tif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


class Failing(Nearest):
    """Breaks off in the middle of an image."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error, self.calls = error, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls > 3 and not torch.is_grad_enabled():
            raise self.error
        return super().forward(x)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_what_breaks_off_in_the_middle_leaves_nothing_behind(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(noise(200, 60, 3)).save(tmp_path / "a.png")
    for error, says in (
        (RuntimeError("DefaultCPUAllocator: not enough memory"), "try a smaller --tile"),
        (RuntimeError("shapes differ"), "the network failed on it .RuntimeError: shapes differ"),
        (OSError(28, "No space left on device"), "cannot be written .No space left"),
    ):
        upscaler = make_upscaler(Failing(error), 2, CPU, tile=48)
        with pytest.raises(NasError, match=says):
            upscale_file(upscaler, tmp_path / "a.png", tmp_path / f"b{suffix}")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


def test_half_precision_needs_a_gpu() -> None:
    with pytest.raises(RecipeError, match="CUDA"):
        make_upscaler(Nearest(), 2, CPU, half=True)


def test_images_that_would_become_one_file_are_named(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        Image.fromarray(noise(9, 9, 3)).save(tmp_path / name)
    with pytest.raises(DataError, match=r"a.jpg and .*a.png would both become"):
        targets_of(tmp_path, None, 2)


def test_a_folder_is_resumed_and_what_is_there_is_named(nas: Nas, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        Image.fromarray(noise(30, 20, 3)).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "c.png").write_bytes(b"broken")
    (tmp_path / "mine.py").write_text(
        "from search_spaces.lightweight import Lightweight\n"
        "def small(scale): return Lightweight(block='residual', skip='bicubic').build(scale)\n"
    )
    (tmp_path / "in_x2").mkdir()
    (tmp_path / "in_x2" / "a_x2.png").write_bytes(b"mine")
    done = nas("upscale", "in", "--model", "mine:small", "--scale", "2", "--device", "cpu")
    assert done.returncode == 2
    assert "a_x2.png: is there already, skipped" in done.stdout
    assert "20x30 -> 40x60" in done.stdout
    assert done.stderr.startswith("nas: 1 of 3 were not enlarged: in/c.png: is no image")
    assert (tmp_path / "in_x2" / "a_x2.png").read_bytes() == b"mine"
    assert sorted(path.name for path in (tmp_path / "in_x2").iterdir()) == ["a_x2.png", "b_x2.png"]


@pytest.mark.thorough
def test_a_large_image_needs_memory_for_its_bands_alone(tmp_path: Path) -> None:
    """36 megapixels become 144: 432 MB, which never are in memory at once."""
    rows = np.linspace(0, 255, 6000, dtype=np.uint8)
    Image.fromarray(np.repeat(rows[:, None, None], 6000, 1).repeat(3, 2)).save(tmp_path / "a.png")
    code = (
        "import resource, sys, torch\n"
        "from pathlib import Path\n"
        "from nas.upscale.upscaling import make_upscaler, upscale_file\n"
        "class Nearest(torch.nn.Module):\n"
        "    def forward(self, x): return torch.nn.functional.interpolate(x, scale_factor=2)\n"
        "folder = Path(sys.argv[1])\n"
        "up = make_upscaler(Nearest(), 2, torch.device('cpu'), tile=240)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "upscale_file(up, folder / 'a.png', folder / 'b.png')\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True, timeout=300
    )
    # measured: 274 MB, of which the input's 108 are no part
    assert int(done.stdout) < 400, "bands of the input and of the output, and never the whole of either"
    with (tmp_path / "b.png").open("rb") as file:
        assert struct.unpack(">II", file.read(24)[16:]) == (12_000, 12_000)

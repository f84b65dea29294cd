from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import Pairs, Patches, load_data
from nas.data.dataset import remembered_data
from nas.data.images import read_image
from nas.data.patches import Way
from nas.errors import DataError, RecipeError
from nas.imaging.bicubic import imresize


def fresh(source: str, scale: int = 2, lr_patch: int = 8):  # type: ignore[no-untyped-def]
    """Not remembered from another test."""
    remembered_data.cache_clear()
    return load_data(source, scale, lr_patch)


def test_the_bundled_photographs_hold_three_out_and_share_no_scene() -> None:
    data = fresh("photos", 4, 24)
    assert set(data.valid.names) == {"chelsea.png", "coffee.png", "rocket.jpg"}
    assert len(data.train) == 5
    assert not set(data.train.names) & set(data.valid.names)
    for pairs in (data.train, data.valid):
        for lr, hr in zip(pairs.lr, pairs.hr, strict=True):
            assert hr.shape == (3, 4 * lr.shape[1], 4 * lr.shape[2])
            assert torch.equal(lr, imresize(hr, Fraction(1, 4)))


def test_the_digest_follows_the_pixels_and_not_the_place(images: Path, tmp_path: Path) -> None:
    other = tmp_path / "copy"
    other.mkdir()
    for path in images.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    digest = fresh(f"folder:{images}").digest
    assert fresh(f"folder:{other}").digest == digest
    pixels = np.array(Image.open(other / "wave0.png"))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(other / "wave0.png")
    assert fresh(f"folder:{other}").digest != digest


def test_a_relative_source_is_that_of_the_folder_that_the_process_is_in(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, count in (("first", 3), ("second", 4)):
        (tmp_path / place / "images").mkdir(parents=True)
        for number in range(count):
            copied = tmp_path / place / "images" / f"{number}.png"
            copied.write_bytes((images / f"wave{number}.png").read_bytes())
        monkeypatch.chdir(tmp_path / place)
        data = load_data("folder:images", 2, 8)
        assert len(data.train) + len(data.valid) == count


def test_a_folder_names_what_it_skips_and_holds_one_in_ten_out(images: Path, tmp_path: Path) -> None:
    for index in range(20):
        (tmp_path / f"good{index:02}.png").write_bytes((images / "wave0.png").read_bytes())
    (tmp_path / "broken.png").write_bytes((images / "wave1.png").read_bytes()[:200])
    (tmp_path / "text.jpg").write_text("no image")
    Image.new("RGB", (9, 9)).save(tmp_path / "tiny.png")
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(tmp_path / "deep.png")
    data = fresh(f"folder:{tmp_path}")
    assert len(data.train) + len(data.valid) == 20
    assert len(data.valid) == 2
    skipped = "\n".join(data.skipped)
    for name in ("broken.png", "text.jpg", "tiny.png: 9x9 is too small", "deep.png: mode I;16"):
        assert name in skipped


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("folder:", "is no folder"),
        ("folder:/nonexistent/place", "is no folder"),
        ("photos:x", "takes no argument"),
    ],
)
def test_a_source_that_is_not_there_is_one_clear_line(source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fresh(source)


def test_an_empty_or_single_image_folder_is_refused(tmp_path: Path, images: Path) -> None:
    with pytest.raises(DataError, match="no images there"):
        fresh(f"folder:{tmp_path}")
    (tmp_path / "one.png").write_bytes((images / "wave0.png").read_bytes())
    with pytest.raises(DataError, match="at least 2 are needed"):
        fresh(f"folder:{tmp_path}")


def test_images_all_too_small_are_refused_by_name(images: Path) -> None:
    with pytest.raises(DataError, match=r"no image is left to train on: wave\d.png: 64x64 is too small"):
        fresh(f"folder:{images}", lr_patch=40)


def test_an_unknown_source_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'photos'"):
        fresh("photo")


def test_grayscale_alpha_palette_and_turned_images_become_upright_rgb(tmp_path: Path) -> None:
    for mode in ("L", "RGBA", "P", "1"):
        Image.new(mode, (6, 4)).save(tmp_path / "image.png")
        assert read_image(tmp_path / "image.png").shape == (3, 4, 6)
    turned = Image.new("RGB", (6, 4))
    exif = turned.getexif()
    exif[0x0112] = 6  # a camera held on its side
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (3, 6, 4)


def patches_of(seed: int = 0) -> Patches:
    lr = torch.arange(2 * 3 * 20 * 30, dtype=torch.int64).reshape(2, 3, 20, 30).remainder(251).to(torch.uint8)
    hr = lr.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    pairs = Pairs(names=("a", "b"), lr=tuple(lr), hr=tuple(hr))
    return Patches(pairs, scale=2, lr_patch=8, seed=seed, device=torch.device("cpu"))


def test_low_and_high_resolution_patches_show_the_same_place_in_the_same_turn() -> None:
    lr, hr = patches_of().draw(64)
    assert lr.shape == (64, 3, 8, 8)
    assert hr.shape == (64, 3, 16, 16)
    assert lr.dtype == hr.dtype == torch.float32
    assert torch.equal(hr[..., ::2, ::2], lr)


def test_all_eight_turns_occur() -> None:
    lr, _ = patches_of().draw(200)
    right = (lr[:, 0, 0, 1] - lr[:, 0, 0, 0]).sign()
    assert set(right.tolist()) >= {-1.0, 1.0}
    step = (lr[:, 0, 0, 1] - lr[:, 0, 0, 0]).abs() * 255
    assert {1, 30} <= set(step.round().int().tolist())  # along a row, and along a column


def test_the_stream_is_seeded_and_can_be_continued() -> None:
    first, second = patches_of(5), patches_of(5)
    assert torch.equal(first.draw(4)[0], second.draw(4)[0])
    kept = first.state
    expected = first.draw(4)[0]
    other = patches_of(99)
    other.state = kept
    assert torch.equal(other.draw(4)[0], expected)
    assert not torch.equal(patches_of(5).draw(4)[0], patches_of(6).draw(4)[0])


WAYS = ("slices", "gather", "stream")


def uneven_pairs(scale: int = 3) -> Pairs:
    """Images of different sizes, every pixel at random."""
    generator = torch.Generator().manual_seed(3)
    sizes = ((12, 31), (20, 12), (13, 13))
    draw = {"generator": generator, "dtype": torch.uint8}
    lr = tuple(torch.randint(0, 256, (3, h, w), **draw) for h, w in sizes)  # type: ignore[call-overload]
    hr = tuple(
        torch.randint(0, 256, (3, h * scale + 2, w * scale + 1), **draw)[:, : h * scale, : w * scale]  # type: ignore[call-overload]
        for h, w in sizes
    )
    return Pairs(names=("a", "b", "c"), lr=lr, hr=hr)


def plainly(pairs: Pairs, scale: int, size: int, seed: int, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first batch of a stream, in the fewest words."""
    generator = torch.Generator().manual_seed(seed)
    where = torch.rand(batch, 3, generator=generator).tolist()
    turns = torch.randint(8, (batch,), generator=generator).tolist()
    made: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for (image, row, column), turn in zip(where, turns, strict=True):
        index = int(image * len(pairs))
        top = int(row * (pairs.lr[index].shape[1] - size + 1))
        left = int(column * (pairs.lr[index].shape[2] - size + 1))
        for images, factor, out in zip((pairs.lr, pairs.hr), (1, scale), made, strict=True):
            rows = slice(top * factor, (top + size) * factor)
            patch = images[index][:, rows, left * factor : (left + size) * factor]
            patch = patch.flip(2) if turn & 1 else patch
            patch = patch.flip(1) if turn & 2 else patch
            out.append(patch.transpose(1, 2) if turn & 4 else patch)
    return torch.stack(made[0]).float().div(255), torch.stack(made[1]).float().div(255)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_making_patches_gives_the_same_ones(way: Way) -> None:
    pairs = uneven_pairs()
    cpu = torch.device("cpu")
    patches = Patches(pairs, scale=3, lr_patch=10, seed=8, device=cpu, way=way)
    lr, hr = patches.draw(50)
    expected_lr, expected_hr = plainly(pairs, 3, 10, 8, 50)
    assert torch.equal(lr, expected_lr)
    assert torch.equal(hr, expected_hr)
    assert lr.is_contiguous()


@pytest.mark.parametrize("way", WAYS)
def test_a_state_names_the_next_batch_whatever_was_prepared_ahead(way: Way) -> None:
    def make() -> Patches:
        cpu = torch.device("cpu")
        return Patches(uneven_pairs(), scale=3, lr_patch=10, seed=8, device=cpu, way=way)

    plain = Patches(uneven_pairs(), scale=3, lr_patch=10, seed=8, device=torch.device("cpu"))
    expected = [plain.draw(size)[1] for size in (4, 4, 2, 4)]
    patches = make()
    start = patches.state
    first = patches.draw(4)[1]
    kept = patches.state
    rest = [patches.draw(size)[1] for size in (4, 2, 4)]  # of changing size, too
    assert all(torch.equal(a, b) for a, b in zip(expected, [first, *rest], strict=True))
    other = make()
    other.draw(3)
    other.state = kept
    assert torch.equal(other.draw(4)[1], expected[1])
    other.state = start
    assert torch.equal(other.draw(4)[1], expected[0])


@pytest.mark.gpu
@pytest.mark.parametrize("way", ["gather", "stream"])
def test_a_gpu_gets_the_patches_of_a_cpu(way: Way) -> None:
    pairs = uneven_pairs()
    gpu = Patches(pairs, scale=3, lr_patch=10, seed=8, device=torch.device("cuda"), way=way)
    cpu = Patches(pairs, scale=3, lr_patch=10, seed=8, device=torch.device("cpu"))
    for _ in range(6):
        for ours, theirs in zip(gpu.draw(16), cpu.draw(16), strict=True):
            assert torch.equal(ours.cpu(), theirs)
    chosen = Patches(pairs, scale=3, lr_patch=10, seed=8, device=torch.device("cuda"))
    assert chosen.way == "gather"

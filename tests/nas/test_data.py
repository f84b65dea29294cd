from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import Pairs, Patches, load_data
from nas.data.images import read_image
from nas.errors import DataError, RecipeError
from nas.imresize import imresize


def fresh(source: str, scale: int = 2, lr_patch: int = 8):  # type: ignore[no-untyped-def]
    """Not remembered from another test."""
    load_data.cache_clear()
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

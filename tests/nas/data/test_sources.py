"""The layouts that people have on disk, and the cache of what was decoded."""

from __future__ import annotations

import json
import multiprocessing
import os
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.data import Dataset, load_data
from nas.data.cache import cache_folder, stored
from nas.data.dataset import remembered_data
from nas.data.images import read_image
from nas.data.sources import SOURCES, list_source
from nas.errors import DataError, RecipeError
from nas.imaging.bicubic import imresize

PHOTOS_DIGEST = "d2c5058b23fd8e33"
"""Of every result that was ever made on the bundled photographs: it does not change."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("NAS_CACHE", str(folder))
    remembered_data.cache_clear()
    return folder


def fresh(source: str, scale: int = 2, lr_patch: int = 8) -> Dataset:
    remembered_data.cache_clear()
    return load_data(source, scale, lr_patch)


def write(path: Path, seed: int, width: int = 48, height: int = 40) -> torch.Tensor:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def div2k_tree(root: Path, *, valid: int = 12, lr: bool = True) -> Path:
    for index in range(1, 5):
        write(root / f"DIV2K_train_HR/{index:04}.png", index)
        if lr:
            write(root / f"DIV2K_train_LR_bicubic/X2/{index:04}x2.png", 100 + index, 24, 20)
    for index in range(801, 801 + valid):
        write(root / f"DIV2K_valid_HR/{index:04}.png", index)
        if lr:
            write(root / f"DIV2K_valid_LR_bicubic/X2/{index:04}x2.png", 100 + index, 24, 20)
    return root


def test_the_digest_of_the_photographs_is_what_it_always_was(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fresh("photos", 4, 24).digest == PHOTOS_DIGEST
    assert fresh("photos", 4, 24).digest == PHOTOS_DIGEST  # from the cache
    monkeypatch.setenv("NAS_CACHE", "off")
    assert fresh("photos", 2, 48).digest == PHOTOS_DIGEST


def test_div2k_reads_its_low_resolution_and_validates_on_its_last_images(tmp_path: Path) -> None:
    data = fresh(f"div2k:{div2k_tree(tmp_path / 'DIV2K')}")
    assert data.train.names == ("0001.png", "0002.png", "0003.png", "0004.png")
    assert data.valid.names == tuple(f"{index:04}.png" for index in range(803, 813))
    assert data.low_resolution == "read"
    assert torch.equal(data.train.lr[0], read_image(tmp_path / "DIV2K/DIV2K_train_LR_bicubic/X2/0001x2.png"))
    made = fresh(f"div2k:{tmp_path / 'DIV2K'}", 4, 4)  # no X4 there
    assert made.low_resolution == "made"
    assert torch.equal(made.train.lr[0], imresize(made.train.hr[0], Fraction(1, 4)))


def test_whether_low_resolution_was_read_or_made_is_part_of_the_digest(tmp_path: Path) -> None:
    read = fresh(f"div2k:{div2k_tree(tmp_path / 'a')}")
    made = fresh(f"div2k:{div2k_tree(tmp_path / 'b', lr=False)}")
    assert torch.equal(read.train.hr[0], made.train.hr[0])
    assert read.digest != made.digest
    assert made.low_resolution == "made"


def test_the_folder_above_and_the_folder_of_the_images_itself_are_found_too(tmp_path: Path) -> None:
    div2k_tree(tmp_path / "sets" / "DIV2K")
    digest = fresh(f"div2k:{tmp_path / 'sets' / 'DIV2K'}").digest
    assert fresh(f"div2k:{tmp_path / 'sets'}").digest == digest
    assert fresh(f"div2k:{tmp_path / 'sets' / 'DIV2K' / 'DIV2K_train_HR'}").digest == digest


def test_sub_images_pair_by_name_and_no_photograph_is_in_both_splits(tmp_path: Path) -> None:
    for photo in range(1, 4):
        for part in range(1, 4):
            name = f"{photo:04}_s{part:03}.png"
            write(tmp_path / "DIV2K_train_HR_sub" / name, photo * 10 + part)
            write(tmp_path / "DIV2K_train_LR_bicubic" / "X2_sub" / name, photo * 10 + part, 24, 20)
    data = fresh(f"div2k:{tmp_path}")
    assert data.low_resolution == "read"
    [held_out] = data.valid.names
    assert len(data.train) == 6
    assert not any(name[:4] == held_out[:4] for name in data.train.names)


def test_df2k_is_both_sets_and_keeps_the_validation_images_of_div2k(tmp_path: Path) -> None:
    div2k_tree(tmp_path / "DIV2K")
    for index in range(1, 4):
        write(tmp_path / f"Flickr2K/Flickr2K_HR/{index:06}.png", 50 + index)
        write(tmp_path / f"Flickr2K/Flickr2K_LR_bicubic/X2/{index:06}x2.png", 60 + index, 24, 20)
    data = fresh(f"df2k:{tmp_path}")
    assert len(data.train) == 7
    assert len(data.valid) == 10
    alone = fresh(f"flickr2k:{tmp_path}")
    assert (len(alone.train), len(alone.valid)) == (2, 1)
    joined = fresh(f"div2k:{tmp_path}+flickr2k:{tmp_path}")
    assert len(joined.train) == 7
    assert joined.valid.names[0].endswith("0803.png")


def test_sources_join_with_a_plus_and_equal_names_stay_apart(tmp_path: Path) -> None:
    for place in ("a+b", "c"):
        for index in range(6):
            write(tmp_path / place / f"{index}.png", index)
    data = fresh(f"folder:{tmp_path / 'a+b'}+folder:{tmp_path / 'c'}")
    assert len(data.train) + len(data.valid) == 12
    assert set(data.train.names) | set(data.valid.names) == {
        f"{place}/{index}.png" for place in ("a+b", "c") for index in range(6)
    }
    with_photos = fresh(f"folder:{tmp_path / 'c'}+photos")
    assert len(with_photos.valid) == 3  # what is held out is said by one of them
    assert len(with_photos.train) == 6 + 5


def test_the_images_for_development_work_as_folders(shared: Path) -> None:
    train = shared / "data" / "train"
    listed = list_source(f"folder:{train / 'T91'}+folder:{train / 'BSDS397'}", 4)
    assert [len(listing.train) for _, listing in listed] == [90, 397]
    data = fresh(f"folder:{shared / 'data' / 'test' / 'Set14' / 'HR'}", 4, 24)
    assert len(data.train) + len(data.valid) == 14


def test_low_resolution_of_another_size_or_damaged_is_skipped_by_name(tmp_path: Path) -> None:
    root = div2k_tree(tmp_path)
    write(root / "DIV2K_train_LR_bicubic/X2/0002x2.png", 1, 23, 20)
    (root / "DIV2K_train_LR_bicubic/X2/0003x2.png").write_bytes(b"nothing")
    data = fresh(f"div2k:{root}")
    assert data.train.names == ("0001.png", "0004.png")
    skipped = "\n".join(data.skipped)
    assert "0002.png: low resolution 0002x2.png is 23x20, and 48x40 at x2 needs 24x20" in skipped
    assert "0003.png: low resolution 0003x2.png is no image" in skipped


def test_sizes_that_matlab_rounded_up_are_cut_to_the_multiple(tmp_path: Path) -> None:
    for index in range(2):
        hr = write(tmp_path / f"DIV2K_train_HR/{index}.png", index, 49, 41)
        lr = imresize(hr, Fraction(1, 2))
        assert lr.shape == (3, 21, 25)
        path = tmp_path / f"DIV2K_train_LR_bicubic/X2/{index}x2.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(lr.permute(1, 2, 0).numpy()).save(path)
    data = fresh(f"div2k:{tmp_path}")
    assert data.train.hr[0].shape == (3, 40, 48)
    assert data.train.lr[0].shape == (3, 20, 24)


def deep_png(path: Path) -> None:
    """A 16-bit RGB PNG, which Pillow reads as 8 bits without a word."""
    rows = b"".join(b"\0" + bytes(64 * 6) for _ in range(64))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 64, 64, 16, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_sixteen_bits_are_refused_by_name_also_where_they_hide(tmp_path: Path) -> None:
    deep_png(tmp_path / "deep.png")
    with pytest.raises(DataError, match="more than 8 bits"):
        read_image(tmp_path / "deep.png")
    for name in ("a.png", "b.png"):
        write(tmp_path / name, 1)
    assert any("deep.png: mode RGB (more than 8 bits" in line for line in fresh(f"folder:{tmp_path}").skipped)


@pytest.mark.parametrize("word", ["div2k", "flickr2k", "df2k"])
def test_a_folder_without_the_set_says_what_was_looked_for(word: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no images there \(looked for the folders \w+2K_"):
        fresh(f"{word}:{tmp_path}")
    with pytest.raises(DataError, match="is no folder"):
        fresh(f"{word}:")


def test_an_unknown_word_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="did you mean 'div2k'"):
        fresh("div2:/somewhere")
    assert list(SOURCES) == ["photos", "folder", "div2k", "flickr2k", "df2k"]


def test_a_second_start_decodes_nothing(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = div2k_tree(tmp_path / "set")
    first = fresh(f"div2k:{root}")

    def never(path: Path) -> torch.Tensor:
        raise AssertionError(f"{path} was decoded again")

    monkeypatch.setattr("nas.data.dataset.read_image", never)
    again = fresh(f"div2k:{root}")
    assert again.digest == first.digest
    for a, b in zip(first.train.hr + first.valid.lr, again.train.hr + again.valid.lr, strict=True):
        assert torch.equal(a, b)
    assert not [path for path in own_cache.iterdir() if path.name.startswith(".building-")]


def test_a_changed_image_is_read_again_and_the_old_cache_goes(tmp_path: Path, own_cache: Path) -> None:
    root = tmp_path / "set"
    for index in range(3):
        write(root / f"{index}.png", index)
    old = fresh(f"folder:{root}")
    files = {path.name for path in own_cache.glob("*.bin")}
    pixels = write(root / "1.png", 77)
    os.utime(root / "1.png", ns=(1, 1))
    new = fresh(f"folder:{root}")
    assert new.digest != old.digest
    everything = dict(zip(new.train.names + new.valid.names, new.train.hr + new.valid.hr, strict=True))
    assert torch.equal(everything["1.png"], pixels)
    assert not files & {path.name for path in own_cache.glob("*.bin")}
    assert old.train.hr[0].sum() > 0  # what was mapped stays readable


def test_a_damaged_cache_is_made_again(tmp_path: Path, own_cache: Path) -> None:
    root = tmp_path / "set"
    for index in range(3):
        write(root / f"{index}.png", index)
    digest = fresh(f"folder:{root}").digest
    for path in own_cache.glob("*-hr-*.bin"):
        path.write_bytes(path.read_bytes()[:100])
    for path in own_cache.glob("*-x2-*.json"):
        path.write_text("{")
    assert fresh(f"folder:{root}").digest == digest


def test_without_a_cache_the_images_are_held_in_memory(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = div2k_tree(tmp_path / "set")
    with_cache = fresh(f"div2k:{root}")
    monkeypatch.setenv("NAS_CACHE", "off")
    assert cache_folder() is None
    without = fresh(f"div2k:{root}")
    assert without.digest == with_cache.digest
    assert torch.equal(without.train.lr[1], with_cache.train.lr[1])
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("NAS_CACHE", str(blocked / "below"))
    assert cache_folder() is None


def test_a_failure_while_building_leaves_nothing_behind(own_cache: Path) -> None:
    def produced():  # type: ignore[no-untyped-def]
        yield "a", torch.zeros(3, 4, 4, dtype=torch.uint8)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        stored("broken", 1, produced())
    assert [path.name for path in own_cache.iterdir() if path.suffix != ".lock"] == []
    assert stored("broken", 1, iter([("a", "no pixels")])).skipped == {"a": "no pixels"}


def _digest_of(source: str) -> str:
    return fresh(source).digest


@pytest.mark.thorough
def test_processes_that_build_the_same_cache_at_once_agree(tmp_path: Path, own_cache: Path) -> None:
    root = tmp_path / "set"
    for index in range(12):
        write(root / f"{index}.png", index)
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        digests = pool.map(_digest_of, [f"folder:{root}"] * 3)
    assert len(set(digests)) == 1
    assert len(list(own_cache.glob("*.bin"))) == 2  # high and low resolution
    for path in own_cache.glob("*.json"):
        assert json.loads(path.read_text())["bytes"] == path.with_suffix(".bin").stat().st_size


def test_decoding_that_takes_long_is_logged(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nas.data.cache.TELL_SECONDS", -1.0)
    images = [(str(number), torch.zeros(3, 4, 4, dtype=torch.uint8)) for number in range(3)]
    with caplog.at_level("INFO", logger="nas"):
        stored("slow", 1, iter(images), total=3)
    assert "decoding images, this once: 2 of 3 (slow)" in caplog.text

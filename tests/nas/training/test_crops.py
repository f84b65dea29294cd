from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_networks import TINY
from torch import Tensor

from leaderboard.crops import pictures
from nas.data import Pairs, load_data
from nas.imaging.bicubic import imresize
from nas.metrics.fidelity import METRICS
from nas.training import Job, Plan, train
from nas.training.crops import Album, most_detailed_box, open_album, scenes


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=draw)


def pairs_of(*sizes: tuple[int, int], scale: int = 4) -> Pairs:
    """Noise as HR, and its every fourth pixel as LR."""
    hr = tuple(noise(*size, seed=seed) for seed, size in enumerate(sizes))
    names = tuple(f"image{seed}" for seed in range(len(sizes)))
    return Pairs(names=names, lr=tuple(image[:, ::scale, ::scale].contiguous() for image in hr), hr=hr)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).transpose(2, 0, 1)


def test_a_training_leaves_crops_of_exactly_what_was_measured(tmp_path: Path) -> None:
    plan = Plan(steps=2, batch=2, lr_patch=12, lr=1e-3)
    folder = tmp_path / "run" / "candidates" / "one"
    outcome = train(Job(genotype=TINY, scale=4, plan=plan, data="photos", folder=folder))
    crops = pictures(tmp_path, "run/candidates/one")
    data = load_data("photos", 4, 12)
    assert [crop.image for crop in crops] == list(data.valid.names) == list(outcome.per_image)
    network = TINY.build(4).eval()
    from nas.training.checkpoint import load_weights

    network.load_state_dict(load_weights(folder / "weights.safetensors")[0])
    for crop, lr, hr in zip(crops, data.valid.lr, data.valid.hr, strict=True):
        left, top, width, height = crop.box
        inside = (slice(None), slice(top, top + height), slice(left, left + width))
        with torch.no_grad():
            sr = (network(lr[None].float() / 255)[0].clamp(0, 1) * 255).round().to(torch.uint8)
        for picture, whole in ((crop.hr, hr), (crop.bicubic, imresize(lr, 4))):
            assert np.array_equal(pixels(picture.file), whole[inside].numpy())
        assert np.abs(pixels(crop.network.file).astype(int) - sr[inside].numpy()).max() <= 1
        assert crop.network.psnr_db == pytest.approx(
            METRICS["y_float"](sr[inside], hr[inside], 0)[0], abs=0.01
        )
        assert crop.bicubic.psnr_db == METRICS["y_float"](imresize(lr, 4)[inside], hr[inside], 0)[0]
        assert pixels(crop.lr.file).shape == (3, height // 4, width // 4)
        assert (crop.hr.psnr_db, crop.lr.psnr_db, crop.metric) == (None, None, "y_float")


def test_pictures_change_no_result_and_can_be_left_out(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(steps=3, batch=2, lr_patch=12, lr=1e-3)

    def run(folder: Path | None) -> float:
        job = Job(genotype=TINY, scale=2, plan=plan, data=f"folder:{images}", folder=folder)
        return train(job).psnr_db

    with_pictures = run(tmp_path / "with")
    monkeypatch.setenv("NAS_PICTURES", "0")
    assert run(tmp_path / "without") == run(None) == with_pictures
    assert (tmp_path / "with" / "pictures" / "index.json").exists()
    assert not (tmp_path / "without" / "pictures").exists()


def test_the_crop_with_the_most_detail_is_found_by_brute_force_as_well() -> None:
    flat = torch.full((3, 200, 260), 90, dtype=torch.uint8)
    flat[:, 64:150, 120:230] = noise(86, 110)
    found = most_detailed_box(flat, 4)
    y = (65.481 * flat[0].double() + 128.553 * flat[1].double() + 24.966 * flat[2].double()) / 255 + 16
    y = y.round()
    steep = torch.zeros_like(y)
    steep[:, :-1] += (y[:, 1:] - y[:, :-1]).abs()
    steep[:-1] += (y[1:] - y[:-1]).abs()
    sums = {
        (left, top): steep[top : top + 96, left : left + 96].sum().item()
        for top in range(0, 200 - 96 + 1, 4)
        for left in range(0, 260 - 96 + 1, 4)
    }
    assert sums[found[:2]] == max(sums.values())
    assert found[2:] == (96, 96)


@pytest.mark.parametrize(
    ("size", "scale", "expected"), [((16, 40), 4, (40, 16)), ((97, 95), 3, (93, 96)), ((9, 8), 4, (8, 8))]
)
def test_a_tiny_image_gives_a_tiny_crop(size: tuple[int, int], scale: int, expected: tuple[int, int]) -> None:
    box = most_detailed_box(noise(*size), scale)
    assert box[2:] == expected
    assert all(side % scale == 0 for side in box)


@pytest.mark.parametrize(("count", "chosen"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (10, [0, 4, 9])])
def test_few_images_evenly_spread_are_looked_at(count: int, chosen: list[int]) -> None:
    found = scenes(pairs_of(*[(32, 32)] * count), 4, "rgb")
    assert [scene.image for scene in found] == [f"image{number}" for number in chosen]


def test_bicubic_of_a_crop_equals_the_crop_of_bicubic_at_every_edge() -> None:
    pairs = pairs_of((128, 240))
    left = pairs.hr[0].clone()
    left[:, 12:, 80:] = 0  # the detail is at the upper left edge
    for hr in (pairs.hr[0], left, left.flip(1).contiguous(), left.flip(2).contiguous()):
        lr = hr[:, ::4, ::4].contiguous()
        [scene] = scenes(Pairs(names=("a",), lr=(lr,), hr=(hr,)), 4, "y_float")
        x, y, width, height = scene.box
        whole = imresize(lr, 4)[:, y : y + height, x : x + width]
        assert scene.bicubic_psnr_db == METRICS["y_float"](whole, scene.hr, 0)[0]


def test_equal_images_are_a_number_that_json_knows(tmp_path: Path) -> None:
    pairs = pairs_of((32, 32))
    album = open_album(pairs, 4, "y_float")
    assert album is not None
    album.see("image0", pairs.hr[0])
    album.see("another image", pairs.hr[0])
    assert album.save(tmp_path)
    [entry] = json.loads((tmp_path / "pictures" / "index.json").read_text())["crops"]
    assert entry["network"]["psnr_db"] == 1000.0


def test_pictures_are_replaced_whole_and_a_full_disk_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = pairs_of((32, 32), (32, 32))
    both = open_album(pairs, 4, "y_float")
    assert both is not None
    for name, hr in zip(pairs.names, pairs.hr, strict=True):
        both.see(name, hr)
    assert both.save(tmp_path)
    one = Album(scenes=both.scenes, scale=4, metric="y_float", outputs={"image1": pairs.hr[0]})
    assert one.save(tmp_path)
    assert [crop.image for crop in pictures(tmp_path.parent, tmp_path.name)] == ["image1"]
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nas.training.crops._write", full)
    assert not both.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
    assert [crop.image for crop in pictures(tmp_path.parent, tmp_path.name)] == ["image1"]

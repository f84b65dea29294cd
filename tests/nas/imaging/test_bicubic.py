from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nas.imaging.bicubic import imresize


def channels_first(array: np.ndarray) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    return tensor.permute(2, 0, 1) if tensor.ndim == 3 else tensor


def test_every_reference_case_is_reproduced_exactly(shared: Path) -> None:
    folder = shared / "groundtruth"
    cases = json.loads((folder / "manifest.json").read_text())["imresize"]
    assert {case["edge"] for case in cases} == {"symmetric", "replicate"}
    assert len(cases) >= 40
    for case in cases:
        image = channels_first(np.load(folder / f"{case['image']}.npy"))
        scale = Fraction(case["scale"])
        expected = channels_first(np.load(folder / case["u8_file"]))
        assert torch.equal(imresize(image, scale, edge=case["edge"]), expected), case
        if case.get("double_file"):
            exact = channels_first(np.load(folder / case["double_file"]))
            assert (imresize(image.double() / 255, scale, edge=case["edge"]) - exact).abs().max() < 1e-12, (
                case
            )


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_benchmark_sets_low_resolution_has_no_differing_pixel(shared: Path, scale: int) -> None:
    compared = 0
    for hr_path in sorted((shared / "data" / "test").glob("Set*/HR/*.png")):
        lr_path = hr_path.parents[1] / "LR_bicubic" / f"X{scale}" / f"{hr_path.stem}x{scale}.png"
        hr = channels_first(np.array(Image.open(hr_path)))
        hr = hr[..., : hr.shape[-2] // scale * scale, : hr.shape[-1] // scale * scale]
        lr = channels_first(np.array(Image.open(lr_path)))
        assert torch.equal(imresize(hr, Fraction(1, scale)), lr), hr_path.name
        compared += 1
    assert compared == 19


def test_a_constant_stays_constant_and_sizes_are_rounded_up() -> None:
    image = torch.full((3, 11, 7), 77, dtype=torch.uint8)
    for scale in (Fraction(1, 4), Fraction(1, 2), 3):
        out = imresize(image, scale)
        assert out.shape == (3, -(-11 * Fraction(scale) // 1), -(-7 * Fraction(scale) // 1))
        assert (out == 77).all()


def test_floats_are_neither_clipped_nor_rounded() -> None:
    edge = torch.zeros(1, 8, 8)
    edge[..., 4:] = 1
    assert imresize(edge, 2).min() < -0.01
    with pytest.raises(TypeError, match="int32"):
        imresize(edge.int(), 2)


@pytest.mark.gpu
@pytest.mark.parametrize("scale", [Fraction(1, 4), Fraction(1, 3), Fraction(1, 2), 2, 3])
def test_a_gpu_gives_the_same_pixels(scale: Fraction | int) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 60, 48), generator=generator, dtype=torch.uint8)
    assert torch.equal(imresize(image.cuda(), scale).cpu(), imresize(image, scale))

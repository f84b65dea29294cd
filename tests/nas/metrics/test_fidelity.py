from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from nas.metrics.fidelity import METRICS, _ssim_sum, luma, to_uint8


def test_psnr_and_ssim_equal_the_reference_values(shared: Path) -> None:
    folder = shared / "groundtruth"
    cases = json.loads((folder / "manifest.json").read_text())["metrics"]
    assert len(cases) >= 30
    names = {
        "y_float": ("float64_yfloat_psnr", "float64_yfloat_ssim"),
        "y_uint8": ("matlab_yu8_psnr", "matlab_yu8_ssim"),
        "rgb": ("basicsr_psnr_rgb", "basicsr_ssim_rgb"),
    }
    for case in cases:
        sr = torch.from_numpy(np.load(folder / case["distorted_file"])).permute(2, 0, 1)
        hr = torch.from_numpy(np.load(folder / f"{case['image']}.npy")).permute(2, 0, 1)
        hr = hr[:, : sr.shape[1], : sr.shape[2]]
        for metric, (psnr_key, ssim_key) in names.items():
            psnr, ssim = METRICS[metric](sr, hr, case["crop_border"])
            assert psnr == pytest.approx(case[psnr_key], abs=1e-6), (case, metric)
            assert ssim == pytest.approx(case[ssim_key], abs=1e-6), (case, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_images_are_perfect_and_noise_lowers_both(metric: str) -> None:
    generator = torch.Generator().manual_seed(0)
    hr = torch.randint(0, 256, (3, 32, 40), generator=generator, dtype=torch.uint8)
    assert METRICS[metric](hr, hr, 2) == (math.inf, pytest.approx(1.0))
    noisy = (hr.int() + 9).clamp(0, 255).to(torch.uint8)
    psnr, ssim = METRICS[metric](noisy, hr, 2)
    assert 25 < psnr < 40
    assert 0 < ssim < 1


def test_an_image_smaller_than_the_window_has_no_ssim() -> None:
    tiny = torch.zeros(3, 12, 12, dtype=torch.uint8)
    assert math.isnan(METRICS["y_float"](tiny, tiny, 2)[1])


def test_eight_bits_are_clipped_and_rounded() -> None:
    assert to_uint8(torch.tensor([-0.2, 0.5, 0.501 / 255, 1.4])).tolist() == [0, 128, 1, 255]


def test_ssim_in_strips_is_that_of_the_whole_image() -> None:
    generator = torch.Generator().manual_seed(0)
    hr = torch.randint(0, 256, (3, 700, 401), generator=generator, dtype=torch.uint8)
    sr = (hr.int() + torch.randint(-9, 10, hr.shape, generator=generator)).clamp(0, 255).to(torch.uint8)
    for metric in ("y_float", "rgb"):
        a, b = (image.double() if metric == "rgb" else luma(image) for image in (sr, hr))
        whole = _ssim_sum(a, b) / (a.shape[0] * (a.shape[1] - 10) * (a.shape[2] - 10))
        assert METRICS[metric](sr, hr, 0)[1] == pytest.approx(whole, abs=1e-13)

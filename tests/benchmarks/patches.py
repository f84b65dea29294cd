"""Training patches a second on one CPU thread: ours against the field's usual loader, in one run.

The usual path: 480x480 sub-images as PNG, decoded for every sample, made float, cropped, flipped and turned
in numpy, collected by torch's DataLoader. Ours: the same files as a source, decoded once.

python tests/benchmarks/patches.py [--images 40] [--seconds 4]
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from nas.data import Patches, load_data
from nas.imaging.bicubic import imresize

SCALE, SIDE, BATCH, LR_PATCH = 4, 480, 16, 48


def write_sub_images(root: Path, count: int) -> None:
    """Crops of photographs, with the fine noise of a sensor, which is what a PNG of a photograph holds."""
    photos = load_data("photos", SCALE, 24)
    large = [image for image in photos.train.hr if min(image.shape[1:]) >= SIDE]
    random = np.random.default_rng(0)
    hr_folder, lr_folder = root / "DIV2K_train_HR_sub", root / "DIV2K_train_LR_bicubic" / f"X{SCALE}_sub"
    hr_folder.mkdir(parents=True)
    lr_folder.mkdir(parents=True)
    for index in range(count):
        image = large[index % len(large)]
        top, left = (int(random.integers(side - SIDE + 1)) for side in image.shape[1:])
        noisy = image[:, top : top + SIDE, left : left + SIDE].numpy() + random.normal(0, 2, (3, SIDE, SIDE))
        hr = torch.from_numpy(noisy.round().clip(0, 255).astype(np.uint8))
        name = f"{index:04}_s001.png"
        for folder, pixels in ((hr_folder, hr), (lr_folder, imresize(hr, Fraction(1, SCALE)))):
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(folder / name, compress_level=3)


class Usual(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """A pair of files a sample: decode, float, crop, flip and turn."""

    def __init__(self, root: Path, lr_patch: int = LR_PATCH) -> None:
        self.lr_patch = lr_patch
        self.hr = sorted((root / "DIV2K_train_HR_sub").iterdir())
        self.lr = root / "DIV2K_train_LR_bicubic" / f"X{SCALE}_sub"
        self.random = np.random.default_rng(0)

    def __len__(self) -> int:
        return 10**6

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        path = self.hr[index % len(self.hr)]
        hr = np.asarray(Image.open(path), dtype=np.float32) / 255
        lr = np.asarray(Image.open(self.lr / path.name), dtype=np.float32) / 255
        top, left = (int(self.random.integers(side - self.lr_patch + 1)) for side in lr.shape[:2])
        lr = lr[top : top + self.lr_patch, left : left + self.lr_patch]
        top, left, side = top * SCALE, left * SCALE, self.lr_patch * SCALE
        hr = hr[top : top + side, left : left + side]
        across, down, turn = self.random.integers(2, size=3)
        made = []
        for patch in (lr, hr):
            patch = patch[:, ::-1] if across else patch
            patch = patch[::-1] if down else patch
            patch = patch.transpose(1, 0, 2) if turn else patch
            made.append(torch.from_numpy(np.ascontiguousarray(patch.transpose(2, 0, 1))))
        return made[0], made[1]


def patches_a_second(batches: Callable[[], object], seconds: float) -> float:
    """Batches until the time is over, after two that do not count."""
    for _ in range(2):
        batches()
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        batches()
        done += BATCH
    return done / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=4.0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        os.environ["NAS_CACHE"] = str(root / "cache")
        write_sub_images(root, given.images)
        rates = {}
        for workers in (0, 1):
            loader = iter(DataLoader(Usual(root), batch_size=BATCH, num_workers=workers))
            rates[f"usual, {workers} workers"] = patches_a_second(lambda i=loader: next(i), given.seconds)
        data = load_data(f"div2k:{root}", SCALE, LR_PATCH)
        patches = Patches(data.train, scale=SCALE, lr_patch=LR_PATCH, seed=0, device=torch.device("cpu"))
        rates["ours, float batches"] = patches_a_second(lambda: patches.draw(BATCH), given.seconds)
        rates["ours, bytes"] = patches_a_second(lambda: patches.draw_bytes(BATCH), given.seconds)
    print(f"{platform.machine()}, torch {torch.__version__}, 1 thread, x{SCALE}, batches of {BATCH}")
    print(f"patches of {LR_PATCH}x{LR_PATCH} LR pixels from {given.images} sub-images of {SIDE}x{SIDE}")
    usual = rates["usual, 0 workers"]
    for name, rate in rates.items():
        print(f"  {name:<24}{rate:>10,.0f} patches a second   {rate / usual:>7.1f} x the usual path")


if __name__ == "__main__":
    main()

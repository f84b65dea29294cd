"""How much memory a data set of DIV2K's size takes: as many images of 2040x1356, decoded, and trained on.

Prints the most memory that belongs to the process alone; pages of the decoded file that the system keeps
because there is room, and gives up when there is none, are counted apart. Needs about 16 GB of disk.

python tests/benchmarks/memory.py [--images 800] [--folder DIR]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

WIDTH, HEIGHT, SCALE = 2040, 1356, 4


def write_images(folder: Path, count: int) -> None:
    """Mosaics of the bundled photographs, each beginning at another place."""
    from nas.data import load_data

    photos = [image.permute(1, 2, 0).numpy() for image in load_data("photos", SCALE, 24).train.hr]
    random = np.random.default_rng(0)
    for index in range(count):
        photo = photos[index % len(photos)]
        rows = (np.arange(HEIGHT) + random.integers(10**6)) % photo.shape[0]
        columns = (np.arange(WIDTH) + random.integers(10**6)) % photo.shape[1]
        Image.fromarray(photo[np.ix_(rows, columns)]).save(folder / f"{index + 1:04}.png", compress_level=1)


class Watch(threading.Thread):
    """The largest values that Linux says of this process, in bytes, while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = {"RssAnon": 0, "RssFile": 0}

    def run(self) -> None:
        while True:
            for line in Path("/proc/self/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in self.most:
                    self.most[name] = max(self.most[name], int(value.split()[0]) * 1024)
            time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=800)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=None, help="where the images are, or are made")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        folder = Path(place) / "images"
        folder.mkdir()
        os.environ["NAS_CACHE"] = str(Path(place) / "cache")
        write_images(folder, given.images)
        watch = Watch()
        watch.start()
        from nas.data import load_data
        from nas.training import Job, Plan, train
        from search_spaces.lightweight import Lightweight

        start = time.perf_counter()
        data = load_data(f"folder:{folder}", SCALE, 48)
        decoded = time.perf_counter() - start
        plan = Plan(steps=given.steps, batch=16, lr_patch=48)
        network = Lightweight(width=16, blocks=1, block="residual", transformers=0)
        outcome = train(Job(genotype=network, scale=SCALE, plan=plan, data=data.source, threads=1))
    size = sum(image.numel() for image in (*data.train.hr, *data.train.lr, *data.valid.hr, *data.valid.lr))
    print(f"{given.images} images of {WIDTH}x{HEIGHT}: {size / 1e9:.2f} GB, decoded in {decoded:.0f} s")
    print(f"  {given.steps} steps in {outcome.train_seconds:.1f} s")
    print(f"  the process's own memory at most {watch.most['RssAnon'] / 1e9:.2f} GB")
    print(f"  pages of the decoded file at most {watch.most['RssFile'] / 1e9:.2f} GB, given up on demand")


if __name__ == "__main__":
    main()

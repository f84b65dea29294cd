"""Small images for trainings of tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_images(folder: Path, count: int = 5, side: int = 64, seed: int = 0) -> Path:
    """Coloured waves with some noise, the same every time."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] / side
    for index in range(count):
        waves = [np.sin((index + 2 + c) * 6 * (rows + (c - 1) * columns)) for c in range(3)]
        image = np.stack(waves, axis=-1) * 100 + 128 + random.normal(0, 5, (side, side, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"wave{index}.png")
    return folder

"""Evaluating a network on benchmark sets: ours against a plain per-image implementation, in one run.

The plain way: PNG and JPEG by Pillow, the network image by image, Y by numpy, PSNR by numpy, SSIM with the
11x11 window as one two-dimensional correlation (scipy), as the field's usual code has it.

python tests/benchmarks/evaluation.py [--data-dir PATH] [--images 10]
"""

from __future__ import annotations

import argparse
import itertools
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from networks import IMDN_LIKE
from scipy.ndimage import correlate, correlate1d

from nas.data.benchmarks import BenchmarkImage, choose_benchmarks, data_folder, read_benchmark
from nas.evaluation.benchmark_sets import Network, measure_network
from nas.metrics.fidelity import METRICS, to_uint8

SCALE = 4
OFFSETS = np.arange(11) - 5
WINDOW = np.exp(-(OFFSETS**2) / (2 * 1.5**2))
WINDOW /= WINDOW.sum()
SQUARE = np.outer(WINDOW, WINDOW)
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

Blur = Callable[[np.ndarray], np.ndarray]


def square_window(x: np.ndarray) -> np.ndarray:
    return correlate(x, SQUARE)[5:-5, 5:-5]


def two_passes(x: np.ndarray) -> np.ndarray:
    return correlate1d(correlate1d(x, WINDOW, axis=0), WINDOW, axis=1)[5:-5, 5:-5]


def plain(sr: np.ndarray, hr: np.ndarray, blur: Blur) -> tuple[float, float]:
    """PSNR and SSIM on Y of two (H, W, 3) uint8 images, border cut."""
    weight = np.array([65.481, 128.553, 24.966]) / 255
    a, b = (16 + image[SCALE:-SCALE, SCALE:-SCALE].astype(np.float64) @ weight for image in (sr, hr))
    psnr = 10 * np.log10(255**2 / np.mean((a - b) ** 2))
    mean_a, mean_b, aa, bb, ab = blur(a), blur(b), blur(a * a), blur(b * b), blur(a * b)
    top = (2 * mean_a * mean_b + C1) * (2 * (ab - mean_a * mean_b) + C2)
    bottom = (mean_a**2 + mean_b**2 + C1) * (aa - mean_a**2 + bb - mean_b**2 + C2)
    return float(psnr), float((top / bottom).mean())


def fastest(call: Callable[[], object], times: int = 5) -> float:
    """The least seconds of the processor of several calls."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return min(taken)


def compare_metrics() -> None:
    generator = torch.Generator().manual_seed(0)
    hr = torch.randint(0, 256, (3, 720, 1280), generator=generator, dtype=torch.uint8)
    sr = (hr.int() + torch.randint(-9, 10, hr.shape, generator=generator)).clamp(0, 255).to(torch.uint8)
    sr_np, hr_np = (image.permute(1, 2, 0).contiguous().numpy() for image in (sr, hr))
    calls: dict[str, Callable[[], tuple[float, float]]] = {
        "plain, square window (scipy)": lambda: plain(sr_np, hr_np, square_window),
        "plain, two passes (scipy)": lambda: plain(sr_np, hr_np, two_passes),
        "ours": lambda: METRICS["y_float"](sr, hr, SCALE),
    }
    times = {name: fastest(call) for name, call in calls.items()}
    print("PSNR and SSIM on Y of one image of 1280x720, RGB bytes in, numbers out")
    for name, seconds in times.items():
        psnr, ssim = calls[name]()
        ratio = times["plain, square window (scipy)"] / seconds
        print(f"  {name:<30}{seconds * 1e3:>8.1f} ms  {ratio:>5.1f} x   {psnr:.9f} dB  {ssim:.12f}")


def compare_sets(data_dir: Path, most: int) -> None:
    torch.manual_seed(0)
    module = IMDN_LIKE.build(SCALE).eval()
    network = Network(name="benchmark", source="fresh weights", scale=SCALE, module=module)
    images: list[BenchmarkImage] = []
    for one in choose_benchmarks(data_dir, []):
        images += itertools.islice(read_benchmark(one, SCALE), most)
    cpu = torch.device("cpu")
    measure_network(network, images[:2], "y_float", cpu)
    start = time.process_time()
    ours = measure_network(network, images, "y_float", cpu)
    seconds = {"ours": time.process_time() - start}
    scores = []
    alone = 0.0
    start = time.process_time()
    with torch.no_grad():
        for image in images:
            begun = time.process_time()
            y = module(image.lr[None].float() / 255)[0]
            alone += time.process_time() - begun
            sr = to_uint8(y).permute(1, 2, 0).numpy()
            scores.append(plain(sr, image.hr.permute(1, 2, 0).numpy(), square_window))
    seconds["plain"] = time.process_time() - start
    ours_np, plain_np = np.array(list(ours.per_image.values())), np.array(scores)
    worst = np.abs(ours_np - plain_np[: len(ours_np)]).max()
    size = sum(p.numel() for p in module.parameters())
    print(f"{len(images)} benchmark images x{SCALE}, network of {size:,} parameters, metrics included")
    ratio = seconds["plain"] / seconds["ours"]
    print(f"  plain {seconds['plain']:.2f} s, ours {seconds['ours']:.2f} s: {ratio:.2f} x")
    print(f"  the plain way's network alone took {alone:.2f} s; largest difference of a score {worst:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, default=None, help="benchmark sets; NAS_DATA if not given")
    parser.add_argument("--images", type=int, default=10, help="most images of a set")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.machine()}, torch {torch.__version__}, 1 thread, seconds of the processor")
    compare_metrics()
    compare_sets(data_folder(given.data_dir), given.images)


if __name__ == "__main__":
    main()

"""What 8-bit integers cost in PSNR and bring in time: after training, and after training that knows of them.

Each network is trained for --steps, then twice further for --further: as it is, and with fake quantisation.
Each of the three is written as a float32 and an int8 file; both run in ONNX Runtime on the same images in one
process.

python tests/benchmarks/quantisation.py [--data photos] [--steps 1000] [--further 200]
"""

from __future__ import annotations

import argparse
import copy
import statistics
import tempfile
from pathlib import Path

import torch
from torch import nn

from nas.cost.latency import processor, timed_ms
from nas.data import Dataset, Patches, load_data
from nas.export.onnx import OnnxNetwork, write_onnx
from nas.export.onnx_int8 import quantise_onnx
from nas.metrics.fidelity import METRICS, to_uint8
from nas.training import Job, named_plan, train
from nas.training.checkpoint import load_weights
from nas.training.qat import finish_qat, prepare_qat
from search_spaces.lightweight import Lightweight

SCALE, PATCH, CPU = 4, 32, torch.device("cpu")

NETWORKS = {
    "residual": Lightweight(width=24, blocks=2, block="residual", kernel="3x3", transformers=0),
    "depthwise": Lightweight(width=32, blocks=3, block="residual", kernel="depthwise", transformers=0),
    "imdn-like": Lightweight(
        width=32, blocks=3, block="imdb", depth=3, share=0.25, attention="cca", kernel="3x3", transformers=0
    ),
    "window": Lightweight(width=32, blocks=2, block="residual", transformers=1, transformer="window"),
}


def trained(genotype: Lightweight, data: str, steps: int, folder: Path) -> nn.Module:
    plan = named_plan("quick", steps=steps, batch=8, lr_patch=PATCH, lr=1e-3)
    outcome = train(Job(genotype=genotype, scale=SCALE, plan=plan, data=data, threads=1, folder=folder))
    assert outcome.weights is not None
    network = genotype.build(SCALE)
    network.load_state_dict(load_weights(outcome.weights)[0])
    return network


def further(network: nn.Module, data: Dataset, steps: int, rate: float) -> None:
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)
    patches = Patches(data.train, scale=SCALE, lr_patch=PATCH, seed=1, device=CPU)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / steps)
        lr, hr = patches.draw(8)
        optimizer.zero_grad()
        (network(lr) - hr).abs().mean().backward()
        optimizer.step()
    network.eval()


def psnr(network: nn.Module, data: Dataset) -> float:
    scores = []
    for lr, hr in zip(data.valid.lr, data.valid.hr, strict=True):
        sr = network((lr.float() / 255)[None])[0]
        scores.append(METRICS["y_float"](to_uint8(sr), hr, SCALE)[0])
    return statistics.mean(scores)


def report(what: str, network: nn.Module, data: Dataset, folder: Path, size: tuple[int, int]) -> None:
    large, small = folder / "float.onnx", folder / "int8.onnx"
    write_onnx(network, SCALE, large)
    patches = Patches(data.train, scale=SCALE, lr_patch=64, seed=0, device=CPU)
    quantise_onnx(large, small, [patches.draw(32)[0]])
    both = OnnxNetwork(large, 1), OnnxNetwork(small, 1)
    exact, rounded = (psnr(one, data) for one in both)
    x = torch.rand(1, 3, *size)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(12):
        for one, times in zip(both, taken, strict=True):
            times.append(timed_ms(lambda one=one: one(x), CPU))
    slow, fast = (statistics.median(times[2:]) for times in taken)
    sizes = " -> ".join(f"{path.stat().st_size / 1e3:.0f} KB" for path in (large, small))
    print(
        f"  {what:<28}{exact:8.3f} -> {rounded:.3f} dB ({rounded - exact:+.3f})   "
        f"{slow:7.1f} -> {fast:.1f} ms (x{slow / fast:.2f})   {sizes}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="photos")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--further", type=int, default=200)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data(given.data, SCALE, 64)
    size = (90, 160)
    print(f"torch {torch.__version__}, {processor(CPU)}, one thread, {given.data}, x{SCALE}; ", end="")
    print("float32 -> int8, both in ONNX Runtime; time for 640x360")
    for name in given.networks:
        print(name)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            network = trained(NETWORKS[name], given.data, given.steps, folder / "run")
            report(f"after {given.steps} steps", network, data, folder, size)
            plain = copy.deepcopy(network)
            further(plain, data, given.further, given.rate)
            report(f"{given.further} further steps", plain, data, folder, size)
            prepare_qat(network)
            further(network, data, given.further, given.rate)
            finish_qat(network)
            report(f"{given.further} steps that know", network, data, folder, size)


if __name__ == "__main__":
    main()

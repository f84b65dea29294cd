"""What an inference takes in PyTorch, compiled, and in ONNX Runtime in float32 and in 8-bit integers.

All in one process, taking turns. Weights are random: time does not depend on them.

python tests/benchmarks/runtimes.py [--networks imdn rfdn f2srgan-student] [--size 320x180] [--threads 1]
"""

from __future__ import annotations

import argparse

import torch

from nas.cost.latency import processor
from nas.measuring.measure import MeasurementSetting, Subject, measure_networks
from search_spaces.published import PUBLISHED

WAYS = (("eager", "fp32"), ("compiled", "fp32"), ("onnxruntime", "fp32"), ("onnxruntime", "int8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--networks", nargs="+", default=["imdn", "rfdn", "f2srgan-student"], choices=PUBLISHED
    )
    parser.add_argument("--size", default="320x180", help="of the LR image; 320x180 enlarges to 1280x720")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    width, height = (int(side) for side in given.size.split("x"))
    setting = MeasurementSetting(
        device=torch.device("cpu"),
        threads=given.threads,
        size=(height, width),
        of_input=True,
        runs=given.runs,
        memory=False,
    )
    networks = [
        Subject(name=name, scale=given.scale, module=PUBLISHED[name].build(given.scale))
        for name in given.networks
    ]
    rows = measure_networks(networks, ["eager", "compiled", "onnxruntime"], ["fp32", "int8"], setting)
    found = {(row.subject.name, row.engine, row.precision): row for row in rows}
    print(
        f"torch {torch.__version__}, {processor(setting.device)}, {given.threads} threads, x{given.scale}, ",
        end="",
    )
    print(f"LR {given.size}; median ms, and how many times faster than eager")
    print(f"{'':<18}" + "".join(f"{f'{engine} {word}':>24}" for engine, word in WAYS))
    for name in given.networks:
        eager = found[name, "eager", "fp32"].latency
        cells = []
        for way in WAYS:
            row = found[(name, *way)]
            if row.latency is None or eager is None:
                cells.append(f"({row.reason})")
            else:
                ratio = eager.median_ms / row.latency.median_ms
                cells.append(f"{row.latency.median_ms:.1f} ms  x{ratio:.2f}")
        print(f"{name:<18}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()

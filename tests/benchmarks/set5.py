"""A short training on real images: an IMDN-like network of about 300,000 parameters, against bicubic.

Trains, measures on every benchmark set found, and fails when Set5's gain over bicubic is below 1.5 dB. Can be
stopped and started again: with --folder it goes on where it was.

python tests/benchmarks/set5.py --train folder:T91+folder:BSDS397 --data-dir FOLDER_OF_SETS [--device cuda]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from networks import IMDN_LIKE, SCALE

from nas.core.device import cpu_threads
from nas.cost.counting import cost_of
from nas.data.benchmarks import choose_benchmarks, data_folder, read_benchmark
from nas.evaluation.benchmark_sets import Network, measure_bicubic, measure_network
from nas.training import Job, Progress, named_plan, train
from nas.training.checkpoint import load_weights

GAIN_DB = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", required=True, help="training data, as in a recipe")
    parser.add_argument("--data-dir", type=Path, default=None, help="benchmark sets; NAS_DATA if not given")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=cpu_threads())
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--patch", type=int, default=24, help="LR pixels")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-set5"))
    given = parser.parse_args()
    plan = named_plan("proxy", steps=given.steps, lr_patch=given.patch, precision=given.precision)
    job = Job(
        genotype=IMDN_LIKE,
        scale=SCALE,
        plan=plan,
        data=given.train,
        device=given.device,
        threads=given.threads,
        folder=given.folder,
        validate_every=500,
    )
    print(f"{cost_of(IMDN_LIKE, SCALE)}\n{plan}")
    told = [0.0]

    def report(now: Progress) -> None:
        if time.monotonic() - told[0] > 30 or now.step == now.steps:
            told[0] = time.monotonic()
            psnr = "" if now.psnr_db is None else f", {now.psnr_db:.3f} dB on held-out images"
            print(
                f"  step {now.step}/{now.steps}, loss {now.loss:.5f}{psnr}, "
                f"{now.steps_a_second:.2f} steps/s, {now.images_a_second:.0f} images/s, "
                f"{now.seconds_left:.0f} s left",
                flush=True,
            )

    outcome = train(job, report)
    assert outcome.weights is not None
    print(f"{outcome.psnr_db:.3f} dB on held-out images, {outcome.train_seconds:.0f} s, {outcome.device}")
    module = IMDN_LIKE.build(SCALE)
    module.load_state_dict(load_weights(outcome.weights)[0])
    network = Network(name="IMDN-like", source=str(outcome.weights), scale=SCALE, module=module)
    gains = {}
    for one in choose_benchmarks(data_folder(given.data_dir), []):
        ours = measure_network(network, read_benchmark(one, SCALE), "y_float", torch.device(given.device))
        bicubic = measure_bicubic(read_benchmark(one, SCALE), SCALE, "y_float")
        gains[one.name] = ours.psnr_db - bicubic.psnr_db
        print(
            f"{one.name:<8} x{SCALE}  network {ours.psnr_db:.3f} dB / {ours.ssim:.4f}   "
            f"bicubic {bicubic.psnr_db:.3f} / {bicubic.ssim:.4f}   {gains[one.name]:+.3f} dB"
        )
    if gains["Set5"] < GAIN_DB:
        sys.exit(f"Set5: {gains['Set5']:+.3f} dB over bicubic, and {GAIN_DB} are needed")


if __name__ == "__main__":
    main()

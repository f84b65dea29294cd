"""Does bf16 rank architectures as fp32 does? Kendall's tau at the default proxy, beside that of another seed.

    python tests/benchmarks/bf16_ranks.py --data folder:my_images --out bf16.jsonl
    python tests/benchmarks/bf16_ranks.py --out bf16.jsonl --table

Each architecture is trained three times: fp32 with seed 0, bf16 with seed 0 and fp32 with seed 1. Every
finished training is appended to --out, and the same command resumes an interrupted campaign. Architectures
without all three trainings do not count in the table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from nas.calibration.design import spread
from nas.calibration.rank_correlation import RankCorrelation, tau_of
from nas.core.units import parse_count
from nas.cost.budget import Budget
from nas.cost.counting import cost_of
from nas.training import Job, train
from nas.training.plan import named_plan
from search_spaces import Genotype, Space, load_space

SCALE = 4
TRAININGS = (("fp32", 0), ("bf16", 0), ("fp32", 1))
"""Precision and seed of the trainings of one architecture, in their order."""

Scores = dict[tuple[str, str, int], dict[str, float]]
"""(genotype id, precision, seed) -> its line of the file."""


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", default="photos")
    parser.add_argument("--architectures", type=int, default=24)
    parser.add_argument("--params", default="102.7k", help="the budget: parameters")
    parser.add_argument("--multi-adds", default="5.64G", help="and Multi-Adds at x4")
    parser.add_argument("--plan", default="short")
    parser.add_argument("--steps", type=int, default=None, help="fewer steps than the plan has")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("bf16_ranks.jsonl"))
    parser.add_argument("--table", action="store_true", help="train nothing")
    options = parser.parse_args()
    if not options.table:
        for line in trained(options):
            print(json.dumps(line), flush=True)
    print("\n".join(table(read(options.out))))


def trained(options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """Train what the file lacks, architecture by architecture; yields the lines that it adds."""
    done = read(options.out)
    plan = named_plan(options.plan)
    plan = replace(plan, steps=options.steps or plan.steps)
    for genotype in sample(options):
        for precision, seed in TRAININGS:
            if (genotype.id, precision, seed) in done:
                continue
            job = Job(
                genotype=genotype,
                scale=SCALE,
                plan=replace(plan, precision=precision),
                data=options.data,
                seed=seed,
                threads=options.threads,
            )
            outcome = train(job)
            line = {
                "genotype": genotype.id,
                "precision": precision,
                "seed": seed,
                "psnr_db": outcome.psnr_db,
                "seconds": outcome.train_seconds,
                "params": cost_of(genotype, SCALE).params,
                "multi_adds": cost_of(genotype, SCALE).multi_adds,
                "torch": torch.__version__,
            }
            with options.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            yield line


def sample(options: argparse.Namespace) -> list[Genotype]:
    """The architectures: of the default recipe's space, spread over the costs inside the budget."""
    budget = Budget(params=parse_count(options.params), multi_adds=parse_count(options.multi_adds))
    space = Space(load_space("lightweight"), {"skip": ("bicubic",)})
    return spread(space, SCALE, options.architectures, budget=budget, seed=options.seed)


def read(path: Path) -> Scores:
    """The finished trainings of a file."""
    lines = map(json.loads, path.read_text().splitlines()) if path.exists() else []
    return {(line["genotype"], line["precision"], line["seed"]): line for line in lines}


def table(scores: Scores) -> list[str]:
    """The rows of a Markdown table: the agreement with fp32, seed 0, of the two other trainings."""
    names = sorted({name for name, _, _ in scores})
    whole = [name for name in names if all((name, *one) in scores for one in TRAININGS)]
    columns = [
        np.array([[scores[name, *one][key] for name in whole] for one in TRAININGS])
        for key in ("psnr_db", "seconds")
    ]
    (fp32, *others), seconds = columns
    rows = [
        f"{len(whole)} architectures, fp32 seed 0 from {fp32.min():.2f} to {fp32.max():.2f} dB",
        "",
        "| fp32, seed 0, against | tau [95 %] | mean difference, dB | mean absolute | largest | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for (precision, seed), other, spent in zip(TRAININGS[1:], others, seconds[1:], strict=True):
        gap = other - fp32
        rows.append(
            f"| {precision}, seed {seed} | {_text(tau_of(other, fp32))} | {gap.mean():+.4f} "
            f"| {np.abs(gap).mean():.4f} | {np.abs(gap).max():.4f} | {spent.mean():.1f} |"
        )
    return rows


def _text(tau: RankCorrelation) -> str:
    return f"{tau.value:.2f} [{tau.low:.2f}, {tau.high:.2f}]"


if __name__ == "__main__":
    main()

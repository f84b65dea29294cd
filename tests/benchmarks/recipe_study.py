"""The study of training recipes: networks of several families, made to fit a budget, under many plans.

    python tests/benchmarks/recipe_study.py rates second --data folder:my_images --rows rows.jsonl
    python tests/benchmarks/recipe_study.py rates second --rows rows.jsonl --table

A stage is a list of settings; a setting changes fields of a plan, or what no plan has
(``recipe_experiments.py``). Every finished training is appended to --rows, and the same command resumes an
interrupted study. In the table a row is a setting, and a number the difference to the setting in the first
row of the same networks and seeds, in dB, with a 95 % interval over them. A diverged training counts as
bicubic interpolation.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import math
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from recipe_experiments import active
from scipy.stats import t as student

from nas.cost.budget import Budget
from nas.data import load_data
from nas.errors import DivergedError
from nas.search.baselines import FILLING, LIKE, filling, fitted
from nas.training import Job, train
from nas.training.plan import Plan
from nas.training.validation import bicubic_baseline, mean_scores
from search_spaces import Genotype, Space
from search_spaces.published import PUBLISHED

BUDGETS = {
    4: Budget(params=102_728, multi_adds=5_640_000_000),  # GPDN's at x4
    2: Budget(params=326_000, multi_adds=74_700_000_000),  # FALSR-B's at x2
}
FOUR = ("imdn-filling", "span-28-like", "bsrn-like", "sdan-inspired-like")
FAMILIES = (*FOUR, "rfdn-like", "smfanet-like", "lmswn-inspired-like")

Changes = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training of the study; ``changes`` of ``Plan``'s fields, ``extra`` for ``recipe_experiments``."""

    network: str
    scale: int
    changes: Changes
    extra: Changes = field(default_factory=dict)
    seed: int = 0

    @property
    def setting(self) -> str:
        """The setting as text: equal for all networks, scales and seeds."""
        return json.dumps([self.changes, self.extra], sort_keys=True)

    @property
    def key(self) -> tuple[str, int, int, str]:
        """What identifies the training in the file."""
        return self.network, self.scale, self.seed, self.setting


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Settings that are compared on the same networks; the first one is what the others are compared with."""

    settings: Sequence[tuple[Changes, Changes]]
    families: Sequence[str] = FAMILIES
    scales: Sequence[int] = (4,)
    seeds: Sequence[int] = (0,)

    def trainings(self) -> Iterator[Training]:
        """All trainings, setting by setting."""
        for seed in self.seeds:
            for changes, extra in self.settings:
                for scale in self.scales:
                    for network in self.families:
                        yield Training(network=network, scale=scale, changes=changes, extra=extra, seed=seed)


_SHORT: Changes = {"steps": 800, "batch": 4}
_CLIPPED: Changes = {**_SHORT, "clip_norm": 0.5, "warmup_steps": 100}
_MIDDLE: Changes = {**_CLIPPED, "lr": 4e-3}
_STABLE: Changes = {**_MIDDLE, "schedule": "wsd"}
_LONGER: Changes = {"steps": 2400, "batch": 8, "lr": 2e-3}
_ROBUST: Changes = {"lr": 4e-3, "clip_norm": 0.1, "warmup_steps": 100, "schedule": "wsd"}

STAGES: dict[str, Stage] = {
    "rates": Stage(
        settings=[
            ({**_SHORT, "lr": 2e-3}, {}),
            *[({**_CLIPPED, "lr": lr}, {}) for lr in (2e-3, 4e-3, 8e-3, 1.6e-2)],
        ]
    ),
    "second": Stage(
        settings=[
            (_MIDDLE, {}),
            ({**_MIDDLE, "schedule": "wsd"}, {}),
            ({**_MIDDLE, "schedule": "linear"}, {}),
            (_MIDDLE, {"optimizer": "muon"}),
            ({**_MIDDLE, "ema": 0.999}, {}),
            (_MIDDLE, {"fan_in_power": 0.5}),
            ({**_MIDDLE, "clip_norm": 0.1}, {}),
            ({**_MIDDLE, "beta2": 0.99}, {}),
            (_MIDDLE, {"block_scale": 0.1}),
            (_MIDDLE, {"optimizer": "adan"}),
            (_MIDDLE, {"unit_clip": 0.05}),
            ({**_MIDDLE, "loss": "charbonnier"}, {}),
            ({**_MIDDLE, "loss": "l1_fft"}, {}),
            ({**_MIDDLE, "batch": 2, "lr_patch": 34}, {}),
            ({**_MIDDLE, "batch": 9, "lr_patch": 16}, {}),
        ],
        families=FOUR,
    ),
    "stable": Stage(
        settings=[
            (_STABLE, {}),
            ({**_STABLE, "clip_norm": 0.1}, {}),
            ({**_STABLE, "clip_norm": 0.0}, {"history_clip": 1.5}),
            ({**_STABLE, "clip_norm": 0.0}, {"unit_clip": 0.05}),
            ({**_STABLE, "lr": 3e-3}, {}),
            ({**_STABLE, "beta2": 0.99}, {}),
        ],
        families=("sdan-inspired-like", "imdn-filling", "lmswn-inspired-like", "bsrn-like"),
    ),
    "confirm": Stage(settings=[(_LONGER, {}), ({**_LONGER, **_ROBUST}, {})], seeds=(0, 1, 2)),
}
"""Name -> stage; the plan that a setting changes is 2e-3, cosine to 1e-6, 8 patches of 24 x 24."""


def main() -> None:
    """Train what is missing, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("stages", nargs="*", default=list(STAGES), metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--data", default="photos")
    parser.add_argument("--rows", type=Path, default=Path("recipe_study.jsonl"))
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time, of one thread each")
    parser.add_argument("--table", action="store_true", help="train nothing")
    options = parser.parse_args()
    for name in options.stages:
        if name not in STAGES:
            parser.error(f"stage {name!r}: allowed are {', '.join(STAGES)}")
    if not options.table:
        train_missing([STAGES[name] for name in options.stages], options.data, options.rows, options.workers)
    rows = read(options.rows)
    for name in options.stages:
        print("\n".join([f"## {name}", *table(STAGES[name], rows), ""]))


def train_missing(stages: Sequence[Stage], data: str, path: Path, workers: int) -> None:
    """Train what the file lacks; each result is appended to it as soon as it is there."""
    done = read(path)
    missing = {each.key: each for stage in stages for each in stage.trainings() if each.key not in done}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=20) as pool:
        futures = [pool.submit(trained, each, data) for each in missing.values()]
        for count, future in enumerate(as_completed(futures), start=1):
            if (error := future.exception()) is not None:
                print(f"{count} of {len(missing)}: {type(error).__name__}: {error}", flush=True)
                continue
            line = json.dumps(future.result())
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            print(f"{count} of {len(missing)}: {line[:200]}", flush=True)


def trained(training: Training, data: str) -> dict[str, Any]:
    """Train one network under one setting; the line of the file."""
    torch.set_num_threads(1)
    plan = Plan(**{"steps": 800, "batch": 8, "lr_patch": 24, "lr": 2e-3, "lr_end": 1e-6, **training.changes})
    genotype = network_of(training.network, training.scale)
    job = Job(genotype=genotype, scale=training.scale, plan=plan, data=data, seed=training.seed, threads=1)
    began = time.monotonic()
    line: dict[str, Any] = {**asdict(training), "genotype": genotype.id}
    try:
        with active(**training.extra) if training.extra else contextlib.nullcontext():
            outcome = train(job)
        line |= {"psnr": outcome.psnr_db, "train_seconds": round(outcome.train_seconds, 1)}
    except DivergedError as error:
        valid = load_data(data, training.scale, plan.lr_patch).valid
        bicubic = mean_scores(bicubic_baseline(valid, training.scale, job.metric))[0]
        line |= {"psnr": bicubic, "error": str(error)}
    return {**line, "seconds": round(time.monotonic() - began, 1)}


@functools.cache
def network_of(name: str, scale: int) -> Genotype:
    """The published network made to fit the scale's budget, with the bicubic skip where it can have one."""
    shape = FILLING if name.endswith(FILLING) else LIKE
    published = PUBLISHED[name.removesuffix(shape)].genotype_at(scale)
    assert published is not None
    skips = any(axis.name == "skip" for axis in published.axes())
    space = Space(type(published), only={"skip": ("bicubic",)} if skips else {})
    make = filling if shape == FILLING else fitted
    network = make(name.removesuffix(shape), space, scale, BUDGETS[scale])
    assert network is not None
    return network.genotype


def read(path: Path) -> dict[tuple[str, int, int, str], dict[str, Any]]:
    """The lines of the file by what they trained."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    names = ("network", "scale", "changes", "extra", "seed")
    return {Training(**{name: line[name] for name in names}).key: line for line in lines}


def table(stage: Stage, rows: dict[tuple[str, int, int, str], dict[str, Any]]) -> list[str]:
    """A line a setting: the mean difference to the first setting, and each family's, in dB."""
    trainings = list(stage.trainings())
    base_setting = trainings[0].setting
    lines = [
        f"| setting | mean | 95 % | {' | '.join(stage.families)} |",
        f"|---|---|---|{'---|' * len(stage.families)}",
    ]
    for setting in dict.fromkeys(each.setting for each in trainings):
        differences: dict[str, list[float]] = {name: [] for name in stage.families}
        for each in trainings:
            row, base = rows.get(each.key), rows.get((*each.key[:3], base_setting))
            if each.setting == setting and row and base:
                differences[each.network].append(row["psnr"] - base["psnr"])
        means = {name: statistics.fmean(values) for name, values in differences.items() if values}
        cells = " | ".join(f"{means[name]:+.3f}" if name in means else "" for name in stage.families)
        changes, extra = json.loads(setting)
        words = ", ".join(f"{name} {value}" for name, value in (changes | extra).items())
        mean = f"{statistics.fmean(means.values()):+.3f}" if means else ""
        lines.append(f"| {words} | {mean} | {_half_width(list(means.values()))} | {cells} |")
    return lines


def _half_width(values: list[float]) -> str:
    """Half of the 95 % interval of the mean over families."""
    if len(values) < 2:
        return ""
    spread = statistics.stdev(values) / math.sqrt(len(values))
    return f"± {student.ppf(0.975, len(values) - 1) * spread:.3f}"


if __name__ == "__main__":
    main()

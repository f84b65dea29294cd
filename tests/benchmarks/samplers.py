"""Which sampler finds the most for the same number of trainings, and how long it thinks.

python tests/benchmarks/samplers.py [--seeds 6] [--trainings 200] [--samplers surrogate tpe random]
    [--budget tight] [--in-flight 8] [--processes 2] [--thinking]

Runs every sampler on the made-up landscapes of ``landscape.py`` (seed s takes landscape s % 3) as a search
does: a candidate over the budget is never trained, a repeat is answered from what is known, and only
trainings count. Prints the hypervolume of the true values of what was trained, as a share of the best
front's, as mean and standard deviation over the seeds. The samplers are those of the package, or
``optuna-tpe`` and ``optuna-nsga2`` as Optuna makes them, with the same treatment of the budget.
``--thinking`` measures a proposal's time instead.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable

import optuna
import torch
from landscape import BUDGETS, SPACE, Landscape, costs
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.trial import TrialState

from nas.samplers import SAMPLERS, Setting
from nas.study import distribution
from search_spaces import Genotype

MARKS = (16, 50, 100, 200, 400)
PATIENCE = 3000
"""Proposals in a row without a training after which a sampler is given up."""

OTHERS: dict[str, Callable[[Setting], BaseSampler]] = {
    "optuna-tpe": lambda setting: TPESampler(seed=setting.seed),
    "optuna-nsga2": lambda setting: NSGAIISampler(seed=setting.seed),
}


@functools.cache
def landscape(number: int, budget: str) -> Landscape:
    """One a process: its best front takes some seconds to find."""
    return Landscape(number, budget)


def setting_of(surface: Landscape, seed: int, trainings: int) -> Setting:
    return Setting(
        seed=seed,
        space=SPACE,
        price=surface.price,
        inside=surface.inside,
        floor=surface.floor_db,
        trials=trainings,
    )


def run(job: tuple[str, int, int, str, int]) -> tuple[str, dict[int, float], int, int]:
    """One search: sampler, hypervolume at each mark, proposals over the budget, repeats."""
    name, seed, trainings, budget, in_flight = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    surface = landscape(seed % 3, budget)
    sampler = (SAMPLERS | OTHERS)[name](setting_of(surface, seed, trainings))
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    known: dict[Genotype, float] = {}
    flying: list[tuple[optuna.trial.Trial, Genotype]] = []
    reached: dict[int, float] = {}
    rejected = repeated = idle = 0
    while len(known) < trainings and idle < PATIENCE:
        trial = study.ask()
        genotype = SPACE.suggest(trial)
        idle += 1
        for limit, cost, most in zip(("params", "multi_adds"), costs(genotype), surface.limits, strict=True):
            trial.set_constraint(limit, cost / most - 1)
        if not surface.inside(genotype):
            rejected += 1
            study.tell(trial, state=TrialState.PRUNED)
        elif genotype in known:
            repeated += 1
            study.tell(trial, [known[genotype], surface.price(genotype)])
        elif any(genotype == other for _, other in flying):
            repeated += 1
            study.tell(trial, state=TrialState.FAIL)
        else:
            idle = 0
            flying.append((trial, genotype))
        if len(flying) == in_flight:
            trial, genotype = flying.pop(0)
            known[genotype] = surface.train(genotype, seed)
            study.tell(trial, [known[genotype], surface.price(genotype)])
            if len(known) in MARKS:
                reached[len(known)] = surface.hypervolume(list(known))
    return name, reached, rejected, repeated


def think(name: str, results: int, proposals: int) -> tuple[list[float], list[float]]:
    """Seconds by the clock, and of the processor, of each proposal after so many recorded results."""
    surface = landscape(0, "wide")
    sampler = SAMPLERS[name](setting_of(surface, 0, results + proposals))
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    trial_of = optuna.trial.create_trial
    for genotype in [one.key for one in setting_of(surface, 7, results).candidates().gather(results)]:
        asked = [(axis, option) for axis, option in SPACE.applicable(genotype) if len(axis.options) > 1]
        study.add_trial(
            trial_of(
                values=[surface.train(genotype, 0), surface.price(genotype)],
                params={axis.name: option for axis, option in asked},
                distributions={axis.name: distribution(axis) for axis, _ in asked},
                constraints={"multi_adds": surface.price(genotype) / surface.limits[1] - 1},
            )
        )
    SPACE.suggest(study.ask())  # reads the recorded trials, imports what is needed
    taken, worked = [], []
    for number in range(proposals):
        start, begun = time.perf_counter(), time.process_time()
        trial = study.ask()
        genotype = SPACE.suggest(trial)
        taken.append(time.perf_counter() - start)
        worked.append(time.process_time() - begun)
        study.tell(trial, [surface.train(genotype, number), surface.price(genotype)])
    return taken, worked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trainings", type=int, default=100)
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=[*SAMPLERS, *OTHERS])
    parser.add_argument("--budget", default="wide", choices=list(BUDGETS))
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--thinking", action="store_true")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    if options.thinking:
        print("seconds of one proposal, median and longest of 25; by the clock, of the processor")
        print(f"{'sampler':<14}{'results':>9}{'clock':>9}{'longest':>9}{'cpu':>9}{'longest':>9}")
        for name in options.samplers:
            for results in (100, 1000):
                line = f"{name:<14}{results:>9}"
                for seconds in think(name, results, 25):
                    line += f"{statistics.median(seconds):>9.3f}{max(seconds):>9.3f}"
                print(line, flush=True)
        return
    marks = [mark for mark in MARKS if mark <= options.trainings]
    print(f"budget {options.budget}, {options.seeds} seeds, {options.in_flight} in flight")
    print(f"{'trainings':<14}" + "".join(f"{mark:>15}" for mark in marks) + "    over budget  repeats")
    settings = (options.trainings, options.budget, options.in_flight)
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for name in options.samplers:
            found = pool.map(run, [(name, seed, *settings) for seed in range(options.seeds)], chunksize=1)
            line = f"{name:<14}"
            for mark in marks:
                values = [reached[mark] for _, reached, _, _ in found if mark in reached]
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                line += f"{statistics.mean(values):>8.3f} ±{spread:.3f}" if values else f"{'-':>15}"
            rejected = statistics.mean(one[2] for one in found)
            repeated = statistics.mean(one[3] for one in found)
            print(f"{line}{rejected:>15.0f}{repeated:>9.0f}", flush=True)


if __name__ == "__main__":
    main()

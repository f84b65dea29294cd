"""How long a sampler thinks for one proposal, after so many recorded results.

python tests/benchmarks/thinking.py [--samplers surrogate tpe random] [--results 100 1000]

On a made-up landscape, where pricing a candidate is a formula: a real search counts the parts of networks
that are new besides. What samplers find is compared by ``nas compare-samplers``.
"""

from __future__ import annotations

import argparse
import statistics
import time

import optuna
import torch

from nas.samplers import SAMPLERS, Setting
from nas.search.proposer import distribution
from nas.simulation.objective import Objective
from nas.simulation.synthetic_landscape import SPACE, surface_of


def setting_of(surface: Objective, seed: int, trainings: int) -> Setting:
    return Setting(
        seed=seed,
        space=SPACE,
        price=surface.price,
        inside=surface.inside,
        floor=surface.floor_db,
        trials=trainings,
    )


def think(name: str, results: int, proposals: int) -> tuple[list[float], list[float]]:
    """Seconds by the clock, and of the processor, of each proposal after so many recorded results."""
    surface = surface_of("landscape", 0)
    sampler = SAMPLERS[name](setting_of(surface, 0, results + proposals))
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    trial_of = optuna.trial.create_trial
    for genotype in [one.key for one in setting_of(surface, 7, results).candidates().gather(results)]:
        asked = [(axis, option) for axis, option in SPACE.applicable(genotype) if len(axis.options) > 1]
        study.add_trial(
            trial_of(
                values=[surface.measured_db(genotype, -1, 0), surface.price(genotype)],
                params={axis.name: option for axis, option in asked},
                distributions={axis.name: distribution(axis) for axis, _ in asked},
                constraints={"multi_adds": surface.price(genotype) / surface.cost_limit - 1},
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
        study.tell(trial, [surface.measured_db(genotype, -1, number), surface.price(genotype)])
    return taken, worked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    parser.add_argument("--results", nargs="+", type=int, default=[100, 1000])
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    print("seconds of one proposal, median and longest of 25; by the clock, of the processor")
    print(f"{'sampler':<14}{'results':>9}{'clock':>9}{'longest':>9}{'cpu':>9}{'longest':>9}")
    for name in options.samplers:
        for results in options.results:
            line = f"{name:<14}{results:>9}"
            for seconds in think(name, results, 25):
                line += f"{statistics.median(seconds):>9.3f}{max(seconds):>9.3f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()

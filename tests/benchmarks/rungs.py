"""What rungs bring at equal device time: full trainings only, or ever fewer candidates trained ever longer.

python tests/benchmarks/rungs.py [--seeds 6] [--hours 50] [--workers 8] [--samplers surrogate tpe random]
    [--budget wide] [--processes 2]

Virtual time on the made-up landscapes of ``landscape.py``: a full training takes one hour, a rung its share
of it, and a promotion pays the difference. Several workers are always busy; promotions are those of
``nas.rungs``. A short training falls short of the full one by an amount that differs from network to network,
and is noisier: how well each rung ranks is printed first (Kendall's tau over random networks). Hypervolume of
the true values of what was trained in full, as a share of the best front's, when a quarter, half and all of
the hours are spent.
"""

from __future__ import annotations

import argparse
import functools
import heapq
import itertools
import multiprocessing
import random
import statistics
import warnings

import optuna
import torch
from landscape import BUDGETS, NOISE_DB, SPACE, Landscape
from optuna.trial import TrialState
from samplers import setting_of
from scipy.stats import kendalltau

from nas.rungs import next_promotion
from nas.samplers import RUNGS, SAMPLERS
from nas.study import frozen_trial
from search_spaces import Genotype

SHARES = (1 / 27, 1 / 9, 1 / 3, 1.0)
PARTS = (0.25, 0.5, 1.0)


def train(surface: Landscape, genotype: Genotype, seed: int, share: float) -> float:
    """The PSNR that a training of that share of the full one would measure."""
    if share == 1:
        return surface.train(genotype, seed)
    slowness = random.Random(f"slow-{surface.number}-{genotype.id}").uniform(0.6, 1.4)  # noqa: S311
    luck = random.Random(f"{genotype.id}-{seed}-{share}")  # noqa: S311
    short = 0.15 * ((1 / share) ** 0.35 - 1) * slowness
    return surface.psnr_db(genotype) - short + luck.gauss(0, NOISE_DB * (1 / share) ** 0.25)


@functools.cache
def landscape(number: int, budget: str) -> Landscape:
    """One a process: its best front takes some seconds to find."""
    return Landscape(number, budget)


class Run:
    """One search in virtual time."""

    def __init__(self, name: str, seed: int, shares: tuple[float, ...], budget: str, hours: float) -> None:
        self.surface, self.seed, self.shares = landscape(seed % 3, budget), seed, shares
        expected = int(hours / shares[0] / (2 if len(shares) > 1 else 1))
        setting = setting_of(self.surface, seed, expected)
        self.knows_rungs = name == "surrogate" and len(shares) > 1
        self.study = optuna.create_study(directions=["maximize", "minimize"], sampler=SAMPLERS[name](setting))
        self.rungs: list[dict[str, tuple[float, float]]] = [{} for _ in shares]
        self.promoted: list[set[str]] = [set() for _ in shares]
        self.genotypes: dict[str, Genotype] = {}

    def next(self) -> tuple[int, Genotype, optuna.trial.Trial | None]:
        """Who is trained next, and to which rung."""
        if (found := next_promotion(self.rungs, self.promoted)) is not None:
            rung, name = found
            self.promoted[rung - 1].add(name)
            return rung, self.genotypes[name], None
        while True:
            asked = self.study.ask()
            genotype = SPACE.suggest(asked)
            if self.surface.inside(genotype) and genotype.id not in self.genotypes:
                self.genotypes[genotype.id] = genotype
                return 0, genotype, asked
            self.study.tell(asked, state=TrialState.PRUNED)

    def end(self, rung: int, genotype: Genotype, asked: optuna.trial.Trial | None) -> None:
        """Take in a result, as ``nas.study.Proposer`` does."""
        share, cost = self.shares[rung], self.surface.price(genotype)
        psnr = train(self.surface, genotype, self.seed, share)
        self.rungs[rung][genotype.id] = cost, psnr
        if rung and not self.knows_rungs:
            return
        attributes = {RUNGS: [[share, psnr]]} if self.knows_rungs else {}
        short = self.knows_rungs and share < 1
        state = TrialState.PRUNED if short else TrialState.COMPLETE
        values = None if short else [psnr, cost]
        if asked is None:
            trial = frozen_trial(SPACE, genotype, state=state, values=values, user_attrs=attributes)
            self.study.add_trial(trial)
            return
        for key, value in attributes.items():
            asked.set_user_attr(key, value)
        self.study.tell(asked, values=values, state=state)

    def full(self) -> float:
        """Hypervolume of what was trained in full."""
        return self.surface.hypervolume([self.genotypes[name] for name in self.rungs[-1]])


def run(job: tuple[str, int, tuple[float, ...], str, float, int]) -> tuple[list[float], int, int]:
    """Hypervolume at each of PARTS; how many were trained at all, and in full."""
    name, seed, shares, budget, hours, workers = job
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    search = Run(name, seed, shares, budget, hours)
    order = itertools.count()
    busy: list[tuple[float, int, int, Genotype, optuna.trial.Trial | None]] = []
    spent, reached, now = 0.0, [], 0.0
    while len(reached) < len(PARTS):
        while len(busy) < workers and spent < hours:
            rung, genotype, asked = search.next()
            takes = shares[rung] - (shares[rung - 1] if rung else 0.0)
            spent += takes
            heapq.heappush(busy, (now + takes, next(order), rung, genotype, asked))
        if not busy:
            break
        now, _, rung, genotype, asked = heapq.heappop(busy)
        while len(reached) < len(PARTS) - 1 and now * workers > hours * PARTS[len(reached)]:
            reached.append(search.full())
        search.end(rung, genotype, asked)
    reached += [search.full()] * (len(PARTS) - len(reached))
    return reached, len(search.genotypes), len(search.rungs[-1])


def ranks(budget: str) -> list[float]:
    """Kendall's tau of each rung with the truth, over 200 random networks in the budget."""
    surface = landscape(0, budget)
    drawn = [one.key for one in setting_of(surface, 5, 200).candidates().gather(200)]
    truth = [surface.psnr_db(genotype) for genotype in drawn]
    return [kendalltau([train(surface, one, 0, share) for one in drawn], truth).statistic for share in SHARES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--hours", type=float, default=50)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument(
        "--samplers", nargs="+", default=["surrogate", "tpe", "random"], choices=list(SAMPLERS)
    )
    parser.add_argument("--budget", default="wide", choices=list(BUDGETS))
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    taus = ", ".join(
        f"{share:.3g}: {tau:.2f}" for share, tau in zip(SHARES, ranks(options.budget), strict=True)
    )
    print(
        f"budget {options.budget}, {options.seeds} seeds, {options.hours:g} hours, {options.workers} workers"
    )
    print(f"tau of each share with the truth: {taus}")
    print(
        f"{'sampler':<12}{'trainings':<12}" + "".join(f"{part:>14.0%}" for part in PARTS) + "   begun    full"
    )
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for name in options.samplers:
            for words, shares in (("full only", (1.0,)), ("four rungs", SHARES)):
                jobs = [
                    (name, seed, shares, options.budget, options.hours, options.workers)
                    for seed in range(options.seeds)
                ]
                found = pool.map(run, jobs, chunksize=1)
                line = f"{name:<12}{words:<12}"
                for index in range(len(PARTS)):
                    values = [reached[index] for reached, _, _ in found]
                    spread = statistics.stdev(values) if len(values) > 1 else 0.0
                    line += f"{statistics.mean(values):>7.3f} ±{spread:.3f}"
                begun = statistics.mean(one[1] for one in found)
                full = statistics.mean(one[2] for one in found)
                print(f"{line}{begun:>8.0f}{full:>8.0f}", flush=True)


if __name__ == "__main__":
    main()

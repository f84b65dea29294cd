"""Further seeds for the members of a front: which are missing, and their results."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from leaderboard.store.records import Trial
from nas.search.progress import SearchProgress


@dataclass(frozen=True, kw_only=True)
class SeedResults:
    """The PSNR of one network with several seeds, in dB."""

    genotype_id: str
    psnr_db: tuple[float, ...]

    @property
    def mean_db(self) -> float:
        """The mean."""
        return statistics.fmean(self.psnr_db)

    @property
    def deviation_db(self) -> float:
        """The standard deviation of a sample; NaN for a single seed."""
        return statistics.stdev(self.psnr_db) if len(self.psnr_db) > 1 else math.nan


def missing_seeds(
    front: Iterable[str], seeds: range, started: Collection[tuple[str, int]]
) -> list[tuple[str, int]]:
    """Genotype id and seed of every member of the front that was not ``started`` with that seed."""
    wanted = ((genotype_id, seed) for genotype_id in front for seed in seeds)
    return [pair for pair in wanted if pair not in started]


def seed_results(progress: SearchProgress, trials: Iterable[Trial]) -> list[SeedResults]:
    """The PSNR of every member of the front with all its seeds, cheapest network first."""
    results = {genotype_id: [progress.top[genotype_id][1]] for genotype_id in progress.front()}
    for trial in trials:
        ended = trial.evaluation is not None and trial.rung == progress.longest
        if ended and trial.evaluation is not None and trial.genotype_id in results:
            results[trial.genotype_id].append(trial.evaluation.psnr_db)
    return [SeedResults(genotype_id=name, psnr_db=tuple(values)) for name, values in results.items()]

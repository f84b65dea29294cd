"""Further seeds for the members of a front: which is next, and what they spread over."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from leaderboard.store.records import Trial
from nas.search.progress import Tally


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What one network reaches with several seeds, in dB."""

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


def missing_seeds(front: Iterable[str], seeds: range, trials: Iterable[Trial]) -> list[tuple[str, int]]:
    """Genotype id and seed of every member that was not begun with that seed; ``trials`` were."""
    begun = {(trial.genotype_id, trial.seed) for trial in trials}
    wanted = ((genotype_id, seed) for genotype_id in front for seed in seeds)
    return [pair for pair in wanted if pair not in begun]


def spread(tally: Tally, trials: Iterable[Trial]) -> list[Spread]:
    """What the members of the front reach with all their seeds, cheapest first."""
    found = {genotype_id: [tally.top[genotype_id][1]] for genotype_id in tally.front()}
    for trial in trials:
        ended = trial.evaluation is not None and trial.rung == tally.longest
        if ended and trial.evaluation is not None and trial.genotype_id in found:
            found[trial.genotype_id].append(trial.evaluation.psnr_db)
    return [Spread(genotype_id=name, psnr_db=tuple(values)) for name, values in found.items()]

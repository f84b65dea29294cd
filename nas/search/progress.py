"""The progress of a search: events for a listener, and the counts that decide when it is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leaderboard.fronts.pareto import hypervolume, pareto_mask
from nas.cost.budget import Cost
from nas.search.requests import Observation, Train
from nas.training import Progress
from search_spaces import Genotype


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event of a run, for a listener.

    Attributes:
        kind: started, progress, finished, rejected, repeated, failed or note.
        number: The trial's number in its stage; -1 for none.
        rung: Counts from 0.
        genotype: The network; None for a note.
        cost: Its counted cost.
        changes: Changed fields of the rung's plan.
        psnr_db: Its result, in dB.
        progress: The state of its training.
        text: A note, the reason of a failure, or a remark.
    """

    kind: str
    number: int = -1
    rung: int = 0
    genotype: Genotype | None = None
    cost: Cost | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    psnr_db: float | None = None
    progress: Progress | None = None
    text: str = ""


def event_of(
    kind: str, request: Train, number: int | None, *, psnr_db: float | None = None, text: str = ""
) -> Event:
    """The event of a request; ``number`` is its trial's, None where it has no row."""
    return Event(
        kind=kind,
        number=-1 if number is None else number,
        rung=request.rung,
        genotype=request.genotype,
        cost=request.cost,
        changes=request.changes,
        psnr_db=psnr_db,
        text=f"seed {request.seed}" if request.stage == "seeds" and not text else text,
    )


Listener = Callable[[Event], None]
"""Receives each Event; may raise Interrupted, and the run stops cleanly."""

Results = dict[str, tuple[float, float]]
"""Genotype id -> (cost, PSNR in dB)."""


@dataclass(kw_only=True)
class SearchProgress:
    """The results and counts of a search so far.

    Attributes:
        wanted: How many candidates are to be trained.
        rungs: The results of each rung, the shortest training first.
        cost: The cost that the front trades PSNR for.
        bicubic_psnr_db: PSNR of bicubic interpolation, from which hypervolume counts.
        rejected: Candidates over budget.
        rejected_by: Limit -> candidates above it.
        repeated: Candidates whose result was known.
        failed: Candidates that failed for another reason than a divergence.
        diverged: Candidates whose training diverged.
        failed_ids: The genotypes of both.
    """

    wanted: int
    rungs: list[Results]
    cost: str = "multi_adds"
    bicubic_psnr_db: float = 0.0
    rejected: int = 0
    rejected_by: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    failed: int = 0
    diverged: int = 0
    failed_ids: set[str] = field(default_factory=set)

    @property
    def unit(self) -> str:
        """What a hypervolume counts costs in: milliseconds of latency, or giga of anything else."""
        return "ms" if self.cost == "latency_ms" else "G"

    @property
    def results(self) -> Results:
        """Of all candidates that were trained: their shortest training."""
        return self.rungs[0]

    @property
    def longest(self) -> int:
        """The highest rung with a result."""
        return max((rung for rung, results in enumerate(self.rungs) if results), default=0)

    @property
    def top(self) -> Results:
        """The results of the longest trainings that there are: only these are compared."""
        return self.rungs[self.longest]

    @property
    def best_psnr_db(self) -> float | None:
        """The best PSNR among the longest trainings so far, in dB."""
        return max((psnr for _, psnr in self.top.values()), default=None)

    def count(self, observation: Observation) -> None:
        """Take in what became of a request."""
        genotype_id, evaluation = observation.request.genotype.id, observation.evaluation
        if evaluation is not None:
            price = observation.price(self.cost)
            self.rungs[observation.request.rung][genotype_id] = price, evaluation.psnr_db
        if observation.state == "rejected":
            self.rejected += 1
            for name in observation.excess:
                self.rejected_by[name] = self.rejected_by.get(name, 0) + 1
        elif observation.state == "repeated":
            self.repeated += 1
        elif observation.state == "failed":
            self.diverged += observation.diverged
            self.failed += not observation.diverged
            self.failed_ids.add(genotype_id)

    def front(self) -> list[str]:
        """The genotype ids that nothing dominates, cheapest first."""
        results = self.top
        if not results:
            return []
        cost, psnr = np.array(list(results.values())).T
        ids = np.array(list(results))[pareto_mask(cost, psnr)]
        return sorted(ids.tolist(), key=lambda genotype: results[genotype])

    def hypervolume(self, limit: float | None = None) -> float:
        """Area between the front and bicubic, in dB times :attr:`unit`.

        It reaches up to ``limit``, or to the costliest result where there is none.
        """
        results = self.top
        if not results:
            return 0.0
        cost, psnr = np.array(list(results.values())).T
        most = float(cost.max()) if limit is None else limit
        size = 1.0 if self.unit == "ms" else 1e9
        return hypervolume(cost / size, psnr, cost_limit=most / size, quality_floor=self.bicubic_psnr_db)

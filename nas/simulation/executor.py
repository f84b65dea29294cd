"""An executor in virtual time: an objective answers instead of a training, and the clock is simulated."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from nas.executors import Done, Watch
from nas.search.requests import Train
from nas.simulation.objective import Objective
from nas.training import Outcome


class SimulatedExecutor:
    """Trains nothing: a job takes the seconds, and gives the PSNR, that the objective has for it.

    Proposing takes no time. Jobs beyond the number of workers wait in order.

    Args:
        objective: Answers for every genotype.
        workers: Jobs that run at the same time.
        rungs: The objective's rung of each rung of the search.
        seed: Draws the noise of the answers.
        ahead: Jobs that may wait while all workers are busy.

    Attributes:
        spent: Seconds of all jobs that were submitted.
        paid: Seconds of all jobs that ended.
    """

    attempts = 1

    def __init__(
        self, objective: Objective, workers: int, rungs: Sequence[int], *, seed: int, ahead: int = 0
    ) -> None:
        self.objective, self.capacity = objective, workers + ahead
        self._free, self._rungs, self._seed = workers, list(rungs), seed
        self._now = self.spent = self.paid = 0.0
        self._running: list[tuple[float, int, _Job]] = []
        self._waiting: deque[_Job] = deque()
        self._order = itertools.count()

    def clock(self) -> float:
        """Virtual seconds since the start."""
        return self._now

    def submit(self, key: int, job: Train) -> None:
        """Start the training, or queue it where all workers are busy."""
        rung = self._rungs[job.rung]
        before = None if job.continues is None else self._rungs[job.continues]
        seconds = self.objective.pays(job.genotype, rung, before)
        self.spent += seconds
        self._waiting.append(_Job(key, job, seconds))
        self._start()

    def next_result(self, watch: Watch) -> Done:
        """Let time pass until the next training ends; ``watch`` is never called."""
        self._now, _, job = heapq.heappop(self._running)
        self._free += 1
        self.paid += job.seconds
        self._start()
        request = job.request
        outcome = Outcome(
            psnr_db=self.objective.measured_db(request.genotype, self._rungs[request.rung], self._seed),
            ssim=0.0,
            per_image={},
            train_seconds=job.seconds,
            curve=[],
            device="simulated",
            torch_version="",
        )
        return Done(key=job.key, worker="simulated", result=outcome)

    def close(self, save: bool) -> list[Done]:
        """Forget what runs."""
        self._running.clear()
        self._waiting.clear()
        return []

    def _start(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            job = self._waiting.popleft()
            heapq.heappush(self._running, (self._now + job.seconds, next(self._order), job))


@dataclass(frozen=True)
class _Job:
    key: int
    request: Train
    seconds: float

"""One candidate after another, in this process."""

from __future__ import annotations

from collections import deque

from nas.errors import Interrupted, RecipeError
from nas.executors.pool import Done, Pool, Watch, Work, places, worker_name
from nas.executors.worker import Reporter, portable
from nas.training import Job, Progress, train


class Inline:
    """One job after another in this process, with progress from each step.

    A candidate over its time limit is noticed between two steps, since nothing here could end a hung one, and
    a crash takes the search with it: ``processes`` with one worker gives the same numbers and survives both.
    """

    capacity = 1
    attempts = 1

    def __init__(self, pool: Pool, work: Work = train) -> None:
        if pool.workers > 1:
            raise RecipeError(f"workers = {pool.workers}: inline is one worker; processes and ray take more")
        self._pool, self._work = pool, work
        (self._place,) = places(pool)
        self._place.settle()
        self._queue: deque[tuple[int, Job]] = deque()

    def submit(self, key: int, job: Job) -> None:
        """Queue ``job`` under ``key``."""
        self._queue.append((key, job))

    def next_result(self, watch: Watch) -> Done:
        """Train the oldest job here and now."""
        key, job = self._queue.popleft()
        mistakes: list[Exception] = []

        def tell(progress: Progress) -> None:
            try:
                watch((key, progress))
            except Interrupted:
                raise
            except Exception as error:  # whoever watches failed, and not the candidate
                mistakes.append(error)
                raise Interrupted("the search ended") from error

        report = Reporter(tell, self._pool.time_limit_seconds, every=0)
        try:
            return Done(key=key, worker=worker_name(), result=self._work(self._place.put(job), report))
        except Interrupted:
            if mistakes:
                raise mistakes[0] from None
            raise
        except (Exception, SystemExit) as error:  # a candidate's failure becomes its row
            return Done(key=key, worker=worker_name(), result=portable(error))

    def close(self, save: bool) -> list[Done]:
        """Nothing runs between two results; a job that Interrupted ended has saved its state already."""
        self._queue.clear()
        return []

"""Where candidates are trained: in this process, or in several.

To add one, write a class with the three members of Executor and put it in EXECUTORS. A worker gets a Job and
gives an Outcome; it never touches the study or the database.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import Protocol

from nas.errors import Interrupted
from nas.training import Job, Outcome, Progress, train

Result = Outcome | Exception
Watch = Callable[[Progress | None], None]
"""Called now and then while training goes on; may raise Interrupted."""


class Executor(Protocol):
    """Takes jobs and gives their results back in the order in which they end."""

    capacity: int
    """How many jobs it wants at once."""

    def submit(self, key: int, job: Job) -> None:
        """Queue ``job`` under ``key``."""

    def next_result(self, watch: Watch) -> tuple[int, Result]:
        """Wait for one job to end; a worker's exception is its result. Interrupted leaves through here."""

    def close(self) -> None:
        """Stop whatever still runs."""


class Inline:
    """One job after another in this process, with progress from inside each."""

    capacity = 1

    def __init__(self, workers: int = 1) -> None:
        self._queue: deque[tuple[int, Job]] = deque()

    def submit(self, key: int, job: Job) -> None:
        """Queue ``job`` under ``key``."""
        self._queue.append((key, job))

    def next_result(self, watch: Watch) -> tuple[int, Result]:
        """Train the oldest job here and now."""
        key, job = self._queue.popleft()
        try:
            return key, train(job, watch)
        except Interrupted:
            raise
        except Exception as error:  # a candidate's failure becomes its row
            return key, error

    def close(self) -> None:
        """Nothing runs between two results."""
        self._queue.clear()


class Processes:
    """A pool of processes."""

    def __init__(self, workers: int) -> None:
        self.capacity = workers
        context = multiprocessing.get_context("spawn")  # CUDA and torch's threads do not survive a fork
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_deaf_to_ctrl_c)
        self._running: dict[Future[Outcome], int] = {}

    def submit(self, key: int, job: Job) -> None:
        """Hand ``job`` to the next free process."""
        self._running[self._pool.submit(train, job)] = key

    def next_result(self, watch: Watch) -> tuple[int, Result]:
        """Wait for the first to end."""
        while True:
            done, _ = wait(self._running, timeout=0.2, return_when=FIRST_COMPLETED)
            if done:
                future = done.pop()
                key = self._running.pop(future)
                error = future.exception()
                if error is None:
                    return key, future.result()
                if not isinstance(error, Exception):
                    raise error
                return key, error
            watch(None)

    def close(self) -> None:
        """End the processes at once; their candidates are trained again when the run goes on."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _deaf_to_ctrl_c() -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


EXECUTORS: dict[str, Callable[[int], Executor]] = {"inline": Inline, "processes": Processes}

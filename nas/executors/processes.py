"""Executor with one long-lived process per worker on this machine.

Why no existing pool: concurrent.futures and loky end all jobs when one process dies, and have no time limit.
pebble has both, but its workers cannot have a GPU each, report no progress, can only be killed, share one
channel, and keep training after their parent was killed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnContext

from nas.errors import CandidateError
from nas.executors.pool import Place, Pool, Work, places
from nas.executors.supervisor import Supervisor, WorkerHandle
from nas.executors.worker import STOP, Ended, Lost, Message, serve
from nas.training import train

DYING_SECONDS = 5.0
"""Seconds that a process may take between closing its pipe and its end, which tells why."""

_STARTING = threading.Lock()


class Processes(Supervisor):
    """A spawned process for each worker.

    CUDA and torch's threads do not survive a fork. torch is imported once a worker. A worker ends by itself
    when its parent is gone, however that ended.
    """

    reports_begin = True

    def __init__(self, pool: Pool, work: Work = train) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._awake, self._waker = self._context.Pipe(duplex=False)
        # Started here, since at its start it would take the signal mask off the supervisor's thread.
        resource_tracker.ensure_running()
        super().__init__(pool, places(pool), work)

    def _start_worker(self, place: Place) -> WorkerHandle:
        return _Process(self._context, place, self.work, self.pool.time_limit_seconds)

    def _receive(self, workers: Sequence[WorkerHandle], seconds: float) -> list[tuple[WorkerHandle, Message]]:
        received: list[tuple[WorkerHandle, Message]] = []
        processes = [worker for worker in workers if isinstance(worker, _Process)]
        pipes = [process.pipe for process in processes]
        deaths = [process.process.sentinel for process in processes]
        spoke = connection.wait([self._awake, *pipes, *deaths], seconds)
        if self._awake in spoke:
            while self._awake.poll():
                self._awake.recv_bytes()
        for process in processes:
            received += [(process, message) for message in process.messages()]
        return received

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # the thread has ended and reported its error
            self._waker.send_bytes(b"\n")


class _Process:
    """One worker process and the pipe to it, which no other process shares."""

    def __init__(self, context: SpawnContext, place: Place, work: Work, limit: float | None) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, place, work, limit))
        with _environment(OMP_NUM_THREADS=str(place.threads)):
            self.process.start()
        theirs.close()  # so that the pipe ends when the process does

    def send(self, payload: bytes) -> bool:
        try:
            self.pipe.send_bytes(payload)
        except OSError:  # the process has died; messages() reports it as Lost
            return False
        return True

    def ask_to_stop(self) -> None:
        self.send(STOP)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def messages(self) -> Iterator[Message]:
        """Messages that have arrived; Lost follows the last message of a process that has died."""
        gone = self.process.exitcode is not None  # read first: its last messages are in the pipe
        try:
            while self.pipe.poll():
                yield _unpack(self.pipe.recv_bytes())
        except (EOFError, OSError):
            gone = True
        if gone:
            self.process.join(DYING_SECONDS)
            self.process.kill()  # its end of the pipe is closed: no result can follow
            self.process.join()
            yield Lost(_epitaph(self.process.exitcode))


def _unpack(data: bytes) -> Message:
    try:
        message: Message = pickle.loads(data)  # noqa: S301  (from our own worker)
    except Exception as error:  # pickle raises what it likes
        return Ended(CandidateError(f"the result cannot be read: {error}"))
    return message


def _epitaph(exitcode: int | None) -> str:
    """Say why a process ended."""
    if exitcode is None or exitcode >= 0:
        return f"it ended with exit status {exitcode}"
    try:
        name = signal.Signals(-exitcode).name
    except ValueError:
        name = "an unknown signal"
    hint = "; the system kills processes that use too much memory" if exitcode == -signal.SIGKILL else ""
    return f"it was ended by signal {-exitcode} ({name}){hint}"


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set environment variables while a process starts: multiprocessing passes on only this process's own.

    They must be set before the worker imports torch.
    """
    with _STARTING:
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

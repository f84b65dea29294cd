"""Several candidates at once on this machine: one long-lived process each.

Why not a pool that exists. concurrent.futures and loky end all jobs when one process dies, and know no time
limit. pebble does both, but its workers are all alike (no GPU of their own), nothing comes back while a task
runs and nothing but a kill goes there, all share one channel, and a worker whose parent was killed trains on.
What would have had to be added is everything below.
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
from nas.executors.crew import Crew, Hand
from nas.executors.pool import Place, Pool, Work, places
from nas.executors.worker import STOP, Ended, Lost, Message, serve
from nas.training import train

DYING_SECONDS = 5.0
"""Seconds that a process may take between closing its pipe and its end, which tells why."""

_STARTING = threading.Lock()


class Processes(Crew):
    """A spawned process for each worker.

    CUDA and torch's threads do not survive a fork. torch is imported once a worker. A worker ends by itself
    when its parent is gone, however that ended.
    """

    def __init__(self, pool: Pool, work: Work = train) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._awake, self._waker = self._context.Pipe(duplex=False)
        # Started here, since at its start it would take the mask of signals off the crew's thread.
        resource_tracker.ensure_running()
        super().__init__(pool, places(pool), work)

    def _hire(self, place: Place) -> Hand:
        return _Process(self._context, place, self.work, self.pool.time_limit_seconds)

    def _listen(self, hands: Sequence[Hand], seconds: float) -> list[tuple[Hand, Message]]:
        heard: list[tuple[Hand, Message]] = []
        processes = [hand for hand in hands if isinstance(hand, _Process)]
        pipes = [process.pipe for process in processes]
        deaths = [process.process.sentinel for process in processes]
        spoke = connection.wait([self._awake, *pipes, *deaths], seconds)
        if self._awake in spoke:
            while self._awake.poll():
                self._awake.recv_bytes()
        for process in processes:
            heard += [(process, message) for message in process.messages()]
        return heard

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # the crew has ended, and has said why
            self._waker.send_bytes(b"\n")


class _Process:
    """One worker process and the pipe to it, which no other process shares."""

    def __init__(self, context: SpawnContext, place: Place, work: Work, limit: float | None) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, place, work, limit))
        with _environment(OMP_NUM_THREADS=str(place.threads)):
            self.process.start()
        theirs.close()  # so that the pipe ends when the process does

    def give(self, parcel: bytes) -> bool:
        try:
            self.pipe.send_bytes(parcel)
        except OSError:  # it is gone, and will be heard to be
            return False
        return True

    def ask_to_stop(self) -> None:
        self.give(STOP)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def messages(self) -> Iterator[Message]:
        """What has arrived; after the last words of a process that is gone comes Lost."""
        gone = self.process.exitcode is not None  # asked first: what it said before it went is in the pipe
        try:
            while self.pipe.poll():
                yield _unpack(self.pipe.recv_bytes())
        except (EOFError, OSError):
            gone = True
        if gone:
            self.process.join(DYING_SECONDS)
            self.process.kill()  # it has hung up; a result can no longer come
            self.process.join()
            yield Lost(_epitaph(self.process.exitcode))


def _unpack(data: bytes) -> Message:
    try:
        message: Message = pickle.loads(data)  # noqa: S301  (from our own worker)
    except Exception as error:  # pickle raises what it likes
        return Ended(CandidateError(f"the result cannot be read: {error}"))
    return message


def _epitaph(exitcode: int | None) -> str:
    """Why a process ended, in words."""
    if exitcode is None or exitcode >= 0:
        return f"it ended with exit status {exitcode}"
    try:
        name = signal.Signals(-exitcode).name
    except ValueError:
        name = "an unknown signal"
    hint = "; the system does so to who takes too much memory" if exitcode == -signal.SIGKILL else ""
    return f"it was ended by signal {-exitcode} ({name}){hint}"


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Environment variables for a process that starts meanwhile: multiprocessing passes on only its own.

    They have to be there before torch is imported, which happens while a worker is still starting.
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

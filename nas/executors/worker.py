"""A worker's side: one job after another, with progress and failures in a form that travels."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch

from nas import errors
from nas.core.device import out_of_memory
from nas.errors import CandidateError, DiskError, Interrupted, NasError, OutOfMemoryError, TimedOutError
from nas.executors.pool import Place, Result, Work, worker_name
from nas.training import Progress

REPORT_SECONDS = 0.25
"""Seconds between two reports of a worker to its parent."""

PARENT_SECONDS = 1.0
"""Seconds between two looks at whether the parent still lives."""


@dataclass(frozen=True)
class Ready:
    """The worker has started and wants a job."""

    name: str


@dataclass(frozen=True)
class Begun:
    """The worker has received its job."""


@dataclass(frozen=True)
class ProgressReport:
    """Where the running job stands."""

    progress: Progress


@dataclass(frozen=True)
class Ended:
    """The job ended. A worker that is not ``fit`` takes no further job."""

    result: Result
    fit: bool = True


@dataclass(frozen=True)
class Stopped:
    """The job stopped because it was asked to; its state is saved."""


@dataclass(frozen=True)
class Lost:
    """The worker is gone, for this reason."""

    reason: str


Message = Ready | Begun | ProgressReport | Ended | Stopped | Lost


class Reporter:
    """What ``train`` calls between steps: passes progress on, and stops the job where it has to.

    Raises Interrupted once ``stopping`` says so, and TimedOutError after ``limit`` seconds. ``every`` is the
    time between two reports that are passed on, in seconds.
    """

    def __init__(
        self,
        tell: Callable[[Progress], None],
        limit: float | None,
        stopping: Callable[[], bool] = lambda: False,
        every: float = REPORT_SECONDS,
    ) -> None:
        self._tell, self._limit, self._stopping, self._every = tell, limit, stopping, every
        self._began, self._told = time.monotonic(), -float("inf")

    def __call__(self, progress: Progress) -> None:
        """Pass ``progress`` on, now and then, or end the training."""
        if self._stopping():
            raise Interrupted("asked to stop")
        now = time.monotonic()
        if self._limit is not None and now - self._began > self._limit:
            raise TimedOutError(
                f"over the time limit of {self._limit:g} s at step {progress.step} of {progress.steps}"
            )
        if now - self._told >= self._every:
            self._told = now
            self._tell(progress)


def do_job(parcel: bytes, place: Place, work: Work, report: Reporter) -> Ended | Stopped:
    """Unpack a pickled job and do it here; whatever goes wrong becomes its result."""
    try:
        job = place.put(pickle.loads(parcel))  # noqa: S301  (from our own parent)
        return Ended(work(job, report))
    except Interrupted:
        return Stopped()
    except (Exception, SystemExit) as error:  # a candidate's failure becomes its row
        return Ended(portable(error), fit=not _breaks_device(error))
    finally:
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()  # others on the same GPU may need it before this worker does


def portable(error: BaseException) -> NasError:
    """``error`` as one of nas.errors that any process can unpickle, its traceback in a note."""
    if isinstance(error, NasError) and getattr(errors, type(error).__name__, None) is type(error):
        try:
            pickle.dumps(error)
        except Exception:  # it holds something that stays where it is; pickle raises what it likes
            return type(error)(str(error))
        return error
    first = next(iter(str(error).splitlines()), "")
    text = f"{type(error).__name__}: {first}" if first else type(error).__name__
    kind: type[NasError] = CandidateError
    if isinstance(error, OSError):
        kind = DiskError
    elif isinstance(error, Exception) and out_of_memory(error) is not None:
        kind = OutOfMemoryError
    made = kind(text)
    made.add_note("".join(traceback.format_exception(error)))
    return made


def _breaks_device(error: BaseException) -> bool:
    """Whether a GPU answers nothing any more in this process: after a CUDA error every call fails."""
    return isinstance(error, RuntimeError) and str(error).startswith("CUDA error")


def serve(parent: Connection, place: Place, work: Work, limit: float | None) -> None:
    """The life of a worker process: jobs in and results out over ``parent``, until that is closed."""
    # Ctrl-C and a scheduler's SIGTERM reach the whole process group; the parent alone decides what they mean.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    parcels: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    stop = threading.Event()
    threading.Thread(target=_hear, args=(parent, parcels, stop), daemon=True).start()
    place.settle()
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, and so will this process be
        parent.send(Ready(worker_name()))
        fit = True
        while fit:
            parcel = parcels.get()
            parent.send(Begun())
            report = Reporter(lambda progress: parent.send(ProgressReport(progress)), limit, stop.is_set)
            message = do_job(parcel, place, work, report)
            parent.send(message)
            fit = not isinstance(message, Ended) or message.fit


STOP = b""
"""What the parent sends instead of a job to ask the running one to stop."""


def _hear(parent: Connection, parcels: queue.SimpleQueue[bytes], stop: threading.Event) -> None:
    """Take what the parent sends; when the parent is gone, end this process in the middle of its job."""
    family = multiprocessing.parent_process()
    assert family is not None
    try:
        while os.getppid() == family.pid:  # the pipe stays open where another child of the parent holds it
            if parent.poll(PARENT_SECONDS):
                parcel = parent.recv_bytes()
                if parcel == STOP:
                    stop.set()
                else:
                    parcels.put(parcel)
    finally:
        os._exit(1)

"""Base of the executors whose workers are other processes: dispatch, time limits, lost workers.

A thread dispatches jobs to free workers, terminates those that exceed the time limit and replaces dead
workers, independently of the main loop. A subclass starts workers and receives their messages.
"""

from __future__ import annotations

import atexit
import pickle
import queue
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from nas.errors import CandidateError, RunError, TimedOutError, WorkerLostError
from nas.executors.pool import Done, Place, Pool, Watch, Work, worker_name
from nas.executors.worker import Begun, Ended, Lost, Message, ProgressReport, Ready, Stopped
from nas.training import Job, Progress, train

KILL_SECONDS = 2.0
"""Seconds after the time limit at which a worker that has not stopped is killed."""

STARTS = 3
"""Failed starts in a row of one worker after which the run fails."""

WATCH_SECONDS = 0.25
"""Longest time in seconds between two calls of ``watch``."""

LISTEN_SECONDS = 0.5
"""Longest time in seconds between two checks of the time limits."""


class WorkerHandle(Protocol):
    """One worker process or actor, seen from the parent."""

    def send(self, payload: bytes) -> bool:
        """Send a pickled job; False if the worker is known to be dead, which a Lost message reports later."""

    def ask_to_stop(self) -> None:
        """Ask the running job to save its state and stop."""

    def end(self) -> None:
        """Kill the worker and its job."""


@dataclass
class _Task:
    key: int
    payload: bytes
    attempts: int = 0


class _Slot:
    """A place for one worker, the worker that occupies it, and its current task."""

    def __init__(self, place: Place, worker: WorkerHandle) -> None:
        self.place, self.worker = place, worker
        self.failed_starts = 0
        self.task: _Task | None = None
        self.begun = False
        self.name = ""  # known once it is ready
        self.due = float("inf")

    @property
    def free(self) -> bool:
        return bool(self.name) and self.task is None


class Supervisor(ABC):
    """An Executor with workers in other processes; the constructor starts them, :meth:`close` stops them."""

    attempts = 1
    """How often a job is started at most when its worker is lost."""
    reports_begin = False
    """Whether workers send Begun; a job of a worker that died before is queued again, and is no attempt."""

    def __init__(self, pool: Pool, places: list[Place], work: Work = train) -> None:
        self.pool, self.work, self.capacity = pool, work, pool.capacity
        self._submissions: queue.SimpleQueue[_Task | bool] = queue.SimpleQueue()  # a bool is close's ``save``
        self._news: queue.SimpleQueue[Done | tuple[int, Progress] | Exception] = queue.SimpleQueue()
        self._waiting: deque[_Task] = deque()
        self._under_way = 0
        self._watched = 0.0
        self._slots: list[_Slot] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, args=(places,), name="executor", daemon=True)
        # A program that exits without close must not wait for workers, which block its signals.
        atexit.register(self.close, save=False)
        self._thread.start()

    # In the caller's thread

    def submit(self, key: int, job: Job) -> None:
        """Queue ``job`` under ``key``; a job that cannot be pickled fails."""
        self._under_way += 1
        try:
            payload = pickle.dumps(job)
        except Exception as error:  # pickle and foreign reducers raise any exception
            text = f"{type(job.genotype).__name__} cannot be sent to a worker: {error}".splitlines()[0]
            self._news.put(Done(key=key, worker=worker_name(), result=CandidateError(text)))
            return
        self._submissions.put(_Task(key, payload))
        self._wake()

    def next_result(self, watch: Watch) -> Done:
        """Wait for one job to end."""
        assert self._under_way > 0, "no job is under way"
        while True:
            if time.monotonic() - self._watched > WATCH_SECONDS:
                self._watched = time.monotonic()
                watch(None)
            try:
                news = self._news.get(timeout=WATCH_SECONDS)
            except queue.Empty:
                continue
            if isinstance(news, Done):
                self._under_way -= 1
                return news
            if isinstance(news, Exception):
                self._news.put(news)  # so that the next call raises it, too
                raise news
            self._watched = time.monotonic()
            watch(news)

    def close(self, save: bool) -> list[Done]:
        """Stop every worker; see Executor."""
        if self._closed:
            return []
        self._closed = True
        atexit.unregister(self.close)
        self._submissions.put(save)
        self._wake()
        try:
            self._thread.join()
        except BaseException:  # interrupted a second time: do not wait for states to be saved
            self._submissions.put(False)
            self._thread.join()
            raise
        left = []
        while not self._news.empty():
            news = self._news.get()
            if isinstance(news, Done):
                left.append(news)
        return left

    # In the executor's own thread

    @abstractmethod
    def _start_worker(self, place: Place) -> WorkerHandle:
        """Start a worker; its first message is Ready, or Lost."""

    @abstractmethod
    def _receive(self, workers: list[WorkerHandle], seconds: float) -> list[tuple[WorkerHandle, Message]]:
        """Messages of the workers, after at most ``seconds``; earlier when :meth:`_wake` is called."""

    @abstractmethod
    def _wake(self) -> None:
        """Make :meth:`_receive` return early; called from another thread."""

    def _run(self, places: list[Place]) -> None:
        # Workers inherit the mask, so that they ignore the group's signals from their first moment on.
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            for place in places:
                self._slots.append(_Slot(place, self._start_worker(place)))
            while (save := self._take_submissions()) is None:
                self._dispatch()
                self._handle_messages(LISTEN_SECONDS)
                self._terminate_overdue()
            self._handle_messages(0, closing=True)
            if save:
                self._save_running()
        except Exception as error:  # raised by next_result
            self._news.put(error)
        finally:
            for slot in self._slots:
                slot.worker.end()

    def _take_submissions(self) -> bool | None:
        """Queue submitted tasks; returns the ``save`` of :meth:`close` once that was called, else None."""
        while not self._submissions.empty():
            order = self._submissions.get()
            if isinstance(order, bool):
                self._waiting.clear()
                return order
            self._waiting.append(order)
        return None

    def _dispatch(self) -> None:
        for slot in self._slots:
            if not (self._waiting and slot.free and slot.worker.send(self._waiting[0].payload)):
                continue
            slot.task = self._waiting.popleft()
            slot.task.attempts += 1
            slot.begun = not self.reports_begin
            if self.pool.time_limit_seconds is not None:
                slot.due = time.monotonic() + self.pool.time_limit_seconds + KILL_SECONDS

    def _handle_messages(self, seconds: float, closing: bool = False) -> None:
        slots = {id(slot.worker): slot for slot in self._slots}
        for worker, message in self._receive([slot.worker for slot in self._slots], seconds):
            slot = slots[id(worker)]
            if slot.worker is not worker:
                continue  # the last messages of a worker that has been replaced
            match message:
                case Ready(name):
                    slot.name, slot.failed_starts = name, 0
                case Begun():
                    slot.begun = True
                case ProgressReport(progress) if slot.task is not None:
                    self._news.put((slot.task.key, progress))
                case Ended(result, fit) if slot.task is not None:
                    self._news.put(Done(key=slot.task.key, worker=slot.name, result=result))
                    slot.task = None
                    slot.due = float("inf")
                    if not fit:
                        self._replace(slot, closing)
                case Stopped() if slot.task is not None:
                    if not closing:  # the candidate stopped on its own
                        error = CandidateError("it stopped without a request to stop")
                        self._news.put(Done(key=slot.task.key, worker=slot.name, result=error))
                    slot.task, slot.due = None, float("inf")
                case Lost(reason):
                    self._handle_loss(slot, reason, closing)

    def _handle_loss(self, slot: _Slot, reason: str, closing: bool) -> None:
        """Retry or fail the task of a lost worker, and start another worker in its place."""
        task = slot.task
        if not slot.name:
            slot.failed_starts += 1
            if slot.failed_starts >= STARTS and not closing:
                raise RunError(f"no worker could be started in {STARTS} attempts; the last one: {reason}")
        if task is not None and not closing:
            if not slot.begun:
                task.attempts -= 1
                self._waiting.appendleft(task)
            elif task.attempts < self.attempts:
                self._waiting.appendleft(task)
            else:
                times = f" (attempt {task.attempts} of {self.attempts})" if self.attempts > 1 else ""
                error = WorkerLostError(f"the worker {slot.name} was lost{times}: {reason}")
                self._news.put(Done(key=task.key, worker=slot.name, result=error))
        self._replace(slot, closing)

    def _replace(self, slot: _Slot, closing: bool = False) -> None:
        slot.worker.end()
        slot.name, slot.task, slot.due = "", None, float("inf")
        if closing:
            self._slots.remove(slot)
        else:
            slot.worker = self._start_worker(slot.place)

    def _terminate_overdue(self) -> None:
        for slot in self._slots:
            if slot.task is not None and time.monotonic() > slot.due:
                limit = self.pool.time_limit_seconds
                error = TimedOutError(
                    f"over the time limit of {limit:g} s and did not stop; its worker was ended"
                )
                self._news.put(Done(key=slot.task.key, worker=slot.name, result=error))
                self._replace(slot)

    def _save_running(self) -> None:
        """Ask all running jobs to stop, and wait for them for at most the grace period."""
        for slot in self._slots:
            if slot.task is not None:
                slot.worker.ask_to_stop()
        until = time.monotonic() + self.pool.grace_seconds
        while any(slot.task is not None for slot in self._slots) and time.monotonic() < until:
            if not self._submissions.empty():
                return  # close was interrupted
            self._handle_messages(min(LISTEN_SECONDS, max(0.0, until - time.monotonic())), closing=True)

"""What all executors with workers outside this process have in common: who gets which job, and what is lost.

A thread of its own hands the next job to a worker the moment it is free, holds candidates to their time limit
and replaces workers that are gone, whatever the search is doing meanwhile. An executor adds how a worker is
hired and how it is heard.
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
from nas.executors.worker import Ended, Lost, Message, ProgressReport, Ready, Stopped
from nas.training import Job, Progress, train

KILL_SECONDS = 2.0
"""Seconds after the time limit at which a worker that has not stopped by itself is ended."""

STARTS = 3
"""Times in a row that a worker may fail to start."""

WATCH_SECONDS = 0.25
"""Most seconds between two calls of ``watch``."""

LISTEN_SECONDS = 0.5
"""Most seconds between two looks at clocks."""


class Hand(Protocol):
    """One worker, as its parent sees it."""

    def give(self, parcel: bytes) -> bool:
        """Let it do a pickled job; False where it is known to be gone, which is heard as Lost later."""

    def ask_to_stop(self) -> None:
        """Let the running job save its state and stop."""

    def end(self) -> None:
        """End it at once, and its job with it."""


@dataclass
class _Task:
    key: int
    parcel: bytes
    attempts: int = 0


class _Desk:
    """A worker's place, the worker that has it now, and what that is doing."""

    def __init__(self, place: Place, hand: Hand) -> None:
        self.place, self.hand = place, hand
        self.failed_starts = 0
        self.task: _Task | None = None
        self.name = ""  # known once it is ready
        self.due = float("inf")

    @property
    def free(self) -> bool:
        return bool(self.name) and self.task is None


class Crew(ABC):
    """An Executor whose workers are elsewhere; it starts them when it is made, and needs :meth:`close`."""

    attempts = 1
    """How often a job is begun whose worker is lost."""

    def __init__(self, pool: Pool, places: list[Place], work: Work = train) -> None:
        self.pool, self.work, self.capacity = pool, work, pool.capacity
        self._orders: queue.SimpleQueue[_Task | bool] = queue.SimpleQueue()  # a bool is close's ``save``
        self._news: queue.SimpleQueue[Done | tuple[int, Progress] | Exception] = queue.SimpleQueue()
        self._waiting: deque[_Task] = deque()
        self._under_way = 0
        self._watched = 0.0
        self._desks: list[_Desk] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, args=(places,), name="crew", daemon=True)
        # A program that ends without close must not wait for ever for workers that are deaf to its signals.
        atexit.register(self.close, save=False)
        self._thread.start()

    # In the thread of whoever uses it

    def submit(self, key: int, job: Job) -> None:
        """Queue ``job`` under ``key``; one that cannot travel to another process fails."""
        self._under_way += 1
        try:
            parcel = pickle.dumps(job)
        except Exception as error:  # pickle raises what it likes, and so do the reducers of others
            text = f"{type(job.genotype).__name__} cannot be sent to a worker: {error}".splitlines()[0]
            self._news.put(Done(key=key, worker=worker_name(), result=CandidateError(text)))
            return
        self._orders.put(_Task(key, parcel))
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
                self._news.put(news)  # for whoever asks again
                raise news
            self._watched = time.monotonic()
            watch(news)

    def close(self, save: bool) -> list[Done]:
        """Stop every worker; see Executor."""
        if self._closed:
            return []
        self._closed = True
        atexit.unregister(self.close)
        self._orders.put(save)
        self._wake()
        try:
            self._thread.join()
        except BaseException:  # somebody is in a hurry
            self._orders.put(False)
            self._thread.join()
            raise
        left = []
        while not self._news.empty():
            news = self._news.get()
            if isinstance(news, Done):
                left.append(news)
        return left

    # In the crew's own thread

    @abstractmethod
    def _hire(self, place: Place) -> Hand:
        """Start a worker; it is heard of as Ready, or as Lost."""

    @abstractmethod
    def _listen(self, hands: list[Hand], seconds: float) -> list[tuple[Hand, Message]]:
        """What the workers have to say, after at most ``seconds``; earlier when :meth:`_wake` is called."""

    @abstractmethod
    def _wake(self) -> None:
        """Cut :meth:`_listen` short; called from another thread."""

    def _run(self, places: list[Place]) -> None:
        # The mask is inherited: workers are deaf to the group's signals before they can say so themselves.
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            for place in places:
                self._desks.append(_Desk(place, self._hire(place)))
            while (save := self._take_orders()) is None:
                self._deal()
                self._hear(LISTEN_SECONDS)
                self._end_overdue()
            self._hear(0, closing=True)
            if save:
                self._let_save()
        except Exception as error:  # told to whoever waits for a result
            self._news.put(error)
        finally:
            for desk in self._desks:
                desk.hand.end()

    def _take_orders(self) -> bool | None:
        """Queue what was submitted; close's ``save`` where that was called."""
        while not self._orders.empty():
            order = self._orders.get()
            if isinstance(order, bool):
                self._waiting.clear()
                return order
            self._waiting.append(order)
        return None

    def _deal(self) -> None:
        for desk in self._desks:
            if not (self._waiting and desk.free and desk.hand.give(self._waiting[0].parcel)):
                continue
            desk.task = self._waiting.popleft()
            desk.task.attempts += 1
            if self.pool.time_limit_seconds is not None:
                desk.due = time.monotonic() + self.pool.time_limit_seconds + KILL_SECONDS

    def _hear(self, seconds: float, closing: bool = False) -> None:
        desks = {id(desk.hand): desk for desk in self._desks}
        for hand, message in self._listen([desk.hand for desk in self._desks], seconds):
            desk = desks[id(hand)]
            if desk.hand is not hand:
                continue  # the last words of a worker that was replaced a moment ago
            match message:
                case Ready(name):
                    desk.name, desk.failed_starts = name, 0
                case ProgressReport(progress) if desk.task is not None:
                    self._news.put((desk.task.key, progress))
                case Ended(result, fit) if desk.task is not None:
                    self._news.put(Done(key=desk.task.key, worker=desk.name, result=result))
                    desk.task = None
                    desk.due = float("inf")
                    if not fit:
                        self._replace(desk, closing)
                case Stopped() if desk.task is not None:
                    if not closing:  # a candidate that says so by itself
                        error = CandidateError("it stopped, and nobody had asked it to")
                        self._news.put(Done(key=desk.task.key, worker=desk.name, result=error))
                    desk.task, desk.due = None, float("inf")
                case Lost(reason):
                    self._lose(desk, reason, closing)

    def _lose(self, desk: _Desk, reason: str, closing: bool) -> None:
        """A worker is gone: its job is begun again, or ends, and somebody else takes its place."""
        task = desk.task
        if not desk.name:
            desk.failed_starts += 1
            if desk.failed_starts >= STARTS and not closing:
                raise RunError(f"no worker could be started in {STARTS} attempts; the last one: {reason}")
        if task is not None and not closing:
            if task.attempts < self.attempts:
                self._waiting.appendleft(task)
            else:
                times = f" (attempt {task.attempts} of {self.attempts})" if self.attempts > 1 else ""
                error = WorkerLostError(f"the worker {desk.name} was lost{times}: {reason}")
                self._news.put(Done(key=task.key, worker=desk.name, result=error))
        self._replace(desk, closing)

    def _replace(self, desk: _Desk, closing: bool = False) -> None:
        desk.hand.end()
        desk.name, desk.task, desk.due = "", None, float("inf")
        if closing:
            self._desks.remove(desk)
        else:
            desk.hand = self._hire(desk.place)

    def _end_overdue(self) -> None:
        for desk in self._desks:
            if desk.task is not None and time.monotonic() > desk.due:
                limit = self.pool.time_limit_seconds
                error = TimedOutError(
                    f"over the time limit of {limit:g} s and did not stop; its worker was ended"
                )
                self._news.put(Done(key=desk.task.key, worker=desk.name, result=error))
                self._replace(desk)

    def _let_save(self) -> None:
        """Ask all running jobs to stop, and wait until they have or the grace is over."""
        for desk in self._desks:
            if desk.task is not None:
                desk.hand.ask_to_stop()
        until = time.monotonic() + self.pool.grace_seconds
        while any(desk.task is not None for desk in self._desks) and time.monotonic() < until:
            if not self._orders.empty():
                return  # close was interrupted
            self._hear(min(LISTEN_SECONDS, max(0.0, until - time.monotonic())), closing=True)

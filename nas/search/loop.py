"""The one loop that trains: request, record, train, record, report."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from leaderboard.errors import LeaderboardError, LeaseLostError
from leaderboard.store.records import Trial
from nas.errors import DiskError, DivergedError, Interrupted, NasError, RunError, WorkerLostError
from nas.executors import Done, Executor
from nas.search.divergence import HalvingNotes
from nas.search.heartbeat import Heartbeat
from nas.search.progress import Event, Listener, event_of
from nas.search.recorder import RecordedRequest, Recorder
from nas.search.requests import Observation, Pause, Reject, Scheduler, Train, observation_of
from nas.training import Progress

AnyJob = TypeVar("AnyJob")

ATTEMPTS = 3
"""TrainingSetup of one candidate that may end with a lost worker before the candidate counts as failed."""

FAILURES_IN_A_ROW = 5
"""Candidates that fail, but not by diverging, one after another before the process stops."""

CLAIM_SECONDS = 0.5
"""Seconds between two attempts to claim a waiting trial while a worker is free."""


@dataclass
class _Running:
    """A training in the executor; ``attempts`` counts how often this process began it."""

    trial: Trial
    request: Train
    attempts: int = 1


class Loop(Generic[AnyJob]):
    """Trains what a scheduler requests, until it requests nothing more.

    Args:
        scheduler: Decides what is trained.
        recorder: Records requests before they are trained, results before they are reported.
        start: Starts the executor; called when the first training is to begin.
        make_job: The job of a request; the key under which it is recorded comes from the recorder.
        describe: The request of a trial from the database; None where the run has no such trials.
        listen: Receives every event; may raise Interrupted, between two steps of a training.
        after: Called with every result once it is recorded and reported.
        clock: Seconds; their difference is the elapsed time.
        fail_fast: Whether a failure is raised instead of recorded.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        recorder: Recorder,
        *,
        start: Callable[[], Executor[AnyJob]],
        make_job: Callable[[Train], AnyJob],
        describe: Callable[[Trial], Train] | None = None,
        listen: Listener = lambda event: None,
        after: Callable[[Observation], None] = lambda observation: None,
        clock: Callable[[], float] = time.monotonic,
        fail_fast: bool = False,
    ) -> None:
        self.scheduler, self.recorder, self.listen = scheduler, recorder, listen
        self._start, self._make_job, self._describe = start, make_job, describe
        self._after, self._clock, self._fail_fast = after, clock, fail_fast
        self._executor: Executor[AnyJob] | None = None
        self._running: dict[int, _Running] = {}
        self._left: dict[int, Train] = {}  # requests of trials that wait for other processes, or run there
        self._failures, self._halvings = 0, HalvingNotes()
        self._began = self._claimed = clock()
        every = recorder.lease_seconds / 4
        self._heartbeat = Heartbeat(recorder.renew, lambda: list(self._running), seconds=every)

    def run(self) -> None:
        """Train until the scheduler is over. Interrupted leaves after every finished result is recorded."""
        reason = "failed"
        try:
            with self._heartbeat:
                self._restore()
                for trial in self.recorder.leftovers():
                    self._submit(self._request_of(trial), trial)
                self._work()
            reason = "finished"
        except Interrupted:
            reason = "interrupted"
            self._save()
            raise
        finally:
            if self._executor is not None:
                self._executor.close(save=False)
            with suppress(LeaderboardError):  # the error that ended the loop is the news; leases run out
                self.recorder.release(list(self._running))
            with suppress(LeaderboardError):
                self.recorder.end(reason)

    # Deciding

    def _restore(self) -> None:
        past, pending = [], []
        for trial in self.recorder.past():
            request = self._request_of(trial)
            if trial.state in ("waiting", "running"):
                pending.append(request)
                self._left[trial.id] = request
            else:
                past.append(observation_of(trial, request))
        self.scheduler.restore(past, pending)

    def _work(self) -> None:
        while True:
            over = self._fill()
            if self._running:
                assert self._executor is not None
                self._finish(self._executor.next_result(self._watch))
            elif over:
                return
            else:
                self._watch(None)
                time.sleep(CLAIM_SECONDS)

    def _fill(self) -> bool:
        """Start trainings until the executor has enough; whether the scheduler is over."""
        while self._has_room():
            action = self._enter_next()
            if isinstance(action, Pause):
                trial = None if action is Pause.OVER else self.recorder.claim()
                if trial is None:
                    return action is Pause.OVER
                self._submit(self._request_of(trial), trial)
        return False

    def _has_room(self) -> bool:
        return self._executor is None or len(self._running) < self._executor.capacity

    def _enter_next(self, *, waiting: bool = False) -> RecordedRequest | Pause:
        """Enter requests until one is to be trained; the entry, or why there is none."""
        while True:
            action = self.scheduler.next(self._clock() - self._began)
            if action is Pause.SKIPPED:
                self.breathe()
            elif isinstance(action, Pause):
                return action
            else:
                entry = self._enter(action, waiting)
                if entry.state in ("running", "waiting"):
                    return entry

    def _enter(self, request: Train, waiting: bool) -> RecordedRequest:
        if not isinstance(request, Reject) and not waiting:
            self._ready()  # before anything is recorded: an executor that cannot start leaves no trace
        entry = self.recorder.enter(request, waiting=waiting)
        trial = entry.trial
        if entry.state == "running":
            assert trial is not None
            self._submit(request, trial)
        elif entry.state == "waiting":
            assert trial is not None
            self._left[trial.id] = request
        elif entry.state == "elsewhere":
            assert trial is not None
            seed = f" (seed {request.seed})" if request.stage != "retrain" else ""
            self._note(f"{request.genotype.id}{seed} is trained by {trial.owner} already, and left to it")
            self.scheduler.on_elsewhere(request)
        else:
            known = entry.evaluation
            observation = Observation(request=request, state=entry.state, evaluation=known, trial=trial)
            self.scheduler.on_result(observation)
            self._report(entry.state, request, trial, psnr_db=None if known is None else known.psnr_db)
            if known is not None and trial is None:
                self._after(observation)
        return entry

    def _request_of(self, trial: Trial) -> Train:
        """The request of a claimed trial: as it was made here, or as the row has it."""
        request = self._left.pop(trial.id, None)
        assert request is not None or self._describe is not None
        return request or self._describe(trial)  # type: ignore[misc]

    # Training

    def _ready(self) -> Executor[AnyJob]:
        if self._executor is None:
            self._executor = self._start()
        return self._executor

    def _submit(self, request: Train, trial: Trial) -> None:
        executor = self._ready()
        self._running[trial.id] = _Running(trial, request)
        self._report("started", request, trial)
        executor.submit(trial.id, self._make_job(request))

    def _finish(self, done: Done, *, closing: bool = False) -> None:
        """Record a result first, then report it; while closing nothing is started again."""
        running, result = self._running[done.key], done.result
        if isinstance(result, DiskError):
            raise result  # the disk's failure and not the candidate's, which is trained again later
        if isinstance(result, WorkerLostError) and self._begin_again(running, result, closing=closing):
            return
        try:
            if isinstance(result, NasError):
                self._failed(running, result, done.worker)
            else:
                evaluation = self.recorder.record(running.trial, result, done.worker)
                self._failures = 0
                observation = Observation(
                    request=running.request, state="finished", evaluation=evaluation, trial=running.trial
                )
                self.scheduler.on_result(observation)
                self._report("finished", running.request, running.trial, psnr_db=result.psnr_db)
                self._after(observation)
        except LeaseLostError as error:
            self._note(f"{error}; this result is not kept")
            self._left[done.key] = running.request
            self.recorder.lost(running.trial)
            self.scheduler.on_elsewhere(running.request)
        finally:
            del self._running[done.key]

    def _begin_again(self, running: _Running, error: WorkerLostError, *, closing: bool) -> bool:
        """Whether a candidate whose worker was lost is left without a result, to be trained again."""
        assert self._executor is not None
        if running.attempts >= (ATTEMPTS if closing else ATTEMPTS // self._executor.attempts):
            return False
        if not closing:
            running.attempts += 1
            self._note(f"trial {running.trial.number}: {error}; once more")
            self._executor.submit(running.trial.id, self._make_job(running.request))
        return True

    def _failed(self, running: _Running, error: NasError, worker: str) -> None:
        request, trial = running.request, running.trial
        reason, kind = error.reason, error.failure
        if self._fail_fast:
            self.recorder.release([trial.id])
            raise error
        self.recorder.fail(trial, error, worker)
        self._failures += not isinstance(error, DivergedError)
        failed = Observation(request=request, state="failed", trial=trial, reason=reason, failure=kind)
        self.scheduler.on_failure(failed)
        self._report("failed", request, trial, text=f"{kind}: {reason}")
        if self._failures >= FAILURES_IN_A_ROW:
            raise RunError(f"{self._failures} candidates failed one after another; the last one: {reason}")

    def _save(self) -> None:
        """After an interruption: let running trainings save their state, and record what has ended."""
        if self._executor is not None:
            for done in self._executor.close(save=True):
                with suppress(Interrupted):
                    self._finish(done, closing=True)

    def _watch(self, seen: tuple[int, Progress] | None) -> None:
        """Between two steps of a training, or a few times a second: leases, listener, other processes."""
        self.breathe(seen)
        for trial in self.recorder.news():
            self._hear(trial)
        while self.recorder.wanted():
            if isinstance(self._enter_next(waiting=True), Pause):
                break
        if self._running and self._has_room() and self._clock() - self._claimed > CLAIM_SECONDS:
            self._claimed = self._clock()
            if (claimed := self.recorder.claim()) is not None:
                self._submit(self._request_of(claimed), claimed)

    def breathe(self, seen: tuple[int, Progress] | None = None) -> None:
        """Let the listener interrupt, also what takes long in ``after``; raises where a lease was lost."""
        self._heartbeat.check()
        key, progress = seen or (-1, None)
        number = self._running[key].trial.number if key in self._running else -1
        if progress is not None and (text := self._halvings.news(number, progress)):
            self._note(text)
        self.listen(Event(kind="progress", number=number, progress=progress))

    def _hear(self, trial: Trial) -> None:
        """Take in what became of a trial in another process."""
        request = self._request_of(trial)
        observation = observation_of(trial, request)
        if trial.state == "failed":
            self.scheduler.on_failure(observation)
            self._report("failed", request, trial, text=f"{trial.failure}: {trial.reason}")
        else:
            self.scheduler.on_result(observation)
            psnr_db = None if trial.evaluation is None else trial.evaluation.psnr_db
            self._report(trial.state, request, trial, psnr_db=psnr_db, text=f"by {trial.worker}")

    def _note(self, text: str) -> None:
        self.listen(Event(kind="note", text=text))

    def _report(
        self, kind: str, request: Train, trial: Trial | None, *, psnr_db: float | None = None, text: str = ""
    ) -> None:
        number = None if trial is None else trial.number
        self.listen(event_of(kind, request, number, psnr_db=psnr_db, text=text))

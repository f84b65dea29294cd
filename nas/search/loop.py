"""Training what is leased to this process: the part that a search and whoever joins it share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from leaderboard.errors import LeaderboardError, LeaseLostError
from leaderboard.store import Store
from leaderboard.store.owners import this_process
from leaderboard.store.records import Evaluation, Study, Trial
from leaderboard.store.trials import Stage
from nas.cost.budget import Cost
from nas.errors import DiskError, Interrupted, NasError, RunError, WorkerLostError
from nas.executors import EXECUTORS, Done, Executor, Pool
from nas.recipes.jobs import make_job, record_outcome
from nas.recipes.protocol import make_protocols
from nas.recipes.recipe import PROXY, Recipe
from nas.search.progress import Event, Listener, Tally
from nas.search.proposer import Candidate
from nas.training import Job, Outcome, Plan, Progress
from nas.training.checkpoint import STATE

LEASE_SECONDS = 120.0
"""How long a process is believed to be alive after it last said so."""

ATTEMPTS = 3
"""Trainings of one candidate whose worker is lost each time, until it is the candidate's fault."""

FAILURES_IN_A_ROW = 5
"""Candidates that fail one after another until the process stops: then it is not the candidates."""

STAGES: tuple[Stage, ...] = ("search", "seeds")


class Runner:
    """Hands candidates to an executor and records what came of them, while the leases are renewed.

    ``runs`` is the folder of all runs. ``tally`` can be read at any time by the listener. :meth:`_ended` is
    told of each end after it was recorded. ``lease_seconds`` is how long this process is believed to be alive
    after it last said so.
    """

    study: Study
    lease_seconds = LEASE_SECONDS

    def __init__(self, recipe: Recipe, store: Store, runs: Path, device: str, listen: Listener) -> None:
        self.recipe, self.store, self.runs, self.device, self.listen = recipe, store, runs, device, listen
        self.space = recipe.search_space()
        name, self.plans = self._plans()
        self.protocols, self.dataset = make_protocols(recipe, name, self.plans)
        self.tally = Tally(
            wanted=recipe.trials,
            rungs=[{} for _ in self.plans],
            cost=recipe.price(),
            bicubic_psnr_db=self.protocols[0].bicubic_psnr_db,
        )
        self.owner = this_process()
        self._training: dict[int, Candidate] = {}
        self._failures = 0
        self._renewed = time.monotonic()

    def _plans(self) -> tuple[str, list[Plan]]:
        """How candidates are trained: the name of the plan, and the plan at the length of each rung."""
        return self.recipe.proxy.get("plan", PROXY), self.recipe.rung_plans()

    @contextmanager
    def _working(self) -> Iterator[Executor]:
        """The executor; whatever ends this, it is closed, and what was not finished is given back.

        Interrupted lets what runs save its state before.
        """
        executor = self._start()
        try:
            yield executor
        except Interrupted:
            self._stop(executor)
            raise
        finally:
            executor.close(save=False)
            self._give_back()

    def _start(self) -> Executor:
        """The executor that the recipe names."""
        return EXECUTORS[self.recipe.executor](self._pool())

    def _pool(self) -> Pool:
        devices = tuple(word.strip() for word in self.device.split(",")) if self.device != "cpu" else ()
        return Pool(
            workers=self.recipe.workers,
            devices=devices,
            time_limit_seconds=self.recipe.time_limit_seconds,
            ray_address=self.recipe.ray_address,
            gpus_per_worker=self.recipe.gpus_per_worker,
        )

    def _stop(self, executor: Executor) -> None:
        """After an interruption: let what runs save its state, and record what ended meanwhile."""
        for done in executor.close(save=True):
            with suppress(Interrupted):
                self._finish(done)

    def _give_back(self) -> None:
        """Let others have what was not finished; what ended the process is the news, and leases run out."""
        with suppress(LeaderboardError):
            self.store.release(self.owner, [each.trial.id for each in self._training.values()])

    def _candidate(self, trial: Trial) -> Candidate:
        return Candidate(trial, self.space.genotype.from_dict(trial.choices), Cost(**trial.cost))

    def _claim(self) -> Candidate | None:
        """A trial that waits in the database, leased from now on; the search's own stages in their order."""
        for stage in STAGES:
            trial = self.store.claim(self.study.id, self.owner, self.lease_seconds, stage)
            if trial is not None:
                return self._candidate(trial)
        return None

    def _submit(self, executor: Executor, candidate: Candidate) -> None:
        self._training[candidate.trial.id] = candidate
        self._say("started", candidate)
        executor.submit(candidate.trial.id, self._job(candidate))

    def _job(self, candidate: Candidate) -> Job:
        """The training of a candidate; on a higher rung it goes on from the state of the rung below."""
        trial = candidate.trial
        if trial.stage != "search":
            return self._job_from(candidate, None)
        below = trial.rung - 1 if trial.rung else None
        return replace(self._job_from(candidate, below), keep_state=trial.rung < len(self.plans) - 1)

    def _job_from(self, candidate: Candidate, below: int | None) -> Job:
        """The training of a candidate from the state that the rung ``below`` left, or from the start."""
        trial = candidate.trial
        before = None if below is None else self._folder(trial, below) / STATE
        job = make_job(
            self.recipe,
            self.plans[trial.rung],
            candidate.genotype,
            self._folder(trial, trial.rung),
            seed=trial.seed,
            device=self.device.split(",")[0],
        )
        return replace(job, begin=before if before is not None and before.exists() else None)

    def _folder(self, trial: Trial, rung: int) -> Path:
        seed = "" if trial.stage == "search" else f"-seed{trial.seed}"
        name = f"{trial.genotype_id}-{self.protocols[rung].id}{seed}"
        return self.runs / self.recipe.name / "candidates" / name

    def _watch(self, seen: tuple[int, Progress] | None) -> None:
        """Between two steps, or a few times a second: renew; the listener may stop the process."""
        now = time.monotonic()
        if now - self._renewed > self.lease_seconds / 4:
            self._renewed = now
            self._renew()
        key, progress = seen or (-1, None)
        candidate = self._training.get(key)
        number = -1 if candidate is None else candidate.trial.number
        self.listen(Event(kind="progress", number=number, progress=progress))

    def _renew(self) -> None:
        self.store.renew(self.owner, list(self._training), self.lease_seconds)

    def _finish(self, done: Done, executor: Executor | None = None) -> None:
        """Record first, tell second; without an executor nothing is begun again."""
        candidate, result = self._training[done.key], done.result
        if isinstance(result, DiskError):
            raise result  # the disk's failure and not the candidate's, which is trained again later
        tries = ATTEMPTS if executor is None else ATTEMPTS // executor.attempts
        if isinstance(result, WorkerLostError) and candidate.attempts < tries:
            if executor is not None:
                candidate.attempts += 1
                self.listen(Event(kind="note", text=f"trial {candidate.trial.number}: {result}; once more"))
                executor.submit(done.key, self._job(candidate))
            return
        try:
            if isinstance(result, Outcome):
                self._finished(candidate, result, done.worker)
            else:
                self._failed(candidate, result, done.worker)
        except LeaseLostError as error:
            self.listen(Event(kind="note", text=f"{error}; this result is not kept"))
            self._lost(candidate)
        finally:
            del self._training[done.key]

    def _finished(self, candidate: Candidate, outcome: Outcome, worker: str) -> Evaluation:
        trial = candidate.trial
        evaluation = record_outcome(
            self.store,
            trial,
            self.protocols[trial.rung].id,
            outcome,
            self.runs,
            owner=self.owner,
            worker=worker,
        )
        self._failures = 0
        self._ended(candidate, "finished", evaluation)
        self._say("finished", candidate, psnr_db=outcome.psnr_db)
        return evaluation

    def _failed(self, candidate: Candidate, error: NasError, worker: str) -> None:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        self.store.fail(candidate.trial.id, reason, owner=self.owner, failure=error.failure, worker=worker)
        self._failures += 1
        self._ended(candidate, "failed", None)
        self._say("failed", candidate, text=f"{error.failure}: {reason}")
        if self._failures >= FAILURES_IN_A_ROW:
            raise RunError(f"{self._failures} candidates failed one after another; the last one: {reason}")
        self._judge(reason)

    def _ended(self, candidate: Candidate, state: str, evaluation: Evaluation | None) -> None:
        """A trial of ours was recorded as ``state``."""
        if candidate.trial.stage == "search":
            self.tally.count(replace(candidate.trial, state=state, evaluation=evaluation))

    def _lost(self, candidate: Candidate) -> None:
        """Its lease ran out meanwhile."""

    def _judge(self, reason: str) -> None:
        """After a failure: raises RunError where going on makes no sense."""

    def _say(self, kind: str, candidate: Candidate, *, psnr_db: float | None = None, text: str = "") -> None:
        trial = candidate.trial
        told = f"seed {trial.seed}" if trial.stage == "seeds" and not text else text
        self.listen(
            Event(
                kind=kind,
                number=trial.number,
                rung=trial.rung,
                genotype=candidate.genotype,
                cost=candidate.cost,
                psnr_db=psnr_db,
                text=told,
            )
        )

"""A run's record in the results database: rows, leases, results, and processes that joined."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from leaderboard.store import Store
from leaderboard.store.owners import this_process
from leaderboard.store.records import Evaluation, NewTrial, Protocol, Stage, State, Study, Trial
from nas.cost.counting import breakdown
from nas.errors import NasError
from nas.recipes.jobs import record_outcome
from nas.search.recorder import RecordedRequest
from nas.search.remote_workers import RemoteWorkers
from nas.search.requests import Reject, Train
from nas.training import Outcome
from search_spaces import Genotype
from search_spaces.published import published_name

Ownership = Literal["lead", "share", "join"]

LEASE_SECONDS = 120.0
"""How long a process counts as alive after its last sign of life."""

CLAIMED_STAGES: tuple[Stage, ...] = ("search", "seeds")
"""Stages whose waiting trials any process of the run may claim, in this order."""


class DatabaseRecorder:
    """The record of one study; see ``Recorder``.

    Args:
        store: The results database.
        study: The run.
        protocols: The protocol of each rung.
        protocol_of: The protocol of a request; None for the rung's, where no request changes its plan.
        runs: The folder of all runs; paths of checkpoints are relative to it.
        ownership: ``lead``: one process owns the study. ``share``: several may train different trials of
            it. ``join``: trains what the leading process leaves waiting.
        claims: Whether waiting trials are claimed as they are. Without it, an unfinished trial is only
            continued when its training is requested again.
        owner: This process.
        workers: How many trainings a joining process takes at once.
        lease_seconds: How long this process counts as alive after its last sign of life.
    """

    def __init__(
        self,
        store: Store,
        study: Study,
        protocols: Sequence[Protocol],
        runs: Path,
        ownership: Ownership,
        *,
        protocol_of: Callable[[Train], Protocol] | None = None,
        claims: bool = True,
        owner: str | None = None,
        workers: int = 0,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self.store, self.study, self.runs = store, study, runs
        self.protocols, self.ownership = list(protocols), ownership
        self.owner = this_process() if owner is None else owner
        self._claims, self._workers, self.lease_seconds = claims, workers, lease_seconds
        self._protocol_of = protocol_of or (lambda request: self.protocols[request.rung])
        self._ensured: set[str] = set()
        self._rungs = {protocol.id: rung for rung, protocol in enumerate(self.protocols)}
        self._remote = RemoteWorkers(store, study.id)
        self._rows: dict[tuple[str, str, int], Trial] = {}

    # The run

    def begin(self) -> None:
        """Take the study, or tell its leader that this process joins."""
        if self.ownership == "lead":
            self.store.own_study(self.study.id, self.owner, self.lease_seconds)
        if self.ownership == "join":
            self.store.join(self.study.id, self.owner, self._workers)
        else:
            for protocol in self.protocols:
                self._ensure(protocol)

    def _ensure(self, protocol: Protocol) -> None:
        if protocol.id not in self._ensured:
            self.store.ensure_protocol(protocol)
            self._ensured.add(protocol.id)

    def renew(self, trial_ids: Collection[int]) -> None:
        """Extend the leases of this process from now on."""
        if self.ownership == "lead":
            self.store.own_study(self.study.id, self.owner, self.lease_seconds)
        self.store.renew(self.owner, list(trial_ids), self.lease_seconds)

    def release(self, trial_ids: Collection[int]) -> None:
        """Let other processes have these trials."""
        self.store.release(self.owner, list(trial_ids))

    def end(self, reason: str) -> None:
        """Let the study go, or tell its leader that this process leaves."""
        if self.ownership == "lead":
            self.store.release_study(self.study.id, self.owner, reason)
        elif self.ownership == "join":
            self.store.leave(self.study.id, self.owner)

    # Trials

    def past(self) -> list[Trial]:
        """What the leading process resumes: a search's own stages, or all trials of its protocols."""
        if self.ownership != "lead":
            return []
        self.store.reap(self.study.id)
        if self._claims:
            trials = [
                trial
                for stage in CLAIMED_STAGES
                for trial in self.store.trials(self.study.id, stage, curves=False)
            ]
            self._remote.left.update(trial.id for trial in trials if trial.state in ("waiting", "running"))
            return trials
        return [self._placed(trial) for trial in self._own_rows()]

    def _own_rows(self) -> list[Trial]:
        """The rows of these protocols, by what they train; rows of older databases name no protocol."""
        only = self.protocols[0].id if len(self.protocols) == 1 else None
        self._rows = {}
        stage: Stage | None = "retrain" if self.ownership == "share" else None
        for trial in self.store.trials(self.study.id, stage, curves=False):
            protocol_id = trial.protocol_id
            if protocol_id is None and trial.stage == "retrain":
                protocol_id = only
            if protocol_id in self._rungs:
                self._rows[trial.genotype_id, str(protocol_id), trial.seed] = trial
        return list(self._rows.values())

    def _placed(self, trial: Trial) -> Trial:
        """The trial on the rung that its protocol has now; rungs may have been added since."""
        return replace(trial, rung=self._rungs.get(str(trial.protocol_id), trial.rung))

    def enter(self, request: Train, *, waiting: bool = False) -> RecordedRequest:
        """Record a request, once: what is known, trained elsewhere or left unfinished is found again."""
        protocol = self._protocol_of(request)
        self._ensure(protocol)
        if isinstance(request, Reject):
            return RecordedRequest(state="rejected", trial=self._propose(request, protocol, "rejected"))
        row = self._unfinished(request, protocol)
        if row is not None:
            if row.state == "running" and row.owner != self.owner:
                return RecordedRequest(state="elsewhere", trial=row)
            taken = self.store.claim_this(row.id, self.owner, self.lease_seconds)
            now = taken or self.store.trial(row.id)
            mine = now.state == "running" and now.owner == self.owner
            return RecordedRequest(state="running" if mine else "elsewhere", trial=now)
        known = self.store.known(request.genotype.id, protocol.id, request.seed)
        if known is not None:
            shared = self.ownership == "share"
            trial = None if shared else self._propose(request, protocol, "repeated", known)
            return RecordedRequest(state="repeated", trial=trial, evaluation=known)
        state: Literal["running", "waiting"] = "waiting" if waiting else "running"
        trial = self._propose(request, protocol, state)
        if waiting:
            self._remote.left.add(trial.id)
        return RecordedRequest(state=state, trial=trial)

    def _unfinished(self, request: Train, protocol: Protocol) -> Trial | None:
        """The row of a training that was begun and not finished."""
        if self._claims:
            return None
        if self.ownership == "share":  # other processes change the rows
            self.store.reap(self.study.id)
            self._own_rows()
        row = self._rows.get((request.genotype.id, protocol.id, request.seed))
        return row if row is not None and row.state in ("waiting", "running") else None

    def _propose(
        self, request: Train, protocol: Protocol, state: State, known: Evaluation | None = None
    ) -> Trial:
        new = NewTrial(
            stage=request.stage,
            genotype_id=request.genotype.id,
            space=request.genotype.space,
            choices=request.genotype.to_dict(),
            scale=protocol.scale,
            cost=request.cost.to_dict(),
            seed=request.seed,
            state=state,
            rung=request.rung,
            protocol_id=protocol.id,
            excess=request.excess if isinstance(request, Reject) else None,
            measured=request.measured,
            name=request.name or published_name(request.genotype),
            parts=None if state == "rejected" else parts_of(request.genotype, protocol.scale),
            evaluation_id=None if known is None else known.id,
        )
        if state == "running":
            return self.store.propose(self.study.id, new, owner=self.owner, seconds=self.lease_seconds)
        return self.store.propose(self.study.id, new)

    def record(self, trial: Trial, outcome: Outcome, worker: str) -> Evaluation:
        """Record a result in one transaction with the end of its trial."""
        return record_outcome(
            self.store,
            trial,
            trial.protocol_id or self.protocols[trial.rung].id,
            outcome,
            self.runs,
            owner=self.owner,
            worker=worker,
        )

    def fail(self, trial: Trial, error: NasError, worker: str) -> None:
        """Record a failure: its kind and the first line of its message."""
        self.store.fail(trial.id, error.reason, owner=self.owner, failure=error.failure, worker=worker)

    # Other processes

    def leftovers(self) -> Iterator[Trial]:
        """Claim what an earlier process left, before anything new is started; only the leader does."""
        while self.ownership == "lead" and (trial := self.claim()) is not None:
            yield trial

    def claim(self) -> Trial | None:
        """Claim a waiting trial: of the leader's own that are left, or of the run that was joined."""
        if not self._claims or (self.ownership == "lead" and not self._remote.left):
            return None
        for stage in CLAIMED_STAGES:
            trial = self.store.claim(self.study.id, self.owner, self.lease_seconds, stage)
            if trial is not None:
                self._remote.left.discard(trial.id)
                return trial
        return None

    def lost(self, trial: Trial) -> None:
        """Watch a trial that another process has taken over."""
        self._remote.left.add(trial.id)

    def wanted(self) -> int:
        """How many more trials processes that joined could take."""
        return self._remote.wanted() if self._leads_search() else 0

    def news(self) -> list[Trial]:
        """Trials left to other processes that ended since the last call."""
        if not self._leads_search():
            return []
        return [self.store.trial(trial_id) for trial_id in self._remote.ended()]

    def _leads_search(self) -> bool:
        return self.ownership == "lead" and self._claims


def parts_of(genotype: Genotype, scale: int) -> list[dict[str, Any]] | None:
    """What each part of a network costs, as the database keeps it; None where its space names none."""
    parts = [
        {"part": name, "copies": part.copies, "uses": part.uses, **cost.to_dict()}
        for name, part, cost in breakdown(genotype, scale)
    ]
    return parts or None

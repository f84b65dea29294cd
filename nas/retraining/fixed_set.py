"""Training the best of a search for longer: the recipe's ``[retrain]`` plan, resumable at any moment.

It is the search's own way of training (``nas.search.loop``), with another plan and nothing to propose: one
after another, or several at once through any executor. ``nas.retraining.selection`` says which candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from leaderboard.store import Store
from leaderboard.store.records import Evaluation, Protocol, Trial
from nas.errors import NasError, RecipeError
from nas.executors import Executor, Pool
from nas.executors.inline import Inline
from nas.recipes.recipe import Recipe
from nas.retraining.selection import Chosen
from nas.search.loop import Runner
from nas.search.progress import Event, Listener
from nas.search.proposer import Candidate
from nas.training import Job, Outcome, Plan, Progress, ranks, train

LEASE_SECONDS = 1800.0
"""Longer than a search's: the lease is renewed between steps, and a validation on many images has none."""


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """A re-trained candidate; ``known`` where the database held the result already."""

    chosen: Chosen
    evaluation: Evaluation
    known: bool


After = Callable[[Retrained], None]


class Retraining(Runner):
    """The long training of one run's candidates, under one protocol.

    The recipe says where: ``executor``, ``workers``; its time limit is for short trainings and does not hold.
    ``after`` is called in this process with each result, known ones too, once it is recorded: what takes long
    in it calls :meth:`breathe` now and then. ``done`` and ``failed`` map the id of a genotype to its result,
    and to why it has none. Started by torchrun, all processes train one network after another, and one that
    fails ends them all.
    """

    lease_seconds = LEASE_SECONDS

    def __init__(
        self,
        recipe: Recipe,
        store: Store,
        runs: Path,
        device: str,
        listen: Listener = lambda event: None,
        *,
        after: After = lambda retrained: None,
        validate_every: int = 0,
        events: bool = False,
    ) -> None:
        super().__init__(recipe, store, runs, device, listen)
        if ranks.world() > 1 and recipe.executor != "inline":
            raise RecipeError(
                f"executor = {recipe.executor!r}: the processes of torchrun train one network together; "
                "allowed is inline"
            )
        self.after, self.validate_every, self.events = after, validate_every, events
        self.study = store.study(recipe.name)
        self.failed: dict[str, str] = {}
        self._chosen: dict[str, Chosen] = {}
        self.done: dict[str, Retrained] = {}

    @property
    def plan(self) -> Plan:
        """How they are trained."""
        return self.plans[0]

    @property
    def protocol(self) -> Protocol:
        """What their numbers mean."""
        return self.protocols[0]

    def run(self, chosen: Sequence[Chosen]) -> list[Retrained]:
        """Train them all, going on from interrupted attempts, and record each; gives what is known then.

        A result that the database holds is given back instead, and what another process trains at this moment
        is left to it. Interrupted, from the listener, leaves the states of what runs on disk; the same call
        goes on from there.
        """
        self.store.ensure_protocol(self.protocol)
        self._chosen = {one.genotype.id: one for one in chosen}
        waiting = [one for one in self._chosen.values() if not self._is_known(one)]
        if waiting:
            with self._working() as executor:
                while waiting or self._training:
                    while waiting and len(self._training) < executor.capacity:
                        self._begin(waiting.pop(0), executor)
                    if self._training:
                        self._finish(executor.next_result(self._watch), executor)
        return [self.done[id] for id in self._chosen if id in self.done]

    def breathe(self) -> None:
        """Say that this process is alive, and let the listener stop it."""
        self._watch(None)

    def _plans(self) -> tuple[str, list[Plan]]:
        return self.recipe.retrain.get("plan", "longer"), [self.recipe.plan("retrain")]

    def _start(self) -> Executor:
        if ranks.world() > 1:
            return Inline(self._pool(), _together)
        return super()._start()

    def _pool(self) -> Pool:
        return replace(super()._pool(), time_limit_seconds=None)

    def _is_known(self, one: Chosen) -> bool:
        """Whether the database holds the result, which is then taken from there."""
        evaluation = self.store.known(one.genotype.id, self.protocol.id, self.recipe.seed)
        if evaluation is not None:
            self.listen(
                Event(kind="repeated", genotype=one.genotype, cost=one.cost, psnr_db=evaluation.psnr_db)
            )
            self._keep(one, evaluation, known=True)
        return evaluation is not None

    def _keep(self, one: Chosen, evaluation: Evaluation, *, known: bool) -> None:
        done = Retrained(chosen=one, evaluation=evaluation, known=known)
        self.done[one.genotype.id] = done
        self.after(done)

    def _begin(self, one: Chosen, executor: Executor) -> None:
        if self._is_known(one):  # somebody else may have finished it meanwhile
            return
        trial = self._trial(one)
        if trial.state == "running" and trial.owner == self.owner:
            self._submit(executor, Candidate(trial, one.genotype, one.cost))
        else:
            text = f"{one.genotype.id} is trained by {trial.owner} already, and left to it"
            self.listen(Event(kind="note", text=text))

    def _trial(self, one: Chosen) -> Trial:
        """The row of this re-training: somebody else's, one that an earlier attempt left, or a new one."""
        self.store.reap(self.study.id)
        for trial in self.store.trials(self.study.id, "retrain", curves=False):
            same = (trial.genotype_id, trial.seed) == (one.genotype.id, self.recipe.seed)
            # Rows of older databases do not say what they are to be trained under.
            if not same or trial.protocol_id not in (None, self.protocol.id):
                continue
            if trial.state == "running" and trial.owner != self.owner:
                return trial
            if trial.state in ("waiting", "running"):
                taken = self.store.claim_this(trial.id, self.owner, self.lease_seconds)
                return taken or self.store.trial(trial.id)
        return self.store.propose(
            self.study.id,
            stage="retrain",
            genotype_id=one.genotype.id,
            space=one.genotype.space,
            choices=one.genotype.to_dict(),
            scale=self.recipe.scale,
            cost=one.cost.to_dict(),
            seed=self.recipe.seed,
            state="running",
            protocol_id=self.protocol.id,
            owner=self.owner,
            seconds=self.lease_seconds,
            name=one.name,
        )

    def _job(self, candidate: Candidate) -> Job:
        job = self._job_from(candidate, None)
        return replace(job, validate_every=self.validate_every, events=self.events)

    def _folder(self, trial: Trial, rung: int) -> Path:
        name = f"{trial.genotype_id}-{self.protocol.id}"
        return self.runs / self.recipe.name / "retrained" / name

    def _finished(self, candidate: Candidate, outcome: Outcome, worker: str) -> Evaluation:
        evaluation = super()._finished(candidate, outcome, worker)
        self._keep(self._chosen[candidate.genotype.id], evaluation, known=False)
        return evaluation

    def _failed(self, candidate: Candidate, error: NasError, worker: str) -> None:
        if ranks.world() > 1:  # the others have failed with it and are gone
            self.store.release(self.owner, [candidate.trial.id])
            raise error
        self.failed[candidate.genotype.id] = next(iter(str(error).splitlines()), type(error).__name__)
        super()._failed(candidate, error, worker)


def _together(job: Job, report: Callable[[Progress], None]) -> Outcome:
    """Train in every process of the group; the others wait for this job in :func:`follow`."""
    return train(ranks.shared(job), report)


def follow(report: Callable[[Progress], None]) -> None:
    """What a process of a group does that is not its first: train along until that one has finished."""
    while (job := ranks.shared(None)) is not None:
        train(job, report)

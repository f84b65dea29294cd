"""Re-train the best networks of a run with the recipe's ``[retrain]`` plan; resumable at any step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from leaderboard.store import Store
from leaderboard.store.records import Evaluation, Protocol
from nas.errors import RecipeError
from nas.executors import Executor
from nas.executors.inline import Inline
from nas.recipes.protocol import make_protocols
from nas.recipes.recipe import Recipe
from nas.retraining.selection import Chosen
from nas.search.database_recorder import DatabaseRecorder
from nas.search.fixed_set import FixedSet
from nas.search.loop import Loop
from nas.search.precision import with_retraining_precision
from nas.search.progress import Event, Listener
from nas.search.requests import Observation, Train
from nas.search.training_setup import TrainingSetup
from nas.training import Job, Outcome, Plan, Progress, ranks, train


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """A re-trained network; ``known`` where the database held the result already."""

    chosen: Chosen
    evaluation: Evaluation
    known: bool


After = Callable[[Retrained], None]


class RetrainingSession:
    """The long trainings of one run's networks, under one protocol; several processes may share them.

    Started by torchrun, all processes train one network after another, and a failure ends them all.

    Args:
        recipe: Says how and where: its ``[retrain]`` plan, executor and workers. Its time limit is for short
            trainings and does not hold.
        store: The results database of the run.
        runs: The folder of all runs.
        device: Device, or devices separated by commas.
        listen: Receives events; may raise Interrupted.
        after: Called in this process with each result, known ones too, once it is recorded. What takes long
            in it calls :meth:`breathe` now and then.
        init_from: File of the weights that the trainings start from; None for random ones.
        validate_every: Steps between two measurements on the way; 0 for none.
        events: Whether TensorBoard's files are written.

    Attributes:
        done: Genotype id -> its result.
        failed: Genotype id -> why it has none.
    """

    def __init__(
        self,
        recipe: Recipe,
        store: Store,
        runs: Path,
        device: str,
        listen: Listener = lambda event: None,
        *,
        after: After = lambda retrained: None,
        init_from: Path | None = None,
        validate_every: int = 0,
        events: bool = False,
    ) -> None:
        if ranks.world() > 1 and recipe.executor != "inline":
            raise RecipeError(
                f"executor = {recipe.executor!r}: the processes of torchrun train one network together; "
                "allowed is inline"
            )
        store.require_recounted(recipe.name)
        recipe = with_retraining_precision(
            recipe, store, device, lambda text: listen(Event(kind="note", text=text))
        )
        self.recipe, self.store, self.device, self.listen = recipe, store, device, listen
        self._after, self._validate_every, self._events = after, validate_every, events
        self.plan: Plan = recipe.plan("retrain")
        self._init_from = init_from
        plan_name = recipe.retrain.get("plan", "longer")
        protocols, dataset = make_protocols(recipe, plan_name, [self.plan], init_from=init_from)
        self.protocol: Protocol = protocols[0]
        self._setup = TrainingSetup(
            recipe=recipe,
            runs=runs,
            device=device,
            plans=[self.plan],
            protocols=protocols,
            dataset=dataset,
            folder="retrained",
            timed=False,
        )
        self.study = store.study(recipe.name)
        self._loop: Loop[Job] | None = None
        self._chosen: dict[str, Chosen] = {}
        self.done: dict[str, Retrained] = {}
        self.failed: dict[str, str] = {}

    def run(self, chosen: Sequence[Chosen]) -> list[Retrained]:
        """Train all of them, each from where an interrupted attempt stopped, and record each.

        A known result is given back instead, and what another process trains is left to it. Interrupted, from
        the listener, leaves the states of what runs on disk; the same call continues from there.

        Returns:
            The networks that have a result then, in the order of ``chosen``.
        """
        self.store.ensure_protocol(self.protocol)
        self._chosen = {each.genotype.id: each for each in chosen}
        waiting = [each for each in self._chosen.values() if not self._take_known(each)]
        if waiting:
            scheduler = FixedSet([self._request(each) for each in waiting])
            self._loop = Loop(
                scheduler,
                DatabaseRecorder(
                    self.store,
                    self.study,
                    [self.protocol],
                    self._setup.runs,
                    "share",
                    claims=False,
                ),
                start=self._start,
                make_job=self._job,
                listen=self.listen,
                after=self._keep,
                fail_fast=ranks.world() > 1,
            )
            try:
                self._loop.run()
            finally:
                self.failed |= {key[0]: reason for key, reason in scheduler.failed.items()}
        return [self.done[id] for id in self._chosen if id in self.done]

    def breathe(self) -> None:
        """Say that this process is alive, and let the listener interrupt it."""
        if self._loop is None:
            self.listen(Event(kind="progress"))
        else:
            self._loop.breathe()

    def _request(self, chosen: Chosen) -> Train:
        return Train(
            genotype=chosen.genotype,
            cost=chosen.cost,
            seed=self.recipe.seed,
            stage="retrain",
            name=chosen.name,
        )

    def _start(self) -> Executor[Job]:
        if ranks.world() > 1:
            return Inline(self._setup.pool, _together)
        return self._setup.start_executor()

    def _job(self, request: Train) -> Job:
        job = self._setup.job(request)
        return replace(
            job,
            begin_weights=self._init_from,
            validate_every=self._validate_every,
            events=self._events,
        )

    def _take_known(self, chosen: Chosen) -> bool:
        """Whether the database holds the result, which is then taken from there."""
        evaluation = self.store.known(chosen.genotype.id, self.protocol.id, self.recipe.seed)
        if evaluation is None:
            return False
        self.listen(
            Event(kind="repeated", genotype=chosen.genotype, cost=chosen.cost, psnr_db=evaluation.psnr_db)
        )
        self._finish(chosen, evaluation, known=True)
        return True

    def _keep(self, observation: Observation) -> None:
        assert observation.evaluation is not None
        chosen = self._chosen[observation.request.genotype.id]
        self._finish(chosen, observation.evaluation, known=observation.state == "repeated")

    def _finish(self, chosen: Chosen, evaluation: Evaluation, *, known: bool) -> None:
        done = Retrained(chosen=chosen, evaluation=evaluation, known=known)
        self.done[chosen.genotype.id] = done
        self._after(done)


def _together(job: Job, report: Callable[[Progress], None]) -> Outcome:
    """Train in every process of the group; the others wait for this job in :func:`follow`."""
    return train(ranks.shared(job), report)


def follow(report: Callable[[Progress], None]) -> None:
    """Train along in a process of the group that is not its first, until that one has finished."""
    while (job := ranks.shared(None)) is not None:
        train(job, report)

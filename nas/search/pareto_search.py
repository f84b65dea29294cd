"""The search's scheduler: propose, reject, promote, and further seeds for the front."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nas.core.units import format_count
from nas.cost.budget import Budget, Cost
from nas.errors import RunError
from nas.search.divergence import LEAST_TO_JUDGE, require_trainable
from nas.search.progress import SearchProgress
from nas.search.promotion import next_promotion
from nas.search.proposer import Proposer, many_trials
from nas.search.requests import Action, Key, Observation, Pause, Reject, Train
from nas.search.seeds import missing_seeds
from search_spaces import Genotype

PATIENCE = 1000
"""Proposals in a row that lead to nothing, after which a search gives up and says why."""

REPEATS_BEFORE_RANDOM = 20
"""Repeats in a row after which candidates are drawn at random instead of by the sampler."""


@dataclass(frozen=True, kw_only=True)
class Aims:
    """What a Pareto search is to reach, and within what.

    Attributes:
        budget: Limits of every candidate.
        seed: The seed of all candidates.
        front_seeds: Further seeds that the front is trained with at the end.
        is_over: From elapsed seconds and the progress so far: whether nothing new is to be started.
        queue: Networks that are proposed before the sampler is asked.
        names: Genotype id -> what a queued network is called.
        lr: The learning rate of all candidates; None where it is not known.
    """

    budget: Budget
    seed: int
    front_seeds: range = range(0)
    is_over: Callable[[float, SearchProgress], bool] = lambda elapsed, progress: False
    queue: Sequence[Genotype] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    lr: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Network:
    genotype: Genotype
    cost: Cost
    measured: Mapping[str, float] | None


class ParetoSearch:
    """Requests candidates, promotions to longer rungs and further seeds; see ``Scheduler``.

    Args:
        aims: Budget, seeds and stopping rules.
        progress: Counted in as results arrive; its ``wanted`` says how many candidates are trained.
        make_proposer: Called once with the number of recorded trials, so that a resumed sampler does not
            repeat its draws.
        cost_of: The counted cost of a genotype.
        measure: Memory and latency of a genotype, as far as the recipe needs them.
        note: Receives a line for the person who watches.
    """

    def __init__(
        self,
        aims: Aims,
        progress: SearchProgress,
        make_proposer: Callable[[int], Proposer],
        cost_of: Callable[[Genotype], Cost],
        *,
        measure: Callable[[Genotype], Mapping[str, float]] = lambda genotype: {},
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.aims, self.progress = aims, progress
        self._make_proposer, self._cost_of, self._measure, self._note = make_proposer, cost_of, measure, note
        self.warm_start: Sequence[Observation] = ()
        self._queue: list[Genotype] = []
        self._networks: dict[str, _Network] = {}
        self._pending: dict[Key, Train] = {}
        self._promoted: list[set[str]] = [set() for _ in progress.rungs]
        self._seeds: set[tuple[str, int]] = set()
        self._repeats = self._rejections = self._fruitless = 0
        self._failure: str | None = None
        self.skipped = 0
        """Proposals that were in training already, or had failed."""

    # What happened

    def restore(self, past: Sequence[Observation], pending: Sequence[Train]) -> None:
        """Rebuild sampler and progress from the recorded trials.

        Obsolete rejections count for nothing: their networks may be proposed again, and are trained then.
        """
        searched = sum(each.request.stage == "search" for each in past)
        searched += sum(each.stage == "search" for each in pending)
        self._proposer = self._make_proposer(searched)
        with many_trials():
            for observation in self.warm_start:
                self._proposer.tell(observation)
            for observation in past:
                self._remember(observation.request)
                if observation.request.stage == "search" and not observation.is_obsolete:
                    self.progress.count(observation)
                    self._proposer.tell(observation)
        for request in pending:
            self._remember(request)
            self._pending[request.key] = request
        if not searched:
            self._queue = list(self.aims.queue)

    def on_result(self, observation: Observation) -> None:
        """Count a result, a repeat or a rejection, and tell the sampler."""
        request = observation.request
        self._pending.pop(request.key, None)
        self._remember(request)
        if request.stage == "search":
            self.progress.count(observation)
            self._proposer.tell(observation)

    def on_failure(self, observation: Observation) -> None:
        """Count a failure; the next request raises where most candidates fail or diverge."""
        self.on_result(observation)
        self._failure = observation.reason

    def on_elsewhere(self, request: Train) -> None:
        """Another process trains it: its result is awaited."""

    def _remember(self, request: Train) -> None:
        if request.stage == "seeds":
            self._seeds.add((request.genotype.id, request.seed))
        elif request.rung:
            self._promoted[request.rung - 1].add(request.genotype.id)
        self._networks[request.genotype.id] = _Network(
            genotype=request.genotype, cost=request.cost, measured=request.measured
        )

    # What is next

    def next(self, elapsed: float) -> Action:
        """A promotion, else a new candidate, else a further seed of the front.

        Raises RunError after PATIENCE proposals over budget, where more than half of all candidates failed,
        and where nearly all diverged.
        """
        self._check()
        if self.aims.is_over(elapsed, self.progress):
            return self._pause()
        request = self._promote()
        if request is None and self._wants_more():
            return self._propose()
        request = request or self._another_seed()
        if request is None:
            return self._pause()
        self._pending[request.key] = request
        return request

    def _pause(self) -> Pause:
        return Pause.WAIT if self._pending else Pause.OVER

    def _check(self) -> None:
        progress, reason = self.progress, self._failure
        self._failure = None
        if self._rejections >= PATIENCE:
            raise RunError(self._hopeless())
        if reason is None:
            return
        require_trainable(progress.diverged, len(progress.results), reason, self.aims.lr)
        over = progress.failed + sum(len(results) for results in progress.rungs)
        if over >= LEAST_TO_JUDGE and progress.failed > over / 2:
            raise RunError(f"{progress.failed} of {over} candidates failed; the last one: {reason}")

    def _hopeless(self) -> str:
        rejected_by = self.progress.rejected_by
        tightest = max(rejected_by, key=rejected_by.__getitem__)
        limit = format_count(self.aims.budget.limits()[tightest])
        return (
            f"{PATIENCE} proposals in a row were over budget; the tightest limit is {tightest} = {limit}, "
            f"which rejected {rejected_by[tightest]} of {self.progress.rejected}. "
            "Change it, or narrow the space with [space.only]"
        )

    def _promote(self) -> Train | None:
        """The next candidate that has earned a longer training."""
        while (due := next_promotion(self.progress.rungs, self._promoted)) is not None:
            rung, genotype_id = due
            self._promoted[rung - 1].add(genotype_id)
            if genotype_id not in self.progress.failed_ids:
                return self._train(self._networks[genotype_id], rung=rung)
        return None

    def _train(self, network: _Network, *, rung: int = 0, token: object = None) -> Train:
        return Train(
            genotype=network.genotype,
            cost=network.cost,
            seed=self.aims.seed,
            rung=rung,
            continues=rung - 1 if rung else None,
            keep_state=rung < len(self.progress.rungs) - 1,
            measured=network.measured,
            name=self.aims.names.get(network.genotype.id),
            token=token,
        )

    def _another_seed(self) -> Train | None:
        """A member of the front with a seed it was not trained with, once nothing else is trained."""
        if not self.aims.front_seeds or any(each.stage == "search" for each in self._pending.values()):
            return None
        for genotype_id, seed in missing_seeds(self.progress.front(), self.aims.front_seeds, self._seeds):
            self._seeds.add((genotype_id, seed))
            network = self._networks[genotype_id]
            return Train(
                genotype=network.genotype,
                cost=network.cost,
                seed=seed,
                rung=self.progress.longest,
                stage="seeds",
                measured=network.measured,
                name=self.aims.names.get(genotype_id),
            )
        return None

    def _wants_more(self) -> bool:
        """Whether new candidates are to be proposed."""
        progress = self.progress
        pending = sum(each.stage == "search" and not each.rung for each in self._pending.values())
        if len(progress.results) + pending >= progress.wanted:
            return False
        if self._fruitless >= PATIENCE:
            self._note(f"the last {self._fruitless} proposals were known or over budget: nothing new fits")
            progress.wanted = len(progress.results) + pending
            return False
        return True

    def _propose(self) -> Action:
        """The next proposal: to be trained, over budget, or in training already."""
        progress, token = self.progress, None
        if self._queue:
            genotype = self._queue.pop(0)
        elif self._repeats >= REPEATS_BEFORE_RANDOM or self._proposer.only_draws:
            genotype = self._proposer.draw(self._started())
        else:
            genotype, token = self._proposer.ask()
        busy = any(each.genotype == genotype for each in self._pending.values())
        busy = busy or genotype.id in progress.failed_ids
        seen = busy or genotype.id in progress.results
        self._repeats = self._repeats + 1 if seen else 0
        if busy:
            self._fruitless += 1
            self.skipped += 1
            if token is not None:
                self._proposer.forget(token)
            return Pause.SKIPPED
        cost = self._cost_of(genotype)
        excess = self.aims.budget.excess(cost)
        measured = None if excess else self._measured(genotype)
        if not excess and not seen:
            excess = self.aims.budget.excess(cost, measured)
        self._rejections = self._rejections + 1 if excess else 0
        self._fruitless = self._fruitless + 1 if excess or seen else 0
        request = self._train(_Network(genotype=genotype, cost=cost, measured=measured), token=token)
        if excess:
            return Reject(**vars(request), excess=excess)
        self._pending[request.key] = request
        return request

    def _started(self) -> set[str]:
        """The ids of all networks that were trained, or are."""
        pending = {request.genotype.id for request in self._pending.values()}
        return pending | self.progress.failed_ids | self.progress.results.keys()

    def _measured(self, genotype: Genotype) -> Mapping[str, float]:
        known = self._networks.get(genotype.id)
        return self._measure(genotype) if known is None or known.measured is None else known.measured

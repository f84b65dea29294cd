"""A search replayed in virtual time: the real samplers and rungs, and a surface instead of trainings.

The loop is that of ``nas/search/pareto_search.py``: a candidate over the budget is rejected and never
trained, a repeat is told what is known, after many repeats chance proposes, several workers are busy at once
and a result is told when its training ends, a promotion comes before a new candidate. Only the clock is made
up, and thinking takes no time on it.
"""

from __future__ import annotations

import heapq
import itertools
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from leaderboard.store.records import Evaluation, Trial
from nas.errors import unknown
from nas.samplers import SAMPLERS, Listed, Setting
from nas.search.pareto_search import PATIENCE, REPEATS_BEFORE_RANDOM
from nas.search.promotion import next_promotion
from nas.search.proposer import Candidate, Proposer
from nas.simulation.objective import Covered, Surface
from search_spaces import Genotype

_NEVER = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is replayed.

    ``trainings`` are full trainings: without ``rungs`` so many candidates are trained; with them, candidates
    are begun at the lowest rung and promoted until as many seconds of workers are spent as so many full
    trainings of random candidates take.
    """

    sampler: str
    seed: int
    workers: int = 1
    trainings: int = 400
    rungs: bool = False

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise unknown("sampler", self.sampler, SAMPLERS)


@dataclass(frozen=True, kw_only=True)
class Step:
    """Where a replay stood when a training had ended.

    ``begun`` candidates had been trained at all, ``full`` of them to the longest rung; ``seconds`` is the
    clock, ``spent`` what the workers had been paid for together; ``share`` is the true hypervolume of the
    candidates trained in full as a share of the best front's.
    """

    begun: int
    full: int
    seconds: float
    spent: float
    share: float


@dataclass(kw_only=True)
class Trace:
    """What a replay went through; ``answered`` counts candidates whose answers came from a model."""

    steps: list[Step] = field(default_factory=list)
    rejected: int = 0
    repeated: int = 0
    answered: int = 0


@dataclass(frozen=True, kw_only=True)
class _Training:
    """One in training: ``rung`` is where it ends."""

    candidate: Candidate
    rung: int
    takes: float


def full_seconds(surface: Surface, seed: int = 0, count: int = 50) -> float:
    """What a full training takes: the mean of ``count`` random genotypes inside the budget."""
    space = surface.space
    if isinstance(space, Listed):
        drawn = list(space.entries)
    else:
        setting = Setting(seed=seed, space=space, price=surface.price, inside=surface.inside)
        found = setting.candidates().gather(count)
        drawn = [one.key for one in found if isinstance(one.key, Genotype)]
    top = len(surface.shares) - 1
    return sum(surface.seconds(genotype, top) for genotype in drawn) / len(drawn)


class Replay:
    """One search in virtual time; :meth:`run` gives its trace. Equal plans give equal traces."""

    def __init__(self, surface: Surface, plan: Plan) -> None:
        self.surface, self.plan = surface, plan
        shares = surface.shares if plan.rungs else (1.0,)
        top = len(surface.shares) - 1
        self._rung_of = list(range(top + 1)) if plan.rungs else [top]
        self._most_seconds = float("inf")
        expected = plan.trainings
        if plan.rungs:
            mean = full_seconds(surface)
            self._most_seconds = plan.trainings * mean
            expected = max(4, int(plan.trainings / shares[0] / 2))
        setting = Setting(
            seed=plan.seed,
            space=surface.space,
            price=surface.price,
            inside=surface.inside,
            floor=surface.floor_db,
            trials=expected,
        )
        self._proposer = Proposer(
            plan.sampler, setting, surface.budget, ["psnr_db", "multi_adds"], list(shares)
        )
        self._draw = random.Random(plan.seed)  # noqa: S311  (not for secrets)
        self._results: list[dict[str, tuple[float, float]]] = [{} for _ in shares]
        self._promoted: list[set[str]] = [set() for _ in shares]
        self._genotypes: dict[str, Genotype] = {}
        self._busy: list[tuple[float, int, _Training]] = []
        self._covered = Covered(surface)
        self._order = itertools.count()
        self._now = self._spent = self._paid = 0.0
        self._repeats = self._fruitless = 0
        self.trace = Trace()

    def run(self) -> Trace:
        """Replay until the plan's trainings are done, or nothing new is to be found."""
        while True:
            while len(self._busy) < self.plan.workers and (training := self._next()) is not None:
                self._spent += training.takes
                heapq.heappush(self._busy, (self._now + training.takes, next(self._order), training))
            if not self._busy:
                return self.trace
            self._now, _, training = heapq.heappop(self._busy)
            self._paid += training.takes
            self._end(training)

    def _next(self) -> _Training | None:
        """What a free worker trains: who has earned a longer training, or a new candidate."""
        if self._spent >= self._most_seconds:
            return None
        if (found := next_promotion(self._results, self._promoted)) is not None:
            rung, genotype_id = found
            self._promoted[rung - 1].add(genotype_id)
            return self._training(self._genotypes[genotype_id], rung, None)
        while self._wants_more():
            training = self._propose()
            if training is not None:
                return training
        return None

    def _wants_more(self) -> bool:
        if self._fruitless >= PATIENCE or self._is_used_up():
            return False
        return self.plan.rungs or len(self._genotypes) < self.plan.trainings

    def _is_used_up(self) -> bool:
        space = self.surface.space
        return isinstance(space, Listed) and len(self._genotypes) >= len(space.entries)

    def _propose(self) -> _Training | None:
        """The next new candidate; None where the proposal was rejected or known."""
        asked = None
        if self._repeats >= REPEATS_BEFORE_RANDOM or self._is_uniform():
            genotype = self._chance()
        else:
            genotype, asked = self._proposer.ask()
        known = genotype.id in self._genotypes
        self._repeats = self._repeats + 1 if known else 0
        if not known and self.surface.inside(genotype):
            self._fruitless = 0
            self._genotypes[genotype.id] = genotype
            self.trace.answered += not self.surface.is_recorded(genotype)
            return self._training(genotype, 0, asked)
        self._fruitless += 1
        if not known:
            self.trace.rejected += 1
            self._tell(self._candidate(genotype, 0, "rejected", asked), "rejected", None)
        elif genotype.id in self._results[0]:
            self.trace.repeated += 1
            candidate = self._candidate(genotype, 0, "repeated", asked)
            self._tell(candidate, "repeated", self._results[0][genotype.id][1])
        else:  # it is in training
            self.trace.repeated += 1
            if asked is not None:
                self._proposer.forget(asked)
        return None

    def _is_uniform(self) -> bool:
        """Whether chance takes any entry of a list with equal probability, and not the nearest to a draw."""
        return self.plan.sampler == "random" and isinstance(self.surface.space, Listed)

    def _chance(self) -> Genotype:
        space = self.surface.space
        if not isinstance(space, Listed):
            return self._proposer.draw()
        return self._draw.choice([one for one in space.entries if one.id not in self._genotypes])

    def _training(self, genotype: Genotype, rung: int, asked: Any) -> _Training:
        to = self._rung_of[rung]
        before = self._rung_of[rung - 1] if rung else None
        return _Training(
            candidate=self._candidate(genotype, rung, "running", asked),
            rung=rung,
            takes=self.surface.pays(genotype, to, before),
        )

    def _end(self, training: _Training) -> None:
        """Take in a result, as a search does."""
        genotype, rung = training.candidate.genotype, training.rung
        psnr = self.surface.measured_db(genotype, self._rung_of[rung], self.plan.seed)
        self._results[rung][genotype.id] = self.surface.price(genotype), psnr
        if rung == len(self._rung_of) - 1:
            self._covered.add(genotype)
        self._tell(training.candidate, "finished", psnr)
        step = Step(
            begun=len(self._results[0]),
            full=len(self._results[-1]),
            seconds=self._now,
            spent=self._paid,
            share=self._covered.share,
        )
        self.trace.steps.append(step)

    def _tell(self, candidate: Candidate, state: str, psnr: float | None) -> None:
        self._proposer.tell(candidate, state, None if psnr is None else _evaluation(candidate, psnr))

    def _candidate(self, genotype: Genotype, rung: int, state: str, asked: Any) -> Candidate:
        cost = self.surface.cost(genotype)
        trial = Trial(
            id=0,
            number=0,
            stage="search",
            state=state,
            genotype_id=genotype.id,
            space=genotype.space,
            choices={},
            seed=self.plan.seed,
            scale=4,
            rung=rung,
            cost=cost.to_dict(),
            excess={},
            evaluation=None,
            reason=None,
            created_at=_NEVER,
            finished_at=None,
        )
        return Candidate(trial, genotype, cost, asked)


def _evaluation(candidate: Candidate, psnr_db: float) -> Evaluation:
    return Evaluation(
        id=0,
        genotype_id=candidate.trial.genotype_id,
        protocol_id="",
        seed=candidate.trial.seed,
        psnr_db=psnr_db,
        ssim=0.0,
        train_seconds=0.0,
        device="",
        torch_version="",
        code_version="",
        checkpoint=None,
        curve=[],
        per_image={},
        created_at=_NEVER,
    )

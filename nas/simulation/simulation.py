"""A search in virtual time: the search's own loop, scheduler and samplers, and an objective that answers."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from nas.errors import unknown
from nas.executors import Pool
from nas.samplers import SAMPLERS, Listed, Setting
from nas.search.loop import Loop
from nas.search.pareto_search import Aims, ParetoSearch
from nas.search.progress import Listener, SearchProgress
from nas.search.proposer import Proposer
from nas.search.requests import Observation
from nas.simulation.executor import SimulatedExecutor
from nas.simulation.memory_recorder import MemoryRecorder
from nas.simulation.objective import Coverage, Objective
from search_spaces import Genotype


@dataclass(frozen=True, kw_only=True)
class SimulationPlan:
    """What is simulated.

    Attributes:
        sampler: A name in SAMPLERS.
        seed: Seeds the sampler and the noise of the answers.
        workers: Trainings that run at the same time.
        trainings: Full trainings. Without ``rungs`` so many candidates are trained. With them, candidates
            start at the lowest rung and are promoted until as many seconds of workers are spent as so many
            full trainings of random candidates take.
        rungs: Whether the objective's rungs are used.
        ahead: Trainings proposed while all workers are busy; None is what a search does (``Pool.ahead``).
    """

    sampler: str
    seed: int
    workers: int = 1
    trainings: int = 400
    rungs: bool = False
    ahead: int | None = None

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise unknown("sampler", self.sampler, SAMPLERS)


@dataclass(frozen=True, kw_only=True)
class SimulationStep:
    """The state of a simulation when a training ended.

    Attributes:
        begun: Candidates trained to any rung.
        full: Candidates trained to the longest rung.
        seconds: The virtual clock.
        spent: Seconds of all workers together.
        share: True hypervolume of the candidates trained in full, as a share of the best front's.
    """

    begun: int
    full: int
    seconds: float
    spent: float
    share: float


@dataclass(kw_only=True)
class SimulationTrace:
    """The course of a simulation; ``answered`` counts candidates whose answers came from a model."""

    steps: list[SimulationStep] = field(default_factory=list)
    rejected: int = 0
    repeated: int = 0
    answered: int = 0


def full_seconds(objective: Objective, seed: int = 0, count: int = 50) -> float:
    """Seconds of a full training: the mean of ``count`` random genotypes inside the budget."""
    space = objective.space
    if isinstance(space, Listed):
        genotypes = list(space.entries)
    else:
        setting = Setting(seed=seed, space=space, price=objective.price, inside=objective.inside)
        candidates = setting.candidates().gather(count)
        genotypes = [each.key for each in candidates if isinstance(each.key, Genotype)]
    top = len(objective.shares) - 1
    return sum(objective.seconds(genotype, top) for genotype in genotypes) / len(genotypes)


def simulate(
    objective: Objective, plan: SimulationPlan, listen: Listener = lambda event: None
) -> SimulationTrace:
    """Run one search in virtual time; equal plans give equal traces."""
    top = len(objective.shares) - 1
    rungs = range(top + 1) if plan.rungs else range(top, top + 1)
    ahead = Pool(workers=plan.workers, ahead=plan.ahead).capacity - plan.workers
    executor = SimulatedExecutor(objective, plan.workers, rungs, seed=plan.seed, ahead=ahead)
    most_seconds = plan.trainings * full_seconds(objective) if plan.rungs else float("inf")
    progress = SearchProgress(wanted=_wanted(objective, plan), rungs=[{} for _ in rungs])
    aims = Aims(
        budget=objective.budget,
        seed=plan.seed,
        is_over=lambda elapsed, progress: executor.spent >= most_seconds,
    )
    scheduler = ParetoSearch(aims, progress, lambda recorded: _proposer(objective, plan), objective.cost)
    trace, coverage = SimulationTrace(), Coverage(objective)

    def add_step(observation: Observation) -> None:
        request = observation.request
        if not request.rung:
            trace.answered += not objective.is_recorded(request.genotype)
        if request.rung == len(rungs) - 1:
            coverage.add(request.genotype)
        step = SimulationStep(
            begun=len(progress.results),
            full=len(progress.rungs[-1]),
            seconds=executor.clock(),
            spent=executor.paid,
            share=coverage.share,
        )
        trace.steps.append(step)

    Loop(
        scheduler,
        MemoryRecorder(),
        start=lambda: executor,
        make_job=lambda request: request,
        listen=listen,
        after=add_step,
        clock=executor.clock,
    ).run()
    trace.rejected, trace.repeated = progress.rejected, progress.repeated + scheduler.skipped
    return trace


def _wanted(objective: Objective, plan: SimulationPlan) -> int:
    """How many candidates are trained at most; with rungs the seconds decide."""
    wanted = sys.maxsize if plan.rungs else plan.trainings
    space = objective.space
    return min(wanted, len(space.entries)) if isinstance(space, Listed) else wanted


def _proposer(objective: Objective, plan: SimulationPlan) -> Proposer:
    """The sampler, told how many candidates to expect: with rungs, half of what the seconds could begin."""
    shares = list(objective.shares) if plan.rungs else [1.0]
    expected = max(4, int(plan.trainings / shares[0] / 2)) if plan.rungs else plan.trainings
    setting = Setting(
        seed=plan.seed,
        space=objective.space,
        price=objective.price,
        inside=objective.inside,
        floor=objective.floor_db,
        trials=expected,
    )
    return Proposer(plan.sampler, setting, objective.budget, ["psnr_db", "multi_adds"], shares)

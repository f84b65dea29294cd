"""Searches in virtual time: the clock by hand, the real samplers, and made-up surfaces with known fronts."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pytest
from levels import mostly_thorough

from leaderboard.fronts.pareto import hypervolume
from nas.errors import RecipeError
from nas.samplers import SAMPLERS, RandomChooser
from nas.simulation.objective import Coverage
from nas.simulation.simulation import SimulationPlan, full_seconds, simulate
from nas.simulation.synthetic_bottleneck import SPACE, Bottleneck
from nas.simulation.synthetic_landscape import DRAWS, SURFACES, surface_of
from search_spaces import Genotype, SpaceError


class Clock(Bottleneck):
    """Two rungs, of one and of three seconds, whoever is trained."""

    shares = (1 / 3, 1.0)

    def seconds(self, genotype: Genotype, rung: int) -> float:
        return (1.0, 3.0)[rung]


def test_two_workers_and_two_rungs_keep_the_schedule_of_a_hand() -> None:
    """A promotion (2 seconds) is due with every third result; twelve seconds of work are begun in all.

    | second | worker A | worker B |
    | --- | --- | --- |
    | 0-1 | first | second |
    | 1-2 | third | fourth |
    | 2-4 | a promotion, after three results | fifth, sixth |
    | 4-6 | seventh, eighth | a promotion, after six |
    """
    surface = Clock(0)
    assert full_seconds(surface) == 3
    plan = SimulationPlan(sampler="random", seed=0, workers=2, trainings=4, rungs=True, ahead=0)
    trace = simulate(surface, plan)
    assert [(step.begun, step.full, step.seconds) for step in trace.steps] == [
        *((1, 0, 1), (2, 0, 1), (3, 0, 2), (4, 0, 2), (5, 0, 3)),
        *((5, 1, 4), (6, 1, 4), (7, 1, 5), (7, 2, 6), (8, 2, 6)),
    ]
    assert [step.spent for step in trace.steps] == [1, 2, 3, 4, 5, 7, 8, 9, 11, 12]
    shares = [step.share for step in trace.steps]
    assert shares[:5] == [0] * 5 and 0 < shares[5] <= shares[-1]


def test_what_is_proposed_ahead_waits_until_a_worker_is_free() -> None:
    """With one training proposed ahead, the second promotion is due two seconds later than without.

    | second | worker A | worker B |
    | --- | --- | --- |
    | 0-1 | first | second |
    | 1-2 | third | fourth |
    | 2-4 | fifth, sixth | a promotion, after three results |
    | 4-5 | seventh | eighth |
    | 5-7 | a promotion, after six results | |
    """
    plan = SimulationPlan(sampler="random", seed=0, workers=2, trainings=4, rungs=True)
    trace = simulate(Clock(0), plan)
    assert [(step.begun, step.full, step.seconds) for step in trace.steps] == [
        *((1, 0, 1), (2, 0, 1), (3, 0, 2), (4, 0, 2), (5, 0, 3)),
        *((5, 1, 4), (6, 1, 4), (7, 1, 5), (8, 1, 5), (8, 2, 7)),
    ]


def test_a_rung_that_begins_anew_pays_for_all_of_it() -> None:
    surface = Clock(0)
    surface.goes_on = False
    trace = simulate(surface, SimulationPlan(sampler="random", seed=0, trainings=3, rungs=True))
    assert [step.seconds for step in trace.steps] == [1, 2, 3, 6, 7, 8, 9]


def test_workers_share_the_work_and_results_come_in_the_order_in_which_they_end() -> None:
    surface = surface_of("bottleneck", 0)
    plans = [SimulationPlan(sampler="random", seed=3, workers=workers, trainings=24) for workers in (1, 4)]
    alone, together = (simulate(surface, plan) for plan in plans)
    assert alone.steps[-1].seconds == pytest.approx(alone.steps[-1].spent)
    assert together.steps[-1].spent == pytest.approx(alone.steps[-1].spent)
    assert together.steps[-1].seconds < alone.steps[-1].seconds / 3
    clock = [step.seconds for step in together.steps]
    assert clock == sorted(clock)
    assert together.steps[-1].share == pytest.approx(alone.steps[-1].share)


@pytest.mark.parametrize("sampler", mostly_thorough(["surrogate", "tpe", "random"], {"tpe", "random"}))
@pytest.mark.parametrize("rungs", mostly_thorough([False, True], {True}))
def test_equal_plans_have_equal_traces_and_other_seeds_others(sampler: str, rungs: bool) -> None:
    surface = surface_of("bottleneck", 0)
    trainings = 2 if rungs else 15

    def trace(seed: int) -> object:
        plan = SimulationPlan(sampler=sampler, seed=seed, workers=3, trainings=trainings, rungs=rungs)
        return simulate(surface, plan)

    assert trace(0) == trace(0) != trace(3)


@pytest.mark.parametrize("sampler", mostly_thorough(SAMPLERS, set(SAMPLERS) - {"gp"}))
def test_every_sampler_can_be_replayed(sampler: str) -> None:
    trace = simulate(
        surface_of("bottleneck", 1), SimulationPlan(sampler=sampler, seed=1, workers=2, trainings=8)
    )
    assert [step.full for step in trace.steps] == list(range(1, 9))
    shares = [step.share for step in trace.steps]
    assert shares == sorted(shares) and 0 < shares[-1] <= 1


def test_an_unknown_sampler_and_surface_are_told() -> None:
    with pytest.raises(RecipeError, match="did you mean 'tpe'"):
        SimulationPlan(sampler="tpx", seed=0)
    with pytest.raises(RecipeError, match="did you mean 'bottleneck'"):
        surface_of("bottlenek", 0)


@pytest.mark.parametrize("name", SURFACES)
def test_a_surface_answers_the_same_every_time_and_noise_falls_with_length(name: str) -> None:
    surface = surface_of(name, 0)
    chooser = RandomChooser(0)
    ones = [surface.space.suggest(chooser) for _ in range(60)]
    top = len(surface.shares) - 1
    for rung in range(top + 1):
        assert [surface.measured_db(one, rung, 5) for one in ones] == [
            surface.measured_db(one, rung, 5) for one in ones
        ]
    apart = [
        statistics.mean(abs(surface.measured_db(one, rung, 1) - surface.truth_db(one)) for one in ones)
        for rung in range(top + 1)
    ]
    assert apart == sorted(apart, reverse=True)
    seconds = [surface.seconds(ones[0], rung) for rung in range(top + 1)]
    assert seconds == sorted(seconds)
    assert surface_of(name, DRAWS) is surface


def test_the_front_of_the_bottleneck_is_that_of_all_genotypes() -> None:
    """By enumeration of one corner of the space through genotypes, and by columns."""
    surface = Bottleneck(2)
    at, cost, quality = {}, [], []
    axes = {axis.name: axis.options for axis in SPACE.axes}
    narrow = {"width": (8, 32, 64), "blocks": (1, 5), "norm": ("a",), "end": ("d",), "gate": ("a", "f")}
    sides = [narrow.get(name, options) for name, options in axes.items()]
    for answers in itertools.product(*sides):
        one = SPACE.genotype(**dict(zip(axes, answers, strict=True)))  # type: ignore[arg-type]
        at[one] = None
        if surface.inside(one):
            cost.append(surface.price(one))
            quality.append(surface.truth_db(one))
    front_cost, front_quality = surface.front()
    reached = hypervolume(cost, quality, cost_limit=surface.cost_limit, quality_floor=surface.floor_db)
    assert 0 < reached < surface.best
    best = dict(zip(front_cost, front_quality, strict=True))
    for one_cost, one_quality in zip(cost, quality, strict=True):
        beaten_by = max((q for c, q in best.items() if c <= one_cost), default=-np.inf)
        assert one_quality <= beaten_by + 1e-9
    assert SPACE.count() == 1_296_000


def test_the_made_up_space_has_no_network() -> None:
    with pytest.raises(SpaceError, match="made up"):
        SPACE.suggest(RandomChooser(0)).build(4)


@pytest.mark.thorough
def test_a_share_grows_with_what_is_added_and_is_that_of_all_of_it() -> None:
    surface = surface_of("landscape", 0)
    chooser = RandomChooser(4)
    ones = [one for one in (surface.space.suggest(chooser) for _ in range(80)) if surface.inside(one)]
    covered = Coverage(surface)
    shares = [covered.add(one) for one in ones]
    assert shares == sorted(shares)
    whole = hypervolume(
        [surface.price(one) for one in ones],
        [surface.truth_db(one) for one in ones],
        cost_limit=surface.cost_limit,
        quality_floor=surface.floor_db,
    )
    assert shares[-1] == pytest.approx(whole / surface.best) == pytest.approx(surface.share(ones))


@pytest.mark.parametrize("name", ["landscape", "bottleneck"])
@pytest.mark.thorough
def test_the_default_sampler_beats_chance(name: str) -> None:
    def reached(sampler: str, trainings: int) -> float:
        plans = [
            SimulationPlan(sampler=sampler, seed=seed, trainings=trainings) for seed in (0, DRAWS, 2 * DRAWS)
        ]
        surface = surface_of(name, 0)
        return statistics.mean(simulate(surface, plan).steps[-1].share for plan in plans)

    assert reached("surrogate", 40) > reached("random", 100)


@pytest.mark.thorough
def test_rungs_find_more_in_the_same_time() -> None:
    surface = surface_of("bottleneck", 0)

    def reached(rungs: bool) -> float:
        plans = [
            SimulationPlan(sampler="tpe", seed=seed, workers=4, trainings=20, rungs=rungs)
            for seed in (0, DRAWS, 2 * DRAWS)
        ]
        return statistics.mean(simulate(surface, plan).steps[-1].share for plan in plans)

    assert reached(True) > reached(False)

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from levels import mostly_thorough
from optuna.trial import TrialState

from nas.samplers import SAMPLERS, RandomChooser, Setting
from nas.samplers.starts import start_points
from nas.search.proposer import distribution
from search_spaces import Genotype, Space
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED

SPACE = Space(Lightweight)
GUARANTEED = sorted(set(SAMPLERS) - {"random", "tpe", "nsga2", "nsga3"})
"""Samplers that propose nothing over the budget and nothing twice."""


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def price(genotype: Genotype) -> float:
    """Quick, and of the same kind as Multi-Adds: a product of sizes."""
    return 1e6 * genotype.width**2 * genotype.blocks * (1 + (genotype.depth or 1) / 4)  # type: ignore[attr-defined]


def inside(genotype: Genotype) -> bool:
    return price(genotype) < 4e9


def quality(genotype: Genotype) -> float:
    """Grows with the cost, and more with some options than with others."""
    choices = genotype.to_dict()
    options = {axis.name: axis.options for axis in SPACE.axes}
    steps = [options[name].index(choices[name]) for name in ("block", "attention") if name in choices]
    return 28 + 0.5 * np.log10(price(genotype) / 1e8) + 0.05 * sum(steps)


def setting(seed: int = 0, **changes: Any) -> Setting:
    return Setting(
        **{"seed": seed, "space": SPACE, "price": price, "inside": inside, "trials": 40, **changes}
    )


def search(name: str, wanted: int, seed: int = 0, **changes: Any) -> tuple[list[Genotype], int, int]:
    """What was trained in order, how many proposals were over the budget, and how many were known."""
    sampler = SAMPLERS[name](setting(seed, **changes))
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    trained: list[Genotype] = []
    rejected = repeated = 0
    while len(trained) < wanted:
        trial = study.ask()
        genotype = SPACE.suggest(trial)
        trial.set_constraint("price", price(genotype) / 4e9 - 1)
        if not inside(genotype):
            rejected += 1
            study.tell(trial, state=TrialState.PRUNED)
            continue
        repeated += genotype in trained
        if genotype not in trained:
            trained.append(genotype)
        study.tell(trial, [quality(genotype), price(genotype)])
    return trained, rejected, repeated


@pytest.mark.parametrize("name", mostly_thorough(SAMPLERS, {"surrogate", "tpe", "random"}))
def test_a_sampler_drives_the_whole_space_through_rejections(name: str) -> None:
    trained, rejected, repeated = search(name, 8 if name == "gp" else 30, trials=12)
    assert len(set(trained)) == len(trained)
    if name in GUARANTEED:
        assert (rejected, repeated) == (0, 0)
    else:
        assert rejected < 400


@pytest.mark.parametrize("name", mostly_thorough(SAMPLERS, {"surrogate", "tpe", "nsga2", "random"}))
def test_the_same_seed_proposes_the_same(name: str) -> None:
    first = search(name, 7, 1, trials=12)
    assert first == search(name, 7, 1, trials=12)
    assert first != search(name, 7, 2, trials=12)


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"random"}))
def test_every_search_but_the_random_one_starts_inside_the_budget_and_spread_over_it(name: str) -> None:
    starts = setting().starts
    trained, rejected, _ = search(name, starts)
    assert rejected == 0
    costs = sorted(np.log(price(genotype)) for genotype in trained)
    gaps = np.diff(costs) / (costs[-1] - costs[0])
    assert costs[-1] - costs[0] > np.log(5)
    assert max(gaps) < 3 / starts


def test_a_short_search_starts_with_fewer_points() -> None:
    assert [setting(trials=trials).starts for trials in (1, 16, 36, 1000, None)] == [4, 5, 12, 12, 12]


def spread_starts(setting: Setting, count: int) -> tuple[Any, ...]:
    return tuple(one.key for one in start_points(setting.candidates(), count))


def test_start_points_can_be_had_for_any_search() -> None:
    starts = spread_starts(setting(), 12)
    assert len(set(starts)) == 12
    assert all(inside(genotype) for genotype in starts)
    assert spread_starts(setting(), 12) == starts != spread_starts(setting(1), 12)


def test_start_points_are_found_in_a_budget_that_chance_seldom_meets() -> None:
    def small(genotype: Genotype) -> bool:
        return price(genotype) <= 1e6 * 16**2 * 1.25

    chooser = RandomChooser(0)
    assert not any(small(SPACE.suggest(chooser)) for _ in range(50))
    starts = spread_starts(setting(inside=small), 6)
    assert len(set(starts)) == 6
    assert all(small(genotype) for genotype in starts)


def test_published_networks_in_the_budget_are_looked_at() -> None:
    genotypes = [entry.genotype for entry in PUBLISHED.values()]
    published = tuple(genotype for genotype in genotypes if isinstance(genotype, Lightweight))
    assert len(published) >= 4
    sampler = SAMPLERS["surrogate"](setting(inside=lambda genotype: True, published=published))
    kept = set(sampler._kept)  # type: ignore[attr-defined]
    assert kept == set(published)


def test_a_rebuilt_trial_has_the_distributions_that_a_trial_is_asked_for() -> None:
    study = optuna.create_study(sampler=SAMPLERS["random"](setting(4)))
    for _ in range(10):
        trial = study.ask()
        genotype = SPACE.suggest(trial)
        asked = [axis for axis, _ in SPACE.applicable(genotype) if len(axis.options) > 1]
        rebuilt = {axis.name: distribution(axis) for axis in asked}
        assert rebuilt == trial.distributions


def test_random_choice_starves_no_option() -> None:
    chooser = RandomChooser(0)
    genotypes = [SPACE.suggest(chooser) for _ in range(1500)]
    for axis in SPACE.axes:
        chosen = [choices for genotype in genotypes if axis.name in (choices := genotype.all_choices())]
        for option in axis.options:
            possible = [choices for choices in chosen if axis.settled(option, choices) == option]
            taken = sum(choices[axis.name] == option for choices in possible)
            assert taken > len(possible) / len(axis.options) / 2, (axis.name, option)


@pytest.mark.parametrize("name", mostly_thorough(SAMPLERS, {"surrogate", "tpe", "random"}))
def test_a_search_goes_on_from_recorded_trials(name: str) -> None:
    """As after a restart: the study is made of trials that the sampler has not proposed."""
    trained, _, _ = search("random", 14)
    sampler = SAMPLERS[name](setting(9))
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for genotype in trained:
        asked = [(axis, option) for axis, option in SPACE.applicable(genotype) if len(axis.options) > 1]
        study.add_trial(
            optuna.trial.create_trial(
                values=[quality(genotype), price(genotype)],
                params={axis.name: option for axis, option in asked},
                distributions={axis.name: distribution(axis) for axis, _ in asked},
                constraints={"price": price(genotype) / 4e9 - 1},
            )
        )
    proposed = [SPACE.suggest(study.ask()) for _ in range(3)]
    if name in GUARANTEED:
        assert len({*proposed, *trained}) == 17
        assert all(inside(genotype) for genotype in proposed)

from __future__ import annotations

import optuna
import pytest

from nas.samplers import SAMPLERS, RandomChooser
from nas.search import distribution
from search_spaces import Space
from search_spaces.lightweight import Lightweight

SPACE = Space(Lightweight)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_drives_the_whole_space_through_rejections(name: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=SAMPLERS[name](0))
    seen = set()
    for number in range(30):
        trial = study.ask()
        genotype = SPACE.suggest(trial)
        seen.add(genotype.id)
        trial.set_constraint("params", genotype.width / 40 - 1)
        if genotype.width > 40:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(trial, [number / 30, genotype.width * 1e9])
    assert len(seen) > 15


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_seed_proposes_the_same(name: str) -> None:
    def first_five(seed: int) -> list[str]:
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=SAMPLERS[name](seed))
        return [SPACE.suggest(study.ask()).id for _ in range(5)]

    assert first_five(1) == first_five(1) != first_five(2)


def test_a_rebuilt_trial_has_the_distributions_that_a_trial_is_asked_for() -> None:
    study = optuna.create_study(sampler=SAMPLERS["random"](4))
    for _ in range(10):
        trial = study.ask()
        genotype = SPACE.suggest(trial)
        asked = [axis for axis, _ in SPACE.applicable(genotype) if len(axis.options) > 1]
        rebuilt = {axis.name: distribution(axis) for axis in asked}
        assert rebuilt == trial.distributions


def test_random_choice_starves_no_option() -> None:
    chooser = RandomChooser(0)
    genotypes = [SPACE.suggest(chooser) for _ in range(600)]
    for axis in SPACE.axes:
        taken = [getattr(genotype, axis.name) for genotype in genotypes]
        applicable = [value for value in taken if value is not None]
        for option in axis.options:
            assert applicable.count(option) > len(applicable) / len(axis.options) / 2, (axis.name, option)

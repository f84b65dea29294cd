"""A space of which only some genotypes are there."""

from __future__ import annotations

import pytest

from nas.samplers import SAMPLERS, Listed, RandomChooser, Setting
from nas.search.proposer import Proposer
from nas.simulation.synthetic_bottleneck import Choices
from nas.simulation.synthetic_landscape import surface_of
from search_spaces import Genotype, Space
from search_spaces.lightweight import Lightweight

SURFACE = surface_of("landscape", 0)


def drawn(space: Space, count: int, seed: int = 0) -> tuple[Genotype, ...]:
    chooser = RandomChooser(seed)
    found = dict.fromkeys(space.suggest(chooser) for _ in range(4 * count))
    return tuple(one for one in found if not isinstance(one, Lightweight) or SURFACE.inside(one))[:count]


def test_what_is_there_is_nearest_to_itself_and_is_answered_by_its_own_choices() -> None:
    space = Space(Lightweight, version=0)
    entries = drawn(space, 60)
    listed = Listed(Lightweight, {}, entries)
    candidates = Setting(seed=0, space=listed, price=SURFACE.price, inside=SURFACE.inside).candidates()
    for entry in entries:
        assert listed.nearest(entry) is entry or listed.nearest(entry) == entry
        found = candidates.recall(listed.answers(entry))
        assert found is not None and found.key == entry and found.params == dict(listed.answers(entry))


def test_distances_are_those_of_a_hand() -> None:
    usual = {"width": 8, "blocks": 1, "kernel": "a", "gate": "a", "path": "a", "norm": "a", "end": "a"}
    one = Choices(**usual)
    wider = Choices(**{**usual, "width": 36})
    other = Choices(**{**usual, "kernel": "c", "gate": "b"})
    deep = Choices(**{**usual, "path": "d", "depth": 4})
    listed = Listed(Choices, {}, (wider, other, deep, one))
    assert listed.distances(one).tolist() == [28 / 56, 2, 2, 0]
    assert listed.nearest(Choices(**{**usual, "width": 28})) == wider
    assert Listed(Choices, {}, (other, deep)).nearest(one) == other  # the first of equals


def test_a_list_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Listed(Choices, {}, ())


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_proposes_what_is_there(name: str) -> None:
    entries = drawn(Space(Lightweight, version=0), 30)
    listed = Listed(Lightweight, {}, entries)
    setting = Setting(seed=0, space=listed, price=SURFACE.price, inside=SURFACE.inside, trials=12)
    proposer = Proposer(name, setting, SURFACE.budget, ["psnr_db", "multi_adds"], [1.0])
    for _ in range(6):
        genotype, asked = proposer.ask()
        assert genotype in entries
        proposer.forget(asked)

"""A space may grow: what an older version knew keeps its id, its digest and its meaning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
from dice import Dice
from grown import Grown
from torch import nn

from search_spaces import Genotype, Space, SpaceError, choice, span
from search_spaces.lightweight import Lightweight


class Toy(Genotype):
    def build(self, scale: int) -> nn.Module:
        return nn.Upsample(scale_factor=scale)


@dataclass(frozen=True, kw_only=True)
class First(Toy):
    """Version 0."""

    space = "toy"
    kind: str = choice("a", "b")
    depth: int = span(1, 2, when={"kind": ("b",)})
    tied: str = choice("no", "yes", same={"yes": ("no", {"kind": ("a",)})})


@dataclass(frozen=True, kw_only=True)
class Second(Toy):
    """A new axis, a new kind, and conditions that name them."""

    space = "toy"
    kind: str = choice("a", "b", "c", later={"c": 1})
    branches: str = choice("none", "wide", since=1, when={"kind": ("b", "c")})
    depth: int = span(1, 2, when={"kind": ("b", "c")})
    tied: str = choice("no", "yes", same={"yes": ("no", {"kind": ("a", "c")})})


@dataclass(frozen=True, kw_only=True)
class Third(Toy):
    """One more option on the axis that came second."""

    space = "toy"
    kind: str = choice("a", "b", "c", later={"c": 1})
    branches: str = choice("none", "wide", "deep", since=1, later={"deep": 2}, when={"kind": ("b", "c")})
    depth: int = span(1, 2, when={"kind": ("b", "c")})
    tied: str = choice("no", "yes", same={"yes": ("no", {"kind": ("a", "c")})})


def networks(space: Space) -> set[Genotype]:
    return {space.suggest(Dice(seed)) for seed in range(300)}


@pytest.mark.parametrize("grown", [Second, Third])
def test_networks_of_before_keep_their_ids(grown: type[Genotype]) -> None:
    for old in networks(Space(First)):
        again = grown.from_dict(old.to_dict())
        assert (again.id, again.to_dict()) == (old.id, old.to_dict())


def test_a_null_value_may_be_written_and_changes_nothing() -> None:
    written = Second.from_dict({"kind": "b", "branches": "none", "depth": 1, "tied": "no"})
    assert written == Second.from_dict({"kind": "b", "depth": 1, "tied": "no"})
    assert "branches" not in written.to_dict()
    assert written.all_choices()["branches"] == "none"
    with pytest.raises(SpaceError, match="branches = 'none' contradicts the other choices"):
        Second.from_dict({"kind": "a", "branches": "none", "tied": "no"})


def test_a_new_choice_makes_another_network() -> None:
    plain = Second(kind="b")
    assert replace(plain, branches="wide").id != plain.id
    assert replace(plain, branches="wide").to_dict()["branches"] == "wide"
    assert Second.from_dict(replace(plain, branches="wide").to_dict()).branches == "wide"


@pytest.mark.parametrize(
    ("old", "grown"), [(First, Second), (First, Third), (Second, Third)], ids=["1-2", "1-3", "2-3"]
)
@pytest.mark.parametrize("only", [{}, {"tied": ("no",)}, {"kind": ("b",)}], ids=str)
def test_an_older_digest_is_found_with_the_space_that_it_was(
    old: type[Genotype], grown: type[Genotype], only: Mapping[str, tuple[str, ...]]
) -> None:
    before = Space(old, only)
    then = Space(grown, only).of_digest(before.digest)
    assert then is not None and then.digest == before.digest
    assert then.count() == before.count()
    assert {each.id for each in networks(then)} == {each.id for each in networks(before)}
    assert [(axis.name, axis.options) for axis in then.axes] == [
        (axis.name, axis.options) for axis in before.axes
    ]
    assert Space(grown, only).digest != before.digest


def test_a_space_narrowed_to_what_was_before_is_the_space_of_before() -> None:
    narrowed = Space(Third, {"kind": ("a", "b"), "branches": ("none",)})
    assert narrowed.digest == Space(First).digest
    assert Space(Third, {"branches": ("none", "wide")}).digest == Space(Second).digest
    assert narrowed.of_digest(narrowed.digest) is narrowed or narrowed.of_digest(narrowed.digest) == narrowed


def test_another_space_is_none_of_the_versions() -> None:
    assert Space(Third).of_digest(Space(Lightweight).digest) is None
    assert Space(First).of_digest(Space(Second).digest) is None


def test_the_composed_space_may_grow() -> None:
    for only in ({}, {"skip": ("bicubic",)}):
        before = Space(Lightweight, only)
        then = Space(Grown, only).of_digest(before.digest)
        assert then is not None and then.count() == before.count()
    for seed in range(50):
        old = Space(Lightweight).suggest(Dice(seed))
        assert Grown.from_dict(old.to_dict()).id == old.id


VERSIONS = ["c007eb0bc1082d19"]
"""Digests of the versions of `lightweight`, from 0 on: add the next one where an axis or option is added."""


def test_every_version_of_the_composed_space_is_still_there() -> None:
    assert [Space(Lightweight, version=n).digest for n in range(len(VERSIONS))] == VERSIONS
    assert Space(Lightweight).digest == VERSIONS[-1]

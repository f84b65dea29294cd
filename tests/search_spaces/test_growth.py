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


@dataclass(frozen=True, kw_only=True)
class Fourth(Toy):
    """The second kind is another way to say a kind and a new axis."""

    space = "toy"
    kind: str = choice("a", "b", former={"b": (1, {"kind": "a", "extra": "big"})})
    depth: int = span(1, 2)
    extra: str = choice("small", "big", "huge", since=1)


@dataclass(frozen=True, kw_only=True)
class BeforeFourth(Toy):
    """Its version 0."""

    space = "toy"
    kind: str = choice("a", "b")
    depth: int = span(1, 2)


def test_a_network_of_a_former_option_keeps_its_id_and_has_its_newer_choices() -> None:
    for old in networks(Space(BeforeFourth)):
        again = Fourth.from_dict(old.to_dict())
        assert (again.id, again.to_dict()) == (old.id, old.to_dict())
        assert Fourth.from_dict(again.all_choices()) == again == replace(again)
    assert Fourth(kind="b") == Fourth(kind="a", extra="big")
    assert Fourth(kind="b").all_choices() == {"kind": "a", "depth": 1, "extra": "big"}
    assert Fourth(extra="huge").to_dict() == {"kind": "a", "depth": 1, "extra": "huge"}
    with pytest.raises(SpaceError, match="kind = 'b' means extra = 'big', not 'huge'"):
        Fourth(kind="b", extra="huge")


def test_the_newest_version_has_no_former_option_and_the_older_one_has() -> None:
    assert [axis.options for axis in Space(Fourth).axes] == [("a",), (1, 2), ("small", "big", "huge")]
    then = Space(Fourth).of_digest(Space(BeforeFourth).digest)
    assert then is not None and then.version == 0 and then.count() == Space(BeforeFourth).count()
    assert {each.id for each in networks(then)} == {each.id for each in networks(Space(BeforeFourth))}
    words = {axis.name: option for axis, option in then.applicable(Fourth(kind="b"))}
    assert words == {"kind": "b", "depth": 1}
    assert then.choices_of(Fourth(extra="huge")) == {"kind": "a", "depth": 1, "extra": "huge"}
    assert len(networks(Space(Fourth))) == Space(Fourth).count() == 6


def test_a_recipe_that_names_a_former_option_is_one_of_the_older_version() -> None:
    older, narrowed = Space(BeforeFourth, {"kind": ("b",)}), Space(Fourth, {"kind": ("b",)})
    assert narrowed.digest == older.digest and narrowed.of_digest(older.digest) == narrowed
    assert {each.id for each in networks(narrowed)} == {each.id for each in networks(older)}
    with pytest.raises(SpaceError, match=r"only.extra needs .*: kind = 'b' is kind = 'a', extra = 'big'"):
        Space(Fourth, {"kind": ("b",), "extra": ("big",)})
    # Without the new axis the newest version still lacks the former option: it is no older space.
    assert Space(Fourth, {"extra": ("small",)}).digest != Space(BeforeFourth).digest
    assert Space(Fourth, {"extra": ("small",), "kind": ("a",)}).digest == (
        Space(BeforeFourth, {"kind": ("a",)}).digest
    )


def test_the_asymmetric_kernel_is_a_branch_and_its_results_follow() -> None:
    kernel = Lightweight(block="safm", kernel="asymmetric")
    branch = Lightweight(block="safm", kernel="3x3", branches="asymmetric")
    assert kernel == branch and kernel.id == branch.id == "a39fa99eb22f"  # the id of version 0
    assert branch.to_dict()["kernel"] == "asymmetric" and "branches" not in branch.to_dict()
    assert Lightweight.from_dict(branch.all_choices()) == branch
    with pytest.raises(SpaceError, match="kernel = 'asymmetric' means branches = 'asymmetric', not 'ecb'"):
        Lightweight(block="safm", kernel="asymmetric", branches="ecb")


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


VERSIONS = ["c007eb0bc1082d19", "5a5d144ec0fc12f1", "75008b932c7cdefe"]
"""Digests of the versions of `lightweight`, from 0 on: add the next one where an axis or option is added."""


def test_every_version_of_the_composed_space_is_still_there() -> None:
    assert [Space(Lightweight, version=n).digest for n in range(len(VERSIONS))] == VERSIONS
    assert Space(Lightweight).digest == VERSIONS[-1]

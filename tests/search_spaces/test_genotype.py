from __future__ import annotations

import itertools
import json
import tomllib
from dataclasses import dataclass

import pytest
import tomli_w
from torch import nn

from nas.samplers import RandomChooser
from search_spaces import Genotype, Space, SpaceError, choice, load_space, span
from search_spaces.lightweight import Lightweight


@dataclass(frozen=True, kw_only=True)
class Toy(Genotype):
    width: int = span(2, 6, step=2)
    kind: str = choice("a", "b", "c")
    depth: int = span(1, 3, when={"kind": ("b", "c")})
    flag: bool = choice(False, True, when={"kind": ("c",), "depth": (2, 3)})

    def build(self, scale: int) -> nn.Module:
        return nn.Identity()


def test_a_choice_that_does_not_apply_changes_nothing() -> None:
    one, two = Toy(width=2, kind="a", depth=1), Toy(width=2, kind="a", depth=3, flag=True)
    assert one == two
    assert one.id == two.id
    assert one.to_dict() == {"width": 2, "kind": "a"}
    assert Toy(kind="c", depth=1, flag=True) == Toy(kind="c", depth=1)
    assert Toy(kind="c", depth=2, flag=True).id != Toy(kind="c", depth=2, flag=False).id


def test_the_id_is_the_same_on_every_machine() -> None:
    assert Lightweight(width=32, blocks=4).id == Lightweight(width=32, blocks=4).id
    assert len(Lightweight().id) == 12
    # A hash of the name and the choices: a change here would lose every recorded result.
    assert Toy(width=2, kind="a").id == Toy.from_dict({"kind": "a", "width": 2}).id


def test_count_is_what_brute_force_finds() -> None:
    for only in ({}, {"kind": ("c",)}, {"depth": (1, 2), "kind": ("a", "c")}, {"depth": (1,)}):
        space = Space(Toy, only)
        combinations = itertools.product(*(axis.options for axis in space.axes))
        names = [axis.name for axis in space.axes]
        found = {Toy(**dict(zip(names, options, strict=True))).id for options in combinations}
        assert space.count() == len(found)


def test_suggestions_stay_inside_a_narrowed_space() -> None:
    space = Space(Lightweight, {"attention": ("esa", "cca"), "width": (16, 64), "transformers": (0,)})
    chooser = RandomChooser(0)
    for _ in range(50):
        genotype = space.suggest(chooser)
        assert genotype.attention in ("esa", "cca")
        assert genotype.width in (16, 64)
        assert genotype.transformer is None


def test_a_genotype_survives_json_and_toml() -> None:
    chooser = RandomChooser(1)
    for _ in range(50):
        genotype = Lightweight.suggest(chooser)
        for copy in (
            json.loads(json.dumps(genotype.to_dict())),
            tomllib.loads(tomli_w.dumps(genotype.to_dict())),
        ):
            assert Lightweight.from_dict(copy) == genotype
            assert Lightweight.from_dict(copy).id == genotype.id


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"widht": 2}, "did you mean 'width'"),
        ({"width": 3, "kind": "a"}, r"unknown option of width: 3 \(allowed: 2, 4, 6\)"),
        ({"width": True, "kind": "a"}, "unknown option of width: True"),
        ({"kind": "a"}, "width is missing"),
        ({"width": 2, "kind": "a", "depth": 2}, r"depth = 2 contradicts .* kind in \(b, c\)"),
    ],
)
def test_a_wrong_genotype_is_refused_with_what_is_allowed(choices: dict[str, object], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Toy.from_dict(choices)


def test_the_digest_follows_what_can_be_chosen() -> None:
    digests = {
        Space(Toy).digest,
        Space(Toy, {"kind": ("a",)}).digest,
        Space(Toy, {"kind": ("a", "b")}).digest,
        Space(Lightweight).digest,
    }
    assert len(digests) == 4
    assert Space(Toy, {"kind": ("b", "a")}).digest == Space(Toy, {"kind": ("a", "b")}).digest


@pytest.mark.parametrize("name", ["lightwieght", "no.such.module", "json", "torch.nn"])
def test_what_is_no_space_is_refused(name: str) -> None:
    with pytest.raises(SpaceError, match=name.split(".")[0]):
        load_space(name)


def test_an_unsupported_scale_is_refused() -> None:
    with pytest.raises(SpaceError, match="scale 5"):
        Lightweight().build(5)

"""The rules of genotypes and spaces, on a small space that can be enumerated."""

from __future__ import annotations

import itertools
import json
import sys
import tomllib
from dataclasses import dataclass

import pytest
import tomli_w
from torch import nn

import search_spaces
from search_spaces import (
    Genotype,
    Space,
    SpaceError,
    UntrustedSpaceError,
    choice,
    load_space,
    span,
    trust_space,
    trusted,
)
from search_spaces.lightweight import Lightweight


@dataclass(frozen=True, kw_only=True)
class Small(Genotype):
    """Five axes: one applies sometimes, one has options that are the same sometimes, one hangs on that."""

    blocks: int = span(1, 3)
    kind: str = choice("a", "b")
    depth: int = span(1, 2, when={"kind": ("b",)})
    sharing: str = choice(
        "none",
        "interval",
        "pairwise",
        "all",
        when={"blocks": (2, 3)},
        same={"interval": ("none", {"blocks": (2,)}), "pairwise": ("all", {"blocks": (2,)})},
    )
    tied: bool = choice(False, True, when={"sharing": ("all",)})

    def build(self, scale: int) -> nn.Module:
        return nn.Upsample(scale_factor=scale)


def _every(space: Space) -> set[Genotype]:
    """All genotypes, by brute force over the product of all options."""
    names = [axis.name for axis in space.axes]
    options = [axis.options for axis in space.axes]
    return {space.genotype(**dict(zip(names, values, strict=True))) for values in itertools.product(*options)}


def test_a_choice_that_does_not_apply_changes_nothing() -> None:
    assert Small(kind="a", depth=2) == Small(kind="a", depth=1)
    assert Small(kind="a", depth=2).id == Small(kind="a").id
    assert "depth" not in Small(kind="a", depth=2).to_dict()
    assert Small(kind="b", depth=2).id != Small(kind="b", depth=1).id


def test_two_names_of_one_network_are_one_genotype() -> None:
    assert Small(blocks=2, sharing="pairwise") == Small(blocks=2, sharing="all")
    assert Small(blocks=2, sharing="pairwise").id == Small(blocks=2, sharing="all").id
    assert Small(blocks=3, sharing="pairwise").id != Small(blocks=3, sharing="all").id
    assert Small(blocks=2, sharing="pairwise", tied=True).to_dict()["tied"] is True


def test_an_id_is_the_same_on_every_machine() -> None:
    assert (
        Lightweight(width=32, blocks=4, block="rfdb").id == Lightweight(block="rfdb", blocks=4, width=32).id
    )
    assert len(Lightweight().id) == 12


@pytest.mark.parametrize(
    "only",
    [
        {},
        {"blocks": [2]},
        {"blocks": [1]},
        {"sharing": ["pairwise"]},
        {"sharing": ["none", "interval"], "kind": ["b"]},
        {"sharing": ["interval", "pairwise"], "blocks": [2, 3]},
    ],
)
def test_the_count_is_that_of_an_enumeration(only: dict[str, list[object]]) -> None:
    space = Space(Small, only)  # type: ignore[arg-type]
    assert space.count() == len(_every(space))


def test_the_composed_space_narrowed_to_a_few_options_is_counted_exactly() -> None:
    only: dict[str, list[str | int | float | bool]] = {
        "width": [16],
        "stem": ["3x3"],
        "blocks": [1, 2, 4],
        "block": ["imdb", "rlfb", "gpdb"],
        "depth": [2, 3],
        "attention": ["none", "cca"],
        "kernel": ["3x3"],
        "branches": ["none", "ecb"],
        "activation": ["lrelu"],
        "aggregation": ["plain", "dense"],
        "transformers": [0, 1, 2],
        "transformer": ["window"],
        "heads": [2],
        "mlp_ratio": [1],
        "tail": ["pixel_shuffle", "two-step"],
        "shallow_tail": [False],
        "skip": ["none"],
    }
    space = Space(Lightweight, only)
    assert space.count() == len(_every(space))


def test_what_is_suggested_is_inside_the_narrowed_space(dice) -> None:  # type: ignore[no-untyped-def]
    space = Space(Small, {"sharing": ["pairwise"]})
    seen = {space.suggest(dice(seed)) for seed in range(200)}
    assert seen == _every(space)
    for genotype in seen:
        for axis, option in space.applicable(genotype):
            assert option in axis.options


def test_suggesting_reaches_every_genotype(dice) -> None:  # type: ignore[no-untyped-def]
    assert {Small.suggest(dice(seed)) for seed in range(600)} == _every(Space(Small))


def test_a_genotype_survives_json_and_toml(dice) -> None:  # type: ignore[no-untyped-def]
    for seed in range(50):
        genotype = Lightweight.suggest(dice(seed))
        again = json.loads(json.dumps(genotype.to_dict()))
        assert Lightweight.from_dict(again) == genotype
        again = tomllib.loads(tomli_w.dumps(genotype.to_dict()))
        assert Lightweight.from_dict(again) == genotype
        assert Lightweight.from_dict(again).id == genotype.id


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"kidn": "a"}, "'kidn'; did you mean 'kind'"),
        ({"blocks": 1, "kind": "c"}, r"unknown option of kind: 'c'.*\(allowed: a, b\)"),
        ({"blocks": 1, "kind": "a", "depth": 1}, r"depth = 1 contradicts .* kind in \(b\)"),
        ({"blocks": 1, "kind": "b"}, "depth is missing"),
        ({"blocks": True, "kind": "a"}, "unknown option of blocks: True"),
        ({"blocks": 4, "kind": "a"}, "unknown option of blocks: 4"),
    ],
)
def test_a_wrong_dictionary_is_answered_with_what_is_allowed(
    choices: dict[str, object], message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        Small.from_dict(choices)


def test_options_of_the_composed_space_are_answered_with_the_nearest() -> None:
    with pytest.raises(SpaceError, match="did you mean 'imdb'"):
        Lightweight(block="imbd")
    with pytest.raises(SpaceError, match="did you mean 'blueprint'"):
        Lightweight(kernel="blueprnt")


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ({"block": ["a"]}, "did you mean 'blocks'"),
        ({"kind": []}, "only.kind is empty: keep at least one of a, b"),
        ({"kind": ["c"]}, r"\(allowed: a, b\)"),
    ],
)
def test_a_wrong_narrowing_is_refused(only: dict[str, list[object]], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Space(Small, only)  # type: ignore[arg-type]


def test_the_digest_changes_with_options_and_conditions() -> None:
    digests = {Space(Small, only).digest for only in ({}, {"kind": ["a"]}, {"blocks": [1, 2]})}  # type: ignore[arg-type]
    assert len(digests) == 3
    assert Space(Small).digest == Space(Small).digest


def test_a_space_that_names_no_parts_is_counted_as_a_whole() -> None:
    assert Small().parts(2) is None


def test_spaces_are_found_by_word_and_by_module() -> None:
    assert load_space("lightweight") is Lightweight
    assert load_space("search_spaces.lightweight") is Lightweight
    assert load_space("search_spaces.networks.efrdn:Efrdn").__name__ == "Efrdn"
    with pytest.raises(SpaceError, match="did you mean 'lightweight'"):
        load_space("lightwait")
    with pytest.raises(SpaceError, match="found none"):
        load_space("search_spaces.errors")


def test_a_module_that_nobody_named_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trusted, "_trusted", {})
    monkeypatch.setattr(trusted, "_folders", {})
    for name in ("antigravity", "antigravity:Space", "xml.dom.pulldom", "nas.__main__"):
        monkeypatch.delitem(sys.modules, name, raising=False)
        with pytest.raises(UntrustedSpaceError, match=f"'{name}' is code outside ParetoSR, named by a file"):
            load_space(name, named_by="a file")
    for name in (".evil", "..", "evil/mod", "a..b", "a:b:c", "", "a" * 201, 3, None, "module:Class\n"):
        with pytest.raises(SpaceError, match="module or module:Class is needed"):
            load_space(name)  # type: ignore[arg-type]
        with pytest.raises(SpaceError, match="module or module:Class is needed"):
            trust_space(name)  # type: ignore[arg-type]
    assert "antigravity" not in sys.modules
    assert search_spaces.trusted_spaces() == ()

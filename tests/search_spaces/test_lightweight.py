"""The composed space: whatever is drawn from it builds, trains, and costs the sum of its parts."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
import torch

from search_spaces.blocks.distillation import DISTILLERS
from search_spaces.errors import SpaceError
from search_spaces.genotype import Genotype
from search_spaces.lightweight import Lightweight, _places

MANY = int(os.environ.get("PARETOSR_GENOTYPES", "24"))
"""How many random genotypes are tried; 1,000 take a minute or two."""

Count = Callable[..., tuple[int, int]]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_random_genotypes_build_and_train(scale: int, dice) -> None:  # type: ignore[no-untyped-def]
    for seed in range(scale, MANY + scale, 3):
        genotype = Lightweight.suggest(dice(seed))
        torch.manual_seed(seed)
        network = genotype.build(scale)
        x = torch.rand(1, 3, 6, 7, requires_grad=True)
        y = network(x)
        assert y.shape == (1, 3, 6 * scale, 7 * scale), genotype
        y.square().mean().backward()
        assert y.isfinite().all(), genotype
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), (name, genotype)


def test_the_parts_cost_what_the_network_costs(dice, counted: Count) -> None:  # type: ignore[no-untyped-def]
    size = (12, 15)
    for seed in range(min(MANY, 60)):
        genotype, scale = Lightweight.suggest(dice(1000 + seed)), 2 + seed % 3
        whole = counted(lambda g=genotype, s=scale: g.build(s), 3, size, "cpu")
        costs = [(part, counted(part.build, part.channels, size, "cpu")) for part in genotype.parts(scale)]
        params = sum(part.copies * cost[0] for part, cost in costs)
        multi_adds = sum(part.uses * cost[1] for part, cost in costs)
        assert (params, multi_adds) == whole, genotype


def test_equal_keys_cost_the_same_and_parts_are_named_without_building(dice, counted: Count) -> None:  # type: ignore[no-untyped-def]
    known: dict[object, tuple[int, int]] = {}
    for seed in range(30):
        for part in Lightweight.suggest(dice(seed)).parts(2):
            cost = counted(part.build, part.channels, (16, 16))
            assert known.setdefault(part.key, cost) == cost
            hash(part.key)


@pytest.mark.parametrize(
    "axis", [axis for axis in Lightweight.axes() if len(axis.options) > 1], ids=lambda axis: axis.name
)
def test_every_choice_makes_a_difference(axis, dice) -> None:  # type: ignore[no-untyped-def]
    """Two options that both apply and stand for themselves give networks that compute different images."""
    tried = 0
    for seed in range(200):
        choices = Lightweight.suggest(dice(seed)).to_dict()
        if axis.name not in choices or choices["skip"] == "bicubic":
            continue
        here = {**{other.name: other.options[0] for other in Lightweight.axes()}, **choices}
        made = {_image(Lightweight(**{**here, axis.name: option})) for option in axis.different(choices)[:4]}
        assert len(made) == len(axis.different(choices)[:4]), (axis.name, choices)
        tried += 1
        if tried == 2:
            break
    assert tried


def _image(genotype: Genotype) -> tuple[str, ...]:
    """A fingerprint of what the network computes: weights drawn from one seed, one fixed image."""
    torch.manual_seed(0)
    network = genotype.build(2).double().eval()
    x = torch.rand(1, 3, 20, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in network.parameters():
            # A zero tail would hide what is before it.
            if not parameter.any():
                parameter.uniform_(-0.1, 0.1)
        return tuple(f"{value:.12e}" for value in network(x).flatten()[:50].tolist())


@pytest.mark.parametrize("name", DISTILLERS)
def test_a_block_is_asked_only_about_what_it_takes(name: str) -> None:
    choices, block = Lightweight(block=name).to_dict(), DISTILLERS[name]
    asked = {
        "kernel": ["convolves"],
        "attention": ["attends"],
        "activation": ["activates"],
        "depth": ["distils", "repeats"],
        "share": ["distils"],
    }
    for axis, abilities in asked.items():
        assert (axis in choices) == any(getattr(block, ability, False) for ability in abilities)


def test_blocks_share_weights_as_the_genotype_says() -> None:
    for sharing, sets in {"none": 4, "interval": 2, "pairwise": 2, "all": 1}.items():
        network = Lightweight(blocks=4, sharing=sharing).build(2)
        assert len(network.get_submodule("blocks")._modules) == sets


def test_a_network_with_a_skip_begins_as_interpolation() -> None:
    network = Lightweight(skip="bicubic", shallow_tail=True, blocks=2).build(2)
    x = torch.rand(1, 3, 9, 8)
    expected = torch.nn.functional.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
    assert torch.equal(network(x), expected)


def test_interleaved_transformers_are_spread_evenly() -> None:
    assert [_places(4, count) for count in (0, 1, 2, 3)] == [(), (1,), (1, 2), (0, 1, 2)]
    assert _places(2, 3) == (0, 0, 1)


def test_dense_connections_do_not_enlarge_the_features() -> None:
    torch.manual_seed(0)
    x = torch.rand(1, 3, 12, 12)
    sizes = {}
    for aggregation in ("plain", "dense"):
        network = Lightweight(width=32, blocks=8, block="residual", aggregation=aggregation).build(2)
        sizes[aggregation] = network(x).abs().mean()
    assert sizes["dense"] < 4 * sizes["plain"]


def test_a_scale_that_is_not_supported_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"scale 5 is not supported \(allowed: 2, 3, 4\)"):
        Lightweight().build(5)

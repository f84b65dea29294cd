"""Zero-cost proxies: by hand where they can be, and on every kind of network of the space."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nas.calibration.zero_cost import (
    ZERO_COST,
    Sight,
    grad_norm,
    look_at,
    naswot,
    snip,
    synflow,
    zero_cost,
    zico,
)
from nas.samplers import RandomChooser
from search_spaces.blocks.attention import ATTENTIONS
from search_spaces.lightweight import Lightweight

SIZES = {"width": 16, "blocks": 2, "tail": "pixel_shuffle"}

KINDS: dict[str, dict[str, Any]] = {
    "plain": {"block": "residual"},
    "batch norm and lattice": {"block": "lattice"},
    "fourier": {"block": "ffc"},
    "window attention": {"transformers": 1, "transformer": "window"},
    "channel attention": {"transformers": 1, "transformer": "channel"},
    "esrt": {"transformers": 1, "transformer": "esrt"},
    "shared": {"block": "imdb", "sharing": "all"},
    "bicubic": {"block": "gpdb", "skip": "bicubic"},
    "safm": {"block": "safm"},
    "attention": {"block": "rfdb", "attention": next(word for word in ATTENTIONS if word != "none")},
}


@pytest.fixture(scope="module")
def sight() -> Sight:
    return look_at("photos", 2, 16, 0)


def genotype(**choices: Any) -> Lightweight:
    """The network with these choices, the rest by the space's first options."""
    first = {axis.name: axis.options[0] for axis in Lightweight.axes()}
    return Lightweight(**{**first, **SIZES, **choices})


def batch(seed: int, images: int = 4) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(images, 3, 6, 6, generator=draw), torch.rand(images, 3, 6, 6, generator=draw)


def chain(*weights: float) -> nn.Sequential:
    """1x1 convolutions of one channel, one after another."""
    layers = []
    for weight in weights:
        layer = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.constant_(layer.weight, weight)
        layers.append(layer)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_has_every_score_and_the_same_one_each_time(kind: str, sight: Sight) -> None:
    before = torch.random.get_rng_state()
    scores = zero_cost(genotype(**KINDS[kind]), sight, 1)
    assert set(scores) == set(ZERO_COST) and all(map(math.isfinite, scores.values())), scores
    assert zero_cost(genotype(**KINDS[kind]), sight, 1) == scores
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.nightly
def test_random_networks_of_the_space_have_every_score_but_where_flow_exceeds_float64(sight: Sight) -> None:
    chooser, without = RandomChooser(0), 0
    for _ in range(40):
        one = Lightweight.suggest(chooser)
        scores = zero_cost(one, sight, 0)
        if math.isnan(scores["synflow"]):
            without += 1
            assert not flows(one, sight), one
            del scores["synflow"]
        assert all(map(math.isfinite, scores.values())), (one, scores)
    assert without < 10


def flows(one: Lightweight, sight: Sight) -> bool:
    """Whether ones pass the network with absolute weights without nearing the end of float64."""
    torch.manual_seed(0)
    network = one.build(sight.scale).eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and not layer.weight.any():
                layer.reset_parameters()
        for parameter in network.double().parameters():
            parameter.abs_()
        sr = network(torch.ones_like(sight.batches[0][0][:1], dtype=torch.float64))
    return bool(torch.isfinite(sr).all()) and sr.abs().max().item() < 1e200


def test_another_seed_is_another_network(sight: Sight) -> None:
    one = genotype()
    assert zero_cost(one, sight, 0) != zero_cost(one, sight, 1)


def test_the_patches_are_the_same_each_time_and_no_larger_than_asked(sight: Sight) -> None:
    again = look_at("photos", 2, 16, 0)
    for (lr, hr), (same, _) in zip(sight.batches, again.batches, strict=True):
        assert torch.equal(lr, same)
        assert lr.shape[2:] == (16, 16) and hr.shape[2:] == (32, 32)
    assert look_at("photos", 2, 48, 0).batches[0][0].shape[-1] == 24


def test_synflow_by_hand() -> None:
    """Of a chain every layer's saliency is the product of all |weights| times the number of pixels."""
    x = torch.rand(1, 1, 5, 4)
    assert synflow(chain(-2.0, 3.0, 0.5), [(x, x)]) == pytest.approx(math.log(3 * (2 * 3 * 0.5) * 20))


def test_synflow_stays_finite_where_float32_does_not() -> None:
    x = torch.rand(1, 1, 4, 4)
    assert math.isfinite(synflow(chain(*[1e6] * 10), [(x, x)]))


def test_naswot_by_hand() -> None:
    """Two images, a single layer that passes them on: they share 1 of 4 signs."""
    one, other = torch.tensor([1.0, 1.0, -1.0, 1.0]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    x = torch.stack([one, other]).reshape(2, 1, 2, 2)
    assert naswot(chain(1.0), [(x, x)]) == pytest.approx(math.log(4 * 4 - 1 * 1))


def test_naswot_of_equal_images_has_no_score() -> None:
    x = torch.ones(2, 1, 3, 3)
    assert math.isnan(naswot(chain(1.0), [(x, x)]))


def test_gradients_by_hand() -> None:
    """y = w x with L1: the gradient is the mean of x where y is above the target."""
    x, target = torch.full((2, 1, 3, 3), 0.5), torch.zeros(2, 1, 3, 3)
    assert grad_norm(chain(0.8), [(x, target)]) == pytest.approx(math.log(0.5))
    assert snip(chain(0.8), [(x, target)]) == pytest.approx(math.log(0.8 * 0.5))


def test_zico_by_hand() -> None:
    """Gradients 0.2 and 0.6 over two batches: mean 0.4, deviation 0.2."""
    batches = [(torch.full((1, 1, 2, 2), level), torch.zeros(1, 1, 2, 2)) for level in (0.2, 0.6)]
    assert zico(chain(1.0), batches) == pytest.approx(math.log(2.0), rel=1e-4)


def test_zico_leaves_out_what_does_not_vary() -> None:
    batches = [(torch.full((1, 1, 2, 2), 0.5), torch.zeros(1, 1, 2, 2))] * 2
    assert zico(chain(1.0), batches) == 0


def test_a_layer_that_begins_at_zero_is_given_weights(sight: Sight) -> None:
    """Above a bicubic skip the last layer does; nothing would reach what lies before it."""
    one = genotype(**KINDS["bicubic"])
    network = one.build(2)
    zero = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d) and not layer.weight.any()]
    assert zero
    assert math.isnan(snip(network, [sight.batches[0]]))
    assert math.isfinite(zero_cost(one, sight, 0)["snip"])

"""The self-ensemble: eight flips and turns that are undone and averaged, apart from the network alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas.errors import RecipeError
from nas.evaluation.self_ensemble import WAYS, SelfEnsemble, self_ensembled, turned, turned_back
from nas.networks.loading import Network


class Shifting(nn.Module):
    """x2 by repeating pixels, and one pixel further to the right: no flip or turn leaves it as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2).roll(1, -1)


def test_the_ways_are_the_eight_symmetries_of_a_square_and_each_is_undone() -> None:
    x = torch.arange(3 * 5 * 5).reshape(1, 3, 5, 5)
    seen = {tuple(turned(x, way).reshape(-1).tolist()) for way in range(WAYS)}
    both = (x.rot90(k, (-2, -1)) for k in range(4)), (x.flip(-1).rot90(k, (-2, -1)) for k in range(4))
    assert seen == {tuple(one.reshape(-1).tolist()) for ones in both for one in ones}
    oblong = torch.rand(2, 3, 4, 7)
    for way in range(WAYS):
        assert torch.equal(turned_back(turned(oblong, way), way), oblong)
    assert torch.equal(turned(oblong, 0), oblong)


def test_it_is_the_mean_of_the_outputs_turned_back() -> None:
    x, network = torch.rand(1, 3, 4, 6, dtype=torch.float64), Shifting()
    y = SelfEnsemble(network)(x)
    assert y.shape == (1, 3, 8, 12) and len(network.seen) == WAYS
    plain = x.repeat_interleave(2, -1).repeat_interleave(2, -2)
    # By hand: the shift comes out to the right, to the left, down and up, twice each.
    expected = sum(plain.roll(step, side) for step in (1, -1) for side in (-1, -2)) / 4
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)


def test_a_network_that_knows_no_direction_gives_the_same_alone() -> None:
    torch.manual_seed(0)
    alone = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Upsample(scale_factor=2, mode="nearest")).double()
    x = torch.rand(1, 3, 5, 7, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(SelfEnsemble(alone)(x), alone(x), rtol=0, atol=1e-14)


def test_it_has_a_name_and_a_digest_of_its_own() -> None:
    network = Network(name="mine", source="here", scale=2, module=Shifting(), weights="abc")
    made = self_ensembled(network)
    assert (made.name, made.weights, made.scale) == ("mine+", "abc+", 2)
    with pytest.raises(RecipeError, match=r"mine\+ is a self-ensemble already"):
        self_ensembled(made)

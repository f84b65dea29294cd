"""Folding: the plainer network computes the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from search_spaces.blocks.branches import AsymmetricConv
from search_spaces.blocks.convolutions import CONVOLUTIONS
from search_spaces.blocks.folding import Foldable, fold
from search_spaces.lightweight import Lightweight


@pytest.mark.parametrize("block", ["imdb", "rfdb", "wrd", "residual"])
def test_a_folded_network_gives_the_same_image_with_fewer_parameters(block: str) -> None:
    torch.manual_seed(0)
    network = Lightweight(width=20, blocks=2, block=block, kernel="asymmetric").build(3).double().eval()
    x = torch.rand(1, 3, 9, 14, dtype=torch.float64)
    with torch.no_grad():
        before = network(x)
        size = sum(p.numel() for p in network.parameters())
        assert fold(network) is network
        assert torch.allclose(network(x), before, atol=1e-12, rtol=0)
    assert not any(isinstance(module, Foldable) for module in network.modules())
    assert sum(p.numel() for p in network.parameters()) < size


def test_a_folded_network_costs_what_the_plain_kernel_does() -> None:
    asymmetric = fold(Lightweight(width=20, blocks=2, kernel="asymmetric").build(2))
    square = Lightweight(width=20, blocks=2, kernel="3x3").build(2)
    assert sum(p.numel() for p in asymmetric.parameters()) == sum(p.numel() for p in square.parameters())


def test_a_part_used_twice_stays_one_part() -> None:
    conv = AsymmetricConv(4, 4)
    network = fold(nn.Sequential(conv, nn.ReLU(), conv))
    assert isinstance(network[0], nn.Conv2d) and network[0] is network[2]


def test_a_network_without_foldable_parts_is_left_alone() -> None:
    network = Lightweight(width=16, kernel="strip").build(2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert all(torch.equal(before[name], value) for name, value in fold(network).state_dict().items())


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_kernel_reaches_what_its_name_says(name: str) -> None:
    conv = CONVOLUTIONS[name](2, 3)
    x = torch.zeros(1, 2, 41, 41, requires_grad=True)
    conv(x)[0, :, 20, 20].sum().backward()
    assert x.grad is not None
    rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
    columns = x.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
    reach = {"5x5": 5, "strip": 11, "dilated": 19}.get(name, 3)
    assert rows.max() - rows.min() + 1 == reach
    assert columns.max() - columns.min() + 1 == reach

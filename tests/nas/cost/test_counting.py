from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nas.cost.budget import Budget, Cost
from nas.cost.counting import input_size, measure
from nas.errors import BudgetError
from nas.samplers import RandomChooser
from search_spaces import Space
from search_spaces.blocks.folding import deployed
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED


@pytest.mark.parametrize(
    ("scale", "params", "multi_adds"), [(2, 694_404, 158.8e9), (3, 703_059, 71.34e9), (4, 715_176, 40.9e9)]
)
def test_imdn_costs_what_its_paper_prints(scale: int, params: int, multi_adds: float) -> None:
    cost = measure(lambda: PUBLISHED["imdn"].build(scale), scale)
    assert cost.params == params
    assert cost.multi_adds == pytest.approx(multi_adds, rel=0.002)
    assert cost.conv_multi_adds == cost.multi_adds


def test_a_convolution_is_counted_as_on_paper() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2))

    cost = measure(build, 2, output=(20, 40))
    pixels = 10 * 20
    assert cost == Cost(
        params=12 * 27 + 12,
        multi_adds=12 * 27 * pixels,
        conv_multi_adds=12 * 27 * pixels,
        activations=12 * pixels,
    )


def test_attention_and_linear_layers_count_but_not_as_convolutions() -> None:
    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix = nn.Linear(3, 3, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = self.mix(x.flatten(2).transpose(1, 2))
            mixed = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
            return mixed.transpose(1, 2).reshape(x.shape)

    n = 8 * 6
    cost = measure(Attend, 1, output=(8, 6))
    assert cost.multi_adds == n * 9 + 2 * n * n * 3
    assert cost.conv_multi_adds == 0


def test_random_architectures_cost_what_torchs_own_counter_says() -> None:
    chooser, space = RandomChooser(3), Space(Lightweight)
    for _ in range(12):
        genotype = space.suggest(chooser)
        cost = measure(lambda g=genotype: g.build(4), 4, output=(96, 128))
        with torch.device("meta"):
            network, x = deployed(genotype.build(4)).eval(), torch.empty(1, 3, 24, 32)
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            network(x)
        assert cost.multi_adds == counter.get_total_flops() // 2, genotype


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # fvcore still uses it
def test_fvcore_counts_the_same_convolutions_and_matrix_products() -> None:
    from fvcore.nn import FlopCountAnalysis

    genotype = PUBLISHED["imdn"].build(4)
    analysis = FlopCountAnalysis(genotype.eval(), torch.zeros(1, 3, 24, 32))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    by_operator = analysis.by_operator()
    ours = measure(lambda: PUBLISHED["imdn"].build(4), 4, output=(96, 128))
    assert by_operator["conv"] == ours.multi_adds


def test_a_network_of_another_scale_is_refused() -> None:
    with pytest.raises(BudgetError, match="x2"):
        measure(lambda: nn.Conv2d(3, 3, 1), 2)


def test_the_input_for_x3_is_rounded_down_as_the_papers_do() -> None:
    assert input_size(3) == (240, 426)


def test_excess_names_each_broken_limit_and_equality_is_inside() -> None:
    cost = Cost(params=150, multi_adds=200, conv_multi_adds=200, activations=1)
    assert Budget(params=100, multi_adds=200).excess(cost) == {"params": pytest.approx(0.5)}
    assert Budget().excess(cost) == {}
    assert list(Budget(params=1, multi_adds=1).excess(cost)) == ["params", "multi_adds"]
    between = Budget(params=200, min_params=100, memory=1000, latency_ms=2.5)
    assert between.excess(replace(cost, params=100)) == {}
    assert between.excess(replace(cost, params=50)) == {"min_params": pytest.approx(0.5)}
    assert between.excess(cost, {"memory": 1500, "latency_ms": 2.5}) == {"memory": pytest.approx(0.5)}
    assert list(between.violations(cost)) == ["params", "min_params", "memory", "latency_ms"]
    with pytest.raises(BudgetError, match="min_params = 300 is above params = 200"):
        Budget(params=200, min_params=300)

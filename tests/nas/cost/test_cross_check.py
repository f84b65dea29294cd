from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.cost.counting import largest_layer, measure, uncounted_operations
from nas.cost.cross_check import second_opinions
from search_spaces.published import PUBLISHED


class Mixed(nn.Module):
    """Layer norm, bilinear enlargement, fused attention, convolution: what counters differ about."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(3)
        self.grow = nn.Conv2d(3, 12, 3, padding=1)
        self.mix = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = nn.functional.avg_pool2d(x, 20)
        tokens = self.mix(self.norm(small.permute(0, 2, 3, 1))).flatten(1, 2)[:, None]
        seen = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)[:, 0]
        back = seen.transpose(1, 2).reshape(small.shape)
        x = x + nn.functional.interpolate(back, x.shape[-2:], mode="bilinear", align_corners=False)
        return nn.functional.pixel_shuffle(self.grow(x), 2)


@pytest.mark.parametrize("name", ["imdn", "mixed"])
def test_every_difference_between_the_counters_is_explained(name: str) -> None:
    def build() -> nn.Module:
        return Mixed() if name == "mixed" else PUBLISHED[name].build(2)

    output = (160, 240)
    opinions = second_opinions(build, 2, measure(build, 2, output).multi_adds, output)
    assert [opinion.counter.split()[0] for opinion in opinions] == ["torch", "fvcore", "ptflops"]
    assert [opinion.unexplained for opinion in opinions] == [0, 0, 0], opinions
    assert opinions[0].differences == {}
    if name == "mixed":
        told = " ".join(reason for opinion in opinions for reason in opinion.differences)
        for word in ("layer normalisation", "bilinear", "scaled_dot_product_attention", "biases"):
            assert word in told


def test_an_operation_without_a_formula_is_named() -> None:
    class Fourier(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.irfft2(torch.fft.rfft2(x), s=x.shape[-2:])

    assert set(uncounted_operations(Fourier, 1)) >= {"_fft_c2r", "_fft_r2c"}
    assert uncounted_operations(lambda: PUBLISHED["imdn"].build(4), 4) == []


def test_the_largest_layer_is_found_inside_lists_of_modules() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList([nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 5, padding=2)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for part in self.parts:
                x = part(x)
            return x

    assert largest_layer(Net, 1) == ("parts.1", 720 * 1280 * 9 * 25)

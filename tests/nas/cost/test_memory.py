from __future__ import annotations

import pytest
import torch
from torch import nn

from nas.cost.counting import input_size
from nas.cost.memory import peak_memory
from search_spaces.lightweight import Lightweight

MEGA = 320 * 180  # LR pixels of 1280x720 at x4


def chain(*modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(*modules)


def test_two_convolutions_hold_their_input_and_output_at_once() -> None:
    """By hand: weights, image; then image + 8 channels; then 8 + 48, while the image still belongs to us."""
    weights = 8 * 3 * 9 + 8 + 48 * 8 * 9 + 48
    expected = 4 * (weights + MEGA * (3 + 8 + 48))
    assert (
        peak_memory(lambda: chain(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 48, 3, padding=1)), 4)
        == expected
    )


def test_what_is_let_go_does_not_count_and_what_is_in_place_adds_nothing() -> None:
    wide = [nn.Conv2d(3, 64, 1, bias=False), nn.Conv2d(64, 3, 1, bias=False)]
    narrow = [nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 3, 1, bias=False)]
    weights = 2 * 3 * 64 + 2 * 3 * 4
    # image + 64 + 3 at the middle of the wide pair is the top; the narrow pair comes after it has gone
    assert peak_memory(lambda: chain(*wide, *narrow), 4) == 4 * (weights + MEGA * (3 + 64 + 3))
    inplace = chain(nn.Conv2d(3, 64, 1, bias=False), nn.ReLU(inplace=True))
    outplace = chain(nn.Conv2d(3, 64, 1, bias=False), nn.ReLU())
    assert peak_memory(lambda: inplace, 4) == 4 * (192 + MEGA * 67)
    assert peak_memory(lambda: outplace, 4) == 4 * (192 + MEGA * 131)


def test_an_attention_matrix_that_is_written_out_counts() -> None:
    class Attend(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = x.flatten(2)
            return (tokens.transpose(1, 2) @ tokens).softmax(-1).sum(-1).view(1, 1, *x.shape[2:])

    pixels = 16 * 16
    image, matrix = 3 * pixels, pixels**2
    assert 4 * 2 * matrix <= peak_memory(Attend, 4, (64, 64)) <= 4 * (2 * matrix + 3 * image)


@pytest.mark.gpu
def test_a_gpu_allocates_what_is_counted_and_its_librarys_own_work() -> None:
    genotype = Lightweight(transformers=0)
    counted = peak_memory(lambda: genotype.build(4), 4)
    network = genotype.build(4).cuda().eval()
    x = torch.rand(1, 3, *input_size(4), device="cuda")
    with torch.no_grad():
        network(x)
        torch.cuda.reset_peak_memory_stats()
        network(x)
    assert counted * 0.95 <= torch.cuda.max_memory_allocated() <= counted * 2

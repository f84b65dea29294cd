from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from nas.samplers import RandomChooser
from search_spaces.blocks.attention import ATTENTIONS
from search_spaces.blocks.convolutions import CONVOLUTIONS, AsymmetricConv
from search_spaces.blocks.distillation import DISTILLERS
from search_spaces.blocks.sharing import SHARINGS
from search_spaces.blocks.transformers import TRANSFORMERS, WindowAttention
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED

SIZES = [(31, 47), (8, 8), (1, 64)]


def check_block(block: nn.Module, channels: int, size: tuple[int, int]) -> None:
    """Shape kept, gradients finite, the same twice in eval mode, picklable."""
    x = torch.rand(2, channels, *size, requires_grad=True)
    y = block(x)
    assert y.shape == x.shape
    y.square().mean().backward()
    for tensor in (x, *block.parameters()):
        assert tensor.grad is None or torch.isfinite(tensor.grad).all()
    assert x.grad is not None
    block = pickle.loads(pickle.dumps(block)).eval()
    with torch.no_grad():
        assert torch.equal(block(x), block(x))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ATTENTIONS)
def test_an_attention_keeps_the_shape(name: str, size: tuple[int, int]) -> None:
    check_block(ATTENTIONS[name](16), 16, size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_keeps_height_and_width(name: str, size: tuple[int, int]) -> None:
    check_block(CONVOLUTIONS[name](16, 16), 16, size)
    assert CONVOLUTIONS[name](12, 20)(torch.rand(1, 12, *size)).shape == (1, 20, *size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", DISTILLERS)
def test_a_cnn_block_keeps_the_shape_at_every_depth_and_share(name: str, size: tuple[int, int]) -> None:
    parts = {"conv": CONVOLUTIONS["3x3"], "attention": ATTENTIONS["esa"]}
    if not DISTILLERS[name].distils:
        check_block(DISTILLERS[name](16, **parts), 16, size)
        return
    for depth in (1, 4):
        for share in (0.25, 0.5):
            check_block(DISTILLERS[name](16, **parts, depth=depth, share=share), 16, size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_transformer_keeps_the_shape(name: str, shifted: bool, size: tuple[int, int]) -> None:
    check_block(TRANSFORMERS[name](16, heads=2, mlp_ratio=2, shifted=shifted), 16, size)


def test_an_asymmetric_convolution_folds_into_one_square_kernel() -> None:
    conv = AsymmetricConv(5, 7).double()
    x = torch.rand(2, 5, 9, 11, dtype=torch.float64)
    assert torch.allclose(conv(x), conv.folded()(x), atol=1e-12)


def test_windows_attend_only_inside_and_shifted_ones_across_the_border() -> None:
    for shifted, reaches in ((False, False), (True, True)):
        attention = WindowAttention(8, 2, shifted=shifted)
        x = torch.rand(1, 8, 16, 16, requires_grad=True)
        attention(x)[0, :, 7, 7].sum().backward()
        assert x.grad is not None
        touched = x.grad[0].abs().sum(0) > 0
        assert touched[7, 7]
        assert bool(touched[8, 8]) is reaches
        assert not touched[15, 15]


def test_a_shifted_window_does_not_see_the_opposite_border() -> None:
    attention = WindowAttention(8, 2, shifted=True)
    x = torch.rand(1, 8, 16, 16, requires_grad=True)
    attention(x)[0, :, 0, 0].sum().backward()
    assert x.grad is not None
    touched = x.grad[0].abs().sum(0) > 0
    assert touched[:4, :4].all()
    assert not touched[4:, :].any()
    assert not touched[:, 4:].any()


@pytest.mark.parametrize("name", SHARINGS)
def test_a_sharing_numbers_its_sets_without_gaps(name: str) -> None:
    for blocks in range(1, 9):
        order = SHARINGS[name](blocks)
        assert len(order) == blocks
        assert set(order) == set(range(max(order) + 1))


def test_shared_blocks_are_the_same_weights() -> None:
    shared = Lightweight(blocks=4, sharing="interval").build(4)
    separate = Lightweight(blocks=4, sharing="none").build(4)
    block = sum(p.numel() for p in Lightweight(blocks=1).build(4).blocks.parameters())
    sizes = [sum(p.numel() for p in network.parameters()) for network in (shared, separate)]
    assert sizes[1] - sizes[0] == 2 * block


def test_random_architectures_give_exactly_scale_times_the_size() -> None:
    chooser = RandomChooser(7)
    for number in range(30):
        genotype, scale = Lightweight.suggest(chooser), (2, 3, 4)[number % 3]
        network = genotype.build(scale)
        size = SIZES[number % 3]
        image = network(torch.rand(1, 3, *size))
        assert image.shape == (1, 3, scale * size[0], scale * size[1])
        image.square().mean().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, (genotype, name)
            assert torch.isfinite(parameter.grad).all()


def test_a_network_with_the_bicubic_skip_begins_as_bicubic() -> None:
    x = torch.rand(1, 3, 9, 7)
    expected = nn.functional.interpolate(x, scale_factor=2, mode="bicubic", align_corners=False)
    assert torch.equal(Lightweight(skip="bicubic").build(2)(x), expected)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_network_runs_at_the_scales_it_prints(name: str) -> None:
    for scale in PUBLISHED[name].printed:
        assert PUBLISHED[name].build(scale)(torch.rand(1, 3, 8, 9)).shape == (1, 3, 8 * scale, 9 * scale)

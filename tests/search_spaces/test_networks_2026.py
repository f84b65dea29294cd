"""SPAN, SPANV2, PlainUSR, SAFMN++, ECBSR and MAN: their costs, and what they compute, against the sources.

Costs and structures were read from the released code. The forward passes at the foot are written a second
time, in plain functions on the authors' own files of weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from levels import mostly_thorough
from skimage.color import rgb2ycbcr, ycbcr2rgb
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas.cost.counting import cost_of, measure
from nas.export.onnx import OnnxNetwork, write_onnx
from nas.export.rewrites import exportable
from search_spaces import Genotype, Space, SpaceError, load_space
from search_spaces.blocks.attention import (
    ConvolvedImportanceAttention,
    LocalImportanceAttention,
    NoAttention,
)
from search_spaces.blocks.branches import Branched, EdgeConv, MergeTogether, WidenedConv
from search_spaces.blocks.convolutions import square3x3
from search_spaces.blocks.folding import deployed, folds
from search_spaces.blocks.plainusr import GuidedInvertedConv, PlainBlock
from search_spaces.blocks.span import SpanBlock
from search_spaces.networks.ecbsr import Ecbsr
from search_spaces.networks.man import (
    GatedSpatialUnit,
    LargeKernelEnd,
    Man,
    MultiScaleLargeKernelAttention,
)
from search_spaces.networks.plainusr import PlainUsr
from search_spaces.networks.safmnpp import SafmnPlus, SimpleModulation, SimpleModulationBlock
from search_spaces.networks.span import Span
from search_spaces.networks.spanv2 import SpanV2, SpanV2Block
from search_spaces.published import PUBLISHED

State = dict[str, Tensor]

SMALL: dict[str, Genotype] = {
    "span": Span(width=8, blocks=2),
    "spanv2": SpanV2(width=8, blocks=2),
    "plainusr": PlainUsr(size="base", width=16, blocks=5),
    "plainusr-large": PlainUsr(size="large", width=10, blocks=5),
    "plainusr-ultra": PlainUsr(size="ultra", width=8, blocks=3),
    "safmn-pp": SafmnPlus(width=10, blocks=2),
    "safmn-pp-light": SafmnPlus(width=10, blocks=2, light=True),
    "ecbsr": Ecbsr(width=8, blocks=2),
    "ecbsr-rgb": Ecbsr(width=8, blocks=2, colour="rgb"),
    "man": Man(width=9, blocks=2),
}
"""Every form of every network, so small that a pass takes milliseconds."""

FOLDING = ("span", "plainusr", "plainusr-large", "plainusr-ultra", "ecbsr", "ecbsr-rgb")

# Trainable parameters at x4, counted from the released code.
TRAINABLE = {
    "span-48": 1_840_488,
    "plainusr-u": 58_325,
    "plainusr-t": 213_141,
    "plainusr-s": 243_153,
    "plainusr-m": 623_977,
    "plainusr": 1_248_825,
    "plainusr-l": 3_046_697,
    "ecbsr-m4c8": 16_624,
    "ecbsr-m4c16": 47_120,
    "ecbsr-m16c64": 2_206_160,
}


@pytest.fixture(autouse=True)
def same_weights() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_parts_cost_what_the_network_costs(name: str, scale: int) -> None:
    for blocks in (1, 3, 7):
        genotype = replace(SMALL[name], blocks=blocks)  # type: ignore[type-var]
        assert cost_of(genotype, scale) == measure(lambda g=genotype: g.build(scale), scale)  # type: ignore[misc]


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def multi_adds_per_pixel(build: Callable[[], nn.Module], channels: int) -> float:
    """By torch's own counter, at the size of the LR image of a 1280x720 output at x4."""
    with torch.device("meta"):
        module, x = build(), torch.empty(1, channels, 180, 320)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(x)
    return counter.get_total_flops() / 2 / (180 * 320)


def awake(module: nn.Module, seed: int = 0) -> nn.Module:
    """With every weight moved: what begins as zero would hide what is wrong behind it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.02)
    return module.eval()


def without_grad(module: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        y: Tensor = module(x)
    return y


def of_range(difference: Tensor, of: Tensor) -> float:
    """The largest difference as a part of the range of values."""
    return float(difference.detach().abs().max() / (of.detach().max() - of.detach().min()))


# Costs.


@pytest.mark.parametrize("name", TRAINABLE)
def test_the_trainable_form_has_the_parameters_of_the_released_code(name: str) -> None:
    assert parameters(PUBLISHED[name].build(4)) == TRAINABLE[name]
    in_training = measure(lambda: PUBLISHED[name].build(4), 4, (96, 128), in_training=True)
    assert in_training.params == TRAINABLE[name]


LIA_16 = partial(LocalImportanceAttention, hidden=16)
MAB_48 = lambda: nn.Sequential(MultiScaleLargeKernelAttention(48), GatedSpatialUnit(48))  # noqa: E731
PLAIN_64 = partial(PlainBlock, 64, conv=square3x3, attention=LIA_16, depth=2, share=0.0)

# Parameters, Multi-Adds of a pixel (None where the source gives none), of the blocks of the released code.
BLOCKS: dict[str, tuple[Callable[[], nn.Module], int, int, int | None]] = {
    "SPAB": (partial(SpanBlock, 48, conv=square3x3), 48, 62_352, 62_208),
    "SPABV2": (partial(SpanV2Block, 32), 32, 28_704, 28_672),
    "LIA": (partial(LIA_16, 64), 64, 12_640, 1_331),
    "PlainUSR": (PLAIN_64, 64, 86_496, 75_059),
    "SAFMN++": (partial(SimpleModulationBlock, 36, 12, skip=True), 36, 32_508, None),
    "SimpleSAFM": (partial(SimpleModulation, 36, 12), 36, 13_068, None),
    "MAB": (MAB_48, 48, 22_896, 22_080),
    "MLKA": (partial(MultiScaleLargeKernelAttention, 48), 48, 13_296, None),
    "GSAU": (partial(GatedSpatialUnit, 48), 48, 9_600, None),
    "LKAT": (partial(LargeKernelEnd, 48), 48, 13_392, None),
    "ECB": (lambda: nn.Sequential(EdgeConv(64, 64), nn.PReLU(64)), 64, 131_968, None),
    "Conv3XC": (partial(WidenedConv, 48, 48), 48, 94_752, None),
    "Conv3XC folded": (lambda: deployed(WidenedConv(48, 48)), 48, 20_784, 20_736),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_costs_what_it_costs_in_the_released_code(name: str) -> None:
    build, channels, params, multi_adds = BLOCKS[name]
    assert parameters(build()) == params
    if multi_adds is not None:
        assert multi_adds_per_pixel(build, channels) == pytest.approx(multi_adds, rel=1e-3)


def test_sizes_of_ecbsr_that_nobody_printed_follow_its_formula() -> None:
    for name, blocks, width in (("ecbsr-m10c16", 10, 16), ("ecbsr-m10c32", 10, 32)):
        cost = measure(partial(PUBLISHED[name].build, 4), 4)
        taps = 9 * (width + blocks * width**2 + 16 * width)
        assert cost.multi_adds == taps * 180 * 320
        assert cost.params == taps + 2 * (blocks + 1) * width + 16


@pytest.mark.parametrize("name", SMALL)
def test_width_and_blocks_change_the_cost_as_they_should(name: str) -> None:
    genotype = SMALL[name]
    network = genotype.build(2)
    [axis] = [axis for axis in genotype.axes() if axis.name == "blocks"]
    assert axis.step is not None
    more = replace(genotype, blocks=genotype.blocks + axis.step)  # type: ignore[attr-defined]
    blocks = network.get_submodule("body.blocks" if name == "ecbsr" else "blocks")
    assert isinstance(blocks, nn.ModuleList)
    inner = blocks[len(blocks) // 2]  # the deepest one of PlainUSR, which is what it gets more of
    assert parameters(more.build(2)) - parameters(network) == axis.step * parameters(inner)
    [axis] = [axis for axis in genotype.axes() if axis.name == "width"]
    with torch.device("meta"):
        sizes = [parameters(replace(genotype, width=width).build(2)) for width in axis.options]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize("blocks", [1, 3, 5, 9])
def test_plainusr_narrows_towards_its_middle_by_our_rule(blocks: int) -> None:
    network = PlainUsr(size="base", width=64, blocks=blocks).build(2)
    widths = [block.body[0].square.in_channels // 2 for block in network.blocks]  # type: ignore[union-attr]
    assert widths == {1: [64], 3: [64, 48, 64], 5: [64, 48, 32, 48, 64]}.get(
        blocks, [64, 48, 32, 32, 32, 32, 32, 48, 64]
    )


def test_only_the_middle_of_the_ultra_light_sizes_attends() -> None:
    network = PlainUsr(size="ultra", width=32, blocks=5).build(2)
    kinds = [type(block.attention) for block in network.blocks]  # type: ignore[union-attr]
    assert kinds == [NoAttention, *[ConvolvedImportanceAttention] * 3, NoAttention]


@pytest.mark.parametrize(
    ("kind", "name", "digest"),
    [
        (Ecbsr, "search_spaces.networks.ecbsr:Ecbsr", "af54042e7b0ab2d9"),
        (Man, "search_spaces.networks.man:Man", "1d748d4f7dde40b9"),
        (PlainUsr, "search_spaces.networks.plainusr:PlainUsr", "1e5d53fc90fda707"),
        (SafmnPlus, "search_spaces.networks.safmnpp:SafmnPlus", "a238146593790184"),
        (Span, "search_spaces.networks.span:Span", "9c230440b4bfda4d"),
        (SpanV2, "search_spaces.networks.spanv2:SpanV2", "9252a24bf718ef29"),
    ],
)
def test_each_is_a_space_that_a_file_may_name(kind: type[Genotype], name: str, digest: str) -> None:
    assert load_space(name) is load_space(name.partition(":")[0]) is kind
    assert kind.space == name
    assert Space(kind).digest == digest
    for entry in PUBLISHED.values():
        if isinstance(entry.genotype, kind):
            assert kind.from_dict(entry.genotype.to_dict()) == entry.genotype
    with pytest.raises(SpaceError, match="width"):
        kind(width=7)  # type: ignore[call-arg]


# What all of them can.

SIZES = ((1, 1), (1, 5), (3, 2), (7, 20), (23, 9))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", SMALL)
def test_any_image_is_enlarged_the_same_each_time(name: str, scale: int) -> None:
    network = awake(SMALL[name].build(scale))
    for height, width in SIZES:
        x = torch.rand(2, 3, height, width)
        y = without_grad(network, x)
        assert y.shape == (2, 3, scale * height, scale * width) and y.isfinite().all()
        assert torch.equal(without_grad(network, x), y)
        assert of_range(without_grad(network, x[1:]) - y[1:], y) < 1e-5


@pytest.mark.parametrize("name", SMALL)
def test_every_gradient_is_finite_and_every_weight_has_one_at_any_size(name: str) -> None:
    for size in ((1, 1), (5, 9), (16, 17)):
        network = awake(SMALL[name].build(2)).train()
        network(torch.rand(2, 3, *size)).square().mean().backward()
        for key, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert any(p.grad.abs().sum() > 0 for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", SMALL)
def test_a_constant_image_has_finite_gradients(name: str) -> None:
    network = SMALL[name].build(3)
    for value in (0.0, 1.0):
        network(torch.full((1, 3, 8, 9), value)).mean().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_a_seed_gives_the_same_network_and_the_same_training(name: str) -> None:
    outcomes = []
    for _ in range(2):
        torch.manual_seed(3)
        network = SMALL[name].build(2)
        train(network, steps=2)
        outcomes.append(
            without_grad(network, torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(1)))
        )
    assert torch.equal(*outcomes)


def train(network: nn.Module, steps: int) -> None:
    """A few steps towards an enlargement, at a rate that moves every weight."""
    generator = torch.Generator().manual_seed(4)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(steps):
        x = torch.rand(2, 3, 12, 12, generator=generator)
        wanted = F.interpolate(x, scale_factor=2, mode="bicubic")
        optimizer.zero_grad()
        (network(x) - wanted).abs().mean().backward()
        optimizer.step()


OTHER = [
    *(
        Span(width=8, blocks=2, branches=branches)
        for branches in ("none", "asymmetric", "repvgg", "ecb", "repmb")
    ),
    *(PlainUsr(size="base", width=8, blocks=3, branches=branches) for branches in ("none", "ecb", "conv3xc")),
    *(Ecbsr(width=8, blocks=1, branches=branches) for branches in ("none", "repvgg", "conv3xc", "repmb")),
]


@pytest.mark.parametrize("genotype", [*(SMALL[name] for name in FOLDING), *OTHER], ids=repr)
def test_after_some_training_the_folded_network_is_the_same(genotype: Genotype) -> None:
    network = genotype.build(2)
    with_branches = genotype.branches != "none"  # type: ignore[attr-defined]
    assert folds(network) == with_branches
    train(network, steps=5)
    network.eval()
    x = torch.rand(2, 3, 17, 13)
    expected = without_grad(network, x)
    folded = deployed(network)
    assert not any(isinstance(part, Branched) for part in folded.modules())
    assert of_range(without_grad(folded, x) - expected, expected) < 1e-5
    for part in network.modules():
        if isinstance(part, Branched):
            part.one_by_one = True
    assert of_range(without_grad(network, x) - expected, expected) < 1e-5
    assert measure(lambda: genotype.build(2), 2, (64, 64)).params == parameters(folded)


def test_kernels_that_are_merged_together_are_the_same() -> None:
    network = PlainUsr(size="base", width=16, blocks=5).build(2).eval()
    x = torch.rand(1, 3, 9, 9)
    expected = without_grad(network, x)
    together = MergeTogether(network)
    torch.testing.assert_close(without_grad(network, x), expected)
    together.remove()


@pytest.mark.parametrize("name", mostly_thorough(SMALL, {"safmn-pp"}))
def test_an_onnx_file_computes_the_same_at_any_size(name: str, tmp_path: Path) -> None:
    module = awake(SMALL[name].build(2))
    write_onnx(module, 2, tmp_path / "a.onnx")
    network = OnnxNetwork(tmp_path / "a.onnx", 1)
    for size in ((1, 16, 16), (2, 17, 23), (1, 40, 31), (1, 97, 18)):
        x = torch.rand(size[0], 3, *size[1:])
        expected = without_grad(exportable(module), x)
        assert of_range(network(x) - expected, expected) < 1e-5


@pytest.mark.parametrize("name", mostly_thorough(SMALL, ()))
def test_a_torch_program_computes_the_same_at_any_size(name: str, tmp_path: Path) -> None:
    from nas.export.program import read_program, write_program

    module = awake(SMALL[name].build(2))
    write_program(module, tmp_path / "a.pt2")
    run = read_program(tmp_path / "a.pt2")
    for size in ((1, 16, 16), (2, 17, 23), (1, 97, 18)):
        x = torch.rand(size[0], 3, *size[1:])
        expected = without_grad(module, x)
        assert of_range(run(x) - expected, expected) < 1e-5


# What each of them is.


def test_spans_block_gates_with_what_is_left_of_a_half() -> None:
    block = SpanBlock(6, conv=square3x3)
    x = torch.randn(1, 6, 5, 7)
    convs = [part for part in block.modules() if isinstance(part, nn.Conv2d)]
    h = convs[2](F.silu(convs[1](F.silu(convs[0](x)))))
    torch.testing.assert_close(block(x), (h + x) * (torch.sigmoid(h) - 0.5))


def test_a_plain_block_leaves_the_last_channels_alone() -> None:
    for share, part in ((0.25, 9), (0.5, 6), (0.0, 12)):
        block = PlainBlock(12, conv=square3x3, attention=LocalImportanceAttention, depth=3, share=share)
        x = torch.randn(2, 12, 9, 8)
        y = block(x)
        assert y.shape == x.shape and torch.equal(y[:, part:], x[:, part:])
        assert not torch.isclose(y[:, :part], x[:, :part]).all(dim=(0, 2, 3)).any()
        convs = [part for part in block.body if isinstance(part, nn.Conv2d)]
        assert [conv.in_channels for conv in convs] == [part] * 3
        seen = torch.cat([torch.zeros_like(x[:, :part]), x[:, part:]], dim=1)
        assert torch.equal(block(seen)[:, :part], block(0 * x)[:, :part])


def test_importance_is_soft_pooled_and_interpolated_after_its_sigmoid() -> None:
    attention, x = LocalImportanceAttention(8, hidden=3), torch.randn(2, 8, 19, 25)
    squeezed = attention.squeeze(x)
    windows = F.unfold(squeezed, 7, stride=3).view(2, 3, 49, -1)
    pooled = (windows.softmax(2) * windows).sum(2).view(2, 3, 5, 7)
    coarse = torch.sigmoid(attention.expand(attention.stride(pooled)))
    weights = F.interpolate(coarse, (19, 25), mode="bilinear", align_corners=False)
    torch.testing.assert_close(attention(x), x * weights * torch.sigmoid(x[:, :1]))


def test_importance_stays_finite_where_the_exponential_would_not() -> None:
    attention = LocalImportanceAttention(8)
    for factor in (1e4, -1e4):
        x = (factor * torch.rand(1, 8, 12, 12)).requires_grad_()
        y = attention(x)
        y.sum().backward()
        assert y.isfinite().all() and x.grad is not None and x.grad.isfinite().all()


def test_a_small_map_is_seen_as_if_its_border_went_on() -> None:
    attention, x = LocalImportanceAttention(8), torch.randn(1, 8, 4, 5)
    extended = F.pad(attention.squeeze(x), (0, 2, 0, 3), mode="replicate")
    pooled = (extended.flatten(2).softmax(2) * extended.flatten(2)).sum(2)[..., None, None]
    coarse = torch.sigmoid(attention.expand(attention.stride(pooled)))
    torch.testing.assert_close(attention.importance(x), coarse.expand(1, 8, 4, 5))


def test_the_guide_replaces_the_first_output_and_begins_as_the_mean() -> None:
    conv, x = GuidedInvertedConv(6, 6), torch.randn(1, 6, 5, 5)
    guide, plain = conv.guide, conv
    y = conv(x)
    nn.init.zeros_(guide.weight)
    guide.weight.data[0, 0] = 1  # now the guide is the first output itself
    unguided = plain(x)
    torch.testing.assert_close(y[:, 1:], unguided[:, 1:])
    torch.testing.assert_close(y[:, :1], unguided.mean(1, keepdim=True))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_plainusr_without_its_default_weights_is_nearest_neighbour_enlargement(scale: int) -> None:
    """The default weights of the three channels are taken off, the blocks stay as they are."""
    torch.manual_seed(1)
    network = PlainUsr(size="base", width=16, blocks=5).build(scale)
    stem, last = network.stem, network.tail[0]  # type: ignore[index]
    with torch.no_grad():
        torch.manual_seed(1)
        default = nn.Conv2d(3, 19, 3, padding=1)
        stem.weight[16:] -= default.weight[16:]  # type: ignore[index, operator]
        stem.bias[16:] = 0  # type: ignore[index, operator]
        change = last.weight.abs().amax((0, 2, 3)) > 0.9  # type: ignore[union-attr, operator]
        last.weight[...] = torch.where(last.weight > 0.9, 1.0, 0.0)  # type: ignore[index, operator]
        last.bias.zero_()  # type: ignore[union-attr, operator]
    assert change.nonzero().flatten().tolist() == [16, 17, 18]
    x = torch.rand(1, 3, 8, 9).round(decimals=2)
    nearest = F.interpolate(x, scale_factor=scale, mode="nearest")
    assert (without_grad(network, x) - nearest).abs().max() < 0.2
    stem_only = F.conv2d(x, stem.weight[16:], padding=1)  # type: ignore[index]
    torch.testing.assert_close(stem_only, x, atol=1e-6, rtol=0)
    torch.testing.assert_close(without_grad(network, x), nearest, atol=1e-6, rtol=0)


def test_ecbsr_changes_the_luma_and_leaves_the_chroma_to_bicubic() -> None:
    """Against another library's conversion to BT.601 and back."""
    network = awake(Ecbsr(width=8, blocks=2).build(2))
    x = torch.rand(1, 3, 11, 12)
    body = network.body
    enlarged = F.interpolate(x.double(), scale_factor=2, mode="bicubic", align_corners=False)[0]
    ycbcr = rgb2ycbcr(enlarged.permute(1, 2, 0).numpy())
    y = rgb2ycbcr(x[0].permute(1, 2, 0).double().numpy())[..., 0]
    luma = without_grad(body, torch.from_numpy(y)[None, None].float() / 255)[0, 0] * 255  # type: ignore[arg-type]
    ycbcr[..., 0] = luma.numpy()
    expected = torch.from_numpy(ycbcr2rgb(ycbcr)).permute(2, 0, 1)[None]
    assert (without_grad(network, x) - expected).abs().max() < 1e-4


def test_ecbsr_adds_the_nearest_pixel_and_works_in_0_to_255() -> None:
    network = Ecbsr(width=8, blocks=1, colour="rgb", branches="none").build(2)
    x = torch.rand(1, 3, 6, 7)
    features = 255 * x
    for conv, activation in network.blocks:  # type: ignore[union-attr]
        features = F.prelu(F.conv2d(features, conv.weight, conv.bias, padding=1), activation.weight)
    last = F.pixel_shuffle(network.last(features), 2) / 255  # type: ignore[operator]
    nearest = F.interpolate(x, scale_factor=2, mode="nearest")
    torch.testing.assert_close(network(x), last + nearest)
    nn.init.zeros_(network.last.weight)  # type: ignore[arg-type, union-attr]
    nn.init.zeros_(network.last.bias)  # type: ignore[arg-type, union-attr]
    torch.testing.assert_close(network(x), nearest)


def test_the_light_safmn_skips_around_all_blocks_and_the_other_around_each_and_the_image() -> None:
    for light in (False, True):
        network = SafmnPlus(width=12, blocks=2, light=light).build(2)
        for block in network.blocks:  # type: ignore[union-attr]
            nn.init.zeros_(block.mixer[2].weight)
        x = torch.rand(1, 3, 9, 10)
        tail = network.tail(network.stem(x))  # type: ignore[operator]
        image = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        torch.testing.assert_close(network(x), tail if light else tail + image)
        assert network.blocks[0].modulation.coarse.in_channels == (6 if light else 4)  # type: ignore[index]


def test_the_blocks_of_man_begin_as_the_identity() -> None:
    x = torch.randn(1, 12, 9, 9)
    for part in (MultiScaleLargeKernelAttention(12), GatedSpatialUnit(12)):
        assert torch.equal(part(x), x)


def test_mans_attention_gates_with_the_first_half_in_thirds() -> None:
    part, x = MultiScaleLargeKernelAttention(6), torch.randn(1, 6, 21, 20)
    nn.init.ones_(part.scale)
    normed = F.layer_norm(x.permute(0, 2, 3, 1), (6,), eps=1e-6).permute(0, 3, 1, 2)
    entered = part.enter(normed)
    seen = []
    for third, (small, large) in enumerate(zip(part.small, part.large, strict=True)):
        a = entered[:, 2 * third : 2 * third + 2]
        kernel, dilation = (3, 5, 7)[third], (2, 3, 4)[third]
        first, second, last = large
        assert first.weight.shape[-1] == small.weight.shape[-1] == kernel
        assert second.weight.shape[-1] == kernel + 2
        b = F.conv2d(a, first.weight, first.bias, padding=kernel // 2, groups=2)
        reach = dilation * (kernel + 1) // 2
        b = F.conv2d(b, second.weight, second.bias, padding=reach, dilation=dilation, groups=2)
        seen.append(last(b) * small(a))
    torch.testing.assert_close(part(x), x + part.leave(entered[:, 6:] * torch.cat(seen, dim=1)))

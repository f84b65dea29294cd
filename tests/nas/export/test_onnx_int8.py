from __future__ import annotations

import copy
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.errors import CompressError
from nas.export.onnx import OnnxNetwork, write_onnx
from nas.export.onnx_int8 import quantise_onnx
from nas.training.qat import FakeActivation, FakeWeight, finish_qat, prepare_qat
from search_spaces.blocks.convolutions import CONVOLUTIONS
from search_spaces.blocks.distillation import DISTILLERS
from search_spaces.blocks.folding import fold
from search_spaces.blocks.tails import bicubic_skip
from search_spaces.blocks.transformers import TRANSFORMERS
from search_spaces.lightweight import Lightweight

onnx = pytest.importorskip("onnx")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the exporter
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def build(seed: int = 0, **choices: object) -> nn.Module:
    torch.manual_seed(seed)
    table = {"width": 16, "blocks": 1, "block": "residual", "transformers": 0} | choices
    return Lightweight(**table).build(2)  # type: ignore[arg-type]


def waves(count: int, side: int = 24, seed: int = 0) -> Tensor:
    """(count, 3, side, side) in [0, 1]: smooth, as images are."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, side // 4, side // 4, generator=random)
    return nn.functional.interpolate(coarse, size=side, mode="bicubic").clamp(0, 1)


def quantised(module: nn.Module, folder: Path) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    large, small = folder / "float.onnx", folder / "int8.onnx"
    write_onnx(module, 2, large)
    quantise_onnx(large, small, [waves(8)])
    return large, small


def integer_weights(path: Path) -> list[np.ndarray]:
    """What the weights of a quantised file mean as numbers, one array a layer."""
    model = onnx.load(str(path))
    kept = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    makers = {node.output[0]: node for node in model.graph.node}
    found = []
    for node in model.graph.node:
        if node.op_type == "Conv":
            whole, steps, *_ = makers[node.input[1]].input
            found.append(kept[whole] * kept[steps].reshape(-1, 1, 1, 1))
    return found


@pytest.mark.thorough
def test_an_int8_file_is_smaller_and_gives_nearly_the_same(tmp_path: Path) -> None:
    large, small = quantised(build(width=32, blocks=2), tmp_path)
    assert small.stat().st_size < 0.6 * large.stat().st_size
    x = waves(1, 36, seed=1)
    exact, rounded = OnnxNetwork(large)(x), OnnxNetwork(small)(x)
    assert rounded.shape == exact.shape == (1, 3, 72, 72)
    error = (exact - rounded).square().mean().sqrt()
    assert 0 < error < 0.05 * exact.std()
    assert OnnxNetwork(small).scale == 2


@pytest.mark.thorough
def test_its_weights_have_a_step_for_each_channel_and_its_input_loses_nothing(tmp_path: Path) -> None:
    module = build()
    _, small = quantised(module, tmp_path)
    convs = [part for part in module.modules() if isinstance(part, nn.Conv2d)]
    for weight, rounded in zip(
        [c.weight.detach().numpy() for c in convs], integer_weights(small), strict=True
    ):
        steps = np.abs(weight).max((1, 2, 3), keepdims=True) / 127
        assert (np.abs(weight - rounded) <= steps * 0.5001).all()
    model = onnx.load(str(small))
    kept = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    first = next(
        node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "lr"
    )
    assert kept[first.input[1]] == np.float32(1 / 255)
    assert kept[first.input[2]] == 0


@pytest.mark.thorough
def test_the_skip_and_what_comes_after_the_last_layer_stay_in_float(tmp_path: Path) -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, padding=1))

        def forward(self, x: Tensor) -> Tensor:
            return 1e-6 * nn.functional.pixel_shuffle(self.convs(x), 2) + bicubic_skip(x, 2)

    torch.manual_seed(0)
    _, small = quantised(Skip(), tmp_path)
    x = torch.full((1, 3, 24, 24), 1 / 3)  # no multiple of 1/255 nor of any activation's step
    assert torch.allclose(OnnxNetwork(small)(x), torch.full((1, 3, 48, 48), 1 / 3), atol=1e-5)


@pytest.mark.thorough
def test_what_cannot_be_quantised_is_said_in_one_line(tmp_path: Path) -> None:
    large, small = quantised(build(), tmp_path)
    target = tmp_path / "target.onnx"
    with pytest.raises(CompressError, match=r"int8.onnx: is quantised already"):
        quantise_onnx(small, target, [waves(1)])
    with pytest.raises(CompressError, match="at least one patch"):
        quantise_onnx(large, target, [])
    with pytest.raises(CompressError, match=r"float.onnx: cannot be quantised"):
        quantise_onnx(large, target, [torch.zeros(4, 24, 24)])
    strange = tmp_path / "strange.onnx"
    strange.write_bytes(b"not a network")
    with pytest.raises(CompressError, match=r"strange.onnx: no readable ONNX file"):
        quantise_onnx(strange, target, [waves(1)])
    assert not target.exists()
    assert logging.getLogger().filters == []


@pytest.mark.parametrize("bits", [4, 8])
def test_rounded_weights_are_the_nearest_of_a_symmetric_grid(bits: int) -> None:
    weight = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    rounded = FakeWeight(bits)(weight)
    most = 2 ** (bits - 1) - 1
    for whole, near in zip(weight, rounded, strict=True):
        step = whole.abs().max() / most
        levels = near / step
        assert torch.allclose(levels, levels.round(), atol=1e-3)
        assert levels.abs().max().round() == most
        assert (whole - near).abs().max() <= step * 0.5001
    rounded.sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, torch.ones_like(weight))  # straight through


def test_the_range_of_rounded_activations_widens_at_once_and_narrows_slowly() -> None:
    fake = FakeActivation(8)
    x = torch.stack([torch.linspace(-1, 3, 100), torch.linspace(-3, 1, 100)]).view(2, 1, 10, 10)
    assert torch.equal(fake.eval()(x), x)  # nothing was seen yet
    rounded = fake.train()(x)
    assert (float(fake.low), float(fake.high)) == pytest.approx((-3, 3))
    assert rounded.unique().numel() <= 256
    assert (rounded - x).abs().max() <= 6 / 255 * 0.51
    fake(10 * x)
    assert (float(fake.low), float(fake.high)) == pytest.approx((-30, 30))
    fake(x)
    assert float(fake.high) == pytest.approx(30 - 0.01 * 27)
    assert fake(torch.zeros(1, 3)).abs().max() == 0  # zero is exact: padding adds no error


def test_a_layer_that_runs_twice_clips_neither_of_its_uses() -> None:
    """Blocks that share weights: what one use makes of an image is several times what the other makes."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1, bias=False)
            nn.init.dirac_(self.layer.weight)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(3 * self.layer(x))

    network = prepare_qat(Twice()).train()
    x = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for _ in range(50):
        network(x)
    assert (network.eval()(x) - 3 * x).abs().max() < 0.1


PARTS = [{"kernel": kernel} for kernel in CONVOLUTIONS]
PARTS += [{"block": block} for block in DISTILLERS]
PARTS += [{"transformers": 1, "transformer": name} for name in TRANSFORMERS]


@pytest.mark.parametrize("choices", PARTS, ids=lambda choices: "-".join(map(str, choices.values())))
def test_every_network_of_the_space_can_be_prepared_trained_and_finished(choices: dict[str, object]) -> None:
    network = fold(build(width=32, **choices))
    before = copy.deepcopy(network)
    names = list(network.state_dict())
    prepare_qat(network)
    x = waves(2, 16)
    assert torch.isfinite(network.eval()(x)).all()
    network.train()(x).square().mean().backward()
    trained = [p for p in network.parameters() if p.requires_grad]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained)
    finish_qat(network)
    assert list(network.state_dict()) == names
    assert [type(part) for part in network.modules()] == [type(part) for part in before.modules()]
    before.load_state_dict(network.state_dict())
    assert torch.equal(before.eval()(x), network.eval()(x))


@pytest.mark.thorough
def test_finished_weights_are_those_that_the_file_holds(tmp_path: Path) -> None:
    network = build(blocks=2, width=24)
    prepare_qat(network).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for step in range(3):
        optimizer.zero_grad()
        network(waves(2, 16, seed=step)).square().mean().backward()
        optimizer.step()
    finish_qat(network)
    _, small = quantised(network, tmp_path)
    convs = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    held = integer_weights(small)
    assert len(held) == len(convs)
    for conv, rounded in zip(convs, held, strict=True):
        assert np.allclose(conv.weight.detach().numpy(), rounded, atol=1e-6)


@pytest.mark.thorough
def test_training_that_knows_of_few_bits_loses_less_than_rounding_afterwards() -> None:
    """The task is to copy each pixel four times; both are trained for the same number of steps."""

    def task(seed: int) -> tuple[Tensor, Tensor]:
        x = waves(4, 16, seed=seed)
        return x, x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def train(network: nn.Module, steps: int) -> None:
        network.train()
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
        for step in range(steps):
            x, y = task(step)
            optimizer.zero_grad()
            (network(x) - y).abs().mean().backward()
            optimizer.step()

    @torch.no_grad()
    def error(network: nn.Module) -> float:
        x, y = task(10_000)
        return float((network.eval()(x) - y).square().mean())

    network = build(width=16)
    train(network, 150)
    aware = copy.deepcopy(network)
    train(network, 60)
    exact = error(network)
    prepare_qat(network, weight_bits=3).train()
    with torch.no_grad():
        for step in range(3):
            network(task(step)[0])  # ranges only
    afterwards = error(finish_qat(network))
    prepare_qat(aware, weight_bits=3)
    train(aware, 60)
    known = error(finish_qat(aware))
    assert exact < known < 0.8 * afterwards


def test_preparing_twice_or_finishing_what_was_not_prepared_is_refused() -> None:
    network = prepare_qat(build())
    with pytest.raises(CompressError, match="prepared for quantisation already"):
        prepare_qat(network)
    finish_qat(network)
    with pytest.raises(CompressError, match="not prepared"):
        finish_qat(network)
    with pytest.raises(CompressError, match="1 bits for weights: between 2 and 16"):
        prepare_qat(network, weight_bits=1)
    with pytest.raises(CompressError, match="no convolution and no linear layer"):
        prepare_qat(nn.Sequential(nn.ReLU()))


def test_a_prepared_network_goes_on_from_its_saved_state_to_the_last_bit() -> None:
    one, other = (prepare_qat(build(), activation_bits=6) for _ in range(2))
    one.train()(waves(2, 16))
    other.load_state_dict(one.state_dict())
    x = waves(1, 16, seed=3)
    assert torch.equal(one.eval()(x), other.eval()(x))

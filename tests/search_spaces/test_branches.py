"""Training-time branches: merged, one by one and folded they are one function."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from nas.cost.counting import cost_of, measure
from search_spaces.blocks.branches import BRANCHES, BesideConv, Branched, MergeTogether, merged
from search_spaces.blocks.convolutions import BlueprintConv
from search_spaces.blocks.folding import fold, folds
from search_spaces.blocks.plainusr import GuidedInvertedConv
from search_spaces.lightweight import Lightweight

KINDS = {name: kind for name, kind in BRANCHES.items() if kind is not None}
MODULES = {**KINDS, "tail of lkdn-s": BesideConv, "repmb before lia": GuidedInvertedConv}
SIZES = [(1, 1), (1, 7), (2, 3), (9, 13)]
CHANNELS = [(6, 6), (5, 7), (8, 3)]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def of(name: str, in_channels: int, out_channels: int) -> Branched:
    """Branches in float64 with weights of which none is at its first value."""
    part = MODULES[name](in_channels, out_channels).double()
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.mul_(0.3).add_(0.2 * torch.randn_like(parameter))
    return part


def gradients(module: nn.Module, x: Tensor, weights: Tensor) -> list[Tensor]:
    """Of the input and of every parameter; what has none has 0."""
    x = x.clone().requires_grad_()
    inputs = [x, *module.parameters()]
    found = torch.autograd.grad((module(x) * weights).sum(), inputs, allow_unused=True)
    return [torch.zeros_like(a) if g is None else g for a, g in zip(inputs, found, strict=True)]


def largest(pairs: Iterator[tuple[Tensor, Tensor]]) -> float:
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


@pytest.mark.parametrize("channels", CHANNELS, ids=str)
@pytest.mark.parametrize("name", MODULES)
def test_merged_branches_have_the_outputs_and_gradients_of_each_for_itself(
    name: str, channels: tuple[int, int]
) -> None:
    part = of(name, *channels)
    apart = copy.deepcopy(part)
    apart.one_by_one = True
    for height, width in SIZES:
        x = torch.randn(2, channels[0], height, width, dtype=torch.float64)
        y = part(x)
        assert y.shape == (2, channels[1], height, width)
        assert float((y - apart(x)).detach().abs().max()) < 1e-10
        weights = torch.randn_like(y)
        mine, theirs = gradients(part, x, weights), gradients(apart, x, weights)
        assert largest(zip(mine, theirs, strict=True)) < 1e-10
        assert float((fold(copy.deepcopy(part))(x) - y).detach().abs().max()) < 1e-12


@pytest.mark.parametrize("name", MODULES)
def test_they_fold_to_the_plain_convolution_of_their_kernel(name: str) -> None:
    plain = {"3x3": nn.Conv2d(6, 6, 3), "blueprint": BlueprintConv(6, 6)}[MODULES[name].kernel]
    folded = fold(MODULES[name](6, 6))
    shapes = [parameter.shape for parameter in folded.parameters()]
    assert shapes == [parameter.shape for parameter in plain.parameters()]


def network(name: str, **choices: object) -> nn.Module:
    """A network whose blocks share weights: a part runs several times in one call."""
    table = {"width": 16, "blocks": 4, "block": "residual", "kernel": MODULES[name].kernel, "branches": name}
    return Lightweight(**table | choices).build(2)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("sharing", ["none", "pairwise"])
def test_parts_that_are_merged_together_have_the_same_outputs_and_gradients(name: str, sharing: str) -> None:
    alone = network(name, sharing=sharing).double()
    together = copy.deepcopy(alone)
    hooks = MergeTogether(together)
    x, weights = torch.randn(1, 3, 7, 9).double(), torch.randn(1, 3, 14, 18).double()
    mine, theirs = gradients(together, x, weights), gradients(alone, x, weights)
    assert largest(zip(mine, theirs, strict=True)) < 1e-10
    assert all(part._ready is None for part in together.modules() if isinstance(part, Branched))
    hooks.remove()
    copy.deepcopy(together)
    assert torch.equal(together(x), alone(x))


@pytest.mark.parametrize("name", KINDS)
def test_frozen_parameters_get_no_gradient_and_the_others_get_theirs(name: str) -> None:
    together = network(name).double()
    for number, parameter in enumerate(together.parameters()):
        parameter.requires_grad_(number % 3 != 0)
    alone = copy.deepcopy(together)
    MergeTogether(together)
    x = torch.randn(1, 3, 7, 9).double()
    for model in (together, alone):
        for part in model.modules():
            if isinstance(part, Branched):
                part.one_by_one = model is alone
        model(x).square().sum().backward()
    for mine, theirs in zip(together.parameters(), alone.parameters(), strict=True):
        assert (mine.grad is not None) == mine.requires_grad
        if mine.grad is not None:
            expected = torch.zeros_like(mine) if theirs.grad is None else theirs.grad
            torch.testing.assert_close(mine.grad, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_every_parameter_has_a_gradient_with_memory_of_its_own(
    name: str, memory: torch.memory_format
) -> None:
    model = network(name).to(memory_format=memory)  # type: ignore[call-overload]
    MergeTogether(model)
    model(torch.randn(1, 3, 7, 9)).sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    for number, gradient in enumerate(gradients):
        assert gradient is not None
        gradient.fill_(number)
    assert all(bool((g == number).all()) for number, g in enumerate(gradients) if g is not None)


@pytest.mark.parametrize("name", KINDS)
def test_a_network_is_copied_between_steps_and_trained_on(name: str) -> None:
    x = torch.rand(2, 3, 8, 8)

    def step(model: nn.Module) -> None:
        model.zero_grad()
        model(x).square().mean().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter -= 0.01 * parameter.grad

    model = network(name)
    MergeTogether(model)
    step(model)
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model)), network(name)]
    copies[-1].load_state_dict(model.state_dict())
    for other in copies:
        step(other)
    step(model)
    for other in copies[:2]:
        assert largest(zip(other.parameters(), model.parameters(), strict=True)) == 0
    assert largest(zip(copies[2].parameters(), model.parameters(), strict=True)) < 1e-6  # merged one by one


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_after_training_steps_the_folded_network_gives_the_same_image(
    name: str, memory: torch.memory_format
) -> None:
    model = network(name).to(memory_format=memory)  # type: ignore[call-overload]
    MergeTogether(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(5):
        optimizer.zero_grad()
        (model(torch.rand(2, 3, 12, 12)) - 0.5).abs().mean().backward()
        optimizer.step()
    x = torch.rand(1, 3, 15, 11)
    with torch.no_grad():
        y = model.eval()(x)
        folded = fold(copy.deepcopy(model))(x)
    assert float((y - folded).abs().max()) <= 1e-5 * float(y.max() - y.min())


@pytest.mark.parametrize("name", MODULES)
def test_the_kernels_keep_their_precision_under_autocast(name: str) -> None:
    part = MODULES[name](6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        [kernels] = merged([part])
        y = part(torch.randn(1, 6, 5, 5))
    assert all(kernel.dtype == torch.float32 for kernel in kernels)
    assert y.dtype == torch.bfloat16
    weights = [torch.randn_like(kernel) for kernel in kernels]
    mine = torch.autograd.grad(kernels, list(part.parameters()), weights)
    [kernels] = merged([part])
    exact = torch.autograd.grad(kernels, list(part.parameters()), weights)
    assert largest(zip(mine, exact, strict=True)) == 0


TRAINED = {
    ("conv3xc", 48): (94_752, 20_784),
    ("ecb", 64): (131_904, 36_928),  # ECB(64) has 131,968 with its PReLU
    ("blueprint-rep", 42): (2_268, 2_184),  # three in LKDB(42): 20,055 in training, 19,803 folded
}


@pytest.mark.parametrize(("name", "width"), TRAINED)
def test_they_have_the_parameters_of_the_released_code(name: str, width: int) -> None:
    part = MODULES[name](width, width)
    assert sum(p.numel() for p in part.parameters()) == TRAINED[name, width][0]
    assert sum(p.numel() for p in fold(part).parameters()) == TRAINED[name, width][1]


def test_they_start_as_released() -> None:
    edges = MODULES["ecb"](64, 64)
    for values in (edges.strengths, edges.filter_bias):
        assert isinstance(values, Tensor) and 5e-4 < float(values.detach().std()) < 2e-3
    inverted = MODULES["repmb"](32, 32)
    gate = torch.sigmoid(inverted.excite @ nn.functional.silu(inverted.squeeze @ inverted.seed))  # type: ignore[operator]
    assert float(gate.detach().min()) > 0.999


@pytest.mark.parametrize("name", KINDS)
def test_branches_change_no_cost_but_that_of_training(name: str) -> None:
    genotype = Lightweight(width=16, blocks=2, block="rfdb", kernel=KINDS[name].kernel, branches=name)
    plain = Lightweight(width=16, blocks=2, block="rfdb", kernel=KINDS[name].kernel)
    assert cost_of(genotype, 2) == cost_of(plain, 2) == measure(lambda: genotype.build(2), 2)
    in_training = measure(lambda: genotype.build(2), 2, in_training=True)
    assert in_training.params == sum(p.numel() for p in genotype.build(2).parameters())
    assert in_training.params > cost_of(plain, 2).params
    assert in_training.multi_adds > cost_of(plain, 2).multi_adds
    assert measure(lambda: plain.build(2), 2, in_training=True) == cost_of(plain, 2)


def test_counting_leaves_a_network_as_it_is() -> None:
    model = network("ecb")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for in_training in (False, True):
        measure(lambda: model, 2, (32, 48), in_training=in_training)
    assert folds(model) and not any(getattr(part, "one_by_one", False) for part in model.modules())
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


TAPS = {
    "asymmetric": [[1, 2, 1], [2, 3, 2], [1, 2, 1]],
    "repvgg": [[1, 1, 1], [1, 2, 1], [1, 1, 1]],
}
"""How many weights of a sum are added up in each tap."""


@pytest.mark.parametrize("name", TAPS)
def test_additive_branches_under_adam_are_one_convolution_whose_taps_have_learning_rates(name: str) -> None:
    branches = of(name, 4, 4)
    plain = fold(copy.deepcopy(branches))
    assert isinstance(plain, nn.Conv2d)
    rates = torch.tensor(TAPS[name], dtype=torch.float64)
    optimizers = [torch.optim.Adam(model.parameters(), lr=1e-2) for model in (branches, plain)]
    started = branches.square.weight.detach().clone()  # type: ignore[union-attr,operator]
    for _ in range(30):
        x, target = torch.randn(2, 4, 6, 5).double(), torch.randn(2, 4, 6, 5).double()
        before = plain.weight.detach().clone()
        for model, optimizer in zip((branches, plain), optimizers, strict=True):
            optimizer.zero_grad()
            (model(x) - target).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            plain.weight.copy_(before + rates * (plain.weight - before))
    folded = fold(branches)
    assert float((plain.weight - started).detach().abs().max()) > 0.1  # they moved far
    assert largest(zip(folded.parameters(), plain.parameters(), strict=True)) < 1e-10


@pytest.mark.parametrize("name", MODULES)
def test_folding_draws_no_random_numbers(name: str) -> None:
    part = MODULES[name](6, 6)
    state = torch.get_rng_state()
    fold(part)
    assert torch.equal(torch.get_rng_state(), state)

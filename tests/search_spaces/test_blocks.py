"""Every option of every table keeps what its axis promises."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from search_spaces.blocks.activations import ACTIVATIONS
from search_spaces.blocks.aggregation import AGGREGATIONS
from search_spaces.blocks.attention import ATTENTIONS
from search_spaces.blocks.convolutions import CONVOLUTIONS
from search_spaces.blocks.distillation import DISTILLERS
from search_spaces.blocks.sharing import SHARINGS, same_sharing
from search_spaces.blocks.stems import STEMS
from search_spaces.blocks.tails import SKIPS, TAILS
from search_spaces.blocks.transformers import TRANSFORMERS
from search_spaces.lightweight import Lightweight

SIZES = [(31, 47), (8, 8), (1, 64)]


def _block(name: str, width: int) -> nn.Module:
    return Lightweight(width=width, block=name).parts_by_role(2)["block"].build()


def _cases() -> dict[str, tuple[Callable[[int], nn.Module], int | None, int | None]]:
    """Name -> (module of a width, channels in, channels out); None stands for the width itself."""
    cases: dict[str, tuple[Callable[[int], nn.Module], int | None, int | None]] = {}
    for name, attention in ATTENTIONS.items():
        cases[f"attention {name}"] = (attention, None, None)
    for name, conv in CONVOLUTIONS.items():
        cases[f"kernel {name}"] = (lambda width, conv=conv: conv(width, 21), None, 21)
    for name in DISTILLERS:
        cases[f"block {name}"] = (partial(_block, name), None, None)
    for name, transformer in TRANSFORMERS.items():
        for shifted in (False, True):
            make = partial(transformer, heads=4, mlp_ratio=1, shifted=shifted)
            cases[f"transformer {name}{' shifted' * shifted}"] = (make, None, None)
    for name, stem in STEMS.items():
        cases[f"stem {name}"] = (stem, 3, None)
    for name, aggregation in AGGREGATIONS.items():
        if aggregation.end is not None:
            blocks = 3 if aggregation.collects else 1
            make = lambda width, end=aggregation.end, blocks=blocks: end(blocks, width)  # noqa: E731
            cases[f"aggregation {name}"] = (make, 3 * 18 if aggregation.collects else None, None)
    for name, activation in ACTIVATIONS.items():
        cases[f"activation {name}"] = (lambda width, activation=activation: activation(), None, None)
    return cases


CASES = _cases()
WIDTH = 18


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, int, int]:
    torch.manual_seed(0)
    build, channels, out = CASES[request.param]
    return build(WIDTH), channels or WIDTH, out or WIDTH


@pytest.mark.parametrize("size", SIZES)
def test_it_keeps_the_size_and_every_gradient_is_finite(
    case: tuple[nn.Module, int, int], size: tuple[int, int]
) -> None:
    module, channels, out = case
    # An activation may work in place, which a leaf that wants a gradient does not allow.
    x = torch.randn(2, channels, *size, requires_grad=True)
    y = module(x * 1)
    assert y.shape == (2, out, *size)
    y.square().mean().backward()
    assert x.grad is not None and x.grad.isfinite().all()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_constant_input_has_finite_gradients_too(case: tuple[nn.Module, int, int]) -> None:
    module, channels, _ = case
    x = torch.zeros(1, channels, 16, 16, requires_grad=True)
    module(x * 1).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())


def test_it_is_deterministic_in_evaluation_mode(case: tuple[nn.Module, int, int]) -> None:
    module, channels, _ = case
    x = torch.randn(1, channels, 12, 9)
    with torch.no_grad():
        assert torch.equal(module.eval()(x.clone()), module(x.clone()))


def test_a_pickled_copy_computes_the_same(case: tuple[nn.Module, int, int]) -> None:
    module, channels, _ = case
    x = torch.randn(1, channels, 12, 9)
    with torch.no_grad():
        assert torch.equal(pickle.loads(pickle.dumps(module.eval()))(x.clone()), module(x.clone()))


@pytest.mark.parametrize("name", CASES)
def test_its_cost_is_countable_without_computing(name: str, counted: Callable[..., tuple[int, int]]) -> None:
    build, channels, _ = CASES[name]
    params, multi_adds = counted(lambda: build(WIDTH), channels or WIDTH, (32, 24))
    free = name.startswith("activation") or name == "attention none"
    assert (multi_adds == 0 and params == 0) if free else (multi_adds > 0 and params > 0)


@pytest.mark.parametrize("width", [16, 26, 64])
@pytest.mark.parametrize("name", DISTILLERS)
@pytest.mark.parametrize(("depth", "share"), [(1, 0.25), (4, 0.5)])
def test_a_block_fits_every_width_depth_and_share(name: str, width: int, depth: int, share: float) -> None:
    block = Lightweight(width=width, block=name, depth=depth, share=share).parts_by_role(2)["block"].build()
    with torch.no_grad():
        assert block(torch.randn(1, width, 9, 7)).shape == (1, width, 9, 7)


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("heads", [2, 4, 8])
@pytest.mark.parametrize("width", [16, 22, 50])
def test_a_transformer_takes_heads_that_do_not_divide_the_width(name: str, heads: int, width: int) -> None:
    block = TRANSFORMERS[name](width, heads=heads, mlp_ratio=1, shifted=True)
    with torch.no_grad():
        assert block(torch.randn(1, width, 9, 7)).shape == (1, width, 9, 7)


@pytest.mark.parametrize("name", SHARINGS)
@pytest.mark.parametrize("blocks", range(1, 9))
def test_a_sharing_names_weights_in_the_order_of_first_use(name: str, blocks: int) -> None:
    indices = SHARINGS[name](blocks)
    assert len(indices) == blocks
    assert list(dict.fromkeys(indices)) == list(range(max(indices) + 1))


def test_sharings_that_agree_are_known_to_be_the_same() -> None:
    assert same_sharing(8) == {"interval": ("none", {"blocks": [2]}), "pairwise": ("all", {"blocks": [2]})}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", TAILS)
def test_a_tail_enlarges_exactly_and_can_start_silent(name: str, scale: int) -> None:
    tail = TAILS[name](WIDTH, scale)
    x = torch.randn(1, WIDTH, 5, 7)
    assert tail(x).shape == (1, 3, 5 * scale, 7 * scale)
    tail.start_silent()
    assert tail(x).count_nonzero() == 0


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", SKIPS)
def test_a_skip_enlarges_exactly(name: str, scale: int) -> None:
    skip = SKIPS[name]
    assert skip is None or skip(torch.rand(1, 3, 1, 7), scale).shape == (1, 3, scale, 7 * scale)


@pytest.mark.parametrize("table", [ATTENTIONS, CONVOLUTIONS, DISTILLERS, TRANSFORMERS, STEMS, ACTIVATIONS])
def test_every_option_says_where_it_comes_from(table: dict[str, object]) -> None:
    assert all(option.__doc__ for option in table.values())

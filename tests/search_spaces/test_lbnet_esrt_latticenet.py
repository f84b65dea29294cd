"""LBNet, ESRT and LatticeNet have their printed costs; ESRT's attention is what its definition says."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest
import torch
from torch import nn

import search_spaces.blocks.esrt as esrt_blocks
from nas.cost.counting import measure
from search_spaces.blocks.convolutions import pointwise
from search_spaces.blocks.esrt import (
    ChunkedAttention,
    EfficientTransformer,
    TokenTransformer,
    attend_in_rows,
    from_tokens,
    to_tokens,
)
from search_spaces.blocks.lattice import LatticeBlock
from search_spaces.networks.esrt import Esrt
from search_spaces.networks.latticenet import LatticeNet
from search_spaces.networks.lbnet import Lbnet

# Scale -> printed parameters and Multi-Adds of the convolutions alone.
PRINTED = [
    (Lbnet(), 2, 731e3, 153.2e9),
    (Lbnet(), 4, 742e3, 38.9e9),
    (LatticeNet(), 2, 756e3, 169.5e9),
    (LatticeNet(), 3, 765e3, 76.3e9),
    (LatticeNet(), 4, 777e3, 43.6e9),
]
SMALL: dict[str, Lbnet | Esrt | LatticeNet] = {
    "lbnet": Lbnet(width=16),
    "esrt": Esrt(width=16),
    "latticenet": LatticeNet(width=16),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Maps this small take longer on several threads than on one, much longer where the cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("network", "scale", "params", "multi_adds"), PRINTED)
def test_a_printed_cost_is_reproduced(
    network: Lbnet | LatticeNet, scale: int, params: float, multi_adds: float
) -> None:
    cost = measure(lambda: network.build(scale), scale)
    assert cost.params == pytest.approx(params, rel=0.005)
    assert cost.conv_multi_adds == pytest.approx(multi_adds, rel=0.005)


def test_esrt_truly_costs_298_g_where_its_paper_prints_less() -> None:
    cost = measure(lambda: Esrt().build(4), 4)
    assert cost.params == pytest.approx(751e3, rel=0.002)
    assert cost.multi_adds == pytest.approx(298e9, rel=0.01)


def test_the_tiny_lbnet_has_the_printed_convolutions() -> None:
    cost = measure(lambda: Lbnet(width=18, heads=9).build(4), 4)
    assert cost.conv_multi_adds == pytest.approx(12.6e9, rel=0.005)


def test_one_block_has_the_parameters_of_the_released_code() -> None:
    assert parameters(TokenTransformer(288, heads=8, hidden=72, chunks=4)) == 188_424


def test_tokens_are_neighbourhoods_and_folding_them_sums_the_overlaps() -> None:
    x = torch.randn(1, 2, 5, 6)
    tokens = to_tokens(x)
    assert tokens.shape == (1, 30, 18)
    assert torch.equal(
        tokens[0, 8, 4::9], x[0, :, 1, 2]
    )  # the middle of the neighbourhood of row 1, column 2
    folded = from_tokens(tokens, (5, 6))
    torch.testing.assert_close(folded[..., 1:-1, 1:-1], 9 * x[..., 1:-1, 1:-1])


@pytest.mark.parametrize(("tokens", "lengths"), [(16, [4] * 4), (19, [4] * 4 + [3]), (3, [1] * 3)])
def test_attention_stays_inside_chunks_of_the_raster(tokens: int, lengths: list[int]) -> None:
    attention = ChunkedAttention(36, heads=2, chunks=4)
    x = torch.randn(2, tokens, 36)
    parts = attention.qkv(attention.reduce(x)).unflatten(-1, (3, 2, 9)).permute(2, 0, 3, 1, 4)
    mixed = []
    for query, key, value in zip(*(part.split(lengths, dim=2) for part in parts), strict=True):
        scores = query @ key.transpose(-2, -1) * (36 / 2) ** -0.5
        mixed.append((scores.softmax(-1) @ value).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x), attention.project(torch.cat(mixed, dim=1)))


def test_the_scale_of_the_scores_is_that_of_the_unreduced_token() -> None:
    assert ChunkedAttention(288, heads=8, chunks=4).scale == pytest.approx(1 / 6)


def test_rows_in_blocks_give_the_same_result_and_never_more_scores_than_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query, key, value = torch.randn(3, 2, 2, 10, 8).unbind()
    whole = attend_in_rows(query, key, value, 0.3)
    sizes, fused = [], esrt_blocks.F.scaled_dot_product_attention

    def watched(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> torch.Tensor:
        sizes.append(query.shape[:3].numel() * key.shape[2])
        return fused(query, key, value, scale=scale)

    monkeypatch.setattr(esrt_blocks, "MAX_SCORES", 130)
    monkeypatch.setattr(esrt_blocks.F, "scaled_dot_product_attention", watched)
    torch.testing.assert_close(attend_in_rows(query, key, value, 0.3), whole)
    assert sizes == [120, 120, 120, 40]


def test_blocks_of_rows_do_not_change_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def multi_adds() -> int:
        stack = [pointwise(3, 16), EfficientTransformer(16, heads=4, mlp_ratio=1)]
        return measure(lambda: nn.Sequential(*(part.to("meta") for part in stack)), 1, (30, 41)).multi_adds

    whole = multi_adds()
    monkeypatch.setattr(esrt_blocks, "MAX_SCORES", 5000)
    assert multi_adds() == whole
    tokens, chunk = 30 * 41, 30 * 41 // 4
    lengths = [chunk] * 4 + [tokens - 4 * chunk]
    attention = 2 * 72 * sum(length**2 for length in lengths)
    linear = tokens * (144 * 72 + 72 * 216 + 72 * 144 + 2 * 144 * 36)
    assert whole == attention + linear + tokens * (3 * 16 + 9 * 16 * 16)


@pytest.mark.parametrize("width", [16, 18, 22, 30, 64])
@pytest.mark.parametrize("heads", [2, 4])
def test_the_block_of_the_composed_space_keeps_the_shape(width: int, heads: int) -> None:
    block = EfficientTransformer(width, heads=heads, mlp_ratio=2, shifted=True)
    for size in ((8, 8), (1, 64), (13, 7)):
        assert block(torch.randn(1, width, *size)).shape == (1, width, *size)


@pytest.mark.parametrize("width", [16, 22, 32])
def test_a_lattice_block_keeps_the_shape(width: int) -> None:
    assert LatticeBlock(width)(torch.randn(2, width, 8, 5)).shape == (2, width, 8, 5)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", SMALL)
def test_a_network_enlarges_odd_images(name: str, scale: int) -> None:
    network = SMALL[name].build(scale).eval()
    with torch.no_grad():
        for height, width in ((8, 8), (1, 33), (13, 7)):
            x = torch.rand(1, 3, height, width)
            y = network(x)
            assert y.shape == (1, 3, height * scale, width * scale)
            assert torch.equal(network(x), y)
        copy = pickle.loads(pickle.dumps(network))
        assert torch.equal(copy(x), y)


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_of_a_network_has_a_finite_gradient(name: str) -> None:
    network = SMALL[name].build(2)
    network(torch.rand(2, 3, 10, 11)).square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key

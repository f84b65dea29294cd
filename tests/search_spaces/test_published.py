"""The published networks cost what their papers print, or what their released code was counted to cost."""

from __future__ import annotations

import pytest
import torch

from nas.cost import measure
from search_spaces.blocks.fourier import uncounted
from search_spaces.errors import SpaceError
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED, Printed, Published, published

ROWS = [
    (name, kind, scale, row)
    for name, network in PUBLISHED.items()
    for kind in ("printed", "counted")
    for scale, row in getattr(network, kind).items()
]
_MEASURED = {}


def _cost(name: str, scale: int):  # type: ignore[no-untyped-def]
    if (name, scale) not in _MEASURED:
        _MEASURED[name, scale] = measure(lambda: PUBLISHED[name].build(scale), scale)
    return _MEASURED[name, scale]


@pytest.mark.parametrize(("name", "kind", "scale", "row"), ROWS, ids=[f"{n}-{k}-x{s}" for n, k, s, _ in ROWS])
def test_it_costs_what_the_row_says(name: str, kind: str, scale: int, row: Printed) -> None:
    cost = _cost(name, scale)
    if row.params_within is not None:
        assert cost.params == pytest.approx(row.params, rel=row.params_within)
    if row.multi_adds is not None and row.multi_adds_within is not None:
        multi_adds = cost.conv_multi_adds if row.conv_only else cost.multi_adds
        assert multi_adds == pytest.approx(row.multi_adds, rel=row.multi_adds_within)


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_enlarges_exactly_and_trains(name: str) -> None:
    torch.manual_seed(0)
    network = PUBLISHED[name].build(2)
    x = torch.rand(1, 3, 16, 18)
    y = network(x)
    assert y.shape == (1, 3, 32, 36)
    y.mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_says_where_it_comes_from_and_why_a_row_is_not_met(name: str) -> None:
    network = PUBLISHED[name]
    assert network.source
    rows = [*network.printed.values(), *network.counted.values()]
    if any(row.params_within is None or row.multi_adds_within is None for row in rows):
        assert network.note
    if network.inspired:
        assert name.endswith("-inspired") and not rows and "inspired by" in network.source


def test_imdn_is_a_point_of_the_composed_space_to_the_last_parameter() -> None:
    assert PUBLISHED["imdn"].genotype is not None
    assert [_cost("imdn", scale).params for scale in (2, 4)] == [694_404, 715_176]


def test_fourier_transforms_which_no_counter_sees_can_be_recognised() -> None:
    assert uncounted(PUBLISHED["f2srgan"].build(2))
    assert uncounted(Lightweight(block="ffc").build(2))
    assert not uncounted(PUBLISHED["f2srgan-student"].build(2))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(SpaceError, match="did you mean 'imdn'"):
        published("imdm")


def test_a_network_needs_exactly_one_way_to_be_built() -> None:
    with pytest.raises(SpaceError, match="either a genotype or a builder"):
        Published(source="nothing")

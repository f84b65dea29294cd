"""The published networks cost what their papers print, or what their released code was counted to cost."""

from __future__ import annotations

import pytest
import torch

from nas.cost.counting import measure, uncounted_operations
from search_spaces.errors import SpaceError
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED, Printed, Published, published

SLOW = {("efrdn", 2), ("efrdn", 3), ("lbnet", 2), ("lbnet", 3), ("esrt", 2), ("esrt", 3)}
"""Networks that take seconds to count; their rows at x4 are counted every time."""

ROWS = [
    pytest.param(
        *(name, kind, scale, row),
        marks=[pytest.mark.thorough] if (name, scale) in SLOW else [],
        id=f"{name}-{kind}-x{scale}",
    )
    for name, network in PUBLISHED.items()
    for kind in ("printed", "counted")
    for scale, row in getattr(network, kind).items()
]
_MEASURED = {}


def _cost(name: str, scale: int, in_training: bool = False):  # type: ignore[no-untyped-def]
    key = name, scale, in_training
    if key not in _MEASURED:
        build = PUBLISHED[name].build
        _MEASURED[key] = measure(lambda: build(scale), scale, in_training=in_training)
    return _MEASURED[key]


@pytest.mark.parametrize(("name", "kind", "scale", "row"), ROWS)
def test_it_costs_what_the_row_says(name: str, kind: str, scale: int, row: Printed) -> None:
    cost = _cost(name, scale, row.in_training)
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
    assert uncounted_operations(lambda: PUBLISHED["f2srgan"].build(2), 2)
    assert uncounted_operations(lambda: Lightweight(block="ffc").build(2), 2)
    assert not uncounted_operations(lambda: PUBLISHED["f2srgan-student"].build(2), 2)
    assert not uncounted_operations(lambda: PUBLISHED["smfanet"].build(2), 2)  # norms are element-wise


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_scale_that_nobody_supports_is_refused(name: str) -> None:
    with pytest.raises(SpaceError, match=r"scale 5 is not supported \(allowed: 2, 3, 4\)"):
        PUBLISHED[name].build(5)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(SpaceError, match="did you mean 'imdn'"):
        published("imdm")


def test_a_network_needs_exactly_one_way_to_be_built() -> None:
    with pytest.raises(SpaceError, match="either a genotype or a builder"):
        Published(source="nothing")


# Literal rows beside the table in the package, so that neither can drift unseen. Multi-Adds are a range where
# several figures are in print.
TABLE = [
    ("imdn", 2, 694_404, 0.0, 158.8e9, 158.8e9, 0.002, "all"),
    ("imdn", 4, 715_176, 0.0, 40.9e9, 40.9e9, 0.002, "all"),
    ("rfdn", 4, 433.4e3, 0.002, 23.76e9, 23.76e9, 0.002, "all"),
    ("bsrn", 4, 352e3, 0.01, 19.2e9, 19.4e9, 0.01, "all"),
    ("rlfn", 2, 527e3, 0.005, 115.4e9, 115.4e9, 0.005, "all"),
    ("rlfn", 4, 543.7e3, 0.005, 29.8e9, 29.8e9, 0.005, "all"),
    ("safmn", 4, 239.5e3, 0.01, 13.5e9, 13.5e9, 0.01, "all"),
    ("latticenet", 2, 756e3, 0.005, 169.5e9, 169.5e9, 0.005, "all"),
    ("latticenet", 4, 777e3, 0.005, 43.6e9, 43.6e9, 0.005, "all"),
    ("gpdn", 4, 102_728, 0.0, 5.63e9, 5.63e9, 0.01, "all"),
    pytest.param(
        *("lbnet", 2, 731e3, 0.005, 153.2e9, 153.2e9, 0.005, "convolutions"), marks=pytest.mark.thorough
    ),
    ("lbnet", 4, 742e3, 0.005, 38.9e9, 38.9e9, 0.005, "convolutions"),
    ("esrt", 4, 751e3, 0.01, 298e9, 298e9, 0.03, "all"),
    ("swinir-light", 4, 929_628, 0.01, 62.7e9, 65e9, 0.03, "all"),
    ("efrdn", 4, 767.9e3, 0.02, 27.9e9, 27.9e9, 0.02, "convolutions"),
    ("f2srgan", 4, 202e3, 0.01, None, None, 0.0, "all"),
]


@pytest.mark.parametrize(("name", "scale", "params", "within", "low", "high", "tolerance", "counted"), TABLE)
def test_the_networks_of_the_literature_cost_what_is_known_of_them(
    name: str,
    scale: int,
    params: float,
    within: float,
    low: float | None,
    high: float | None,
    tolerance: float,
    counted: str,
) -> None:
    cost = _cost(name, scale, in_training=name == "efrdn")  # EFRDN prints the branches of its ACRB
    assert abs(cost.params - params) <= within * params
    if low is not None and high is not None:
        multi_adds = cost.multi_adds if counted == "all" else cost.conv_multi_adds
        assert low * (1 - tolerance) <= multi_adds <= high * (1 + tolerance)

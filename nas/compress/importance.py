"""Which channels of a network matter: IMPORTANCES rank a group's units, group_lasso makes some not matter.

To add one, write a function (network, group, generator) -> a score for each unit, and a line in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.compress.coupling import Group


@dataclass(frozen=True, kw_only=True)
class Importance:
    """How units are ranked. ``score(network, group, generator)`` gives a number for each unit of a group.

    ``globally``: scores of different groups are compared, so that some layers become thinner than others;
    else every group loses the same share of its units.
    """

    doc: str
    score: Callable[[nn.Module, Group, torch.Generator], Tensor]
    globally: bool


def random_score(network: nn.Module, group: Group, generator: torch.Generator) -> Tensor:
    """Any order."""
    return torch.rand(len(group.units), generator=generator)


def magnitude_score(network: nn.Module, group: Group, generator: torch.Generator) -> Tensor:
    """The L1 norm of the filters that make a unit's channels (Li et al., arXiv 1608.08710, sec. 3.1)."""
    return _summed(network, group, 1, ("out",))


def lasso_score(network: nn.Module, group: Group, generator: torch.Generator) -> Tensor:
    """The L2 norm of all weights that go with a unit, over the group's mean (DepGraph, arXiv 2301.12900).

    It is what :func:`group_lasso` makes small; the division is Torch-Pruning's usual one.
    """
    norms = _summed(network, group, 2, ("out", "in")).sqrt()
    return norms / norms.mean().clamp_min(torch.finfo(norms.dtype).tiny)


def lamp_score(network: nn.Module, group: Group, generator: torch.Generator) -> Tensor:
    """LAMP: a unit's square over the sum of the squares that are not smaller (arXiv 2010.07611, eq. 1).

    The squares of single weights become those of all weights that go with a unit, as Torch-Pruning has it.
    """
    return lamp(_summed(network, group, 2, ("out", "in")))


def lamp(squares: Tensor) -> Tensor:
    """(n) squares -> (n) scores: score(u) = square(u) / sum of square(v) over all v from u on, ascending.

    The largest has score 1. Equal squares stand in their own order; without any, all scores are 0.
    """
    ascending, order = squares.sort(stable=True)
    remaining = ascending.flip(0).cumsum(0).flip(0)
    return torch.zeros_like(squares).scatter(
        0, order, ascending / remaining.clamp_min(torch.finfo(squares.dtype).tiny)
    )


IMPORTANCES: dict[str, Importance] = {
    "random": Importance(doc="Any units, the same share of every group.", score=random_score, globally=False),
    "magnitude": Importance(
        doc="Filters of the smallest L1 norm, the same share of every group.",
        score=magnitude_score,
        globally=False,
    ),
    "group-lasso": Importance(
        doc="Units of the smallest norm over all coupled weights, compared between groups.",
        score=lasso_score,
        globally=True,
    ),
    "lamp": Importance(
        doc="Layer-adaptive squares, compared between groups.", score=lamp_score, globally=True
    ),
}
"""How units are ranked: name -> Importance."""


def group_lasso(network: nn.Module, groups: Iterable[Group]) -> Tensor:
    """The group lasso of the network's units, to be added to a loss with a small factor while training.

    For each unit the L2 norm of all weights that go with it, times the root of how many there are (Yuan and
    Lin, 2006, with DepGraph's groups); differentiable, also where a unit is zero. It drives whole units to
    zero, which "group-lasso" then removes; without such training that importance only ranks.
    """
    total: Tensor | float = 0.0
    for group in groups:
        squares, counts = _sums(network, group, 2, ("out", "in"))
        total = total + ((squares + 1e-12).sqrt() * counts.sqrt()).sum()
    return torch.as_tensor(total)


def _summed(network: nn.Module, group: Group, power: int, sides: Sequence[str]) -> Tensor:
    """(units) sums of the weights' magnitudes to ``power``, over the layers of the group on ``sides``."""
    return _sums(network, group, power, sides)[0]


def _sums(network: nn.Module, group: Group, power: int, sides: Sequence[str]) -> tuple[Tensor, Tensor]:
    """As :func:`_summed`, and how many weights each unit has there."""
    layers = dict(network.named_modules())
    total = torch.zeros(len(group.units))
    counts = torch.zeros(len(group.units))
    for name, side in group.sides:
        found = _by_channel(layers[name], side, power) if side in sides else None
        if found is None:
            continue
        sums, size = found
        numbers = [n for n, unit in enumerate(group.units) for _ in unit[name, side]]
        indices = [index for unit in group.units for index in unit[name, side]]
        where = torch.tensor(numbers, device=sums.device)
        total = total.to(sums).index_add(0, where, sums[indices])
        counts = counts.to(sums).index_add(0, where, torch.full_like(where, size, dtype=sums.dtype))
    return total, counts


def _by_channel(layer: nn.Module, side: str, power: int) -> tuple[Tensor, int] | None:
    """(channels) sums of a layer's weights to ``power`` and how many each has; None for a PReLU's slopes."""
    if isinstance(layer, nn.PReLU):
        return None
    weight = getattr(layer, "weight", None)
    if weight is None:
        return None
    powered = weight.abs() if power == 1 else weight.square()
    if side == "in" and isinstance(layer, nn.Conv2d):
        rows = layer.out_channels // layer.groups
        shared = powered.view(layer.groups, rows, layer.in_channels // layer.groups, -1)
        return shared.sum((1, 3)).flatten(), rows * shared.shape[3]
    if side == "in":
        return powered.sum(0), powered.shape[0]
    flat = powered.reshape(powered.shape[0], -1)
    return flat.sum(1), flat.shape[1]

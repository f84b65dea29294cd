"""Which channels of a network matter: IMPORTANCES rank a group's units, group_lasso makes some not matter.

To add one, write a function (network, group, generator) -> a score for each unit, and a line in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nas.pruning.dependencies import Group


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


class GroupLasso:
    """The group lasso of a network's units, to be added to a loss with a small factor while training.

    For each unit the L2 norm of all weights that go with it, times the root of how many there are (Yuan and
    Lin, 2006, with DepGraph's groups); differentiable, also where a unit is zero. It drives whole units to
    zero, which "group-lasso" then removes; without such training that importance only ranks. The layers are
    those of the network as they are trained; only their weights are looked at in a call.
    """

    def __init__(self, network: nn.Module, groups: Iterable[Group]) -> None:
        layers = dict(network.named_modules())
        self._groups = [_Coupled.of(group, layers) for group in groups]

    def __call__(self) -> Tensor:
        """The scalar, on the layers' device."""
        return torch.stack(
            [((group.squares() + 1e-12).sqrt() * group.roots).sum() for group in self._groups]
        ).sum()


@dataclass(frozen=True, kw_only=True)
class _Coupled:
    """The layers of a group, each with which of its channels belong to which unit; ``roots`` of the sizes."""

    parts: tuple[tuple[nn.Module, str, Tensor, Tensor], ...]
    roots: Tensor

    @classmethod
    def of(cls, group: Group, layers: dict[str, nn.Module]) -> _Coupled:
        parts, counts = [], torch.zeros(len(group.units))
        for name, side in group.sides:
            found = _by_channel(layers[name], side, 2)
            if found is None:
                continue
            sums, size = found
            units = torch.tensor([n for n, unit in enumerate(group.units) for _ in unit[name, side]])
            channels = torch.tensor([index for unit in group.units for index in unit[name, side]])
            counts = counts.index_add(0, units, torch.full((len(units),), float(size)))
            parts.append((layers[name], side, units.to(sums.device), channels.to(sums.device)))
        return cls(parts=tuple(parts), roots=counts.sqrt().to(sums.device))

    def squares(self) -> Tensor:
        """(units) sums of the squares of all weights that go with each."""
        total = torch.zeros_like(self.roots)
        for layer, side, units, channels in self.parts:
            found = _by_channel(layer, side, 2)
            assert found is not None
            total = total.index_add(0, units, found[0].index_select(0, channels))
        return total


def group_lasso(network: nn.Module, groups: Iterable[Group]) -> Tensor:
    """:class:`GroupLasso` of one moment."""
    return GroupLasso(network, groups)()


def _summed(network: nn.Module, group: Group, power: int, sides: Sequence[str]) -> Tensor:
    """(units) sums of the weights' magnitudes to ``power``, over the layers of the group on ``sides``."""
    layers = dict(network.named_modules())
    total = torch.zeros(len(group.units))
    for name, side in group.sides:
        found = _by_channel(layers[name], side, power) if side in sides else None
        if found is None:
            continue
        sums = found[0]
        numbers = [n for n, unit in enumerate(group.units) for _ in unit[name, side]]
        indices = [index for unit in group.units for index in unit[name, side]]
        where = torch.tensor(numbers, device=sums.device)
        total = total.to(sums).index_add(0, where, sums[indices])
    return total


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

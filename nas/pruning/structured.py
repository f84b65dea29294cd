"""Structured pruning: whole channels leave a network, with everything that hangs on them.

``prune`` gives a smaller copy for a share of the Multi-Adds or parameters, ``describe`` its genotype. To rank
channels in another way, see ``importance.py``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nas.cost.budget import Cost
from nas.cost.counting import measure
from nas.errors import CompressError, unknown
from nas.pruning.dependencies import Group, Side, Unit, groups_of, is_depthwise
from nas.pruning.importance import IMPORTANCES, Importance
from search_spaces import Genotype
from search_spaces.blocks.folding import deployed, fold, folds
from search_spaces.compressed import Compressed, shapes_of

_WORDS = {"multi_adds": "Multi-Adds", "params": "parameters"}

_SIZES = ((19, 23), (24, 17))
"""Height and width of the images on which it is tried whether a group can go."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The share of the original's Multi-Adds and of its parameters that may stay, above 0 and at most 1 each.

    None where it does not matter; one of them has to. Raises CompressError.
    """

    multi_adds: float | None = None
    params: float | None = None

    def __post_init__(self) -> None:
        if not self.shares():
            raise CompressError("a pruning target needs a share of the Multi-Adds or of the parameters")
        for name, share in self.shares().items():
            if not 0 < share <= 1:  # also what is no number
                raise CompressError(f"pruning target {name} = {share} (allowed: above 0, at most 1)")

    def shares(self) -> dict[str, float]:
        """The limits that are set, by the name of the cost."""
        both = {"multi_adds": self.multi_adds, "params": self.params}
        return {name: share for name, share in both.items() if share is not None}


def prune(
    module: nn.Module,
    scale: int,
    target: Target,
    *,
    importance: str = "magnitude",
    seed: int = 0,
    rounds: int = 1,
) -> nn.Module:
    """A smaller copy of ``module`` within ``target``, folded; the module itself stays as it is.

    In several ``rounds`` the share shrinks by equal factors and importance is judged anew in each; who trains
    in between calls with one round each time. Costs are our own count, at an output of 1280x720.
    ``seed`` matters to "random". Raises CompressError for a target that cannot be met while every layer keeps
    channels, with the least that can, and where Torch-Pruning is missing.
    """
    if importance not in IMPORTANCES:
        raise unknown("importance", importance, IMPORTANCES)
    if rounds < 1:
        raise CompressError(f"rounds = {rounds} (allowed: 1 or more)")
    generator = torch.Generator().manual_seed(seed)
    module = deployed(module)
    whole = _counted(_empty(module), scale, target)
    pruned = copy.deepcopy(module)
    for finished in range(1, rounds + 1):
        shares = {name: share ** (finished / rounds) for name, share in target.shares().items()}
        groups = prunable_groups(pruned, scale)
        order = _order(pruned, groups, IMPORTANCES[importance], generator)
        pruned = _within(pruned, scale, order, whole, shares)
    return pruned


def reachable(module: nn.Module, scale: int) -> dict[str, float]:
    """The least shares of Multi-Adds and parameters that pruning can leave: one unit of every group."""
    target = Target(multi_adds=1, params=1)
    module = deployed(module)
    whole = _counted(_empty(module), scale, target)
    rest = [unit for group in prunable_groups(module, scale) for unit in group.units[1:]]
    least = _counted(without(_empty(module), rest), scale, target)
    return {name: least[name] / whole[name] for name in whole}


def describe(pruned: nn.Module, genotype: Genotype, scale: int) -> Compressed:
    """The genotype of a network that was folded or pruned from the one of ``genotype``.

    ``genotype`` may be compressed itself. Raises SpaceError where ``pruned`` is none of its.
    """
    kept: dict[str, Any] = {}
    if isinstance(genotype, Compressed):
        kept = {name: getattr(genotype, name) for name in ("weight_bits", "activation_bits", "trained_for")}
        genotype = genotype.original()
    with torch.device("meta"):
        original = genotype.build(scale)
    folded = folds(original) and not folds(pruned)
    shapes = shapes_of(pruned, fold(original) if folded else original)
    return Compressed(of=genotype.space, choices=genotype.to_dict(), folded=folded, shapes=shapes, **kept)


def prunable_groups(module: nn.Module, scale: int) -> list[Group]:
    """The groups of which units can go, found by trying: one unit of each is removed from a copy that is run.

    A group whose removal breaks the network, or changes the size of what it gives, is left out. Raises
    CompressError where nothing is left or the network does not enlarge.
    """
    if not _runs(module, scale):
        raise CompressError(f"the network does not give x{scale} of its input, so it cannot be pruned")
    groups = groups_of(module)
    if not _runs(without(module, [group.units[-1] for group in groups]), scale):
        groups = [group for group in groups if _runs(without(module, [group.units[-1]]), scale)]
        if not _runs(without(module, [group.units[-1] for group in groups]), scale):
            raise CompressError("the network's layers hang together in a way that cannot be followed")
    if not groups:
        raise CompressError("no layer of the network can be pruned")
    return groups


def without(module: nn.Module, units: Iterable[Unit]) -> nn.Module:
    """A copy of ``module`` without the channels of ``units``."""
    gone: dict[Side, set[int]] = {}
    for unit in units:
        for side, indices in unit.items():
            gone.setdefault(side, set()).update(indices)
    smaller = copy.deepcopy(module)
    layers = dict(smaller.named_modules())
    for (name, where), taken in gone.items():
        _shrink(layers[name], where, taken)
    return smaller


def _shrink(layer: nn.Module, side: str, gone: set[int]) -> None:
    """Take channels of one side of a layer away, in place."""
    if isinstance(layer, nn.Conv2d):
        _shrink_convolution(layer, side, gone)
    elif isinstance(layer, nn.Linear):
        size = layer.out_features if side == "out" else layer.in_features
        keep = _rest(size, gone)
        _select(layer, ("weight", "bias") if side == "out" else ("weight",), keep, int(side == "in"))
        setattr(layer, "out_features" if side == "out" else "in_features", len(keep))
    elif isinstance(layer, nn.BatchNorm2d):
        keep = _rest(layer.num_features, gone)
        _select(layer, ("weight", "bias", "running_mean", "running_var"), keep)
        layer.num_features = len(keep)
    elif isinstance(layer, nn.LayerNorm):
        keep = _rest(layer.normalized_shape[0], gone)
        _select(layer, ("weight", "bias"), keep)
        layer.normalized_shape = (len(keep),)
    else:
        assert isinstance(layer, nn.PReLU)
        keep = _rest(layer.num_parameters, gone)
        _select(layer, ("weight",), keep)
        layer.num_parameters = len(keep)


def _shrink_convolution(layer: nn.Conv2d, side: str, gone: set[int]) -> None:
    depthwise = is_depthwise(layer)
    keep = _rest(layer.out_channels if side == "out" else layer.in_channels, gone)
    if side == "out":
        _select(layer, ("weight", "bias"), keep)
        layer.out_channels = len(keep)
        if depthwise:
            layer.in_channels = layer.groups = len(keep)
        return
    if layer.groups == 1:
        _select(layer, ("weight",), keep, 1)
    else:  # every group of outputs sees its own share of the inputs, and keeps equally many of them
        rows, share = layer.out_channels // layer.groups, layer.in_channels // layer.groups
        own = torch.tensor(keep).view(layer.groups, -1) % share
        index = own.repeat_interleave(rows, 0).to(layer.weight.device)
        index = index[:, :, None, None].expand(-1, -1, *layer.weight.shape[2:])
        cut = layer.weight.detach().gather(1, index) if not layer.weight.is_meta else None
        made = layer.weight.detach()[:, : own.shape[1]].clone() if cut is None else cut
        layer.weight = nn.Parameter(made, requires_grad=layer.weight.requires_grad)
    layer.in_channels = len(keep)


def _rest(size: int, gone: set[int]) -> list[int]:
    return [index for index in range(size) if index not in gone]


def _select(layer: nn.Module, names: Sequence[str], keep: list[int], dim: int = 0) -> None:
    for name in names:
        old = getattr(layer, name, None)
        if old is None:
            continue
        cut = old.detach().index_select(dim, torch.tensor(keep, device=old.device))
        if isinstance(old, nn.Parameter):
            cut = nn.Parameter(cut, requires_grad=old.requires_grad)
        setattr(layer, name, cut)


@torch.no_grad()
def _order(
    network: nn.Module, groups: Sequence[Group], importance: Importance, generator: torch.Generator
) -> list[Unit]:
    """The units in the order in which they go. The most important one of each group is not among them."""
    ranked: list[tuple[float, int, int, Unit]] = []
    for number, group in enumerate(groups):
        scores = importance.score(network, group, generator)
        order = scores.sort(stable=True).indices.tolist()
        for rank, index in enumerate(order[:-1]):
            share = (rank + 1) / len(order)
            value = float(scores[index]) if importance.globally else share
            ranked.append((value if math.isfinite(value) else math.inf, number, rank, group.units[index]))
    return [unit for *_, unit in sorted(ranked, key=lambda entry: entry[:3])]


def _within(
    network: nn.Module,
    scale: int,
    order: Sequence[Unit],
    whole: Mapping[str, float],
    shares: Mapping[str, float],
) -> nn.Module:
    """The network without the fewest units, in ``order``, that bring it within ``shares`` of ``whole``."""
    target = Target(**shares)
    empty = _empty(network)

    def over(count: int) -> dict[str, float]:
        costs = _counted(without(empty, order[:count]), scale, target)
        return {
            name: costs[name] / whole[name] for name in shares if costs[name] > whole[name] * shares[name]
        }

    low, high = 0, len(order)
    too_much = over(high)
    if too_much:
        told = " and ".join(
            f"{share:.1%} of the {_WORDS[name]} (asked: {shares[name]:.1%})"
            for name, share in too_much.items()
        )
        raise CompressError(
            f"the target would remove whole layers: the least that pruning can leave is {told}"
        )
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if over(middle) else (low, middle)
    return without(network, order[:low])


def _counted(network: nn.Module, scale: int, target: Target) -> dict[str, float]:
    """The costs of a network without numbers that ``target`` limits; Multi-Adds only where they matter."""
    if target.multi_adds is None:
        return {"params": sum(parameter.numel() for parameter in network.parameters())}
    cost: Cost = measure(lambda: network, scale)
    return {"multi_adds": cost.multi_adds, "params": cost.params}


def _runs(network: nn.Module, scale: int) -> bool:
    """Whether it enlarges images of odd sizes by ``scale``."""
    network = copy.deepcopy(network).to(device="cpu", dtype=torch.float32).eval()
    try:
        with torch.no_grad():
            return all(
                network(torch.zeros(1, 3, height, width)).shape == (1, 3, height * scale, width * scale)
                for height, width in _SIZES
            )
    except (RuntimeError, ValueError, IndexError):
        return False


def _empty(network: nn.Module) -> nn.Module:
    """A copy that has sizes and no numbers."""
    return copy.deepcopy(network).to(device="meta", dtype=torch.float32).eval()

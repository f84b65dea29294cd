"""Which channels of a network hang together: what has to go where one of them goes.

The network is run once on a small image while Torch-Pruning draws its dependency graph (DepGraph, arXiv
2301.12900, sec. 3.2). Ours on top of it: the graph is walked channel by channel rather than layer by layer,
and a mode that watches the operations tells it what it would have to guess: where a split begins, what a
concatenation is made of, pixel shuffle, tokens, what only broadcasts, and what happens inside attention
(``tracing.py``).
"""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from nas.errors import CompressError
from nas.pruning.tracing import ENCLOSED, Watch, enclose

if TYPE_CHECKING:
    from torch_pruning.dependency import DependencyGraph
    from torch_pruning.dependency.node import Node

Side = tuple[str, str]
"""A module's name, and ``in`` or ``out``: which of its channels; always ``out`` where both are the same."""

Unit = dict[Side, list[int]]
"""Channels that can only go together."""

Channel = tuple[nn.Module, str, int]
"""One channel on a side of a layer."""

LAYERS = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.LayerNorm, nn.PReLU)
"""The layers whose channels can be removed. What hangs on another one's parameters stays whole."""

TRACED = (24, 26)
"""Height and width of the image that the network is run on."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Units that run through the same layers: the least important ones may go, at least one stays."""

    sides: tuple[Side, ...]
    units: tuple[Unit, ...]


MOST_STEPS = 100_000
"""Steps of Torch-Pruning through one graph: it counts them as depth; its 500 are too few for 24 blocks."""


def groups_of(network: nn.Module) -> list[Group]:
    """The groups of channels of ``network`` that can be pruned, in the order of its layers.

    A unit that reaches the image, or something that is not understood, is in none of them. The network is
    left as it is. Raises CompressError where Torch-Pruning is missing or the network cannot be run.
    """
    graph, watch, names = _traced(network)
    walker = _Walker(graph, watch, names)
    found: dict[tuple[Side, ...], list[Unit]] = {}
    for unit in walker.units():
        found.setdefault(tuple(sorted(unit)), []).append(unit)
    layers = dict(network.named_modules())
    made = [(sides, _balanced(units, layers)) for sides, units in found.items()]
    return [Group(sides=sides, units=tuple(units)) for sides, units in made if len(units) > 1]


def channels(layer: nn.Module, side: str) -> int:
    """How many channels a layer has on a side."""
    if isinstance(layer, nn.Conv2d):
        return layer.out_channels if side == "out" else layer.in_channels
    if isinstance(layer, nn.Linear):
        return layer.out_features if side == "out" else layer.in_features
    if isinstance(layer, nn.LayerNorm):
        return layer.normalized_shape[-1]
    assert isinstance(layer, nn.BatchNorm2d | nn.PReLU)
    return layer.num_features if isinstance(layer, nn.BatchNorm2d) else layer.num_parameters


def is_depthwise(layer: nn.Module) -> bool:
    """A convolution whose channels go in and out alone."""
    return isinstance(layer, nn.Conv2d) and 1 < layer.groups == layer.in_channels == layer.out_channels


def _balanced(units: list[Unit], layers: dict[str, nn.Module]) -> list[Unit]:
    """Units of which each takes equally many channels from all groups of every grouped convolution.

    Ours: units are classed by the groups that they take from; where a class alone is not balanced, one unit
    of each class goes together, and where that is not either, none can go.
    """
    classes: dict[tuple[tuple[int, ...], ...], list[Unit]] = defaultdict(list)
    for unit in units:
        classes[_taken(unit, layers)].append(unit)
    if all(_even(taken) for taken in classes):
        return units
    counts = {len(members) for members in classes.values()}
    total = tuple(tuple(map(sum, zip(*column, strict=True))) for column in zip(*classes.keys(), strict=True))
    if len(counts) > 1 or not _even(total):
        return []
    return [_joined(together) for together in zip(*classes.values(), strict=True)]


def _taken(unit: Unit, layers: dict[str, nn.Module]) -> tuple[tuple[int, ...], ...]:
    """For each grouped convolution, how many channels the unit takes from each of its groups."""
    taken = []
    for (name, side), indices in sorted(unit.items()):
        layer = layers[name]
        if isinstance(layer, nn.Conv2d) and layer.groups > 1 and not is_depthwise(layer):
            size = channels(layer, side) // layer.groups
            taken.append(tuple(sum(i // size == g for i in indices) for g in range(layer.groups)))
    return tuple(taken)


def _even(taken: tuple[tuple[int, ...], ...]) -> bool:
    return all(len(set(counts)) == 1 for counts in taken)


def _joined(units: Sequence[Unit]) -> Unit:
    joined: Unit = defaultdict(list)
    for unit in units:
        for side, indices in unit.items():
            joined[side].extend(indices)
    return dict(joined)


def _traced(network: nn.Module) -> tuple[DependencyGraph, Watch, dict[nn.Module, str]]:
    """Torch-Pruning's graph of a copy of the network, what was seen meanwhile, and the copy's modules."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torch_pruning.dependency import DependencyGraph, constants
    except ImportError:
        raise CompressError("pruning needs Torch-Pruning: pip install 'paretosr[compress]'") from None
    twin = copy.deepcopy(network).cpu().float().eval()
    for parameter in twin.parameters():
        parameter.requires_grad_(False)
    for layer in twin.modules():
        if isinstance(layer, (*LAYERS, nn.modules.conv._ConvNd)):
            layer.requires_grad_(True)
        if getattr(layer, "inplace", False):
            layer.inplace = False  # type: ignore[assignment]  # else it hides the layer before it
    watch = Watch()
    for module in twin.modules():
        if type(module) in ENCLOSED:
            enclose(module, ENCLOSED[type(module)], watch)
    graph = DependencyGraph()
    constants.MAX_RECURSION_DEPTH = MOST_STEPS
    try:
        with watch, torch.enable_grad():
            graph.build_dependency(twin, watch.image(*TRACED), verbose=False)
    except (RuntimeError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise CompressError(f"the network cannot be followed: {str(error).splitlines()[0]}") from error
    return graph, watch, {module: name for name, module in twin.named_modules()}


class _Walker:
    """Walks the graph channel by channel."""

    def __init__(self, graph: DependencyGraph, watch: Watch, names: dict[nn.Module, str]) -> None:
        self.graph, self.watch, self.names = graph, watch, names
        self.seen: set[tuple[Node, Any, int]] = set()
        self.links = dict(_links(names))
        self._correct()

    def units(self) -> Iterator[Unit]:
        """Every unit that may go, in the order of the layers."""
        nodes = self.graph.module2node
        for layer in self.names:
            if layer in nodes and isinstance(layer, nn.Conv2d | nn.Linear):
                function = self.graph.get_pruner_of_module(layer).prune_out_channels
                for index in range(channels(layer, "out")):
                    if (nodes[layer], function, index) not in self.seen:
                        unit = self._reach(nodes[layer], function, index)
                        if unit is not None:
                            yield unit

    def _reach(self, node: Node, function: Any, index: int) -> Unit | None:
        """All channels that go with one; None where one of them has to stay."""
        unit: dict[Side, set[int]] = defaultdict(set)
        waiting, free = [(node, function, index)], True
        while waiting:
            at = waiting.pop()
            if at in self.seen:
                continue
            self.seen.add(at)
            node, function, index = at
            if node.grad_fn in self.watch.barriers:
                continue
            layer = node.module
            if layer in self.names:
                side = self._side(layer, function)
                free &= _removable(layer, side, index)
                if not (isinstance(layer, nn.PReLU) and layer.num_parameters == 1):
                    unit[self.names[layer], side].add(index)
                for other, other_side, linked in self.links.get((layer, side, index), ()):
                    pruner = self.graph.get_pruner_of_module(other)
                    out = other_side == "out"
                    function_there = pruner.prune_out_channels if out else pruner.prune_in_channels
                    waiting.append((self.graph.module2node[other], function_there, linked))
            elif node.grad_fn in self.watch.closed or type(layer).__name__ == "_OutputOp":
                free = False
            waiting.extend(self._next(node, function, index))
        return {side: sorted(indices) for side, indices in unit.items()} if free else None

    def _next(self, node: Node, function: Any, index: int) -> Iterator[tuple[Node, Any, int]]:
        from torch_pruning._helpers import _HybridIndex

        for dependency in node.dependencies:
            if dependency.is_triggered_by(function):
                indices = [_HybridIndex(idx=index, root_idx=index)]
                for mapping in dependency.index_mapping:
                    indices = indices if mapping is None else mapping(indices)
                for mapped in indices:
                    yield dependency.target, dependency.handler, mapped.idx

    def _side(self, layer: nn.Module, function: Any) -> str:
        pruner = self.graph.get_pruner_of_module(layer)
        return "out" if pruner is None or function == pruner.prune_out_channels else "in"

    def _correct(self) -> None:
        """Put what was seen in the place of what Torch-Pruning had to guess."""
        from torch_pruning import ops
        from torch_pruning.dependency.index_mapping import _ConcatIndexMapping, _FlattenIndexMapping

        by_function = {node.grad_fn: node for node in self.graph.module2node.values()}
        for function, sizes in self.watch.concatenated.items():
            whole, begin = by_function.get(function), 0
            if whole is None:
                continue
            for dependency in whole.dependencies:
                if dependency.target.type != ops.OPTYPE.SLICE:  # where it is split, the slice says so
                    dependency.index_mapping = [None, dependency.index_mapping[1]]
            for position, (source, _) in enumerate(function.next_functions):
                part = by_function.get(source)
                place = [begin, begin + sizes[position]] if sizes else None
                begin = place[1] if place else 0
                if part is not None:
                    into, back = (place and _ConcatIndexMapping(place, reverse=r) for r in (False, True))
                    _between(part, whole, 1, into, back)
        for table, grows in ((self.watch.multiplied, True), (self.watch.merged, False)):
            for function, factor in table.items():
                node = by_function.get(function)
                for source in [] if node is None else node.inputs:
                    into = _FlattenIndexMapping(factor, reverse=not grows)
                    _between(source, node, 0, into, _FlattenIndexMapping(factor, reverse=grows))


def _between(source: Node, target: Node, place: int, into: Any, back: Any) -> None:
    """Say how indices change from one node to the next, and back."""
    for one, other, mapping in ((source, target, into), (target, source, back)):
        for dependency in one.dependencies:
            if dependency.target is other:
                dependency.index_mapping[place] = mapping


def _removable(layer: nn.Module, side: str, index: int) -> bool:
    """Whether we know how to take this channel of the layer away."""
    if not isinstance(layer, LAYERS) or (isinstance(layer, nn.LayerNorm) and len(layer.normalized_shape) > 1):
        return False
    if isinstance(layer, nn.PReLU) and layer.num_parameters == 1:
        return True
    return index < channels(layer, side)


def _links(names: dict[nn.Module, str]) -> Iterator[tuple[Channel, list[Channel]]]:
    """Inside attention: the same place of every head, in queries, keys and values, and where they leave."""
    for module in names:
        enclosure = ENCLOSED.get(type(module))
        if enclosure is None or not enclosure.parts:
            continue
        begin, end = (module.get_submodule(name) for name in (enclosure.begin, enclosure.end))
        first = [layer for layer in begin.modules() if isinstance(layer, nn.Conv2d | nn.Linear)][-1]
        heads: int = module.heads  # type: ignore[assignment]
        inner = channels(end, "in")
        size = inner // heads
        for place in range(size):
            starts = [part * inner + head * size for part in range(enclosure.parts) for head in range(heads)]
            tied: list[Channel] = [(first, "out", start + place) for start in starts]
            tied += [(end, "in", head * size + place) for head in range(heads)]
            for one in tied:
                yield one, tied

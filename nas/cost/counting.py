"""Exact costs of a network before training: parameters, Multi-Adds, activations.

The network in use is counted: branches that only training has are folded first. Multi-Adds are those of an
output of 1280x720 pixels, as in the papers (``docs/protocol.md``). Two functions give the same numbers:
:func:`measure` counts any network on the meta device, where nothing is computed; :func:`cost_of` adds up the
parts of a genotype, each of which is counted once and cached.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry

from nas.cost.budget import Cost
from nas.cost.cache import KnownCosts
from nas.cost.output_sizes import output_of
from nas.errors import BudgetError
from search_spaces import Genotype
from search_spaces.blocks.branches import Branched
from search_spaces.blocks.folding import deployed
from search_spaces.genotype import Part

OUTPUT = (720, 1280)
"""Height and width of the image at which Multi-Adds are counted."""

_CONVOLUTIONS = {torch.ops.aten.convolution, torch.ops.aten._convolution}

_MULTIPLYING = ("_fft_", "grid_sampler", "_cdist", "linalg_", "einsum", "attention", "matmul", "_trilinear")
"""Parts of the names of operations that multiply numbers by numbers, whether or not torch has a formula."""


def input_size(scale: int, output: tuple[int, int] = OUTPUT) -> tuple[int, int]:
    """Height and width of the low-resolution input for ``output``, rounded down (x3: 240 x 426).

    Raises BudgetError for a scale at which the input would be empty.
    """
    if not 1 <= scale <= min(output):
        raise BudgetError(f"scale {scale}: a whole number from 1 to {min(output)} is needed")
    return output[0] // scale, output[1] // scale


def measure(
    build: Callable[[], nn.Module],
    scale: int,
    output: tuple[int, int] = OUTPUT,
    *,
    in_training: bool = False,
) -> Cost:
    """The cost of the network that ``build`` returns, counted on the meta device: nothing is computed.

    With ``in_training`` the branches that are folded for use are counted one by one. Raises BudgetError where
    the network does not give ``scale`` times its input.
    """
    height, width = input_size(scale, output)
    cost, shape, _ = _count(build, (1, 3, height, width), in_training)
    if shape[-2:] != (height * scale, width * scale):
        raise BudgetError(f"the network gives {tuple(shape)} for {(1, 3, height, width)}, not x{scale}")
    return cost


def cost_of(genotype: Genotype, scale: int, output: tuple[int, int] = OUTPUT) -> Cost:
    """The cost of a genotype's network: the sum of its parts, or :func:`measure` if it names no parts.

    Equal to the count of the built network, to the last operation.
    """
    parts = genotype.parts(scale)
    if parts is None:
        return measure(lambda: genotype.build(scale), scale, output)
    size = input_size(scale, output)
    params = multi_adds = conv_multi_adds = activations = 0
    for part in parts:
        cost = _part_cost(genotype, part, size)
        params += part.copies * cost.params
        multi_adds += part.uses * cost.multi_adds
        conv_multi_adds += part.uses * cost.conv_multi_adds
        activations += part.uses * cost.activations
    return Cost(
        params=params, multi_adds=multi_adds, conv_multi_adds=conv_multi_adds, activations=activations
    )


def breakdown(
    genotype: Genotype, scale: int, output: tuple[int, int] = OUTPUT
) -> list[tuple[str, Part, Cost]]:
    """A genotype's parts in the order of the network: its name, the part, and what all of it costs.

    The costs add up to :func:`cost_of`. Empty where the genotype names no parts.
    """
    size = input_size(scale, output)
    parts: Sequence[Part] = genotype.parts(scale) or ()
    return [(_called(part), part, _times(_part_cost(genotype, part, size), part)) for part in parts]


def _called(part: Part) -> str:
    """The name of a part, from its key: its kind, then every option that is a word."""
    words = part.key if isinstance(part.key, tuple) else (part.key,)
    return ", ".join(str(word) for word in words if isinstance(word, str)) or "part"


def _times(cost: Cost, part: Part) -> Cost:
    """The cost of all copies and uses of a part, from the cost of one."""
    return Cost(
        params=part.copies * cost.params,
        multi_adds=part.uses * cost.multi_adds,
        conv_multi_adds=part.uses * cost.conv_multi_adds,
        activations=part.uses * cost.activations,
    )


def uncounted_operations(build: Callable[[], nn.Module], scale: int) -> list[str]:
    """Names of operations that multiply and have no formula (for example FFT)."""
    return _count(build, (1, 3, *input_size(scale)))[2]


def largest_layer(build: Callable[[], nn.Module], scale: int) -> tuple[str, int]:
    """Name and Multi-Adds of the module that multiplies most over all its uses, its submodules excluded."""
    network, x = on_meta(build, (1, 3, *input_size(scale)))
    counter = _Counter()
    operations: dict[str, int] = {}
    calls = [type(network).__name__]
    counted = 0

    def charge_the_caller() -> None:
        nonlocal counted
        operations[calls[-1]] = operations.get(calls[-1], 0) + counter.operations - counted
        counted = counter.operations

    def enter(name: str) -> None:
        charge_the_caller()
        calls.append(name)

    def leave(*_: Any) -> None:
        charge_the_caller()
        calls.pop()

    for name, module in network.named_modules():
        if name:
            module.register_forward_pre_hook(lambda *_, name=name: enter(name))
            module.register_forward_hook(leave)
    with torch.no_grad(), counter:
        network(x)
    charge_the_caller()
    name = max(operations, key=operations.__getitem__)
    return name, operations[name] // 2


def on_meta(
    build: Callable[[], nn.Module], shape: tuple[int, ...], in_training: bool = False
) -> tuple[nn.Module, Tensor]:
    """A module in evaluation mode and an input of ``shape`` on the meta device: sizes without numbers.

    The module is the deployed one, or with ``in_training`` the one that is trained.
    """
    with torch.device("meta"):
        module, x = build(), torch.empty(shape)
    if not in_training:
        return deployed(module).eval(), x
    module = copy.deepcopy(module).to("meta")
    for part in module.modules():
        if isinstance(part, Branched):
            part.one_by_one = True
    return module.eval(), x


_known_parts: dict[tuple[str, Hashable, tuple[int, int]], Cost] = {}
_on_disk = KnownCosts()


def _part_cost(genotype: Genotype, part: Part, size: tuple[int, int]) -> Cost:
    key = (genotype.space, part.key, size)
    cost = _known_parts.get(key)
    if cost is None:
        numbers = _on_disk.get(key)
        if numbers is None:
            cost = _count(part.build, (1, part.channels, *size))[0]
            _on_disk.put(key, tuple(cost.to_dict().values()), module=type(genotype).__module__)
        else:
            cost = Cost(**dict(zip(Cost.__dataclass_fields__, numbers, strict=True)))
        _known_parts[key] = cost
    return cost


def _count(
    build: Callable[[], nn.Module], shape: tuple[int, ...], in_training: bool = False
) -> tuple[Cost, torch.Size, list[str]]:
    """Cost of a module for an input of ``shape``, shape of its output, names of uncounted operations."""
    module, x = on_meta(build, shape, in_training)
    counter = _Counter()
    with torch.no_grad(), counter:
        y = module(x)
    cost = Cost(
        params=sum(p.numel() for p in module.parameters()),
        multi_adds=counter.operations // 2,
        conv_multi_adds=counter.convolution_operations // 2,
        activations=counter.activations,
    )
    return cost, y.shape, sorted(counter.uncounted)


class _Counter(TorchDispatchMode):
    """Sums torch's formula over all operations that have one.

    FlopCounterMode also tracks the module of each operation, which takes most of its time.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """False: torch's default would import its compiler, which takes longer than the first count."""
        return False

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.convolution_operations = 0
        self.activations = 0
        self.uncounted: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = None if kwargs else output_of(func, args)
        if out is None:
            out = func(*args, **kwargs)
        packet = func._overloadpacket
        if packet in _CONVOLUTIONS:
            # torch's formula, called directly: its generic wrapper took longer than the rest of a count.
            operations = conv_flop_count(args[0].shape, args[1].shape, out.shape, transposed=args[6])
            self.operations += operations
            self.convolution_operations += operations
            self.activations += out.numel()
        elif (formula := flop_registry.get(packet)) is not None:
            self.operations += formula(*args, **kwargs, out_val=out)
        elif packet is not torch.ops.aten.linalg_vector_norm and any(
            word in packet.__name__ for word in _MULTIPLYING
        ):  # a norm squares its own numbers: an element-wise product, as no counter counts
            self.uncounted.add(packet.__name__)
        return out

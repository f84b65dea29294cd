"""What a network costs, exactly and before any training: parameters, Multi-Adds, activations.

Multi-Adds count for an output of 1280x720 pixels, as the papers do; ``docs/protocol.md`` says how.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from nas.errors import BudgetError

OUTPUT = (720, 1280)
"""Height and width of the image at which Multi-Adds are counted."""

_CONVOLUTIONS = {torch.ops.aten.convolution, torch.ops.aten._convolution}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one network costs.

    ``params``: trainable numbers. ``multi_adds``: everything that multiplies (convolutions, linear layers,
    matrix products, attention), half of what torch's FlopCounterMode counts. ``conv_multi_adds``: the
    convolutions alone, which several papers print. ``activations``: elements of all convolutions' outputs.
    """

    params: int
    multi_adds: int
    conv_multi_adds: int
    activations: int

    def to_dict(self) -> dict[str, int]:
        """The four numbers by name."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Upper limits, each None where there is none. A cost equal to its limit is inside."""

    params: int | None = None
    multi_adds: int | None = None
    conv_multi_adds: int | None = None

    def limits(self) -> dict[str, int]:
        """The limits that are set, in one fixed order."""
        return {name: limit for name, limit in asdict(self).items() if limit is not None}

    def excess(self, cost: Cost) -> dict[str, float]:
        """Limit -> fraction over it, for the limits that ``cost`` breaks; empty when it is inside."""
        over = {name: getattr(cost, name) / limit - 1 for name, limit in self.limits().items()}
        return {name: fraction for name, fraction in over.items() if fraction > 0}


def input_size(scale: int, output: tuple[int, int] = OUTPUT) -> tuple[int, int]:
    """Height and width of the low-resolution input for ``output``, rounded down (x3: 240 x 426)."""
    return output[0] // scale, output[1] // scale


def measure(build: Callable[[], nn.Module], scale: int, output: tuple[int, int] = OUTPUT) -> Cost:
    """The cost of the network that ``build`` returns, counted on the meta device: nothing is computed.

    Raises BudgetError where the network does not give ``scale`` times its input.
    """
    with torch.device("meta"):
        network = build().eval()
        x = torch.empty(1, 3, *input_size(scale, output))
    counter = _Counter()
    with torch.no_grad(), counter:
        y = network(x)
    if y.shape[-2:] != (x.shape[-2] * scale, x.shape[-1] * scale):
        raise BudgetError(f"the network gives {tuple(y.shape)} for {tuple(x.shape)}, not x{scale}")
    return Cost(
        params=sum(p.numel() for p in network.parameters()),
        multi_adds=counter.operations // 2,
        conv_multi_adds=counter.convolution_operations // 2,
        activations=counter.activations,
    )


class _Counter(TorchDispatchMode):
    """Sums torch's own formula for every operation that has one.

    FlopCounterMode does the same and also tracks which module each operation belongs to, which takes most of
    its time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0
        self.convolution_operations = 0
        self.activations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        formula = flop_registry.get(packet)
        if formula is not None:
            operations = formula(*args, **kwargs, out_val=out)
            self.operations += operations
            if packet in _CONVOLUTIONS:
                assert isinstance(out, Tensor)
                self.convolution_operations += operations
                self.activations += out.numel()
        return out

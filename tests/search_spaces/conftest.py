"""What the tests of spaces share: dice that choose, and the count of one module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from dice import Dice
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Counter(TorchDispatchMode):
    """The sum of torch's own formulas: FlopCounterMode without its slow record of modules."""

    operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.operations += formula(*args, **(kwargs or {}), out_val=out)
        return out


def count(
    build: Callable[[], nn.Module], channels: int, size: tuple[int, int], device: str = "meta"
) -> tuple[int, int]:
    """Parameters and Multi-Adds of a module on (1, channels, *size).

    On "meta" nothing is computed; on "cpu" small sizes are faster, with attention as matrix products, the one
    form that is counted there.
    """
    with torch.device(device):
        module = build().eval()
        x = torch.zeros(1, channels, *size)
    counter = Counter()
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        module(x)
    return sum(p.numel() for p in module.parameters()), counter.operations // 2


@pytest.fixture
def dice() -> type[Dice]:
    return Dice


@pytest.fixture
def counted() -> Callable[..., tuple[int, int]]:
    return count


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny tensors are slower on many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

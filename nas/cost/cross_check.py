"""The same network counted by fvcore, ptflops and torch, with every difference explained.

Both read the network as it runs on the CPU, so a check takes seconds where our own count takes a fraction of
one. What each of them adds and misses was found out by counting single operations.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from nas.cost.counting import OUTPUT, input_size, on_meta
from search_spaces.blocks.folding import deployed

_FVCORE_EXTRAS = {
    "layer_norm": "layer normalisation, 5 an element",
    "batch_norm": "batch normalisation, 2 an element",
    "group_norm": "group normalisation, 5 an element",
    "upsample_bilinear2d": "bilinear interpolation, 4 an output",
    "upsample_nearest2d": "nearest interpolation, 1 an output",
    "adaptive_avg_pool2d": "average pooling, 1 an input",
    "grid_sampler": "grid sampling, 4 an output",
}
"""Operations that fvcore counts though they multiply no weights."""


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What one counter says; ``differences`` maps a reason to the Multi-Adds it adds to ours (or misses).

    What no reason explains is ``unexplained``.
    """

    counter: str
    multi_adds: int
    differences: dict[str, int]
    unexplained: int


def second_opinions(
    build: Callable[[], nn.Module], scale: int, ours: int, output: tuple[int, int] = OUTPUT
) -> list[Opinion]:
    """What torch's FlopCounterMode (meta device), fvcore and ptflops (CPU) count, beside ``ours``.

    All count the network in use, as :func:`nas.cost.counting.measure` does.
    """
    shape = (1, 3, *input_size(scale, output))
    network = deployed(build()).eval()
    x = torch.zeros(shape)
    notes = _Notes()
    with torch.no_grad(), notes:
        network(x)
    return [_torch(build, shape, ours), _fvcore(network, x, ours, notes), _ptflops(network, x, ours, notes)]


def _torch(build: Callable[[], nn.Module], shape: tuple[int, ...], ours: int) -> Opinion:
    network, x = on_meta(build, shape)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(x)
    return _opinion("torch FlopCounterMode / 2", counter.get_total_flops() // 2, ours, {})


def _fvcore(network: nn.Module, x: Tensor, ours: int, notes: _Notes) -> Opinion:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore uses a deprecated part of torch
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(network, x)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        analysis.tracer_warnings("none")
        counted = {name: round(number) for name, number in analysis.by_operator().items()}
    reasons = {why: counted[name] for name, why in _FVCORE_EXTRAS.items() if counted.get(name)}
    if notes.attention:
        reasons["scaled_dot_product_attention, not counted"] = -notes.attention
    return _opinion("fvcore", sum(counted.values()), ours, reasons)


def _ptflops(network: nn.Module, x: Tensor, ours: int, notes: _Notes) -> Opinion:
    from ptflops import get_model_complexity_info

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counted, _ = get_model_complexity_info(
            network,
            tuple(x.shape[1:]),
            as_strings=False,
            print_per_layer_stat=False,
            verbose=False,
            backend="aten",
        )
    reasons = {"biases, 1 an output": notes.biases} if notes.biases else {}
    if notes.attention:
        reasons["scaled_dot_product_attention, not counted"] = -notes.attention
    return _opinion("ptflops (aten)", int(counted or 0), ours, reasons)


def _opinion(counter: str, multi_adds: int, ours: int, reasons: dict[str, int]) -> Opinion:
    unexplained = multi_adds - ours - sum(reasons.values())
    return Opinion(counter=counter, multi_adds=multi_adds, differences=reasons, unexplained=unexplained)


class _Notes(TorchDispatchMode):
    """Counts, in one run on the CPU, what other counters add or miss."""

    def __init__(self) -> None:
        super().__init__()
        self.biases = 0
        self.attention = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._overloadpacket.__name__
        if (name in ("convolution", "_convolution") and args[2] is not None) or name == "addmm":
            self.biases += out.numel()
        elif "scaled_dot_product" in name:
            query, key, value = args[:3]
            batch = query.shape[:-2].numel()
            self.attention += batch * query.shape[-2] * key.shape[-2] * (query.shape[-1] + value.shape[-1])
        return out

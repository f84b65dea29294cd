"""Watching a network run, so that a graph of its channels need not guess: what operations do to channels.

To teach it a module whose channels are mixed or rearranged inside, put a line in ENCLOSED.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from search_spaces.blocks.esrt import ChunkedAttention
from search_spaces.blocks.fourier import SpectralTransform
from search_spaces.blocks.transformers import ChannelAttention, WindowAttention


@dataclass(frozen=True, kw_only=True)
class Enclosure:
    """What a module does with its channels between two of its layers, as far as pruning goes.

    ``begin`` and ``end``: names of the layers. ``parts``: how many equal parts (queries, keys, values) the
    channels after ``begin`` have, each cut into the module's ``heads``; what ``end`` takes has one such part.
    The same place in every head of every part goes together. 0 parts: nothing of it can go.
    """

    begin: str
    end: str
    parts: int


ENCLOSED: dict[type[nn.Module], Enclosure] = {
    WindowAttention: Enclosure(begin="qkv", end="project", parts=3),
    ChannelAttention: Enclosure(begin="qkv", end="project", parts=3),
    ChunkedAttention: Enclosure(begin="qkv", end="project", parts=3),
    SpectralTransform: Enclosure(begin="enter", end="leave", parts=0),
}
"""Modules that mix or rearrange their channels in ways of their own."""


class _Tie(torch.autograd.Function):
    """The first tensor as it is, hanging on the second in the graph."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, on: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> None:
        raise AssertionError("the graph is only looked at")


class Watch(TorchFunctionMode):
    """Writes down what operations do to channels, and makes splits and concatenations plain to see.

    Channels are dimension 1 of (B, C, H, W) and the last of (B, N, C).
    """

    def __init__(self) -> None:
        super().__init__()
        self.concatenated: dict[Any, list[int]] = {}  # sizes, by the function of autograd
        self.multiplied: dict[Any, int] = {}  # one channel becomes so many
        self.merged: dict[Any, int] = {}  # so many become one
        self.barriers: set[Any] = set()  # nothing passes
        self.closed: set[Any] = set()  # what comes here has to stay

    def image(self, height: int, width: int) -> Tensor:
        """(1, 3, height, width), whose channels have to stay."""
        x: Tensor = _Tie.apply(torch.rand(1, 3, height, width), torch.zeros((), requires_grad=True))
        self.closed.add(x.grad_fn)
        return x

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "").strip("_")
        if name in ("split", "chunk", "split_with_sizes", "tensor_split"):
            return _as_slices(func(*args, **kwargs), args, kwargs)
        if name in ("cat", "concat", "concatenate"):
            return self._concatenate(func, *args, **kwargs)
        if name in _BROADCASTING:
            args = _without_broadcast(args)
        made = func(*args, **kwargs)
        if name in _REDUCING and _over_channels(args, kwargs):
            return made.detach() if isinstance(made, Tensor) else type(made)(part.detach() for part in made)
        function = getattr(made, "grad_fn", None)
        if function is not None:
            self._rearranged(func, function, args, kwargs)
        return made

    def _concatenate(self, func: Any, tensors: Sequence[Tensor], dim: int = 0, **kwargs: Any) -> Tensor:
        # A copy of each, so that what stands in twice is two things.
        parts = [part.clone() for part in tensors]
        made: Tensor = func(parts, dim, **kwargs)
        if made.grad_fn is not None:
            along = dim % made.ndim == _channel_dim(made)
            self.concatenated[made.grad_fn] = [part.shape[dim] for part in parts] if along else []
        return made

    def _rearranged(self, func: Any, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if func in (F.pixel_shuffle, F.pixel_unshuffle):
            (factor,) = [*args[1:], *kwargs.values()]
            (self.merged if func is F.pixel_shuffle else self.multiplied)[function] = factor**2
        elif func in (F.unfold, F.fold):
            size = kwargs["kernel_size"] if "kernel_size" in kwargs else args[1 if func is F.unfold else 2]
            rows, columns = (size, size) if isinstance(size, int) else size
            (self.multiplied if func is F.unfold else self.merged)[function] = rows * columns


_ARITHMETIC = ("add", "sub", "mul", "div", "truediv", "pow")
_BROADCASTING = {prefix + name for name in _ARITHMETIC for prefix in ("", "r", "i")} | {"where", "lerp"}
_REDUCING = {"mean", "sum", "amax", "amin", "max", "min", "std", "var", "prod", "norm", "logsumexp"}


def _channel_dim(x: Tensor) -> int:
    return x.ndim - 1 if x.ndim == 3 else 1


def _as_slices(parts: Sequence[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Tensor, ...]:
    """The parts of a split, each cut from the whole alone, which says where it begins."""
    whole, dim = args[0], kwargs.get("dim", args[2] if len(args) > 2 else 0) % args[0].ndim
    ends = torch.tensor([part.shape[dim] for part in parts]).cumsum(0).tolist()
    slices = [slice(end - part.shape[dim], end) for part, end in zip(parts, ends, strict=True)]
    return tuple(whole[(slice(None),) * dim + (cut,)] for cut in slices)


def _without_broadcast(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments of which those with a single channel hang on nothing, where others have several."""
    tensors = [value for value in args if isinstance(value, Tensor)]
    widest = max((value.shape[_channel_dim(value)] for value in tensors if value.ndim > 2), default=1)

    def single(value: Any) -> bool:
        return isinstance(value, Tensor) and (value.ndim < 3 or value.shape[_channel_dim(value)] == 1)

    return tuple(value.detach() if widest > 1 and single(value) else value for value in args)


def _over_channels(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    x = args[0]
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if not isinstance(x, Tensor) or x.ndim not in (3, 4):
        return False
    if dims is None:
        return True
    if isinstance(dims, Tensor):
        return False
    return _channel_dim(x) in {dim % x.ndim for dim in ([dims] if isinstance(dims, int) else dims)}


def enclose(module: nn.Module, enclosure: Enclosure, watch: Watch) -> None:
    """Hide from the graph what happens between two layers of ``module``."""
    seen: list[Tensor] = []

    def leave(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        tied = _Tie.apply(inputs[0].detach(), seen.pop())
        (watch.barriers if enclosure.parts else watch.closed).add(tied.grad_fn)
        return (tied,)

    module.get_submodule(enclosure.begin).register_forward_hook(lambda layer, inputs, out: seen.append(out))
    module.get_submodule(enclosure.end).register_forward_pre_hook(leave)

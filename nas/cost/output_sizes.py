"""Sizes of the outputs of frequent operations, without torch's own kernels on the meta device.

Those are written in Python and take up to 10 ms a call, which was most of the time of counting a network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Args = tuple[Any, ...]
_aten = torch.ops.aten


def output_of(func: Any, args: Args) -> Any:
    """The output of an operation on meta tensors; None where only torch's own kernel knows its size."""
    rule = _RULES.get(func)
    return None if rule is None else rule(args)


def _pointwise(args: Args) -> Tensor | None:
    """The size of the largest input, if the others can be broadcast to it and all have one type."""
    tensors = [each for each in args if isinstance(each, Tensor)]
    first = max(tensors, key=Tensor.numel)
    if any(each.dtype != first.dtype for each in tensors) or not first.is_floating_point():
        return None
    return torch.empty_like(first) if all(_fits(each.shape, first.shape) for each in tensors) else None


def _fits(shape: torch.Size, larger: torch.Size) -> bool:
    """Whether `shape` can be broadcast to `larger`; torch's own function imports sympy."""
    if len(shape) > len(larger):
        return False
    return all(a in (1, b) for a, b in zip(reversed(shape), reversed(larger), strict=False))


def _in_place(args: Args) -> Tensor:
    x: Tensor = args[0]
    return x


def _normalised(args: Args) -> tuple[Tensor, Tensor, Tensor]:
    """The output and two empty tensors for the statistics, which networks in evaluation mode do not use."""
    x: Tensor = args[0]
    return torch.empty_like(x), x.new_empty(0), x.new_empty(0)


def _convolved(args: Args) -> Tensor | None:
    x, weight, _, stride, padding, dilation, transposed, _, groups = args
    if transposed or x.dim() != 4 or x.shape[1] != weight.shape[1] * groups or weight.shape[0] % groups:
        return None
    sides = [
        (x.shape[2 + axis] + 2 * padding[axis] - dilation[axis] * (weight.shape[2 + axis] - 1) - 1)
        // stride[axis]
        + 1
        for axis in (0, 1)
    ]
    return x.new_empty((x.shape[0], weight.shape[0], *sides)) if min(sides) > 0 else None


def _resized(args: Args) -> Tensor | None:
    x: Tensor = args[0]
    return None if args[1] is None else x.new_empty((*x.shape[:2], *args[1]))


def _concatenated(args: Args) -> Tensor | None:
    tensors: list[Tensor] = args[0]
    dim = args[1] if len(args) > 1 else 0
    first = tensors[0]
    if any(each.dim() != first.dim() or each.dtype != first.dtype for each in tensors):
        return None
    shape = list(first.shape)
    shape[dim] = sum(each.shape[dim] for each in tensors)
    return first.new_empty(shape)


def _averaged(args: Args) -> Tensor | None:
    x, dims = args[0], args[1]
    if not dims:
        return None
    reduced = {dim % x.dim() for dim in dims}
    keep = len(args) > 2 and args[2]
    return x.new_empty(
        [1 if dim in reduced else size for dim, size in enumerate(x.shape) if keep or dim not in reduced]
    )


def _multiplied(args: Args) -> Tensor:
    a, b = args[-2:]
    return a.new_empty((*a.shape[:-1], b.shape[-1]))


_POINTWISE = (
    *(
        "relu",
        "leaky_relu",
        "prelu",
        "gelu",
        "silu",
        "elu",
        "mish",
        "softplus",
        "sigmoid",
        "tanh",
        "hardtanh",
    ),
    *("hardsigmoid", "hardswish", "clamp", "exp", "sqrt", "rsqrt", "abs", "neg", "_softmax"),
    *("_safe_softmax", "_prelu_kernel", "clamp_min", "clamp_max"),
)
_IN_PLACE = ("relu_", "leaky_relu_", "silu_", "sigmoid_", "hardswish_", "hardtanh_", "hardsigmoid_")
_RULES: dict[Any, Callable[[Args], Any]] = {
    **{getattr(_aten, name).default: _pointwise for name in _POINTWISE if hasattr(_aten, name)},
    **{
        getattr(getattr(_aten, name), overload): _pointwise
        for name in ("add", "sub", "mul", "div")
        for overload in ("Tensor", "Scalar")
    },
    _aten.pow.Tensor_Scalar: _pointwise,
    **{getattr(_aten, name).default: _in_place for name in _IN_PLACE},
    _aten.mm.default: _multiplied,
    _aten.bmm.default: _multiplied,
    _aten.addmm.default: _multiplied,
    _aten.cat.default: _concatenated,
    _aten.mean.dim: _averaged,
    _aten.native_batch_norm.default: _normalised,
    _aten.native_layer_norm.default: _normalised,
    _aten.convolution.default: _convolved,
    _aten.upsample_bilinear2d.default: _resized,
    _aten.upsample_bicubic2d.default: _resized,
}

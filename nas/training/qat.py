"""Quantisation-aware training: a network that computes, while it trains, as its integer file will.

Weights are signed and symmetric, one range an output channel; activations unsigned with a zero point, one
range a tensor, as in the files of ``nas.export.onnx_int8``. Gradients pass the rounding unchanged within the
range (the straight-through estimator of Jacob et al., arXiv 1712.05877, sec. 3, as in the survey's case
study, Light-F2SRGAN).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from nas.errors import CompressError
from search_spaces.blocks.folding import folds

BITS = (2, 16)
"""The fewest and the most bits that training can simulate; files have 8."""

MOMENTUM = 0.01
"""The share by which a range of activations narrows towards each batch's extremes."""

_INNER = ("fake_input", "fake_output")


def prepare_qat(module: nn.Module, weight_bits: int = 8, activation_bits: int = 8) -> nn.Module:
    """Makes ``module``, in place, compute as its quantised file will; gives it back.

    Weights of all convolutions and linear layers are rounded as they are used, and so are the layers' inputs
    and outputs, within ranges that follow the images while in training mode. The parameters stay float32 and
    may be trained. While prepared the names in the state dict differ; :func:`finish_qat` restores them.
    Optimisers are to be made after this. What is no layer (Fourier weights, position biases, normalisation)
    is left alone. Raises CompressError for a number of bits outside of BITS, and for a module that is
    prepared already, has no layer, or has branches that are not folded.
    """
    for what, bits in (("weights", weight_bits), ("activations", activation_bits)):
        if not BITS[0] <= bits <= BITS[1]:
            raise CompressError(f"{bits} bits for {what}: between {BITS[0]} and {BITS[1]} are possible")
    if any(isinstance(part, FakeActivation) for part in module.modules()):
        raise CompressError("the network is prepared for quantisation already")
    if folds(module):
        raise CompressError("the network has training-time branches: fold it before it is quantised")
    layers = list(_layers(module))
    if not layers:
        raise CompressError("the network has no convolution and no linear layer to quantise")
    for layer in layers:
        for name in _INNER:
            layer.add_module(name, FakeActivation(activation_bits))
        layer.register_forward_pre_hook(_round_input)
        layer.register_forward_hook(_round_output)
        axis = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
        parametrize.register_parametrization(layer, "weight", FakeWeight(weight_bits, axis))
    return module.to(next(module.parameters()).device)


def finish_qat(module: nn.Module) -> nn.Module:
    """Takes off, in place, what :func:`prepare_qat` put on; gives the module back.

    It is a float32 network again with the names it had, and the weights of its layers lie on the integers'
    grid, so that quantising its file rounds none of them again. Raises CompressError where it was not
    prepared.
    """
    prepared = [
        part for part in module.modules() if isinstance(getattr(part, _INNER[0], None), FakeActivation)
    ]
    if not prepared:
        raise CompressError("the network is not prepared for quantisation")
    for layer in prepared:
        for name in _INNER:
            delattr(layer, name)
        for hooks, own in ((layer._forward_pre_hooks, _round_input), (layer._forward_hooks, _round_output)):
            for key in [key for key, hook in hooks.items() if hook is own]:
                del hooks[key]
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
        if "bias" in layer._parameters:  # the order it was made in
            layer._parameters["bias"] = layer._parameters.pop("bias")
    return module


class FakeWeight(nn.Module):
    """Rounds weights to a symmetric grid of ``2 ** bits - 1`` values, one step size for each index of
    ``axis``.
    """

    def __init__(self, bits: int, axis: int = 0) -> None:
        super().__init__()
        self.most, self.axis = 2 ** (bits - 1) - 1, axis

    def forward(self, weight: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        others = [axis for axis in range(weight.dim()) if axis != self.axis]
        step = weight.detach().abs().amax(others).div(self.most).clamp_min(torch.finfo(torch.float32).tiny)
        zero = torch.zeros_like(step, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, step, zero, self.axis, -self.most, self.most)


class FakeActivation(nn.Module):
    """Rounds activations to ``2 ** bits`` values over a range that it finds while in training mode.

    The range always holds zero. It widens to new extremes at once and narrows slowly, so that a layer that
    runs several times in a network (shared weights) has the range of its widest use. Before anything was
    seen, activations pass in evaluation mode as they are.
    """

    low: Tensor
    high: Tensor
    seen: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.most = 2**bits - 1
        for name in ("low", "high", "seen"):
            self.register_buffer(name, torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape with images first -> the same shape."""
        if self.training:
            self._follow(x.detach())
        elif not self.seen:
            return x
        step = ((self.high - self.low) / self.most).clamp_min(torch.finfo(torch.float32).eps)
        zero = (-self.low / step).round().clamp(0, self.most).int()
        rounded = torch.fake_quantize_per_tensor_affine(x.float(), step, zero, 0, self.most)
        return rounded.to(x.dtype)

    @torch.no_grad()
    def _follow(self, x: Tensor) -> None:
        """No question is asked of the device, so that a CUDA graph can record it."""
        x = x.float()
        share = torch.where(self.seen > 0, MOMENTUM, 1.0)
        low, high = x.amin().clamp_max(0), x.amax().clamp_min(0)
        torch.minimum(self.low.lerp(low, share), low, out=self.low)
        torch.maximum(self.high.lerp(high, share), high, out=self.high)
        self.seen.fill_(1)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """The layers that a file computes in integers, each once."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        yield module
        return
    found: dict[nn.Module, None] = {}
    for child in module.children():
        found.update(dict.fromkeys(_layers(child)))
    yield from found


def _round_input(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    fake: Any = layer.fake_input
    return fake(inputs[0]), *inputs[1:]


def _round_output(layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    fake: Any = layer.fake_output
    rounded: Tensor = fake(output)
    return rounded

"""Folding of training-time branches as authors store them: a file's tensors to those of plain convolutions.

Each 1x1 before a 3x3 sees zero padding of its own input, or the 3x3 is padded with the bias of the 1x1, which
is the same; so the folds are exact at the borders, too. Computed in float64 and rounded once.

Sizes are compared before they meet: torch would repeat a tensor of one channel for all. No folded tensor has
more numbers than the largest of those it is made from. All raise LayoutError.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from nas.networks.released.layout import LayoutError, Weights

Kernel = tuple[Tensor, Tensor]
"""(out, in, 3, 3) or (out, in, 1, 1), and (out,); in float64."""


MOST_SIDE = 512
"""Channels of a convolution with branches; the widest of the known spaces has 384."""


def kernel(weights: Weights, name: str) -> Kernel:
    """Weight and bias of a convolution, which need not have a bias."""
    return convolution(f"{name}.weight", weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def convolution(name: str, weight: Tensor, bias: Tensor | None = None) -> Kernel:
    """Tensors as a convolution of 1x1 or 3x3; ``name`` is for messages."""
    if weight.dim() != 4 or tuple(weight.shape[2:]) not in ((1, 1), (3, 3)):
        raise LayoutError(f"{name} has the shape {tuple(weight.shape)}, not that of a 1x1 or 3x3 convolution")
    if max(weight.shape) > MOST_SIDE:
        raise LayoutError(
            f"{name} has the shape {tuple(weight.shape)} (at most {MOST_SIDE} channels are read)"
        )
    if bias is not None:
        require_shape(f"the bias of {name}", bias, len(weight))
    weight = weight.double()
    return weight, weight.new_zeros(len(weight)) if bias is None else bias.double()


def require_shape(name: str, tensor: Tensor, *shape: int) -> None:
    """Raise LayoutError unless the tensor has exactly this shape."""
    if tuple(tensor.shape) != shape:
        raise LayoutError(f"{name} has the shape {tuple(tensor.shape)}, not {shape}")


def after(first: Kernel, second: Kernel, beside: Kernel | None = None) -> Kernel:
    """``second`` applied to what ``first`` gives; at least one of them is a 1x1 convolution.

    The result has as many inputs and outputs as ``beside``; without it, no more numbers than the larger one.
    """
    (inner, start), (outer, bias) = first, second
    outputs, inputs, size = len(outer), inner.shape[1], max(inner.shape[-1], outer.shape[-1])
    if inner.shape[0] != outer.shape[1]:
        raise LayoutError(f"a convolution to {len(inner)} channels is followed by one of {outer.shape[1]}")
    if beside is not None:
        require_shape("a convolution beside others", beside[0], outputs, inputs, *beside[0].shape[2:])
    elif outputs * inputs * size**2 > max(inner.numel(), outer.numel()):
        raise LayoutError(f"convolutions in a row from {inputs} to {outputs} channels are narrower between")
    if outer.shape[-1] == 1:
        product = torch.einsum("om,mikl->oikl", outer[:, :, 0, 0], inner)
    elif inner.shape[-1] == 1:
        product = torch.einsum("omkl,mi->oikl", outer, inner[:, :, 0, 0])
    else:
        raise LayoutError("a 3x3 convolution follows another, where a 1x1 is needed")
    return product, outer.sum((2, 3)) @ start + bias


def added(*kernels: Kernel) -> Kernel:
    """The sum; 1x1 convolutions are added to the centre."""
    size = max(weight.shape[-1] for weight, _ in kernels)
    padded = [F.pad(weight, [(size - weight.shape[-1]) // 2] * 4) for weight, _ in kernels]
    weight, bias = padded[0], kernels[0][1]
    for other, (_, shift) in zip(padded[1:], kernels[1:], strict=True):
        require_shape("a convolution beside another", other, *weight.shape)
        weight, bias = weight + other, bias + shift
    return weight, bias


def identity(channels: int, *, depthwise: bool = False) -> Kernel:
    """The 1x1 convolution that changes nothing."""
    weight = torch.ones(channels, 1) if depthwise else torch.eye(channels)
    return weight.double()[:, :, None, None], torch.zeros(channels, dtype=torch.float64)


def put(weights: Weights, name: str, folded: Kernel) -> None:
    """Store a folded convolution as float32."""
    weights[f"{name}.weight"], weights[f"{name}.bias"] = (part.float() for part in folded)


def names_before(weights: Weights, ending: str) -> list[str]:
    """The names of the modules that have a tensor called ``ending``."""
    return [name.removesuffix(f".{ending}") for name in weights if name.endswith(f".{ending}")]


def without(weights: Weights, *modules: str) -> Weights:
    """The tensors that belong to none of ``modules``."""
    return {name: tensor for name, tensor in weights.items() if not name.startswith(modules)}


def fold_bsrn_s(weights: Weights) -> Weights:
    """BSRN-S: the weights of the channels, multiplied into the 1x1 convolution after them."""
    folded = dict(weights)
    for name in names_before(weights, "cw"):
        channels, point = folded.pop(f"{name}.cw").flatten(), f"{name}.conv_out.weight"
        matrix = weights[point].double().flatten(1)
        require_shape(f"{name}.cw", channels, matrix.shape[1])
        folded[point] = (matrix * channels.double()).float()
    return folded


def fold_lkdn_s(weights: Weights) -> Weights:
    """LKDN-S: inputs added to the 1x1 and the depthwise 3x3, a depthwise 1x1, a tail of three branches."""
    folded = dict(weights)
    for name in names_before(weights, "rep1x1.weight"):
        point = convolution(f"{name}.pw.weight", weights[f"{name}.pw.weight"])
        require_shape(f"{name}.pw.weight", point[0], len(point[0]), len(point[0]), 1, 1)
        with_input = added(point, identity(len(point[0])))
        folded[f"{name}.pw.weight"] = with_input[0].float()
        deep = kernel(weights, f"{name}.dw")
        beside = kernel(weights, f"{name}.rep1x1")
        put(folded, f"{name}.dw", added(deep, beside, identity(len(deep[0]), depthwise=True)))
        folded = without(folded, f"{name}.rep1x1.")
    if "upsampler.conv3x3.weight" in weights:
        branches = [kernel(weights, f"upsampler.{name}") for name in ("conv1", "conv3", "conv1x1", "conv3x3")]
        put(folded, "upsampler.0", added(*branches[:2], after(branches[2], branches[3], branches[1])))
        folded = without(folded, *(f"upsampler.{name}." for name in ("conv1", "conv3", "conv1x1", "conv3x3")))
    return folded


def fold_span(weights: Weights) -> Weights:
    """Conv3XC: 1x1, 3x3 and 1x1 beside a 1x1; the stored plain copy may be out of date and is replaced."""
    folded = dict(weights)
    for name in names_before(weights, "sk.weight"):
        chain = [kernel(weights, f"{name}.conv.{place}") for place in range(3)]
        product = after(after(chain[0], chain[1]), chain[2])
        folded = without(folded, f"{name}.conv.", f"{name}.sk.")
        put(folded, f"{name}.eval_conv", added(product, kernel(weights, f"{name}.sk")))
        for copy in (f"{name}.eval_conv.weight", f"{name}.eval_conv.bias"):
            if copy in weights:
                require_shape(copy, weights[copy], *folded[copy].shape)
    return folded


def fold_plainusr(weights: Weights) -> Weights:
    """RepMBConv: 1x1, a weighted 3x3 and its input, 1x1, the input; then the 1x1 of the first channel."""
    folded = dict(weights)
    for name in names_before(weights, "expand_conv.weight"):
        seed = weights[f"{name}.se.tensor"].double().flatten()
        squeeze, excite = (weights[f"{name}.se.se.{place}.weight"].double() for place in (1, 3))
        square, bias = kernel(weights, f"{name}.fea_conv")
        require_shape(f"{name}.se.se.1.weight", squeeze, len(squeeze), len(seed))
        require_shape(f"{name}.se.se.3.weight", excite, len(square), len(squeeze))
        gate = torch.sigmoid(excite @ F.silu(squeeze @ seed))
        require_shape(f"{name}.fea_conv.weight", square, len(square), len(square), 3, 3)
        middle = added((square * gate[:, None, None, None], bias * gate), identity(len(gate)))
        first, last = (kernel(weights, f"{name}.{end}_conv") for end in ("expand", "reduce"))
        product = after(after(first, middle), last)
        folded = without(folded, f"{name}.")
        put(folded, name, added(product, identity(len(product[0]))))
    for name in names_before(weights, "conv.weight"):
        folded = _first_channel(folded, name)
    return folded


def _first_channel(weights: Weights, name: str) -> Weights:
    """Merge the 1x1 that makes the first channel into the 3x3 before it; later modules move up by one."""
    body, place = name.rsplit(".", 1)
    before = f"{body}.{int(place) - 1}"
    weight, bias = kernel(weights, before)
    first = after((weight, bias), kernel(weights, f"{name}.conv"))
    folded = without(weights, f"{name}.")
    put(folded, before, (torch.cat([first[0], weight[1:]]), torch.cat([first[1], bias[1:]])))
    following = f"{body}.{int(place) + 1}."
    return {
        f"{name}.{key.removeprefix(following)}" if key.startswith(following) else key: tensor
        for key, tensor in folded.items()
    }


def fold_ecbsr(weights: Weights) -> Weights:
    """ECB: a 3x3 beside 1x1 and 3x3, and beside a 1x1 before each of three scaled fixed filters."""
    folded = dict(weights)
    for name in names_before(weights, "conv1x1_sbx.k0"):
        branch = f"{name}.conv1x1_3x3"
        first, second = (
            convolution(f"{branch}.k{step}", weights[f"{branch}.k{step}"], weights[f"{branch}.b{step}"])
            for step in (0, 1)
        )
        whole = kernel(weights, f"{name}.conv3x3")
        parts = [whole, after(first, second, whole)]
        parts += [_edges(weights, f"{name}.conv1x1_{edge}", whole) for edge in ("sbx", "sby", "lpl")]
        folded = without(folded, f"{name}.conv1x1_")
        put(folded, f"{name}.conv3x3", added(*parts))
    return folded


def _edges(weights: Weights, branch: str, whole: Kernel) -> Kernel:
    """ECB's 1x1 convolution and the scaled fixed filter that each of its outputs has."""
    point, start = convolution(f"{branch}.k0", weights[f"{branch}.k0"], weights[f"{branch}.b0"])
    outputs, inputs = whole[0].shape[:2]
    scale, mask, bias = (weights[f"{branch}.{key}"].double() for key in ("scale", "mask", "bias"))
    require_shape(f"{branch}.k0", point, outputs, inputs, 1, 1)
    require_shape(f"{branch}.scale", scale, outputs, 1, 1, 1)
    require_shape(f"{branch}.mask", mask, outputs, 1, 3, 3)
    require_shape(f"{branch}.bias", bias, outputs)
    filters = scale * mask
    return filters * point, filters.sum((1, 2, 3)) * start + bias

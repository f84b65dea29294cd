"""Folding of training-time branches as authors store them: a file's tensors to those of plain convolutions.

Each 1x1 before a 3x3 sees zero padding of its own input, or the 3x3 is padded with the bias of the 1x1, which
is the same; so the folds are exact at the borders, too. Computed in float64 and rounded once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]
Kernel = tuple[Tensor, Tensor]
"""(out, in, 3, 3) or (out, in, 1, 1), and (out,); in float64."""


def kernel(weights: Weights, name: str) -> Kernel:
    """Weight and bias of a convolution, which need not have one."""
    weight = weights[f"{name}.weight"].double()
    bias = weights.get(f"{name}.bias")
    return weight, torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.double()


def after(first: Kernel, second: Kernel) -> Kernel:
    """``second`` applied to what ``first`` gives; at least one of them is a 1x1 convolution."""
    (inner, start), (outer, bias) = first, second
    if outer.shape[-1] == 1:
        product = torch.einsum("om,mikl->oikl", outer[:, :, 0, 0], inner)
    else:
        product = torch.einsum("omkl,mi->oikl", outer, inner[:, :, 0, 0])
    return product, outer.sum((2, 3)) @ start + bias


def added(*kernels: Kernel) -> Kernel:
    """The sum; 1x1 convolutions are added to the centre."""
    size = max(weight.shape[-1] for weight, _ in kernels)
    padded = [F.pad(weight, [(size - weight.shape[-1]) // 2] * 4) for weight, _ in kernels]
    return torch.stack(padded).sum(0), torch.stack([bias for _, bias in kernels]).sum(0)


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
        folded[point] = (weights[point].double().flatten(1) * channels.double()).float()
    return folded


def fold_lkdn_s(weights: Weights) -> Weights:
    """LKDN-S: inputs added to the 1x1 and the depthwise 3x3, a depthwise 1x1, a tail of three branches."""
    folded = dict(weights)
    for name in names_before(weights, "rep1x1.weight"):
        point = weights[f"{name}.pw.weight"].double()
        with_input = added((point, point.new_zeros(len(point))), identity(len(point)))
        folded[f"{name}.pw.weight"] = with_input[0].float()
        deep = kernel(weights, f"{name}.dw")
        beside = kernel(weights, f"{name}.rep1x1")
        put(folded, f"{name}.dw", added(deep, beside, identity(len(deep[0]), depthwise=True)))
        folded = without(folded, f"{name}.rep1x1.")
    if "upsampler.conv3x3.weight" in weights:
        branches = [kernel(weights, f"upsampler.{name}") for name in ("conv1", "conv3", "conv1x1", "conv3x3")]
        put(folded, "upsampler.0", added(branches[0], branches[1], after(branches[2], branches[3])))
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
    return folded


def fold_plainusr(weights: Weights) -> Weights:
    """RepMBConv: 1x1, a weighted 3x3 and its input, 1x1, the input; then the 1x1 of the first channel."""
    folded = dict(weights)
    for name in names_before(weights, "expand_conv.weight"):
        seed = weights[f"{name}.se.tensor"].double().flatten()
        squeeze, excite = (weights[f"{name}.se.se.{place}.weight"].double() for place in (1, 3))
        gate = torch.sigmoid(excite @ F.silu(squeeze @ seed))
        square, bias = kernel(weights, f"{name}.fea_conv")
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
        tensors = [weights[f"{branch}.{key}"].double() for key in ("k0", "b0", "k1", "b1")]
        pair = after((tensors[0], tensors[1]), (tensors[2], tensors[3]))
        parts = [kernel(weights, f"{name}.conv3x3"), pair]
        for edge in ("sbx", "sby", "lpl"):
            branch = f"{name}.conv1x1_{edge}"
            point, start, scale, mask, bias = (
                weights[f"{branch}.{key}"].double() for key in ("k0", "b0", "scale", "mask", "bias")
            )
            filters = scale * mask  # (out, 1, 3, 3): each output of the 1x1 has its own
            parts.append((filters * point, filters.sum((1, 2, 3)) * start + bias))
        folded = without(folded, f"{name}.conv1x1_")
        put(folded, f"{name}.conv3x3", added(*parts))
    return folded

"""Modules that become simpler once they are trained, and networks as they are deployed."""

from __future__ import annotations

import copy
from abc import abstractmethod

import torch
from torch import Tensor, nn


class Foldable(nn.Module):
    """A module that, once trained, equals one plainer module."""

    @abstractmethod
    def folded(self) -> nn.Module:
        """The module that computes the same in evaluation mode, with a copy of the weights."""


def fold(network: nn.Module) -> nn.Module:
    """Replace every Foldable part of ``network`` in place and return the network.

    A part that is used in several places stays one part. A network that is itself Foldable cannot be replaced
    in place: its folded form is returned.
    """
    if isinstance(network, Foldable):
        return network.folded().train(network.training)
    replaced: dict[nn.Module, nn.Module] = {}
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):
            if isinstance(child, Foldable):
                replaced.setdefault(child, child.folded().train(child.training))
                parent._modules[name] = replaced[child]
    return network


def folds(network: nn.Module) -> bool:
    """Whether any part of ``network`` is Foldable."""
    return any(isinstance(part, Foldable) for part in network.modules())


def deployed(network: nn.Module) -> nn.Module:
    """The network as it is deployed: a folded copy, or ``network`` itself where nothing folds."""
    return fold(copy.deepcopy(network)) if folds(network) else network


def convolution3x3(weight: Tensor, bias: Tensor, groups: int = 1) -> nn.Conv2d:
    """A zero-padded 3x3 convolution with copies of these weights and biases; it draws no random numbers."""
    outs, ins = len(weight), groups * weight.shape[1]
    conv = nn.Conv2d(ins, outs, 3, padding=1, groups=groups, device="meta")
    conv.weight = nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))
    conv.bias = nn.Parameter(bias.detach().clone())
    return conv

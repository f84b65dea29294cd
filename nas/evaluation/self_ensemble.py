"""The geometric self-ensemble: one network's mean over the eight flips and turns of its input.

(EDSR, arXiv 1707.02921, sec. 4.3: the low resolution is flipped and turned in seven ways besides itself, each
output is turned back, and the eight are averaged.) It needs eight times the operations and no further
training, and assumes that the low resolution was made symmetrically, as bicubic is.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from leaderboard.store.measurements import MARK, WAYS
from nas.errors import RecipeError
from nas.networks.loading import Network


class SelfEnsemble(nn.Module):
    """The mean of a network's outputs over eight flips and turns: (B, 3, H, W) -> (B, 3, s * H, s * W).

    The outputs are averaged as they are, before anything is clipped or rounded.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """The mean; the input is turned one way after another, so that memory is that of a single run."""
        total: Tensor | None = None
        for way in range(WAYS):
            y = turned_back(self.network(turned(x, way)), way)
            total = y if total is None else total + y
        assert total is not None
        return total / WAYS


def turned(x: Tensor, way: int) -> Tensor:
    """``x`` (..., H, W) flipped and transposed in one of the eight ways, 0 to 7; 0 leaves it as it is."""
    sides = [side for bit, side in ((1, -1), (2, -2)) if way & bit]
    y = x.flip(sides) if sides else x
    return (y.transpose(-1, -2) if way & 4 else y).contiguous(memory_format=_format(x))


def turned_back(y: Tensor, way: int) -> Tensor:
    """The inverse of :func:`turned`."""
    x = y.transpose(-1, -2) if way & 4 else y
    sides = [side for bit, side in ((1, -1), (2, -2)) if way & bit]
    return x.flip(sides) if sides else x


def self_ensembled(network: Network) -> Network:
    """The network as a self-ensemble: ``+`` behind its name and behind the digest of its weights.

    So its measurements are its own and never replace those of the network alone. Raises RecipeError for one
    that is a self-ensemble already.
    """
    if isinstance(network.module, SelfEnsemble):
        raise RecipeError(f"{network.name} is a self-ensemble already")
    return replace(
        network,
        name=network.name + MARK,
        module=SelfEnsemble(network.module),
        weights=network.weights + MARK,
    )


def _format(x: Tensor) -> torch.memory_format:
    """The layout in which ``x`` lies, so that the network gets the same one every way."""
    is_last = x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if is_last else torch.contiguous_format

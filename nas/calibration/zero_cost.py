"""What a network at its initial weights says of itself, before any training: zero-cost proxies.

Each is made from its paper's formula and adapted to super-resolution as its docstring says; all take any
network of the space: with or without batch normalisation, attention, Fourier transforms, shared weights.
A layer that begins at zero, as the last one does above a bicubic skip, would stop all that flows and all that
is learned: it gets torch's usual random weights first (ours). To add one, write a function from (network,
batches) to a number, higher for better, and put it in ZERO_COST.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.data import Patches, load_data
from search_spaces import Genotype

Batch = tuple[Tensor, Tensor]
"""LR (B, 3, H, W) and HR (B, 3, s * H, s * W), in [0, 1]."""

Score = Callable[[nn.Module, Sequence[Batch]], float]

BATCHES, BATCH, MOST_PATCH = 4, 8, 24
"""Batches, patches in each, and the most LR pixels of their sides."""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What proxies look at: some batches of training patches at one scale."""

    scale: int
    batches: tuple[Batch, ...]


def look_at(data: str, scale: int, lr_patch: int, seed: int) -> Sight:
    """The same BATCHES of patches for the same arguments, at most MOST_PATCH pixels wide."""
    patch = min(lr_patch, MOST_PATCH)
    dataset = load_data(data, scale, lr_patch)
    patches = Patches(dataset.train, scale=scale, lr_patch=patch, seed=seed, device=torch.device("cpu"))
    return Sight(scale=scale, batches=tuple(patches.draw(BATCH) for _ in range(BATCHES)))


def zero_cost(genotype: Genotype, sight: Sight, seed: int) -> dict[str, float]:
    """Every proxy's score of the network that ``seed`` makes, on the CPU; NaN where it has none.

    Nothing is kept, and torch's own random numbers stay as they were.
    """
    found = {}
    for name, score in ZERO_COST.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = genotype.build(sight.scale)
            _wake(network)
            value = score(network, sight.batches)
        found[name] = value if math.isfinite(value) else math.nan
    return found


def synflow(network: nn.Module, batches: Sequence[Batch]) -> float:
    """SynFlow (Tanaka et al., arXiv 2006.05467): how much flows through all paths.

    The sum over parameters of |theta * dR/dtheta|, R being the sum of the output for an input of ones with
    all weights replaced by their absolute values. Ours: its logarithm, in float64, since it grows
    exponentially with depth; evaluation mode, so that a batch normalisation does not level it. Gates and
    softmax are no homogeneous functions, so that the paper's law of conservation does not hold through them.
    Features that are multiplied by features square what flows, again and again: where it exceeds float64
    there is no score (one in seven random networks of ``lightweight``, most of them ``sdm`` or ``acdm``).
    """
    network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    x = torch.ones_like(batches[0][0][:1], dtype=torch.float64)
    network(x).sum().backward()
    return _log_saliency(network)


def naswot(network: nn.Module, batches: Sequence[Batch]) -> float:
    """NASWOT (Mellor et al., arXiv 2006.04647): how differently a network sees different inputs.

    The logarithm of the determinant of the matrix that counts, for each two patches, the units that are on
    for both or off for both. Ours: a unit is a number that a convolution or linear layer puts out, on where
    it is positive, as ReLU has it, since the space's activations are smooth, or none.
    """
    x = torch.cat([lr for lr, _ in batches])
    same = torch.zeros(len(x), len(x), dtype=torch.float64)

    def count(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        if not isinstance(out, Tensor) or out.dim() < 2 or len(out) % len(x):
            return
        on = (out.detach().reshape(len(x), -1) > 0).double()
        same.add_(on @ on.T + (1 - on) @ (1 - on).T)

    hooks = [layer.register_forward_hook(count) for layer in _layers(network)]
    try:
        with torch.no_grad():
            network.eval()(x)
    finally:
        for hook in hooks:
            hook.remove()
    sign, logarithm = torch.linalg.slogdet(same)
    return float(logarithm) if sign > 0 else math.nan


def zico(network: nn.Module, batches: Sequence[Batch]) -> float:
    """ZiCo (Li et al., arXiv 2301.11300): large gradients that vary little between batches.

    The sum over layers of log(sum over weights of mean |g| / standard deviation of |g|), over batches. Ours:
    the gradients are those of the L1 loss against the high-resolution patches; weights whose gradient does
    not vary (those that get none) are left out.
    """
    seen: dict[int, list[Tensor]] = {}
    weights = [p for layer in _layers(network) for p in layer.parameters(recurse=False) if p.dim() > 1]
    weights = list({id(weight): weight for weight in weights}.values())
    for batch in batches:
        _backward(network, batch)
        for weight in weights:
            if weight.grad is not None:
                seen.setdefault(id(weight), []).append(weight.grad.detach().abs().double().flatten())
    total = 0.0
    for gradients in seen.values():
        every = torch.stack(gradients)
        mean, deviation = every.mean(dim=0), every.std(dim=0, unbiased=False)
        varies = deviation > 0
        layer = float((mean[varies] / deviation[varies]).sum())
        total += math.log(layer) if layer > 0 else 0.0
    return total if seen else math.nan


def grad_norm(network: nn.Module, batches: Sequence[Batch]) -> float:
    """The norm of the gradient (Abdelfattah et al., arXiv 2101.08134), of the first batch's L1 loss.

    Ours: the logarithm, and L1 against the high-resolution patches in place of a classifier's loss.
    """
    _backward(network, batches[0])
    total = sum(float(p.grad.double().square().sum()) for p in network.parameters() if p.grad is not None)
    return math.log(total) / 2 if total > 0 else math.nan


def snip(network: nn.Module, batches: Sequence[Batch]) -> float:
    """SNIP (Lee et al., arXiv 1810.02340), summed over parameters as Abdelfattah et al. do.

    Ours: the logarithm of the sum of |theta * dL/dtheta|, and the L1 loss.
    """
    _backward(network, batches[0])
    return _log_saliency(network)


def _wake(network: nn.Module) -> None:
    """Random weights for layers that begin at zero."""
    for layer in _layers(network):
        if not layer.weight.any():
            layer.reset_parameters()


def _layers(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def _log_saliency(network: nn.Module) -> float:
    """The logarithm of the sum of |theta * gradient| over all parameters."""
    reached = [(p, p.grad) for p in network.parameters() if p.grad is not None]
    total = sum(float((p * gradient).detach().abs().double().sum()) for p, gradient in reached)
    return math.log(total) if total > 0 else math.nan


def _backward(network: nn.Module, batch: Batch) -> None:
    """Fresh gradients of the L1 loss of one batch, as at the first step of a training."""
    lr, hr = batch
    network.train()
    network.zero_grad(set_to_none=True)
    F.l1_loss(network(lr), hr).backward()


ZERO_COST: dict[str, Score] = {
    "synflow": synflow,
    "naswot": naswot,
    "zico": zico,
    "grad_norm": grad_norm,
    "snip": snip,
}

"""Changes of a training that no plan has: optimisers, clipping and initial values that the study compared.

``active(...)`` applies them to every training within the block. The study (``recipe_study.py``) found none of
them worth a field of ``Plan``; they stand here so that its table can be made again.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

import nas.training.loop
import nas.training.step
from nas.training.initialisation import InitialState
from nas.training.job import Job
from nas.training.plan import Plan

REFERENCE_FAN_IN = 180
"""Fan-in at which the rates by fan-in equal the plan's: a 3x3 convolution of 20 channels."""

SMALLEST_NORM = 1e-3
"""Norm of a unit's weights below which adaptive clipping does not fall (arXiv 2102.06171, sec. 4.1)."""


class Adan(torch.optim.Optimizer):
    """Adan (arXiv 2208.06677, algorithm 1) without weight decay, with the paper's decays."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: Tensor) -> None:
        super().__init__(parameters, {"lr": lr, "decays": (0.98, 0.92, 0.99), "epsilon": 1e-8, "steps": 0})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """One update."""
        for group in self.param_groups:
            self._update(group)

    def _update(self, group: dict[str, Any]) -> None:
        keep1, keep2, keep3 = group["decays"]
        rate = float(group["lr"])
        group["steps"] += 1
        count = group["steps"]
        weights = [p for p in group["params"] if p.grad is not None]
        gradients: list[Tensor] = [p.grad for p in weights]
        for weight in weights:
            if not self.state[weight]:
                zeros = {name: torch.zeros_like(weight) for name in ("mean", "change", "square")}
                self.state[weight].update(zeros, before=weight.grad.clone())
        names = ("mean", "change", "square", "before")
        mean, change, square, before = ([self.state[p][name] for p in weights] for name in names)
        difference = torch._foreach_sub(gradients, before)
        torch._foreach_lerp_(mean, gradients, 1 - keep1)
        torch._foreach_lerp_(change, difference, 1 - keep2)
        ahead = torch._foreach_add(gradients, difference, alpha=keep2)
        torch._foreach_mul_(square, keep3)
        torch._foreach_addcmul_(square, ahead, ahead, 1 - keep3)
        root = torch._foreach_sqrt(square)
        torch._foreach_div_(root, math.sqrt(1 - keep3**count))
        torch._foreach_add_(root, group["epsilon"])
        torch._foreach_addcdiv_(weights, mean, root, -rate / (1 - keep1**count))
        torch._foreach_addcdiv_(weights, change, root, -rate * keep2 / (1 - keep2**count))
        torch._foreach_copy_(before, gradients)


class Muon(torch.optim.Optimizer):
    """Muon for convolutions seen as matrices (outputs x the rest), Adam for all other weights.

    Momentum 0.95 with Nesterov's step, five Newton-Schulz steps, updates of Adam's usual size: 0.2 times the
    root of the longer side (arXiv 2502.16982, sec. 2.2).
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: Tensor) -> None:
        weights = list(parameters)
        super().__init__(weights, {"lr": lr})
        self._matrices = [p for p in weights if p.ndim >= 2 and p.shape[0] > 1 and p[0].numel() > 9]
        chosen = {id(p) for p in self._matrices}
        self._adam = torch.optim.Adam([p for p in weights if id(p) not in chosen], lr=lr, fused=True)
        self._momentum = [torch.zeros_like(p) for p in self._matrices]

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        """One update."""
        self._adam.step()
        rate = float(self.param_groups[0]["lr"])
        for weight, momentum in zip(self._matrices, self._momentum, strict=True):
            if weight.grad is not None:
                momentum.lerp_(weight.grad, 0.05)
                ahead = weight.grad.lerp(momentum, 0.95).reshape(weight.shape[0], -1)
                update = _orthogonal(ahead)
                weight.add_(update.view_as(weight), alpha=-rate * 0.2 * math.sqrt(max(update.shape)))


def _orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with orthogonal rows or columns, about: five quintic Newton-Schulz steps."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix) / (matrix.norm() + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def _rates_by_fan_in(parameters: list[nn.Parameter], rate: Tensor, power: float) -> torch.optim.Optimizer:
    """Adam whose rate for a weight is the plan's times (reference / fan-in) ** ``power``; biases keep it."""
    groups: dict[int, list[nn.Parameter]] = {}
    for parameter in parameters:
        groups.setdefault(parameter[0].numel() if parameter.ndim >= 2 else 0, []).append(parameter)
    factors = [(REFERENCE_FAN_IN / fan_in) ** power if fan_in else 1.0 for fan_in in groups]
    optimizer = torch.optim.Adam(
        [{"params": members, "lr": torch.zeros(())} for members in groups.values()], fused=True
    )

    def set_rates(*_: object) -> None:
        for group, factor in zip(optimizer.param_groups, factors, strict=True):
            group["lr"].copy_(rate * factor)

    optimizer.register_step_pre_hook(set_rates)
    return optimizer


@torch.no_grad()
def _clip_units(parameters: list[nn.Parameter], bound: float) -> None:
    """Bound each unit's gradient by ``bound`` times the norm of its weights (arXiv 2102.06171, eq. 3)."""
    for parameter in parameters:
        if parameter.grad is None or parameter.ndim < 2:
            continue
        unit = tuple(range(1, parameter.ndim))
        weights, gradients = (
            torch.linalg.vector_norm(each, dim=unit, keepdim=True) for each in (parameter, parameter.grad)
        )
        allowed, norm = weights.clamp_(min=SMALLEST_NORM) * bound, gradients.clamp_(min=1e-9)
        parameter.grad.mul_((allowed / norm).clamp_(max=1.0))


class _ClipByHistory:
    """Bound the gradient's norm by ``factor`` times its running mean (as AutoClip does with a percentile)."""

    def __init__(self, parameters: list[nn.Parameter], factor: float) -> None:
        self._parameters, self._factor = parameters, factor
        self._mean: Tensor | None = None

    def __call__(self, *_: object) -> None:
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        mean = norm if self._mean is None else self._mean
        factor = (self._factor * mean / (norm + 1e-12)).clamp(max=1.0)
        torch._foreach_mul_(gradients, factor)
        self._mean = torch.lerp(mean, norm * factor, 0.05)


def _scale_blocks(network: nn.Module, factor: float) -> None:
    """Multiply the last convolution of each block, outside its attention, by ``factor``."""
    for block in network.blocks:  # type: ignore[union-attr]
        convolutions = [
            module
            for name, module in block.named_modules()  # type: ignore[union-attr]
            if isinstance(module, nn.Conv2d) and "attention" not in name
        ]
        with torch.no_grad():
            for parameter in convolutions[-1].parameters():
                parameter.mul_(factor)


@contextlib.contextmanager
def active(
    *,
    optimizer: str | None = None,
    fan_in_power: float = 0.0,
    unit_clip: float = 0.0,
    history_clip: float = 0.0,
    block_scale: float | None = None,
) -> Any:
    """Within the block, trainings have the given changes; ``optimizer`` is ``adan`` or ``muon``."""
    usual: Callable[..., torch.optim.Optimizer] = nas.training.step._optimizer
    begin = nas.training.loop.begin

    def changed(
        plan: Plan, parameters: Iterable[nn.Parameter], rate: Tensor, device: torch.device
    ) -> torch.optim.Optimizer:
        weights = list(parameters)
        if optimizer is not None:
            made: torch.optim.Optimizer = {"adan": Adan, "muon": Muon}[optimizer](weights, rate)
        elif fan_in_power:
            made = _rates_by_fan_in(weights, rate, fan_in_power)
        else:
            made = usual(plan, weights, rate, device)
        if unit_clip:
            made.register_step_pre_hook(lambda *_: _clip_units(weights, unit_clip))
        if history_clip:
            made.register_step_pre_hook(_ClipByHistory(weights, history_clip))
        return made

    def begun(job: Job, device: torch.device) -> InitialState:
        state = begin(job, device)
        if block_scale is not None:
            _scale_blocks(state.network, block_scale)
        return state

    with (
        mock.patch.object(nas.training.step, "_optimizer", changed),
        mock.patch.object(nas.training.loop, "begin", begun),
    ):
        yield

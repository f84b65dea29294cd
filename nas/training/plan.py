"""How a network is trained: the schedule as a value.

To add a named plan, put a line in PLANS; recipes may change any of its fields.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from nas.errors import RecipeError, unknown

SCHEDULES = ("cosine", "constant")
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A training schedule: Adam on the L1 loss.

    ``lr_patch`` is in LR pixels. ``lr_end`` is where a cosine ends. ``warmup_steps`` rise linearly to ``lr``.
    ``ema`` is the decay of the averaged weights, which are then the ones that are measured; 0 is off.
    ``clip_norm`` bounds the gradient's norm; 0 is off. ``precision`` bf16 computes under autocast and keeps
    float32 weights. Raises RecipeError for a value out of its range.
    """

    steps: int
    batch: int = 16
    lr_patch: int = 48
    lr: float = 2e-4
    lr_end: float = 6.25e-6
    schedule: str = "cosine"
    warmup_steps: int = 0
    ema: float = 0.0
    clip_norm: float = 0.0
    precision: str = "fp32"

    def __post_init__(self) -> None:
        for name, low in (("steps", 1), ("batch", 1), ("lr_patch", 8), ("warmup_steps", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < low:
                raise RecipeError(f"plan: {name} = {value!r}; a whole number of at least {low} is needed")
        for name, low, high in (("lr", 0, 1), ("lr_end", 0, 1), ("ema", 0, 0.999999), ("clip_norm", 0, 1e9)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not low <= value <= high:
                raise RecipeError(f"plan: {name} = {value!r}; a number from {low} to {high} is needed")
        if self.lr == 0:
            raise RecipeError("plan: lr = 0 would train nothing")
        for name, allowed in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in allowed:
                raise unknown(f"{name}", getattr(self, name), allowed, where="plan")

    def learning_rate(self, step: int) -> float:
        """The learning rate of step 0, 1, ..., steps - 1."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        if self.schedule == "constant":
            return self.lr
        progress = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.lr_end + (self.lr - self.lr_end) * 0.5 * (1 + math.cos(math.pi * progress))

    def to_dict(self) -> dict[str, Any]:
        """Every field by name: what a result's protocol stores."""
        return asdict(self)


PLANS: dict[str, Plan] = {
    # A taste of a search: seconds per candidate on a laptop's CPU.
    "quick": Plan(steps=200, batch=4, lr_patch=24, lr=2e-3, lr_end=1e-5),
    "longer": Plan(steps=600, batch=8, lr_patch=24, lr=2e-3, lr_end=1e-6),
    # A proxy for a GPU, and the schedule of EFRDN (sec. 4.2; 1000 epochs of 1000 batches).
    "proxy": Plan(steps=2000, lr=1e-3, lr_end=1e-5),
    "full": Plan(steps=1_000_000),
}
"""Named plans; PROXY and FULL are values of one class."""


def named_plan(name: str, **changes: Any) -> Plan:
    """The plan called ``name`` with some fields changed. Raises RecipeError for unknown names."""
    if name not in PLANS:
        raise unknown("plan", name, PLANS)
    allowed = [field.name for field in fields(Plan)]
    for key in changes:
        if key not in allowed:
            raise unknown("plan field", key, allowed)
    return replace(PLANS[name], **changes)

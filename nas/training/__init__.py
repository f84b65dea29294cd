"""Training of one network: a Plan says how, a Job says what, ``train`` returns an Outcome.

A proxy and a full schedule are two values of Plan and one code path. Names are imported when they are asked
for, so that plans come without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.training.job import Job, Outcome, Progress
    from nas.training.loop import train
    from nas.training.plan import PLANS, Plan, named_plan
    from nas.training.validation import bicubic_baseline, validate

__all__ = [
    "PLANS",
    "Job",
    "Outcome",
    "Plan",
    "Progress",
    "bicubic_baseline",
    "named_plan",
    "train",
    "validate",
]

_MODULES = {
    **dict.fromkeys(("Job", "Outcome", "Progress"), "job"),
    **dict.fromkeys(("PLANS", "Plan", "named_plan"), "plan"),
    **dict.fromkeys(("bicubic_baseline", "validate"), "validation"),
    "train": "loop",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)

"""Training of one network: a Plan says how, a Job says what, ``train`` returns an Outcome.

A proxy and a full schedule are two values of Plan and one code path.
"""

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

"""How a network is trained: the schedule as a value.

To add a named plan, put a line in PLANS; recipes may change any of its fields. To add a schedule, write a
function from (plan, step) to a learning rate and put it in SCHEDULES.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_args, get_type_hints

from nas.core.units import parse_count
from nas.errors import RecipeError, unknown
from nas.training.adversarial import ADVERSARIALS, NOT_ADVERSARIAL
from nas.training.distil import DISTILLATIONS, NONE
from nas.training.losses import LOSSES

OPTIMIZERS = ("adam", "adamw")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
QUANTISE_BITS = (0, 8)


def _cosine(plan: Plan, step: int) -> float:
    progress = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return plan.lr_end + (plan.lr - plan.lr_end) * 0.5 * (1 + math.cos(math.pi * progress))


def _constant(plan: Plan, step: int) -> float:
    return plan.lr


def _drops(plan: Plan, step: int) -> float:
    return plan.lr * plan.drop_factor ** (step // plan.drop_every)


SCHEDULES: dict[str, Callable[[Plan, int], float]] = {
    "cosine": _cosine,
    "constant": _constant,
    "drops": _drops,
}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A training schedule.

    ``lr_patch`` is in LR pixels. ``lr_end`` is where a cosine ends; ``drops`` multiply the learning rate by
    ``drop_factor`` after every ``drop_every`` steps. ``warmup_steps`` rise linearly to ``lr``. ``ema`` is the
    decay of the averaged weights, which are then the ones that are measured; 0 is off. ``clip_norm`` bounds
    the gradient's norm; 0 is off. ``precision``: ``tf32`` lets a GPU round factors of products to 10 bits;
    ``bf16`` and ``fp16`` compute under autocast and keep float32 weights. ``fft_weight`` belongs to the loss
    ``l1_fft``.

    ``distil`` is what a teacher adds to the loss (a word of DISTILLATIONS; ``none`` without a teacher),
    ``distil_weight`` its weight, None for the usual one of its kind. ``distil_points`` are the features
    looked at in each of the two networks, ``distil_dim`` the width of ``afd``'s queries and keys (4 and 128
    in Light F2SRGAN's released code). ``quantise_bits`` trains with weights and activations rounded to so
    many bits (8); 0 is off.

    ``adversarial`` is how a critic compares restored with real images (a word of ADVERSARIALS; ``none``
    without one). Then the loss is ``feature_weight`` times the mean squared difference of VGG19's features,
    plus ``adversarial_weight`` times what the critic says, ``tv_weight`` times the total variation (in levels
    of 8 bits, summed over the batch) and ``pixel_weight`` times ``loss``: F2SRGAN's weights if not given. The
    critic takes the plan's optimiser and learning rate.

    ``group_lasso`` times the group lasso of the network's channels is added to the loss, so that channels
    which matter little become zero and can be pruned; 0 is off. Raises RecipeError for a value out of its
    range.
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
    loss: str = "l1"
    fft_weight: float = 0.05
    optimizer: str = "adam"
    beta2: float = 0.999
    weight_decay: float = 0.0
    drop_every: int = 200_000
    drop_factor: float = 0.5
    distil: str = NONE
    distil_weight: float | None = None
    distil_points: int = 4
    distil_dim: int = 128
    quantise_bits: int = 0
    adversarial: str = NOT_ADVERSARIAL
    adversarial_weight: float = 0.6
    feature_weight: float = 1.0
    tv_weight: float = 2e-8
    pixel_weight: float = 0.0
    group_lasso: float = 0.0

    def __post_init__(self) -> None:
        least = {"steps": 1, "batch": 1, "lr_patch": 8, "warmup_steps": 0, "drop_every": 1}
        least |= {"distil_points": 1, "distil_dim": 1, "quantise_bits": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < low:
                raise RecipeError(f"plan: {name} = {value!r}; a whole number of at least {low} is needed")
        ranges = {
            "lr": 1,
            "lr_end": 1,
            "ema": 0.999999,
            "clip_norm": 1e9,
            "fft_weight": 1e3,
            "beta2": 0.999999,
            "weight_decay": 1,
            "drop_factor": 1,
            "adversarial_weight": 1e6,
            "feature_weight": 1e6,
            "tv_weight": 1,
            "pixel_weight": 1e6,
            "group_lasso": 1,
        }
        if self.distil_weight is not None:
            ranges["distil_weight"] = 1e6
        for name, high in ranges.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= high:
                raise RecipeError(f"plan: {name} = {value!r}; a number from 0 to {high} is needed")
        if self.lr == 0:
            raise RecipeError("plan: lr = 0 would train nothing")
        words: dict[str, Any] = {
            "schedule": SCHEDULES,
            "precision": PRECISIONS,
            "loss": LOSSES,
            "optimizer": OPTIMIZERS,
            "distil": (NONE, *DISTILLATIONS),
            "quantise_bits": QUANTISE_BITS,
            "adversarial": (NOT_ADVERSARIAL, *ADVERSARIALS),
        }
        for name, allowed in words.items():
            if getattr(self, name) not in allowed:
                raise unknown(f"{name}", getattr(self, name), allowed, where="plan")

        if self.adversarial != NOT_ADVERSARIAL and self.batch < 2:
            raise RecipeError(
                f"plan: batch = {self.batch} with adversarial = {self.adversarial!r}; it compares images, "
                "and 2 at least are needed"
            )

    def learning_rate(self, step: int) -> float:
        """The learning rate of step 0, 1, ..., steps - 1."""
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        return SCHEDULES[self.schedule](self, step)

    def new_share(self, step: int) -> float:
        """What the weights after ``step`` weigh in their average, 0 to 1.

        The decay rises to ``ema`` as (1 + step) / (10 + step) does, so that an average over few steps does
        not remember the weights it began with.
        """
        return 1 - min(self.ema, (1 + step) / (10 + step))

    @property
    def can_go_on(self) -> bool:
        """Whether a longer training of the same plan begins with the same steps."""
        return self.schedule != "cosine"

    def to_dict(self) -> dict[str, Any]:
        """Every field by name."""
        return asdict(self)

    def identity(self) -> dict[str, Any]:
        """The fields that differ from their defaults: stays the same when later versions add fields."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}


PLANS: dict[str, Plan] = {
    # A taste of a search: seconds per candidate on a laptop's CPU.
    "quick": Plan(steps=200, batch=4, lr_patch=24, lr=2e-3, lr_end=1e-5),
    # The default proxy: ranked best for its time on a CPU (docs/results.md); a longer one can go on from it.
    "short": Plan(steps=800, batch=4, lr_patch=24, lr=5e-4, schedule="constant", ema=0.999),
    # What the default proxy is judged by and re-trained with: three times its steps, of twice the patches.
    "longer": Plan(steps=2400, batch=8, lr_patch=24, lr=2e-3, lr_end=1e-6),
    # Proxies for a GPU: one that ends, and one that a longer training can go on from.
    "proxy": Plan(steps=2000, lr=1e-3, lr_end=1e-5),
    "steady": Plan(steps=2000, lr=5e-4, schedule="constant", ema=0.999),
    # EFRDN, sec. 4.2: 1000 epochs of 1000 batches; under its own name, too.
    "full": Plan(steps=1_000_000),
    "efrdn-full": Plan(steps=1_000_000),
    # SAFMN, released code: loss, steps and learning rate; the rest is ours.
    "safmn": Plan(steps=500_000, loss="l1_fft", lr=1e-3, lr_end=1e-6),
    # GPDN, released settings: loss, optimiser, learning rates, batch and patch; the steps are ours.
    "gpdn": Plan(steps=500_000, loss="mse", batch=64, lr_patch=72, lr=5e-4, lr_end=5e-6),
    # F2SRGAN's first stage, released code: 46 epochs of DF2K's 3,450 images, halved after 25.
    "f2srgan": Plan(
        steps=9_936, lr=1e-4, optimizer="adamw", weight_decay=0.01, schedule="drops", drop_every=5_400
    ),
    # The proxy of ESRN's search: 500 epochs of DIV2K's 800 images, HR patches of 64 at x2.
    "esrn-proxy": Plan(steps=25_000, lr_patch=32, lr=1e-4, schedule="constant"),
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


def parse_changes(words: Sequence[str]) -> dict[str, Any]:
    """Fields of a plan from words like ``lr=1e-4``, each as the type that the field has.

    A whole number may have a suffix (``300k``). Raises RecipeError for a field that there is not, with the
    nearest one, and for a value that is none of its type; the plan itself checks the range.
    """
    types = get_type_hints(Plan)
    changes: dict[str, Any] = {}
    for word in words:
        name, equals, text = (part.strip() for part in word.partition("="))
        if not equals or not name:
            raise RecipeError(f"plan field {word!r}: write NAME=VALUE, as lr=1e-4")
        if name not in types:
            raise unknown("plan field", name, types)
        if name in changes:
            raise RecipeError(f"plan field {word!r}: {name} was given before")
        changes[name] = _parsed(name, text, types[name])
    return changes


def _parsed(name: str, text: str, kind: Any) -> Any:
    """``text`` as a value of the type ``kind``: of several (``str | None``) the first that takes it."""
    kinds = [kind] if isinstance(kind, type) else list(get_args(kind))
    if type(None) in kinds and text.lower() == "none":
        return None
    if bool in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    for one in (int, float):
        try:
            if one in kinds:
                return parse_count(text) if one is int and text[-1:].isalpha() else one(text)
        except (ValueError, RecipeError):
            continue
    if str in kinds:
        return text
    words = {int: "a whole number", float: "a number", bool: "true or false", type(None): "none"}
    raise RecipeError(f"plan: {name} = {text!r}; {' or '.join(words[one] for one in kinds)} is needed")

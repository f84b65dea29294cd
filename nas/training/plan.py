"""How a network is trained: the schedule as a value.

To add a named plan, put a line in PLANS; recipes may change any of its fields. To add a schedule, write a
function from (plan, step) to a learning rate and put it in SCHEDULES. This module imports no torch: plans are
options of the command line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, get_args, get_type_hints

from nas.core.fields import Help, fields_of
from nas.core.units import parse_count
from nas.errors import RecipeError, unknown

NONE = "none"
"""No teacher: the word of a plan's ``distil``."""

NOT_ADVERSARIAL, USUAL = "none", "ragan"
"""Words of a plan's ``adversarial``: no critic, and how one compares where nothing else is said."""

AUTO = "auto"
"""A plan's ``precision`` until a run is created, which then measures and keeps ``fp32`` or ``bf16``."""

MOST = 0.999999
"""The greatest decay."""


def _cosine(plan: Plan, step: int) -> float:
    progress = (step - plan.warmup_steps) / max(1, plan.steps - plan.warmup_steps)
    return plan.lr_end + (plan.lr - plan.lr_end) * 0.5 * (1 + math.cos(math.pi * progress))


def _constant(plan: Plan, step: int) -> float:
    return plan.lr


def _drops(plan: Plan, step: int) -> float:
    return plan.lr * plan.drop_factor ** (step // plan.drop_every)


def _linear(plan: Plan, step: int) -> float:
    left = (plan.steps - step) / max(1, plan.steps - plan.warmup_steps)
    return plan.lr_end + (plan.lr - plan.lr_end) * left


def _wsd(plan: Plan, step: int) -> float:
    left = (plan.steps - step) / max(1, plan.steps - plan.trunk_steps)
    return plan.lr_end + (plan.lr - plan.lr_end) * min(1.0, left)


SCHEDULES: dict[str, Callable[[Plan, int], float]] = {
    "cosine": _cosine,
    "constant": _constant,
    "drops": _drops,
    "linear": _linear,
    "wsd": _wsd,
}
"""Name -> function. ``wsd`` is warm-up, stable, decay (Hu et al., arXiv 2404.06395, sec. 4): a constant rate,
then a linear fall over the last ``decay_share`` of the steps."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A training schedule.

    A protocol is named by the fields that differ from their defaults (:meth:`identity`): a field is only ever
    added with the default that trains as before, and no default changes. Raises RecipeError for a value that
    is not allowed.
    """

    steps: Annotated[int, Help("Training steps.", low=1, high=10**12, unset="the plan's")]
    batch: Annotated[int, Help("Patches of a step.", low=1, high=65_536)] = 16
    lr_patch: Annotated[int, Help("Side of a patch, in LR pixels.", low=8, high=4096)] = 48
    lr: Annotated[float, Help("Learning rate, reached after `warmup_steps`.", low=0, high=1)] = 2e-4
    lr_end: Annotated[float, Help("Rate at the end of `cosine`, `linear` and `wsd`.", low=0, high=1)] = (
        6.25e-6
    )
    schedule: Annotated[str, Help("Learning rate over the steps", words=tuple(SCHEDULES))] = "cosine"
    warmup_steps: Annotated[int, Help("Steps in which the rate rises linearly to `lr`.", low=0)] = 0
    ema: Annotated[
        float,
        Help("Decay of averaged weights, which are then measured; 0 is off.", low=0, high=MOST),
    ] = 0.0
    clip_norm: Annotated[float, Help("Bound of the gradient's norm; 0 is off.", low=0, high=1e9)] = 0.0
    precision: Annotated[
        str,
        Help(
            "Arithmetic: {words}. `tf32` rounds factors of products to 10 bits on a GPU; `bf16` and `fp16` "
            "compute under autocast and keep float32 weights; `auto` measures when a run is created, and the "
            "run keeps `fp32` or `bf16`.",
            words=("fp32", "tf32", "bf16", "fp16", AUTO),
        ),
    ] = "fp32"
    loss: Annotated[str, Help("Loss", words=("l1", "mse", "charbonnier", "l1_fft"))] = "l1"
    fft_weight: Annotated[float, Help("Weight of the spectra in `l1_fft`.", low=0, high=1e3)] = 0.05
    optimizer: Annotated[str, Help("Optimiser", words=("adam", "adamw"))] = "adam"
    beta1: Annotated[float, Help("First decay of Adam.", low=0, high=MOST)] = 0.9
    beta2: Annotated[float, Help("Second decay of Adam.", low=0, high=MOST)] = 0.999
    weight_decay: Annotated[float, Help("Weight decay.", low=0, high=1)] = 0.0
    drop_every: Annotated[int, Help("Steps between two drops of the rate, with `drops`.", low=1)] = 200_000
    drop_factor: Annotated[float, Help("Factor of a drop.", low=0, high=1)] = 0.5
    decay_share: Annotated[
        float, Help("Share of the steps at the end in which the rate falls, with `wsd`.", low=0.01, high=1)
    ] = 1 / 3
    distil: Annotated[
        str,
        Help(
            "What a teacher adds to the loss: {words} (`nas compress`).", words=(NONE, "output", "at", "afd")
        ),
    ] = NONE
    distil_weight: Annotated[
        float | None, Help("Weight of that.", unset="the usual one of its kind", low=0, high=1e6)
    ] = None
    distil_points: Annotated[int, Help("Features looked at in each of the two networks.", low=1)] = 4
    distil_dim: Annotated[int, Help("Width of `afd`'s queries and keys.", low=1)] = 128
    quantise_bits: Annotated[
        int,
        Help(
            "Bits of weights and activations in training: {words} (off; `nas compress`).", words=(8, 0), low=0
        ),
    ] = 0
    adversarial: Annotated[
        str,
        Help(
            "How a critic compares restored with real images: {words} (`nas compress`). The loss is then the "
            "sum of the four weighted terms below, with F2SRGAN's weights by default.",
            words=(NOT_ADVERSARIAL, "ragan", "rgan"),
        ),
    ] = NOT_ADVERSARIAL
    adversarial_weight: Annotated[float, Help("Weight of the critic's loss.", low=0, high=1e6)] = 0.6
    feature_weight: Annotated[
        float, Help("Weight of the mean squared difference of VGG19's features.", low=0, high=1e6)
    ] = 1.0
    tv_weight: Annotated[
        float,
        Help("Weight of the total variation, in levels of 8 bits, summed over the batch.", low=0, high=1),
    ] = 2e-8
    pixel_weight: Annotated[float, Help("Weight of `loss` beside a critic.", low=0, high=1e6)] = 0.0
    group_lasso: Annotated[
        float,
        Help(
            "Weight of the group lasso, which makes channels zero that are then pruned; 0 is off.",
            low=0,
            high=1,
        ),
    ] = 0.0
    halvings: Annotated[
        int,
        Help(
            "How often a training that diverges resumes from its last good state at half the rate; with 0 it "
            "fails.",
            low=0,
            high=4,
        ),
    ] = 0

    def __post_init__(self) -> None:
        for name, field in fields_of(Plan).items():
            value = getattr(self, name)
            if value is None and field.default is None:
                continue
            if needed := field.check(value):
                raise RecipeError(f"plan: {name} = {value!r:.80}; {needed}")
            if field.help.words and value not in field.help.words:
                raise unknown(name, value, field.help.words, where="plan")
        if self.lr == 0:
            raise RecipeError("plan: lr = 0 would train nothing")
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
    def trunk_steps(self) -> int:
        """Steps at the beginning that a longer training of the same plan has, too; 0 for none."""
        if self.schedule in ("cosine", "linear"):
            return 0
        decay = round(self.steps * self.decay_share) if self.schedule == "wsd" else 0
        return self.steps - decay

    @property
    def can_go_on(self) -> bool:
        """Whether a longer training of the same plan can resume from the state after ``trunk_steps``."""
        return self.trunk_steps > 0

    def require_precision(self) -> None:
        """Raise RecipeError for ``auto``, which names no arithmetic that a number could be compared by."""
        if self.precision == AUTO:
            raise RecipeError(
                f"plan: precision = {AUTO!r} is resolved when a run is created; a training needs fp32 or bf16"
            )

    def to_dict(self) -> dict[str, Any]:
        """Every field by name. Raises RecipeError for the precision ``auto``."""
        self.require_precision()
        return asdict(self)

    def identity(self) -> dict[str, Any]:
        """The fields that differ from their defaults: stays the same when later versions add fields.

        Raises RecipeError for the precision ``auto``.
        """
        self.require_precision()
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


def named_plan(name: str, /, **changes: Any) -> Plan:
    """The plan called ``name`` with some fields changed. Raises RecipeError for unknown names."""
    if not isinstance(name, str) or name not in PLANS:
        raise unknown("plan", name, PLANS)
    allowed = [field.name for field in fields(Plan)]
    for key in changes:
        if key not in allowed:
            raise unknown("plan field", key, allowed)
    return replace(PLANS[name], **changes)


def trunk_share(stored: Mapping[str, Any]) -> float:
    """Share of the steps of a stored plan from which a longer one continues, 0 to 1.

    Args:
        stored: Fields of the plan by name, as a protocol has them. Raises RecipeError for impossible values.
    """
    names = ("steps", "schedule", "decay_share")
    plan = Plan(**{name: stored[name] for name in names if name in stored})
    return plan.trunk_steps / plan.steps


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
        changes[name] = parse_value(name, text, types[name])
    return changes


def parse_value(name: str, text: str, kind: Any) -> Any:
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

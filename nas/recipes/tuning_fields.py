"""The fields of a plan that a tuning varies: their domains, and settings written as words.

A setting is what differs from the plan: ``{"lr": 4e-3}``, in words ``lr=0.004``. This module imports no
torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_type_hints

from nas.core.fields import DescribedField, fields_of
from nas.errors import RecipeError, unknown
from nas.training.plan import AUTO, Plan, parse_changes, parse_value

SETTING_SAMPLERS = ("tpe", "gp", "random")
"""The samplers that propose settings."""

DIGITS = 3
"""Significant digits of a proposed number, so that its words give the same plan."""

_TEACHER = "it needs a teacher; nas compress --distil-from trains with one"
_CRITIC = "it belongs to a training against a critic; nas compress --adversarial does that"

NOT_TUNABLE: dict[str, str] = {
    "steps": "--steps gives the lengths of the trainings",
    **dict.fromkeys(("distil", "distil_weight", "distil_points", "distil_dim"), _TEACHER),
    **dict.fromkeys(
        ("adversarial", "adversarial_weight", "feature_weight", "tv_weight", "pixel_weight"), _CRITIC
    ),
}
"""Field of a plan -> why no tuning varies it."""


@dataclass(frozen=True, kw_only=True)
class FieldDomain:
    """The values that a tuning tries for one field: ``choices``, or else the numbers from low to high.

    Attributes:
        name: The field of a plan.
        choices: The values; empty for a range.
        low: The least number of a range.
        high: The greatest number of a range.
        log: Whether a range is sampled on a logarithmic scale.
        whole: Whether a range is one of whole numbers.
    """

    name: str
    choices: tuple[Any, ...] = ()
    low: float = math.nan
    high: float = math.nan
    log: bool = False
    whole: bool = False

    def contains(self, value: Any) -> bool:
        """Whether the value may be proposed."""
        if self.choices:
            return value in self.choices
        return isinstance(value, int | float) and self.low <= value <= self.high

    def rounded(self, value: Any) -> Any:
        """A proposed value with few digits, inside the domain."""
        if self.choices:
            return value
        if self.whole:
            return int(value)
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


def tunable_fields() -> dict[str, DescribedField]:
    """The fields of a plan that a tuning can vary."""
    return {name: field for name, field in fields_of(Plan).items() if name not in NOT_TUNABLE}


def domains_of(fields: Mapping[str, Any], plan: Plan) -> dict[str, FieldDomain]:
    """The domains of a ``[tune]`` section's fields.

    Args:
        fields: Field -> list of choices, or a table with ``low``, ``high`` and perhaps ``log``.
        plan: The plan whose fields they are.

    Raises RecipeError for a field that is unknown or cannot be tuned, and for values that are not allowed.
    """
    return {name: _domain(name, value, plan) for name, value in fields.items()}


def checked_setting(changes: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The changes with values as the fields have them, without those that the plan has anyway.

    Raises RecipeError for a field that is unknown or cannot be tuned, and for values that are not allowed.
    """
    typed = {name: _typed(name, value, plan) for name, value in changes.items()}
    replace(plan, **typed)  # values that exclude each other
    return {name: value for name, value in typed.items() if value != getattr(plan, name)}


def _domain(name: str, value: Any, plan: Plan) -> FieldDomain:
    _require_tunable(name)
    if isinstance(value, Sequence) and not isinstance(value, str):
        choices = tuple(dict.fromkeys(_typed(name, choice, plan) for choice in value))
        if len(choices) < 2:
            raise RecipeError(
                f"field {name} = {list(value)!r:.80}: two different values at least are needed, "
                f"or {{low, high}}; --set {name}=VALUE changes the plan itself"
            )
        return FieldDomain(name=name, choices=choices)
    if not isinstance(value, Mapping):
        raise RecipeError(f"field {name} = {value!r:.80}: a list of values, or {{low, high, log}} is needed")
    return _range(name, value, plan)


def _range(name: str, value: Mapping[str, Any], plan: Plan) -> FieldDomain:
    for key in value:
        if key not in ("low", "high", "log"):
            raise unknown("key", key, ("low", "high", "log"), where=f"field {name}")
    kind, words = tunable_fields()[name].kind, tunable_fields()[name].help.words
    if kind not in (int, float) or words:
        allowed = ", ".join(map(str, words)) or kind.__name__
        raise RecipeError(f"field {name} has no range; give some of its values: {allowed}")
    if "low" not in value or "high" not in value:
        raise RecipeError(f"field {name} = {dict(value)!r:.80}: both low and high are needed")
    low, high = (_typed(name, value[end], plan, allow_zero=True) for end in ("low", "high"))
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise RecipeError(f"field {name}: log = {log!r:.80}; true or false is needed")
    if not low < high:
        raise RecipeError(f"field {name} = {low:g}..{high:g}: low must be below high")
    if (log or name == "lr") and low <= 0:
        raise RecipeError(f"field {name} = {low:g}..{high:g}: a number above 0 is needed for low")
    return FieldDomain(name=name, low=low, high=high, log=log, whole=kind is int)


def _require_tunable(name: str) -> None:
    if name in NOT_TUNABLE:
        raise RecipeError(f"field {name} cannot be tuned: {NOT_TUNABLE[name]}")
    if name not in tunable_fields():
        raise unknown("plan field", name, tunable_fields())


def _typed(name: str, value: Any, plan: Plan, *, allow_zero: bool = False) -> Any:
    """The value as the field has it: a whole number for a fraction becomes one."""
    _require_tunable(name)
    kind = tunable_fields()[name].kind
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind in (int, float, str, bool) and value is not None and type(value) is not kind:
        raise RecipeError(f"field {name} = {value!r:.80}: a value like {getattr(plan, name)!r} is needed")
    if name == "precision" and value == AUTO:
        raise RecipeError(f"field precision: {AUTO!r} is no arithmetic; fp32, tf32, bf16 or fp16")
    if not (allow_zero and value == 0):
        replace(plan, **{name: value})
    return value


# Words


def parse_field(word: str) -> tuple[str, list[Any] | dict[str, Any]]:
    """A field and its domain from ``lr=5e-4..1.6e-2:log``, ``clip_norm=0,0.5,1`` or ``warmup_steps=0..200``.

    Raises RecipeError for a field that cannot be tuned, and for what is no value of it.
    """
    name, equals, text = (part.strip() for part in word.partition("="))
    if not equals or not name or not text:
        raise RecipeError(f"--field {word!r}: write NAME=LOW..HIGH, NAME=LOW..HIGH:log or NAME=A,B,C")
    _require_tunable(name)
    kind = get_type_hints(Plan)[name]
    bounds, colon, scale = text.partition(":")
    if colon and scale != "log":
        raise RecipeError(f"--field {word!r}: unknown scale {scale!r:.80} (allowed: log)")
    if ".." not in bounds:
        if colon:
            raise RecipeError(f"--field {word!r}: a scale belongs to a range, as {name}=LOW..HIGH:log")
        return name, [parse_value(name, part.strip(), kind) for part in bounds.split(",")]
    low, _, high = bounds.partition("..")
    ends = {"low": parse_value(name, low.strip(), kind), "high": parse_value(name, high.strip(), kind)}
    return name, {**ends, "log": bool(colon)}


def parse_fields(words: Sequence[str]) -> dict[str, Any]:
    """The domains of several fields; raises RecipeError for a field that is given twice, too."""
    found: dict[str, Any] = {}
    for word in words:
        name, domain = parse_field(word)
        if name in found:
            raise RecipeError(f"--field {word!r}: {name} was given before")
        found[name] = domain
    return found


def parse_setting(text: str) -> dict[str, Any]:
    """A setting from ``lr=4e-3 clip_norm=0.5``. Raises RecipeError."""
    changes = parse_changes(text.split())
    if not changes:
        raise RecipeError(f"--try {text!r}: write fields of the plan, as 'lr=4e-3 clip_norm=0.5'")
    for name in changes:
        _require_tunable(name)
    return changes


def setting_words(changes: Mapping[str, Any]) -> list[str]:
    """The changes as ``--set`` takes them: ``["lr=0.004", "clip_norm=0.5"]``."""
    return [f"{name}={_word(value)}" for name, value in changes.items()]


def _word(value: Any) -> str:
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)

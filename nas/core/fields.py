"""Fields of models with their help: stated once for checks, options of the command line and documentation.

A field's help is part of its annotation, in a dataclass as in a pydantic model::

    steps: Annotated[int, Help("Training steps.", low=1)]
"""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

MISSING: Any = ...
"""The default of a field that has none."""

MOST_COUNT = 10**9
"""Of candidates, seeds, workers and steps in an option: more than any machine has time for."""

MOST_WHOLE = 2**63 - 1
"""The greatest whole number of a field: what both databases store."""


@dataclass(frozen=True)
class Help:
    """What a field is for.

    Attributes:
        text: A noun or a sentence; the allowed words are put for ``{words}``, or at its end.
        words: The allowed words, where there are only some.
        low: The least allowed number.
        high: The greatest allowed number.
        unset: The effect of None, or of leaving out a field without a default.
        option: The option of the command line, where it is not called as the field.
        metavar: The option's value in the help.
        count: Whether the number may be written with a suffix (``300k``).
        before: For a field added after the first stored recipes: the value that they were made with. It never
            changes again; the default may.
    """

    text: str
    words: tuple[str | int, ...] = ()
    low: float | None = None
    high: float | None = None
    unset: str = ""
    option: str = ""
    metavar: str | None = None
    count: bool = False
    before: Any = MISSING

    @property
    def sentence(self) -> str:
        """The text with the allowed words."""
        text = self.text if not self.words or "{words}" in self.text else f"{self.text}: {{words}}."
        return text.replace("{words}", listed([f"`{word}`" for word in self.words])) if self.words else text


@dataclass(frozen=True, kw_only=True)
class DescribedField:
    """A field of a model: ``kind`` is the type of its value, or of each where there are ``several``."""

    name: str
    kind: type
    several: bool
    default: Any
    help: Help

    @property
    def default_words(self) -> str:
        """The default as a person would write it; "" where there is none and nothing is said of that."""
        if self.default is None or self.default is MISSING:
            return self.help.unset
        return words_of(self.default) or self.help.unset

    def check(self, value: Any) -> str:
        """What is needed instead of a value of the wrong type or range; "" for an allowed one."""
        low, high = self.help.low, self.help.high
        if self.kind is int and low is not None:
            most = MOST_WHOLE if high is None else high
            good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= most
            if good:
                return ""
            range = f"of at least {low}" if high is None else f"from {low} to {high}"
            return f"a whole number {range} is needed"
        if self.kind is float and low is not None and high is not None:
            good = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
            return "" if good else f"a number from {low} to {high} is needed"
        return ""


def listed(words: Sequence[object], last: str = "or") -> str:
    """``a, b or c``."""
    *before, end = map(str, words)
    return f"{', '.join(before)} {last} {end}" if before else end


def words_of(value: Any) -> str:
    """A value as it is written on the command line; a round count with its suffix."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple | dict):
        return ",".join(map(words_of, value))
    if isinstance(value, int) and value >= 10_000:
        for suffix, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
            if value % factor == 0:
                return f"{value // factor}{suffix}"
    return f"{value:g}" if isinstance(value, float) else str(value)


@functools.cache
def fields_of(model: type) -> dict[str, DescribedField]:
    """The fields of a dataclass or pydantic model that have help, in their order."""
    defaults = _defaults(model)
    found = {}
    for name, annotation in get_type_hints(model, include_extras=True).items():
        extras = annotation.__metadata__ if get_origin(annotation) is Annotated else ()
        if helps := [extra for extra in extras if isinstance(extra, Help)]:
            kind, several = _kind(annotation)
            found[name] = DescribedField(
                name=name, kind=kind, several=several, default=defaults[name], help=helps[-1]
            )
    return found


def _defaults(model: type) -> dict[str, Any]:
    if dataclasses.is_dataclass(model):
        fields = dataclasses.fields(model)
        return {f.name: MISSING if f.default is dataclasses.MISSING else f.default for f in fields}
    infos: dict[str, Any] = model.model_fields  # type: ignore[attr-defined]
    return {name: MISSING if info.is_required() else info.default for name, info in infos.items()}


def _kind(annotation: Any) -> tuple[type, bool]:
    """The type of a field's value, of ``X | None`` that of X; and whether there are several."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin in (Union, types.UnionType):
        return _kind(next(one for one in arguments if one is not type(None)))
    if origin is Literal:
        return type(arguments[0]), False
    if origin in (list, tuple):
        return _kind(arguments[0])[0], True
    return (annotation, False) if annotation in (str, int, float, bool, Path) else (str, False)

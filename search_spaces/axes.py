"""Axes of a space: their options, when they apply, and the versions of the space that have them."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from search_spaces.errors import unknown

Option = str | int | float | bool
When = Mapping[str, Sequence[Option]]
Same = Mapping[Any, tuple[Option, When]]


class Chooser(Protocol):
    """Who decides: the two methods that an Optuna trial has, and nothing else."""

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any:
        """One of ``choices``."""

    def suggest_int(self, name: str, low: int, high: int, /, *, step: int = 1) -> int:
        """One of low, low + step, ..., high."""


@dataclass(frozen=True, kw_only=True)
class Former:
    """An option that an axis no longer has: what older networks and recipes call by it.

    Attributes:
        before: The version of the space in which it went.
        now: The choices that mean the same since then.
    """

    before: int
    now: dict[str, Option]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a space: its options in order, and when it applies.

    ``when`` maps earlier axes to the options under which this one makes a difference; all of them must hold.
    ``same`` names options that are another one by another name: option -> (the other, under which choices on
    earlier axes). ``ordered`` axes are counts (a sampler may use their order), the others are plain
    alternatives. ``since`` is the version of the space that has the axis first, ``later`` those of options
    that were added to it, ``former`` has the options that went; version 0 is the first. The first option of a
    later axis is its null value: what older networks have.
    """

    name: str
    options: tuple[Option, ...]
    when: dict[str, tuple[Option, ...]]
    ordered: bool
    doc: str
    null: Option
    same: dict[Option, tuple[Option, dict[str, tuple[Option, ...]]]] = field(default_factory=dict)
    since: int = 0
    later: dict[Option, int] = field(default_factory=dict)
    former: dict[Option, Former] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """The first version of the space that has this axis as it is; 0 where only its null value is left."""
        if self.is_null:
            return 0
        went = (former.before for option, former in self.former.items() if option not in self.options)
        return max([self.since, *(self.later.get(option, 0) for option in self.options), *went])

    @property
    def is_null(self) -> bool:
        """Whether only the null value of a later axis is left: what older networks have."""
        return self.since > 0 and self.options == (self.null,)

    def applies(self, choices: Mapping[str, Option | None]) -> bool:
        """Whether the choices made on earlier axes leave this one a meaning."""
        return _hold(self.when, choices)

    def settled(self, option: Option, choices: Mapping[str, Option | None]) -> Option:
        """The option that stands for ``option`` after ``choices``: itself, unless ``same`` names another."""
        if option not in self.same:
            return option
        other, when = self.same[option]
        return other if _hold(when, choices) else option

    def different(self, choices: Mapping[str, Option | None]) -> tuple[Option, ...]:
        """The options that give different networks after ``choices``."""
        return tuple(dict.fromkeys(self.settled(option, choices) for option in self.options))

    def ask(self, chooser: Chooser) -> Option:
        """The option that ``chooser`` takes; an axis with a single option is not asked about."""
        if len(self.options) == 1:
            return self.options[0]
        step = self.step
        if step is None:
            option: Option = chooser.suggest_categorical(self.name, list(self.options))
            return option
        low, high = self.options[0], self.options[-1]
        assert isinstance(low, int) and isinstance(high, int)
        return chooser.suggest_int(self.name, low, high, step=step)

    def has(self, option: Option, version: int) -> bool:
        """Whether ``option`` is there in a version of the space that has the axis."""
        gone = option in self.former and self.former[option].before <= version
        return self.later.get(option, 0) <= version and not gone

    def at(self, version: int, axes: Mapping[str, Axis]) -> Axis:
        """The axis in a version of the space, whose ``axes`` with the options of all versions are given."""

        def then(when: Mapping[str, Sequence[Option]]) -> dict[str, tuple[Option, ...]]:
            return {
                name: tuple(option for option in options if axes[name].has(option, version))
                for name, options in when.items()
                if axes[name].since <= version
            }

        return dataclasses.replace(
            self,
            options=tuple(option for option in self.options if self.has(option, version)),
            when=then(self.when),
            same={
                option: (other, then(when))
                for option, (other, when) in self.same.items()
                if self.has(option, version) and self.has(other, version)
            },
        )

    def narrowed(self, options: Sequence[Option]) -> Axis:
        """The axis with those of its options that are in ``options``; what went before matters no more."""
        return dataclasses.replace(self, options=tuple(o for o in self.options if o in options), former={})

    def own(self, value: Any) -> Option:
        """The axis's option that equals ``value`` in kind too (True is not 1), or SpaceError."""
        for option in self.options:
            if option == value and isinstance(value, bool) == isinstance(option, bool):
                return option
        raise unknown(f"option of {self.name}:", value, self.options)

    @functools.cached_property
    def step(self) -> int | None:
        """The common difference of an ordered axis; None where its options are not evenly spaced counts."""
        numbers = [option for option in self.options if isinstance(option, int)]
        if not self.ordered or len(numbers) < max(2, len(self.options)):
            return None
        steps = {b - a for a, b in itertools.pairwise(numbers)}
        return steps.pop() if len(steps) == 1 else None


def choice(
    *options: Option,
    when: When | None = None,
    same: Same | None = None,
    since: int = 0,
    later: Mapping[Any, int] | None = None,
    former: Mapping[Option, tuple[int, Mapping[str, Option]]] | None = None,
    doc: str = "",
) -> Any:
    """An axis of alternatives: exactly one of ``options`` is taken; the first is the default.

    Args:
        options: The alternatives.
        when: Earlier axes and the options under which this one makes a difference.
        same: ``{"pairwise": ("all", {"blocks": (2,)})}``: with 2 blocks a genotype turns "pairwise" into
            "all".
        since: The version of the space that has the axis first. Its first option is then what older networks
            have; it is left out of ids and digests.
        later: Options that were added to the axis -> the version of the space that has them first.
        former: Options that the axis no longer has, which stay among ``options`` -> the version of the space
            that has them no more, and the choices that mean the same since then. Networks keep their ids.
        doc: One sentence for the documentation.
    """
    went = {option: Former(before=before, now=dict(now)) for option, (before, now) in (former or {}).items()}
    return _axis_field(
        options, when, ordered=False, doc=doc, same=same, since=since, later=later, former=went
    )


def span(
    low: int,
    high: int,
    *,
    step: int = 1,
    when: When | None = None,
    since: int = 0,
    later: Mapping[Any, int] | None = None,
    doc: str = "",
) -> Any:
    """An axis of counts: low, low + step, ..., high (included); ``low`` is the default.

    ``since`` and ``later`` are those of :func:`choice`.
    """
    options = tuple(range(low, high + 1, step))
    return _axis_field(options, when, ordered=True, doc=doc, since=since, later=later)


def _axis_field(
    options: Sequence[Option],
    when: When | None,
    *,
    ordered: bool,
    doc: str,
    same: Same | None = None,
    since: int = 0,
    later: Mapping[Any, int] | None = None,
    former: Mapping[Option, Former] | None = None,
) -> Any:
    axis = {"options": tuple(options), "ordered": ordered, "doc": doc, "when": _fixed(when or {})}
    axis["same"] = {option: (other, _fixed(under)) for option, (other, under) in (same or {}).items()}
    axis |= {"null": options[0], "since": since, "later": dict(later or {}), "former": dict(former or {})}
    return field(default=options[0], metadata={"axis": axis})


def _fixed(when: When) -> dict[str, tuple[Option, ...]]:
    return {name: tuple(options) for name, options in when.items()}


def _hold(when: Mapping[str, Sequence[Option]], choices: Mapping[str, Option | None]) -> bool:
    return not when or all(choices.get(name) in options for name, options in when.items())


def listed(options: Sequence[Option]) -> str:
    """The options, separated by commas."""
    return ", ".join(str(option) for option in options)

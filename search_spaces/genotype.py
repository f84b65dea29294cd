"""Genotypes: a search space is a frozen dataclass of choices that can build its network.

A new space is one file: subclass :class:`Genotype`, declare each axis with :func:`choice` or :func:`span`,
write ``build(scale)``. ``--space my_lab.my_space`` then finds it. ``parts(scale)`` is optional: it lets costs
be put together from parts that are counted once.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import itertools
import json
import math
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from search_spaces.errors import SpaceError, unknown

if TYPE_CHECKING:
    from torch import nn

Option = str | int | float | bool
When = Mapping[str, Sequence[Option]]
Same = Mapping[Any, tuple[Option, When]]


class Chooser(Protocol):
    """Who decides: the two methods that an Optuna trial has, and nothing else."""

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any:
        """One of ``choices``."""

    def suggest_int(self, name: str, low: int, high: int, /, *, step: int = 1) -> int:
        """One of low, low + step, ..., high."""


@dataclass(frozen=True)
class Part:
    """One part of a network, as far as its cost goes.

    ``build`` makes a module that takes one tensor (B, channels, H, W) at the size of the low-resolution
    input. Parts with equal ``key`` cost the same at the same input size, so that one of them need be counted.
    What joins the parts of a network (sums, means, concatenations, interpolation) multiplies no weights.
    """

    key: Hashable
    build: Callable[[], nn.Module]
    channels: int
    copies: int = 1
    """Sets of weights."""
    uses: int = 1
    """Times the network runs it."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One axis of a space: its options in order, and when it applies.

    ``when`` maps earlier axes to the options under which this one makes a difference; all of them must hold.
    ``same`` names options that are another one by another name: option -> (the other, under which choices on
    earlier axes). ``ordered`` axes are counts (a sampler may use their order), the others are plain
    alternatives. ``since`` is the version of the space that has the axis first, ``later`` those of options
    that were added to it; version 0 is the first. The first option of a later axis is its null value: what
    older networks have.
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

    @property
    def version(self) -> int:
        """The first version of the space that has all of this axis; 0 where only its null value is left."""
        if self.is_null:
            return 0
        return max([self.since, *(self.later.get(option, 0) for option in self.options)])

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

    def at(self, version: int, axes: Mapping[str, Axis]) -> Axis:
        """The axis in an earlier version of the space, whose ``axes`` of today are given by name."""

        def then(when: Mapping[str, Sequence[Option]]) -> dict[str, tuple[Option, ...]]:
            return {
                name: tuple(option for option in options if axes[name].later.get(option, 0) <= version)
                for name, options in when.items()
                if axes[name].since <= version
            }

        return dataclasses.replace(
            self,
            options=tuple(option for option in self.options if self.later.get(option, 0) <= version),
            when=then(self.when),
            same={
                option: (other, then(when))
                for option, (other, when) in self.same.items()
                if max(self.later.get(option, 0), self.later.get(other, 0)) <= version
            },
        )

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
    later: Mapping[Option, int] | None = None,
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
        doc: One sentence for the documentation.
    """
    return _axis_field(options, when, ordered=False, doc=doc, same=same, since=since, later=later)


def span(
    low: int, high: int, *, step: int = 1, when: When | None = None, since: int = 0, doc: str = ""
) -> Any:
    """An axis of counts: low, low + step, ..., high (included); ``low`` is the default."""
    return _axis_field(tuple(range(low, high + 1, step)), when, ordered=True, doc=doc, since=since)


def _axis_field(
    options: Sequence[Option],
    when: When | None,
    *,
    ordered: bool,
    doc: str,
    same: Same | None = None,
    since: int = 0,
    later: Mapping[Option, int] | None = None,
) -> Any:
    axis = {"options": tuple(options), "ordered": ordered, "doc": doc, "when": _fixed(when or {})}
    axis["same"] = {option: (other, _fixed(under)) for option, (other, under) in (same or {}).items()}
    axis |= {"null": options[0], "since": since, "later": dict(later or {})}
    return field(default=options[0], metadata={"axis": axis})


@dataclass(frozen=True, kw_only=True)
class Genotype:
    """One architecture, as the choices that make it.

    A choice that does not apply (see ``when``) is set to None, and one that is another by another name (see
    ``same``) is set to that other, so that two genotypes which differ only there are equal and have one id.
    Raises SpaceError for an option that its axis does not have.
    """

    space: ClassVar[str]
    """The word by which recipes and the database call the space; ``module:Class`` unless a class sets it."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "space" not in cls.__dict__:
            cls.space = f"{cls.__module__}:{cls.__qualname__}"

    def __post_init__(self) -> None:
        taken: dict[str, Option | None] = {}
        for axis in self.axes():
            value = getattr(self, axis.name) if axis.applies(taken) else None
            if value is not None:
                value = axis.settled(_same_option(axis, value), taken)
            elif axis.applies(taken):
                raise SpaceError(f"{axis.name} applies here and needs one of {_listed(axis.options)}")
            object.__setattr__(self, axis.name, value)
            taken[axis.name] = value

    @classmethod
    def axes(cls) -> tuple[Axis, ...]:
        """The axes in the order in which they are chosen."""
        # mypy takes the hash of the instances for that of the class.
        return _axes_of(cls)  # type: ignore[arg-type]

    @classmethod
    def suggest(cls, chooser: Chooser) -> Self:
        """A genotype with every applicable axis chosen by ``chooser`` (an Optuna trial, for example)."""
        taken: dict[str, Option] = {}
        for axis in cls.axes():
            if axis.applies(taken):
                taken[axis.name] = axis.settled(axis.ask(chooser), taken)
        return cls(**taken)

    @classmethod
    def from_dict(cls, choices: Mapping[str, Any]) -> Self:
        """The genotype that :meth:`to_dict` described. Raises SpaceError for an axis that is unknown,
        missing though it applies, or given though it does not.
        """
        names = [axis.name for axis in cls.axes()]
        for name in choices:
            if name not in names:
                raise unknown(f"axis of space {cls.space!r}:", name, names)
        genotype = cls(**choices)
        kept = genotype.all_choices()
        for name in choices:
            if name not in kept:
                when = next(axis.when for axis in cls.axes() if axis.name == name)
                need = " and ".join(f"{key} in ({_listed(values)})" for key, values in when.items())
                raise SpaceError(f"{name} = {choices[name]!r} contradicts the other choices: it needs {need}")
        for name, value in genotype.to_dict().items():
            if name not in choices:
                raise SpaceError(f"{name} is missing (with these choices it matters; {value!r} is usual)")
        return genotype

    def to_dict(self) -> dict[str, Option]:
        """The choices that apply, in the order of the axes: plain values for JSON or TOML.

        Null values of later axes are left out, so that a network keeps its description when its space grows.
        """
        later = {axis.name: axis.null for axis in self.axes() if axis.since}
        return {
            name: option
            for name, option in self.all_choices().items()
            if name not in later or option != later[name]
        }

    def all_choices(self) -> dict[str, Option]:
        """The choices that apply, in the order of the axes, null values of later axes among them."""
        return {a.name: getattr(self, a.name) for a in self.axes() if getattr(self, a.name) is not None}

    @property
    def id(self) -> str:
        """12 hexadecimal digits of the SHA-256 of the space's name and the choices that apply."""
        text = json.dumps([self.space, self.to_dict()], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @abstractmethod
    def build(self, scale: int) -> nn.Module:
        """The network, with fresh weights: (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W)."""

    def parts(self, scale: int) -> tuple[Part, ...] | None:
        """What the network is made of, without building it; None where the space cannot say.

        Parameters are the sum of ``copies`` times each part's, Multi-Adds that of ``uses`` times each part's
        at the size of the low-resolution input. None means that the network is counted as a whole.
        """
        return None


@dataclass(frozen=True)
class Space:
    """A genotype class, narrowed where a recipe wants fewer options (``[space.only]``).

    ``version`` is that of the genotype class whose axes and options it has; None is the newest. Raises
    SpaceError where ``only`` names an axis or an option that does not exist, or leaves none.
    """

    genotype: type[Genotype]
    only: Mapping[str, Sequence[Option]] = field(default_factory=dict)
    version: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        by_name = {axis.name: axis for axis in self.genotype.axes()}
        for name, options in self.only.items():
            if name not in by_name:
                raise unknown(f"axis of space {self.genotype.space!r}:", name, by_name)
            if not options:
                allowed = _listed(by_name[name].options)
                raise SpaceError(f"only.{name} is empty: keep at least one of {allowed}")
            for option in options:
                _same_option(by_name[name], option)

    @property
    def name(self) -> str:
        """The space's word in recipes."""
        return self.genotype.space

    @functools.cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The axes with the options that are left, in the space's own order of options."""
        axes = self.genotype.axes()
        if self.version is not None:
            by_name = {axis.name: axis for axis in axes}
            axes = tuple(axis.at(self.version, by_name) for axis in axes if axis.since <= self.version)
        return tuple(
            dataclasses.replace(axis, options=tuple(o for o in axis.options if o in self.only[axis.name]))
            if axis.name in self.only
            else axis
            for axis in axes
        )

    def of_digest(self, digest: str) -> Space | None:
        """The space, or what it was in the version that has this digest; None where none has it."""
        newest = max((axis.version for axis in self.genotype.axes()), default=0)
        for version in (None, *range(newest - 1, -1, -1)):
            then = dataclasses.replace(self, version=version)
            if all(axis.options for axis in then.axes) and then.digest == digest:
                return then
        return None

    def suggest(self, chooser: Chooser) -> Genotype:
        """A genotype inside the narrowed space."""
        taken: dict[str, Option] = {}
        for axis in self.axes:
            if axis.applies(taken):
                taken[axis.name] = axis.settled(axis.ask(chooser), taken)
        return self.genotype(**taken)

    def applicable(self, genotype: Genotype) -> Iterator[tuple[Axis, Option]]:
        """The narrowed axes that apply to ``genotype``, each with the option it took.

        Where narrowing left only another name of that option, it is given by that name.
        """
        choices = genotype.all_choices()
        for axis in self.axes:
            if axis.name in choices:
                taken = choices[axis.name]
                names = [option for option in axis.options if axis.settled(option, choices) == taken]
                yield axis, taken if taken in axis.options or not names else names[0]

    def count(self) -> int:
        """How many different genotypes there are, exactly."""
        steering = {name for axis in self.axes for name in axis.when}
        steering |= {name for axis in self.axes for _, when in axis.same.values() for name in when}
        return sum(
            math.prod(
                len(a.different(taken)) for a in self.axes if a.name not in steering and a.applies(taken)
            )
            for taken in self._assignments([a for a in self.axes if a.name in steering])
        )

    def _assignments(self, axes: Sequence[Axis]) -> Iterator[dict[str, Option]]:
        found: list[dict[str, Option]] = [{}]
        for axis in axes:
            found = [
                {**taken, axis.name: option} if axis.applies(taken) else taken
                for taken in found
                for option in (axis.different(taken) if axis.applies(taken) else axis.options[:1])
            ]
        yield from found

    @property
    def digest(self) -> str:
        """A hash of the axes, options and conditions: a study that began on another one cannot go on.

        It is that of the first version of the space that has all that is left: axes that are narrowed to
        their null value do not count.
        """
        version = max((axis.version for axis in self.axes), default=0)
        then = Space(self.genotype, self.only, version=version).axes
        axes = [[a.name, a.options, a.when, sorted(a.same.items(), key=str)] for a in then if not a.is_null]
        text = json.dumps([self.name, axes], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@functools.cache
def _axes_of(genotype: type[Genotype]) -> tuple[Axis, ...]:
    fields = (f for f in dataclasses.fields(genotype) if "axis" in f.metadata)
    return tuple(Axis(name=f.name, **f.metadata["axis"]) for f in fields)


def _fixed(when: When) -> dict[str, tuple[Option, ...]]:
    return {name: tuple(options) for name, options in when.items()}


def _hold(when: Mapping[str, Sequence[Option]], choices: Mapping[str, Option | None]) -> bool:
    return not when or all(choices.get(name) in options for name, options in when.items())


def _same_option(axis: Axis, value: Any) -> Option:
    """The axis's own option that equals ``value`` in kind too (True is not 1), or SpaceError."""
    for option in axis.options:
        if option == value and isinstance(value, bool) == isinstance(option, bool):
            return option
    raise unknown(f"option of {axis.name}:", value, axis.options)


def _listed(options: Sequence[Option]) -> str:
    return ", ".join(str(option) for option in options)

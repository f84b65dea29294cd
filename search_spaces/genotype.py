"""Genotypes: a search space is a frozen dataclass of choices that can build its network.

A new space is one file: subclass :class:`Genotype`, declare each axis with :func:`choice` or :func:`span`,
write ``build(scale)``. ``--space my_lab.my_space`` then finds it. ``parts(scale)`` is optional: it lets costs
be put together from parts that are counted once.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from search_spaces.axes import Axis, Chooser, Option, listed
from search_spaces.errors import SpaceError, unknown

if TYPE_CHECKING:
    from torch import nn


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
        self._take_former_options()
        taken: dict[str, Option | None] = {}
        for axis in self.axes():
            value = getattr(self, axis.name) if axis.applies(taken) else None
            if value is not None:
                value = axis.settled(axis.own(value), taken)
            elif axis.applies(taken):
                raise SpaceError(f"{axis.name} applies here and needs one of {listed(axis.options)}")
            object.__setattr__(self, axis.name, value)
            taken[axis.name] = value

    def _take_former_options(self) -> None:
        """Replace an option that its axis no longer has by the choices that mean the same."""
        axes = _declared(type(self))  # type: ignore[arg-type]
        for axis in _with_former_options(type(self)):  # type: ignore[arg-type]
            value = getattr(self, axis.name)
            if value not in axis.former:
                continue
            for name, option in axis.former[value].now.items():
                given = getattr(self, name)
                if name != axis.name and given not in (option, axes[name].null, None):
                    raise SpaceError(f"{axis.name} = {value!r} means {name} = {option!r}, not {given!r}")
                object.__setattr__(self, name, option)

    @classmethod
    def axes(cls, version: int | None = None) -> tuple[Axis, ...]:
        """The axes in the order in which they are chosen, in a version of the space; None is the newest."""
        # mypy takes the hash of the instances for that of the class.
        return _axes_of(cls, version)  # type: ignore[arg-type]

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
                need = " and ".join(f"{key} in ({listed(values)})" for key, values in when.items())
                raise SpaceError(f"{name} = {choices[name]!r} contradicts the other choices: it needs {need}")
        for name, value in genotype.to_dict().items():
            if name not in choices:
                raise SpaceError(f"{name} is missing (with these choices it matters; {value!r} is usual)")
        return genotype

    def to_dict(self) -> dict[str, Option]:
        """The choices that apply, in the order of the axes: plain values for JSON or TOML.

        A network keeps its description when its space grows: null values of later axes are left out, and a
        network that a former option describes is described by it.
        """
        return self.choices_at(0)

    def all_choices(self) -> dict[str, Option]:
        """The choices that apply, in the order of the axes, null values of later axes among them."""
        return {a.name: getattr(self, a.name) for a in self.axes() if getattr(self, a.name) is not None}

    def choices_at(self, version: int) -> dict[str, Option]:
        """The choices as a version of the space spells them, in the order of its axes.

        Null values of axes that came later are left out; other values of such axes are kept, since that
        version has no word for them.
        """
        axes = _declared(type(self))  # type: ignore[arg-type]
        choices = self.all_choices()
        for axis in _with_former_options(type(self)):  # type: ignore[arg-type]
            for option, former in axis.former.items():
                if version < former.before and former.now.items() <= choices.items():
                    nulls = {name: axes[name].null for name in former.now if name != axis.name}
                    choices |= {**nulls, axis.name: option}
        return {
            name: choices[name]
            for name, axis in axes.items()
            if name in choices and (axis.since <= version or choices[name] != axis.null)
        }

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


@functools.cache
def _declared(genotype: type[Genotype]) -> dict[str, Axis]:
    """The axes by name with the options of all versions."""
    fields = (f for f in dataclasses.fields(genotype) if "axis" in f.metadata)
    return {f.name: Axis(name=f.name, **f.metadata["axis"]) for f in fields}


@functools.cache
def _with_former_options(genotype: type[Genotype]) -> tuple[Axis, ...]:
    return tuple(axis for axis in _declared(genotype).values() if axis.former)  # type: ignore[arg-type]


@functools.cache
def _axes_of(genotype: type[Genotype], version: int | None) -> tuple[Axis, ...]:
    axes = _declared(genotype)  # type: ignore[arg-type]
    if version is None:
        changes = [axis.version for axis in axes.values()]
        changes += [former.before for axis in axes.values() for former in axis.former.values()]
        version = max(changes, default=0)
    return tuple(axis.at(version, axes) for axis in axes.values() if axis.since <= version)

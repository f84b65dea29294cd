"""A search space: the axes of a genotype class, narrowed, in one of its versions."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from search_spaces.axes import Axis, Chooser, Former, Option, listed
from search_spaces.errors import SpaceError, unknown
from search_spaces.genotype import Genotype


@dataclass(frozen=True)
class Space:
    """A genotype class, narrowed where a recipe wants fewer options (``[space.only]``).

    ``version`` is that of the genotype class whose axes and options it has; None is the newest, or the last
    one that has all options in ``only``. Raises SpaceError where ``only`` names an axis or an option that
    does not exist, or leaves none.
    """

    genotype: type[Genotype]
    only: Mapping[str, Sequence[Option]] = field(default_factory=dict)
    version: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        axes = {axis.name: axis for axis in self.genotype.axes()}
        spelled = {axis.name: axis for axis in self.genotype.axes(self.spelling)}
        for name, options in self.only.items():
            if name not in axes:
                raise unknown(f"axis of space {self.genotype.space!r}:", name, axes)
            if not options:
                raise SpaceError(f"only.{name} is empty: keep at least one of {listed(axes[name].options)}")
            if self.version is not None:
                continue
            if name not in spelled:
                raise SpaceError(f"only.{name} needs today's words for the other axes: {self._newer_words()}")
            for option in options:
                spelled[name].own(option)

    @functools.cached_property
    def spelling(self) -> int | None:
        """The version whose options ``only`` names; None is the newest."""
        gone = [former.before for *_, former in self._former_options()]
        return min(gone) - 1 if gone and self.version is None else self.version

    def _former_options(self) -> list[tuple[str, Option, Former]]:
        """The options in ``only`` that their axes no longer have."""
        return [
            (axis.name, option, former)
            for axis in self.genotype.axes()
            for option, former in axis.former.items()
            if option in self.only.get(axis.name, ())
        ]

    def _newer_words(self) -> str:
        return "; ".join(
            f"{name} = {option!r} is {', '.join(f'{key} = {value!r}' for key, value in former.now.items())}"
            for name, option, former in self._former_options()
        )

    @property
    def name(self) -> str:
        """The space's word in recipes."""
        return self.genotype.space

    @functools.cached_property
    def axes(self) -> tuple[Axis, ...]:
        """The axes with the options that are left, in the space's own order of options."""
        return tuple(
            axis.narrowed(self.only[axis.name]) if axis.name in self.only else axis
            for axis in self.genotype.axes(self.spelling)
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

    def choices_of(self, genotype: Genotype) -> dict[str, Option]:
        """The choices that make ``genotype``, in the words of this version of the space.

        A choice for which this version has no axis is among them, under the newer axis's name.
        """
        return genotype.all_choices() if self.spelling is None else genotype.choices_at(self.spelling)

    def applicable(self, genotype: Genotype) -> Iterator[tuple[Axis, Option]]:
        """The narrowed axes that apply to ``genotype``, each with the option it took.

        Where narrowing left only another name of that option, it is given by that name.
        """
        choices = self.choices_of(genotype)
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

"""A space of which only some genotypes are there, as in a table of results."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search_spaces import Chooser, Genotype, Option, Space


@dataclass(frozen=True)
class Listed(Space):
    """The genotypes of ``entries`` alone: what a chooser answers becomes the nearest of them.

    Nearest by the axes: an axis with other alternatives is 1 away, so is one that applies to only one of the
    two, and a count is as far away as the part of its range between the two. Of equally near ones the first
    of ``entries`` is taken. Raises ValueError where there is none.
    """

    entries: tuple[Genotype, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.entries:
            raise ValueError("a space of listed genotypes needs at least one")

    def suggest(self, chooser: Chooser) -> Genotype:
        """The entry that is nearest to what the chooser answers."""
        return self.nearest(super().suggest(chooser))

    def nearest(self, genotype: Genotype) -> Genotype:
        """The entry that is nearest to ``genotype``; itself where it is one."""
        if genotype in self._there:
            return genotype
        return self.entries[int(np.argmin(self.distances(genotype)))]

    def distances(self, genotype: Genotype) -> NDArray[np.float64]:
        """How far each entry is from ``genotype``, (entries,)."""
        numbers, ordered = self._numbers
        row = self._row(genotype)
        apart = np.abs(numbers - row)
        away = np.where(ordered & (numbers >= 0) & (row >= 0), apart, apart > 0)
        return away.sum(axis=1, dtype=np.float64)

    def answers(self, genotype: Genotype) -> Mapping[str, Option]:
        """What a chooser must answer to be given ``genotype``."""
        return {axis.name: option for axis, option in self.applicable(genotype) if len(axis.options) > 1}

    @functools.cached_property
    def _there(self) -> frozenset[Genotype]:
        return frozenset(self.entries)

    @functools.cached_property
    def _places(self) -> list[tuple[str, dict[Option, float]]]:
        """Of each axis of the whole space the number of each option: counts within 0 to 1."""
        return [
            (
                axis.name,
                {
                    option: place / max(1, len(axis.options) - 1) if axis.ordered else float(place)
                    for place, option in enumerate(axis.options)
                },
            )
            for axis in self.genotype.axes(self.spelling)
        ]

    @functools.cached_property
    def _numbers(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        ordered = np.array([axis.ordered for axis in self.genotype.axes(self.spelling)])
        return np.array([self._row(entry) for entry in self.entries]), ordered

    def _row(self, genotype: Genotype) -> NDArray[np.float64]:
        choices = self.choices_of(genotype)
        return np.array([at[choices[name]] if name in choices else -2.0 for name, at in self._places])

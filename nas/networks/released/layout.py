"""What a layout of released weights is: its marks, how it is read, and what a file of it holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from search_spaces.errors import SCALES
from search_spaces.genotype import Genotype

Weights = dict[str, Tensor]
Names = dict[str, str]
"""Module or tensor in the file -> the same in the network built here."""


class LayoutError(ValueError):
    """A file that has the marks of a layout and is not of it, or holds a network that is not built here."""


class Shapes(dict[str, tuple[int, ...]]):
    """The shapes of the tensors of a file, by name."""

    @classmethod
    def of(cls, weights: Mapping[str, Tensor]) -> Shapes:
        """The shapes of ``weights``."""
        return cls({name: tuple(tensor.shape) for name, tensor in weights.items()})

    def size(self, name: str, axis: int = 0) -> int:
        """One side of a tensor. Raises LayoutError where there is none."""
        shape = self.get(name, ())
        if axis >= len(shape):
            raise LayoutError(f"{name} is missing" if name not in self else f"{name} has the shape {shape}")
        return shape[axis]

    def count(self, pattern: str, first: int) -> int:
        """How many modules are numbered ``first``, ``first`` + 1, ...: ``block_{}`` is the pattern of names.

        Raises LayoutError where a number is left out, or none is there.
        """
        before, after = map(re.escape, pattern.split("{}"))
        form = re.compile(rf"{before}(\d{{1,3}}){after}(?:\.|$)")
        numbers = {int(found[1]) for name in self if (found := form.match(name))}
        if not numbers or numbers != set(range(first, first + len(numbers))):
            raise LayoutError(f"{pattern.format(first)} and the following are not numbered without a gap")
        return len(numbers)

    def scale(self, name: str, colours: int = 3) -> int:
        """The scale at which a convolution ends whose output is shuffled to an image."""
        channels, known = self.size(name), {colours * scale**2: scale for scale in SCALES}
        if channels not in known:
            needed = ", ".join(f"{count} at x{scale}" for count, scale in known.items())
            raise LayoutError(f"{name} has {channels} outputs (needed: {needed})")
        return known[channels]


@dataclass(frozen=True, kw_only=True)
class Held:
    """What a file holds: a network at a scale, and how its tensors are called here.

    ``names`` is in the order of the file. ``constants``: tensors of the file that the network built here has
    as fixed numbers; they have to be equal. ``others``: networks of the same names and shapes; the values
    say which it is. ``narrower``: the genotype is wider than the file, whose shapes count.
    """

    genotype: Genotype
    scale: int
    names: Names
    constants: Mapping[str, Tensor] = field(default_factory=dict)
    others: tuple[Genotype, ...] = ()
    narrower: bool = False


@dataclass(frozen=True)
class Layout:
    """One layout.

    Attributes:
        family: What the authors call the network.
        source: Its paper.
        marks: Names of tensors, or their beginnings where they end in a dot, that all of its files have, and
            files of no later layout.
        read: From the shapes, after ``fold``, to what the file holds. Raises LayoutError.
        fold: Merges training-time branches, where the file has any.
        peak: The number that is white: 1 or 255.
        ends: The first and the last convolution here, which ``peak`` scales.
    """

    family: str
    source: str
    marks: tuple[str, ...]
    read: Callable[[Shapes], Held]
    fold: Callable[[Weights], Weights] | None = None
    peak: int = 1
    ends: tuple[str, str] = ("stem", "tail.0")


def numbered(names: Mapping[str, str], count: int, first: int, theirs: str, ours: str) -> Names:
    """The names in ``count`` blocks called ``theirs`` (``B{}``, from ``first``) and ``ours``."""
    return {
        f"{theirs.format(first + number)}.{name}": f"{ours.format(number)}.{own}"
        for number in range(count)
        for name, own in names.items()
    }

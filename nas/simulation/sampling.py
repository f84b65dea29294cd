"""What a table is asked to hold: a sample of a space, its trainings, and the part that is trained here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from nas.core.fields import Help
from nas.errors import RecipeError

if TYPE_CHECKING:
    from search_spaces import Genotype


@dataclass(frozen=True, kw_only=True)
class Shard:
    """The part of the sample that one machine trains: every ``parts``-th one, from the ``part``-th on."""

    part: int = 1
    parts: int = 1

    def of(self, genotypes: Sequence[Genotype]) -> list[Genotype]:
        """Its members, spread over the sample as the whole is over the space."""
        return list(genotypes[self.part - 1 :: self.parts])

    @property
    def all(self) -> list[Shard]:
        """All parts of the sample."""
        return [Shard(part=part, parts=self.parts) for part in range(1, self.parts + 1)]

    def __str__(self) -> str:
        return f"{self.part}/{self.parts}"

    @property
    def suffix(self) -> str:
        """What is added to names; nothing where there is one part."""
        return "" if self.parts == 1 else f"-{self.part}of{self.parts}"


def parse_shard(text: str) -> Shard:
    """``2/5``: the second of five. Raises RecipeError for anything else."""
    match = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise RecipeError(f"--shard {text!r}: write PART/PARTS, from 1/1 on (2/5)")
    return Shard(part=int(match[1]), parts=int(match[2]))


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """So many ``architectures`` of the recipe's space inside its budget, and how each of them is trained.

    Raises RecipeError unless ``seeds`` is one number for all rungs, or one for each.
    """

    architectures: Annotated[int, Help("Architectures of the whole sample.", low=1, high=1_000_000)] = 60
    rungs: Annotated[
        tuple[int, ...], Help("Steps of the proxy plan, growing: 200,600.", unset="the recipe's")
    ]
    seeds: Annotated[
        tuple[int, ...], Help("Seeds of each rung: one number for all, or one for each: 3,1.")
    ] = (1,)
    shard: Annotated[Shard, Help("Part that is trained here: 2/5 is the second of five.")] = Shard()
    published: Annotated[bool, Help("Begin with published networks that fit.")] = True

    def __post_init__(self) -> None:
        if len(self.seeds) not in (1, len(self.rungs)):
            raise RecipeError(
                f"--seeds {','.join(map(str, self.seeds))!r}: one number for all rungs, or one for each of "
                f"{len(self.rungs)}"
            )

    @property
    def seeds_of(self) -> dict[int, int]:
        """Rung -> number of seeds."""
        seeds = self.seeds * len(self.rungs) if len(self.seeds) == 1 else self.seeds
        return dict(zip(self.rungs, seeds, strict=True))

    def words(self) -> str:
        """The sample in a line, for its card; equal for all shards."""
        how = "published networks that fit first" if self.published else "without published networks"
        seeds = ", ".join(f"{count} at {rung} steps" for rung, count in self.seeds_of.items())
        return (
            f"{self.architectures} architectures, even over the logarithm of Multi-Adds and over the options "
            f"of each axis, {how}; seeds: {seeds}"
        )

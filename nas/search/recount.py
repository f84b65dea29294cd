"""Count the costs of a database again that were counted on networks as trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leaderboard.store import Store
from leaderboard.store.records import CountedCost, OldCost
from nas.cost.counting import cost_of
from nas.search.database_recorder import parts_of
from search_spaces import SpaceError, load_space


@dataclass(frozen=True, kw_only=True)
class Recount:
    """What a recount found.

    Attributes:
        counted: The costs that were replaced: what was stored, and what is stored now.
        impossible: The costs that stay as they were, and why.
        inside: Run -> rejected candidates that are inside its budget now.
    """

    counted: Sequence[tuple[OldCost, CountedCost]]
    impossible: Sequence[tuple[OldCost, str]]
    inside: dict[str, int]

    @property
    def changed(self) -> list[tuple[OldCost, CountedCost]]:
        """The replaced costs whose numbers are others now."""
        return [(old, new) for old, new in self.counted if old.cost != new.cost]


def recount(store: Store, breathe: Callable[[], None] = lambda: None) -> Recount:
    """Replace all costs of networks as trained by those of the networks as used, in one transaction.

    Args:
        store: The results database.
        breathe: Called between two networks; may raise Interrupted, and then nothing is changed.

    Raises:
        StudyTakenError: A run with such costs is being searched or trained for. Nothing is changed.
    """
    counted, impossible = [], []
    for old in store.costs_to_recount():
        breathe()
        try:
            counted.append((old, count_again(old)))
        except Exception as error:  # a space may be anybody's code, and one network keeps no other waiting
            impossible.append((old, _reason(error)))
    recounted = store.recount([new for _, new in counted])
    return Recount(counted=counted, impossible=impossible, inside=recounted.inside)


def count_again(old: OldCost) -> CountedCost:
    """The cost of a stored network as used. Raises SpaceError where its space is unknown or not trusted."""
    genotype = load_space(old.space, named_by="the results database").from_dict(old.choices)
    return CountedCost(
        genotype_id=old.genotype_id,
        scale=old.scale,
        cost=cost_of(genotype, old.scale).to_dict(),
        parts=parts_of(genotype, old.scale) if old.has_parts else None,
    )


def _reason(error: Exception) -> str:
    line = next(iter(str(error).splitlines()), "")
    return line if isinstance(error, SpaceError) else f"{type(error).__name__}: {line}"

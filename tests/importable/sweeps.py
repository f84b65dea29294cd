"""A sweep from its arguments to its end, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from leaderboard.store import Store
from nas.calibration.sweep import SweepSession, make_fidelities
from nas.recipes.recipe import Recipe
from nas.search.progress import Listener
from nas.training import Plan
from search_spaces import Genotype


def train_sweep(
    recipe: Recipe,
    genotypes: Sequence[Genotype],
    rungs: Sequence[int],
    seeds: int | Mapping[int, int] = 1,
    reference: Plan | int | None = None,
    *,
    store: Store,
    runs: Path,
    listen: Listener = lambda event: None,
) -> SweepSession:
    """Train ``genotypes`` at every rung, with its seeds, and at the reference."""
    session = SweepSession(
        recipe, make_fidelities(recipe, rungs, seeds, reference), store, runs, "cpu", listen
    )
    session.prepare()
    session.run(genotypes)
    return session

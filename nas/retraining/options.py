"""What a re-training is asked to do, besides the recipe of its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from nas.core.fields import Help
from nas.errors import RunError

if TYPE_CHECKING:
    from leaderboard.store import Store
    from nas.recipes.recipe import Recipe
    from nas.retraining.selection import Chosen


@dataclass(frozen=True, kw_only=True)
class RetrainingOptions:
    """Which networks are trained, how many of them concurrently, and what is measured.

    At most one of ``top``, ``knee``, ``ids``, ``best_under``, ``queued`` and ``init_from``. Raises RunError.
    """

    top: Annotated[int | None, Help("Networks of the front, best PSNR first.", low=1, unset="1")] = None
    knee: Annotated[
        bool, Help("The knee of the front instead: more cost brings little there.", option="--knee")
    ] = False
    ids: Annotated[
        str | None, Help("These networks instead: ids or their beginnings, with commas.", unset="none")
    ] = None
    best_under: Annotated[
        str | None, Help("The best within limits instead: params=300k,multi_adds=15G.", unset="none")
    ] = None
    queued: Annotated[bool, Help("Those requested on the leaderboard's page instead.", option="--queued")] = (
        False
    )
    controls: Annotated[
        tuple[str, ...],
        Help("Published networks besides, made to fit the run's budget: imdn,rfdn.", unset="none"),
    ] = ()
    init_from: Annotated[
        Path | None,
        Help("The network of this FILE.safetensors instead, starting from its weights.", unset="none"),
    ] = None
    workers: Annotated[int, Help("Networks trained concurrently.", low=1)] = 1
    evaluate: Annotated[bool, Help("Measure each on the benchmark sets that are found.")] = True
    validate_every: Annotated[
        int, Help("Steps between two measurements in training; 0 measures at the end only.", low=0)
    ] = 0
    tensorboard: Annotated[bool, Help("Write TensorBoard's files into the folder.")] = False

    def __post_init__(self) -> None:
        from nas.retraining.selection import parse_limits

        given = (self.top, self.ids, self.best_under, self.init_from)
        if sum(value is not None for value in given) + self.knee + self.queued > 1:
            raise RunError("--top, --knee, --ids, --best-under, --init-from and --queued: one of them")
        if self.init_from is not None and self.controls:
            raise RunError("--init-from and --controls: one of them (controls start from random weights)")
        if self.queued and self.controls:
            raise RunError("--queued and --controls: one of them")
        if self.ids is not None and not self._ids:
            raise RunError(f"--ids {self.ids!r} names no network")
        if self.best_under is not None:
            parse_limits(self.best_under)

    @property
    def _ids(self) -> list[str]:
        return [word.strip() for word in (self.ids or "").split(",") if word.strip()]

    def choose(self, store: Store, recipe: Recipe) -> Sequence[Chosen]:
        """The networks of the run, and the controls."""
        from nas.retraining.controls import choose_controls

        return [*self._candidates(store, recipe), *choose_controls(recipe, self.controls)]

    def _candidates(self, store: Store, recipe: Recipe) -> list[Chosen]:
        from nas.retraining.selection import (
            choose,
            choose_best_under,
            choose_file,
            choose_ids,
            choose_knee,
            parse_limits,
        )

        if self.init_from is not None:
            return [choose_file(recipe, self.init_from)]
        if self.ids is not None:
            return choose_ids(store, recipe, self._ids)
        if self.best_under is not None:
            return choose_best_under(store, recipe, parse_limits(self.best_under))
        return choose_knee(store, recipe) if self.knee else choose(store, recipe, self.top or 1)

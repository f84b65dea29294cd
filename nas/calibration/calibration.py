"""How far a proxy can be trusted: the same architectures trained short and long, and what costs nothing.

It trains (``nas.calibration.sweep``), and then ``nas.calibration.calibration_report`` looks at the results
alone. To add a variant of the plan that may lower the noise, put a function from a plan to a plan in
VARIANTS.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from leaderboard.store import Store
from nas.calibration.calibration_report import Report, analyse, calibration_of
from nas.calibration.design import spread
from nas.calibration.fidelities import Fidelity, make_fidelities
from nas.calibration.rank_correlation import LEAST
from nas.calibration.sweep import SweepSession, read_sweep
from nas.calibration.zero_cost import look_at, zero_cost
from nas.errors import RecipeError, unknown
from nas.recipes.recipe import Recipe
from nas.search.progress import Event, Listener
from nas.training import Plan
from search_spaces import Genotype

VARIANTS: dict[str, Callable[[Plan], Plan]] = {
    # The averaged weights are the ones that are measured; without them the last ones are.
    "ema": lambda plan: replace(plan, ema=0.0 if plan.ema else 0.999),
}
"""Other ways to train the cheapest rung that may lower its noise: with averaged weights, or without."""


@dataclass(frozen=True, kw_only=True)
class CalibrationPlan:
    """What a calibration is asked for.

    ``rungs`` are lengths of the recipe's proxy plan in steps; ``seeds`` those of each rung from the cheapest
    on, rungs beyond have one. ``reference`` is another plan, or a number of steps of the same. ``variants``
    are words of VARIANTS. ``wanted_tau`` is the agreement from which a rung counts as good enough.
    """

    architectures: int = 16
    rungs: tuple[int, ...]
    seeds: tuple[int, ...] = (3,)
    reference: Plan | int
    reference_name: str = "reference"
    reference_seeds: int = 1
    wanted_tau: float = 0.7
    variants: tuple[str, ...] = ()

    def fidelities(self, recipe: Recipe) -> list[Fidelity]:
        """The trainings of each architecture. Raises RecipeError for what cannot be meant."""
        if self.architectures < LEAST:
            raise RecipeError(f"architectures = {self.architectures}: at least {LEAST} are needed to rank")
        if not 0 < self.wanted_tau <= 1:
            raise RecipeError(f"wanted_tau = {self.wanted_tau:g}: allowed is more than 0, and at most 1")
        if len(self.seeds) > len(self.rungs):
            raise RecipeError(f"seeds for {len(self.seeds)} rungs, and there are {len(self.rungs)}")
        seeds = dict(zip(self.rungs, self.seeds, strict=False))
        fidelities = make_fidelities(
            recipe,
            self.rungs,
            seeds,
            self.reference,
            reference_name=self.reference_name,
            reference_seeds=self.reference_seeds,
        )
        cheapest = fidelities[0]
        for word in self.variants:
            if word not in VARIANTS:
                raise unknown("ablation", word, VARIANTS)
            changed = VARIANTS[word](cheapest.plan)
            name = f"{cheapest.name}, {word}"
            fidelities.append(replace(cheapest, plan=changed, name=name, kind="variant"))
        return fidelities


def calibrate(
    recipe: Recipe,
    asked: CalibrationPlan,
    *,
    store: Store,
    runs: Path,
    device: str = "cpu",
    listen: Listener = lambda event: None,
    begin: Callable[[SweepSession, Sequence[Genotype]], None] = lambda sweep, genotypes: None,
) -> Report:
    """Train what is left to train, look at it, and keep what was found; the same call goes on after a stop.

    The study is ``recipe.name``. ``begin`` is told of the sweep and the architectures before the first
    training. Raises what ``spread``, ``make_fidelities`` and ``SweepSession`` raise.
    """
    fidelities = asked.fidelities(recipe)
    genotypes = spread(
        recipe.search_space(), recipe.scale, asked.architectures, budget=recipe.limits(), seed=recipe.seed
    )
    sweep = SweepSession(recipe, fidelities, store, runs, device, listen)
    sweep.prepare()
    begin(sweep, genotypes)
    sweep.run(genotypes)
    listen(Event(kind="note", text="Scoring the untrained networks"))
    scores = _scores(recipe, fidelities[0].plan, genotypes)
    frame = read_sweep(store, recipe.name, per_image=True)
    frame = frame[frame["genotype_id"].isin([one.id for one in genotypes])]
    report = analyse(
        frame,
        [(fidelity, protocol.id) for fidelity, protocol in zip(fidelities, sweep.protocols, strict=True)],
        scores,
        study=recipe.name,
        data=recipe.data,
        first_seed=recipe.seed,
        wanted_tau=asked.wanted_tau,
    )
    found = [calibration_of(report, rung) for rung in report.rungs]
    store.record_calibrations(sweep.study.id, found, report.to_dict())
    return report


def _scores(recipe: Recipe, plan: Plan, genotypes: Sequence[Genotype]) -> dict[str, dict[str, float]]:
    """The zero-cost proxies of each architecture, by its id."""
    sight = look_at(recipe.data, recipe.scale, plan.lr_patch, recipe.seed)
    return {genotype.id: zero_cost(genotype, sight, recipe.seed) for genotype in genotypes}

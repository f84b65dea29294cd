"""How far a proxy can be trusted: the same architectures trained short and long, and what costs nothing.

It trains (``nas.calibration.sweep``), and then ``nas.calibration.calibration_report`` looks at the results
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from leaderboard.store import Store
from nas.calibration.calibration_plan import CalibrationPlan
from nas.calibration.calibration_report import Report, analyse, calibration_of
from nas.calibration.design import spread
from nas.calibration.sweep import SweepSession, read_sweep
from nas.calibration.zero_cost import look_at, zero_cost
from nas.recipes.recipe import Recipe
from nas.recipes.stored import space_of_run
from nas.search.precision import with_precision
from nas.search.progress import Event, Listener
from nas.training import Plan
from search_spaces import Genotype


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
    """Train what is left, analyse the results and record the report; the same call resumes after a stop.

    The study is ``recipe.name``. ``begin`` is told of the sweep and the architectures before the first
    training. Raises what ``spread``, ``make_fidelities`` and ``SweepSession`` raise.
    """
    choices: list[str] = []
    recipe = with_precision(recipe, store, device, choices.append)
    fidelities = asked.fidelities(recipe)
    genotypes = spread(
        space_of_run(store, recipe),
        recipe.scale,
        asked.architectures,
        budget=recipe.limits(),
        seed=recipe.seed,
    )
    sweep = SweepSession(recipe, fidelities, store, runs, device, listen)
    sweep.prepare()
    begin(sweep, genotypes)
    for line in choices:
        listen(Event(kind="note", text=line))
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

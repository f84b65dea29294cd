"""Which networks of a run are to be trained for longer: the best, the knee of the front, or by name.

Another way is a function from (store, recipe, ...) to a list of Chosen, and an option of ``nas retrain``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from leaderboard.errors import not_of_the_run
from leaderboard.fronts.pareto import pareto_mask
from leaderboard.store import Store
from leaderboard.store.records import Trial
from nas.core.units import format_count, parse_count
from nas.cost.budget import Cost
from nas.cost.counting import cost_of
from nas.errors import RecipeError, RunError, unknown
from nas.recipes.recipe import COST_OBJECTIVES, MEASURED_OBJECTIVES, Recipe
from nas.training.checkpoint import load_described
from search_spaces import Genotype

LIMITS = (*COST_OBJECTIVES, *MEASURED_OBJECTIVES)
"""What a limit may be set for: costs that are counted, and those that a search measured."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A network to re-train: what it costs, and what it reached in the search, in dB, where it did.

    ``name`` is what people call it, None where nobody does.
    """

    genotype: Genotype
    cost: Cost
    proxy_psnr_db: float | None
    name: str | None = None


def choose(store: Store, recipe: Recipe, top: int) -> list[Chosen]:
    """The ``top`` candidates of the front with the highest PSNR, best first.

    Raises RunError when the run has no results.
    """
    front = _front(recipe, _longest(store, recipe))
    return [_chosen(recipe, trial) for trial in reversed(front)][:top]


def choose_knee(store: Store, recipe: Recipe) -> list[Chosen]:
    """The knee of the front: from there on, more cost brings little PSNR, and less cost takes much of it.

    It is the member furthest above the straight line between the front's two ends (Das, "On characterizing
    the knee of the Pareto curve", Structural Optimization 18, 1999), where both axes run from 0 to 1 between
    these ends, and cost is logarithmic, since networks are compared by ratios (ours). A front of fewer than
    three members, or one that nowhere lies above that line, has no knee: its best member is given. Of several
    as far, the cheapest. Raises RunError when the run has no results.
    """
    front = _front(recipe, _longest(store, recipe))
    place = knee([trial.price(recipe.price()) for trial in front], [_reached(trial) for trial in front])
    return [_chosen(recipe, front[place])]


def knee(cost: Sequence[float], psnr_db: Sequence[float]) -> int:
    """The place of the knee in a front, which is given cheapest first, with costs above zero; see above."""
    last = len(cost) - 1
    x, y = np.log(np.asarray(cost, dtype=float)), np.asarray(psnr_db, dtype=float)
    if last < 2 or x[0] == x[-1] or y[0] == y[-1]:
        return last
    # Between (0, 0) and (1, 1) the distance to the line is the difference of the two, but for a factor.
    above = (y - y[0]) / (y[-1] - y[0]) - (x - x[0]) / (x[-1] - x[0])
    place = int(above.argmax())
    return place if above[place] > 1e-12 else last


def choose_best_under(store: Store, recipe: Recipe, limits: Mapping[str, float]) -> list[Chosen]:
    """The network with the highest PSNR among those trained that keep all limits (cost's name -> most).

    Only equally long trainings are compared: those of the highest rung on which any network keeps the limits.
    Raises RunError when none does, with the cheapest that there is, or when the run has no results.
    """
    trained = _trained(store, recipe)
    fitting = [trial for trial in trained if all(trial.price(name) <= most for name, most in limits.items())]
    if not fitting:
        raise RunError(_none_under(recipe.name, trained, limits))
    longest = max(trial.rung for trial in fitting)
    best = max((trial for trial in fitting if trial.rung == longest), key=_reached)
    return [_chosen(recipe, best)]


def parse_limits(text: str) -> dict[str, float]:
    """Limits from ``params=300k,multi_adds=15G``; ``latency_ms`` is in milliseconds, ``memory`` in bytes.

    Raises RecipeError for a name that is no cost, with the nearest one, and for a value that is none.
    """
    limits: dict[str, float] = {}
    for part in (word.strip() for word in text.split(",")):
        name, equals, value = (word.strip() for word in part.partition("="))
        if not equals:
            raise RecipeError(f"limit {part!r}: write NAME=VALUE (names: {', '.join(LIMITS)})")
        if name not in LIMITS:
            raise unknown("cost", name, LIMITS)
        if name in limits:
            raise RecipeError(f"limit {part!r}: {name} has a limit already")
        limits[name] = _milliseconds(part, value) if name == "latency_ms" else parse_count(value)
    return limits


def _milliseconds(part: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise RecipeError(f"limit {part!r}: milliseconds above zero are needed")
    return number


def _none_under(name: str, trained: Sequence[Trial], limits: Mapping[str, float]) -> str:
    """Why no trained network keeps the limits, and what the cheapest one costs."""
    told = ", ".join(f"{cost} = {format_count(most)}" for cost, most in limits.items())
    cheapest = []
    for cost in limits:
        known = [trial for trial in trained if trial.price(cost) == trial.price(cost)]  # NaN: not measured
        least = min(known, key=lambda trial: trial.price(cost), default=None)
        cheapest.append(
            f"{cost} was measured of none"
            if least is None
            else f"the cheapest in {cost} has {format_count(least.price(cost))} ({least.genotype_id})"
        )
    return f"no trained network of run {name!r} is within {told}; {'; '.join(cheapest)}"


def _trained(store: Store, recipe: Recipe) -> list[Trial]:
    """The search's trials with a result, each network once on each rung."""
    trials = store.trials(store.study(recipe.name).id, "search", curves=False)
    found = {(trial.rung, trial.genotype_id): trial for trial in trials if trial.evaluation is not None}
    if not found:
        raise RunError(f"run {recipe.name!r} has no results yet; run nas search first")
    return list(found.values())


def _longest(store: Store, recipe: Recipe) -> list[Trial]:
    """Those of the highest rung: only equally long trainings are compared."""
    trained = _trained(store, recipe)
    highest = max(trial.rung for trial in trained)
    return [trial for trial in trained if trial.rung == highest]


def _front(recipe: Recipe, trials: Sequence[Trial]) -> list[Trial]:
    """The trials that no other beats in both PSNR and the recipe's cost, cheapest first.

    Raises RunError where the cost is known of none.
    """
    costs = [trial.price(recipe.price()) for trial in trials]
    mask = pareto_mask(costs, [_reached(trial) for trial in trials])
    front = [trial for trial, member in zip(trials, mask, strict=True) if member]
    if not front:
        raise RunError(f"run {recipe.name!r} has no front: {recipe.price()} is known of none of its networks")
    return sorted(front, key=lambda trial: (_reached(trial), trial.price(recipe.price())))


def _reached(trial: Trial) -> float:
    assert trial.evaluation is not None
    return trial.evaluation.psnr_db


def choose_ids(store: Store, recipe: Recipe, ids: Sequence[str]) -> list[Chosen]:
    """The networks of the run with those ids, or whose ids begin so, each once, in that order.

    Raises RunError for what is no network of the run, with the nearest one, or several of its networks.
    """
    study = store.study(recipe.name)
    trials: dict[str, Trial] = {}
    for trial in store.trials(study.id, curves=False):
        before = trials.get(trial.genotype_id)
        if before is None or _tells_more(trial, before):
            trials[trial.genotype_id] = trial
    found: dict[str, Chosen] = {}
    for word in ids:
        some = [word] if word in trials else [id for id in trials if word and id.startswith(word)]
        if not some:
            raise RunError(not_of_the_run(recipe.name, word, trials))
        if len(some) > 1:
            listed = ", ".join(sorted(some)[:5]) + (", ..." if len(some) > 5 else "")
            raise RunError(
                f"{word!r} is the beginning of {len(some)} networks of run {recipe.name!r}: {listed}"
            )
        found[some[0]] = _chosen(recipe, trials[some[0]])
    return list(found.values())


def choose_file(recipe: Recipe, path: Path) -> Chosen:
    """The network of a ``.safetensors`` file, which need not be one of the run.

    Raises CheckpointError for a file of no use, and RunError for another scale or space than the run's.
    """
    if path.suffix != ".safetensors":
        raise RunError(
            f"--init-from {path}: a .safetensors file is needed; nas import-weights makes one of a .pth"
        )
    genotype, scale, _ = load_described(path)
    space = recipe.search_space()
    if scale != recipe.scale:
        raise RunError(
            f"--init-from {path}: its network is for x{scale}, and run {recipe.name!r} for x{recipe.scale}"
        )
    if not isinstance(genotype, space.genotype):
        raise RunError(
            f"--init-from {path}: its network is of space {genotype.space!r}, and run {recipe.name!r} of "
            f"{space.name!r}"
        )
    return Chosen(genotype=genotype, cost=cost_of(genotype, scale), proxy_psnr_db=None, name=path.stem)


def _tells_more(trial: Trial, other: Trial) -> bool:
    """Whether a trial says more of what its network reached in the search: trained, and for longer."""
    of_search = trial.stage == "search" and trial.evaluation is not None
    known = other.stage == "search" and other.evaluation is not None
    return of_search and (not known or trial.rung > other.rung)


def _chosen(recipe: Recipe, trial: Trial) -> Chosen:
    in_search = trial.stage == "search" and trial.evaluation is not None
    return Chosen(
        genotype=recipe.search_space().genotype.from_dict(trial.choices),
        cost=Cost(**trial.cost),
        proxy_psnr_db=trial.evaluation.psnr_db if in_search and trial.evaluation else None,
    )

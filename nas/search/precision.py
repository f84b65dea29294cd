"""The precision ``auto`` of a recipe's plans: fp32 or bf16, chosen once, when a run is created.

A run keeps the word in its stored recipe, and thus in its protocols. Commands that resume the run take the
stored word, so that its numbers stay comparable on every machine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, Literal

from leaderboard.store import Store
from nas.core.device import cpu_threads
from nas.cost.budget import Budget
from nas.errors import RecipeError
from nas.recipes.recipe import Recipe
from nas.search.baselines import fitted
from nas.training.plan import AUTO, Plan
from nas.training.step_rates import measure_step_rates
from search_spaces import Space
from search_spaces.lightweight import Lightweight

Say = Callable[[str], None]

STAGES: tuple[Literal["proxy"], Literal["retrain"]] = ("proxy", "retrain")
"""The sections of a recipe that hold a plan."""

MOST_PARAMS = 300_000
"""Parameters of the network that is measured, where the budget allows as many."""


def with_precision(
    recipe: Recipe, store: Store, device: str, say: Say, *, shards: Sequence[str] = ()
) -> Recipe:
    """The recipe with fp32 or bf16 where its plans have ``auto``: the stored word, or the measured one.

    Args:
        recipe: The run to create or to resume; without ``auto`` it is returned as it is.
        store: The results database of the run.
        device: Device, or devices separated by commas: the first one is measured.
        say: Receives one line for each measurement.
        shards: The names of the runs that train parts of one sample, in their order. They share the word.

    Raises RecipeError for a shard whose word another one has to choose.
    """
    stages = [stage for stage in STAGES if recipe.plan(stage).precision == AUTO]
    if not stages:
        return recipe
    names = store.study_names()
    known = next((name for name in (recipe.name, *shards) if name in names), None)
    if known is None and shards and recipe.name != shards[0]:
        raise RecipeError(
            f"run {recipe.name}: precision = {AUTO!r} is chosen by the first shard, and this database lacks "
            f"its run {shards[0]}; give the precision that it chose: --set precision=fp32 or bf16"
        )
    stored: dict[str, Any] = {} if known is None else store.study(known).recipe
    words: dict[Plan, str] = {}
    changes: dict[str, Any] = {}
    for stage in stages:
        plan = recipe.plan(stage)
        word = _word_of(stored.get(stage)) if stored else words.get(_timed_part(plan))
        if word is None:
            word = measured_precision(plan, recipe.scale, recipe.limits(), device, recipe.workers, say)
        words[_timed_part(plan)] = word
        changes[stage] = {**getattr(recipe, stage), "precision": word}
    return recipe.model_copy(update=changes)


def with_retraining_precision(recipe: Recipe, store: Store, device: str, say: Say) -> Recipe:
    """The recipe with fp32 or bf16 where its ``[retrain]`` plan has ``auto``.

    The word is that of the run's earlier re-trainings under this plan; the first of them measures.
    """
    plan = recipe.plan("retrain")
    if plan.precision != AUTO:
        return recipe
    trials = store.trials(store.study(recipe.name).id, "retrain", curves=False)
    protocols = dict.fromkeys(trial.protocol_id for trial in reversed(trials) if trial.protocol_id)
    plans = (store.protocol(id).plan for id in protocols)
    word = next((_word_of(other) for other in plans if _differs_in_precision_alone(plan, other)), None)
    if word is None:
        word = measured_precision(plan, recipe.scale, recipe.limits(), device, recipe.workers, say)
    return recipe.model_copy(update={"retrain": {**recipe.retrain, "precision": word}})


def measured_precision(plan: Plan, scale: int, budget: Budget, device: str, workers: int, say: Say) -> str:
    """fp32, or bf16 where it trains an IMDN of the budget's size at least 5 % faster; says so in a line."""
    first, threads = device.partition(",")[0].strip(), cpu_threads(workers)
    limits = Budget(
        params=min(budget.params or MOST_PARAMS, MOST_PARAMS),
        multi_adds=budget.multi_adds,
    )
    space = Space(Lightweight)
    network = fitted("imdn", space, scale, limits) or fitted("imdn", space, scale, Budget(params=MOST_PARAMS))
    assert network is not None
    rates = measure_step_rates(network.genotype, scale, plan, first, threads)
    where = f"{first}, {threads} thread{'s' if threads > 1 else ''}" if first == "cpu" else first
    say(f"precision = auto: {rates.precision} ({rates}; {where})")
    return rates.precision


def stored_compression_precision(store: Store, name: str) -> str | None:
    """The precision of the compression that the database holds under ``name``; None without one."""
    if name not in store.study_names():
        return None
    compression = store.study(name).recipe.get("compress")
    return _word_of(compression.get("plan") if isinstance(compression, dict) else None)


def _word_of(section: Any) -> str:
    """The precision of a stored plan: stored are the fields that differ from their defaults."""
    word = section.get("precision", "fp32") if isinstance(section, dict) else "fp32"
    return word if isinstance(word, str) and word != AUTO else "fp32"


def _timed_part(plan: Plan) -> Plan:
    """The plan without what changes no step's duration, so that equal ones are measured once."""
    return replace(plan, steps=1, lr=Plan.lr, lr_end=0.0, schedule="constant", warmup_steps=0)


def _differs_in_precision_alone(plan: Plan, other: dict[str, Any]) -> bool:
    defaults = {field.name: field.default for field in fields(Plan)}
    return {**defaults, **other, "precision": AUTO} == asdict(plan)

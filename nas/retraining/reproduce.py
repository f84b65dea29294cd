"""A number once more: the training that a result came from, from the beginning, recorded nowhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields

from leaderboard.errors import not_of_the_run
from leaderboard.store import Store
from leaderboard.store.records import Evaluation, Protocol, Trial
from nas.core.device import cpu_threads
from nas.data import load_data
from nas.errors import RunError
from nas.recipes.protocol import FROM_WEIGHTS
from nas.training import Job, Outcome, Plan, Progress, train
from search_spaces import load_space


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """A recorded result, and what is needed to find it again."""

    evaluation: Evaluation
    protocol: Protocol
    job: Job


def find_result(
    store: Store, name: str, genotype: str, *, protocol: str | None = None, seed: int | None = None
) -> Rerun:
    """The result of a network of the run ``name``; ``genotype`` is its id or how it begins.

    ``protocol`` is an id, its beginning or a plan's name; None takes the longest training. ``seed`` None
    takes the first one. Raises RunError where there is no such result, several networks begin so, the run is
    a compression, whose stages begin with others' weights, or the training started from a file's weights.
    """
    study = store.study(name)
    if "compress" in study.recipe:
        raise RunError(
            f"run {name!r} is a compression: a stage of it is trained again by its own nas compress command"
        )
    done = [trial for trial in store.trials(study.id) if trial.evaluation is not None]
    ids = sorted({trial.genotype_id for trial in done})
    found = [genotype] if genotype in ids else [one for one in ids if genotype and one.startswith(genotype)]
    if not found:
        raise RunError(not_of_the_run(name, genotype, ids))
    if len(found) > 1:
        raise RunError(f"{genotype!r} is the beginning of {len(found)} networks of run {name!r}")
    mine = [trial for trial in done if trial.genotype_id == found[0]]
    protocols = {one: store.protocol(one) for one in {str(_result(trial).protocol_id) for trial in mine}}
    fitting = [
        trial
        for trial in mine
        if seed in (None, trial.seed) and _means(protocols[_result(trial).protocol_id], protocol)
    ]
    if not fitting:
        known = ", ".join(sorted(f"{p.plan_name} ({p.id})" for p in protocols.values()))
        seeds = sorted({trial.seed for trial in mine})
        raise RunError(
            f"run {name!r} has no result of {found[0]} under protocol {protocol} with seed {seed} "
            f"(protocols: {known}; seeds: {', '.join(map(str, seeds))})"
        )
    best = max(fitting, key=lambda trial: protocols[_result(trial).protocol_id].plan.get("steps", 0))
    return _rerun(best, protocols[_result(best).protocol_id])


def _result(trial: Trial) -> Evaluation:
    assert trial.evaluation is not None
    return trial.evaluation


def _means(protocol: Protocol, word: str | None) -> bool:
    return word is None or protocol.id.startswith(word) or protocol.plan_name == word


def _rerun(trial: Trial, protocol: Protocol) -> Rerun:
    evaluation = _result(trial)
    if FROM_WEIGHTS in protocol.plan_name:
        digest = protocol.plan_name.partition(FROM_WEIGHTS)[2]
        raise RunError(
            f"protocol {protocol.id}: its training started from weights (SHA-256 {digest}...), which the "
            "database does not hold; nas retrain --init-from FILE trains from them"
        )
    known = {field.name for field in fields(Plan)}
    if strange := sorted(protocol.plan.keys() - known):
        raise RunError(f"protocol {protocol.id}: this version knows no plan field {strange[0]!r}")
    on_cpu = re.fullmatch(r"cpu \((\d+) threads\)", evaluation.device)
    return Rerun(
        evaluation=evaluation,
        protocol=protocol,
        job=Job(
            genotype=load_space(trial.space, named_by="the results database").from_dict(trial.choices),
            scale=protocol.scale,
            plan=Plan(**protocol.plan),
            data=protocol.data,
            metric=protocol.metric,
            seed=evaluation.seed,
            # The same threads add in the same order, so that a CPU finds the same bits.
            threads=int(on_cpu[1]) if on_cpu else cpu_threads(),
        ),
    )


def require_same_images(rerun: Rerun) -> None:
    """Raise RunError where the images at hand are others than those of the result."""
    plan, protocol = rerun.job.plan, rerun.protocol
    digest = load_data(protocol.data, protocol.scale, plan.lr_patch).digest
    if digest != protocol.data_digest:
        raise RunError(
            f"{protocol.data}: the images have digest {digest}, those of the result {protocol.data_digest}"
        )


def run_again(rerun: Rerun, report: Callable[[Progress], None]) -> Outcome:
    """Train it; keeps nothing on disk and in no database."""
    return train(rerun.job, report)

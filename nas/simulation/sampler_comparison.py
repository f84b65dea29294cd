"""Replays of one or several samplers, and what they say, as plain values: what the two commands print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from nas._version import __version__
from nas.cost.latency import processor
from nas.errors import RecipeError
from nas.simulation.replays import AnswerSource, Spec, Task, run_tasks
from nas.simulation.statistics import (
    Group,
    by_seconds,
    by_trainings,
    compare,
    counts_of,
    marks_up_to,
    seconds_marks,
)
from nas.simulation.tabular_objective import TabularObjective

Tell = Callable[[int], None]

KEPT = "replays"
"""The folder, in that of a comparison, with a file for each replay."""


def gather(
    source: AnswerSource,
    specs: Sequence[Spec],
    workers: Sequence[int],
    seeds: int,
    *,
    processes: int = 1,
    folder: Path | None = None,
    tell: Tell = lambda done: None,
) -> tuple[dict[int, Group], dict[str, Any]]:
    """The curves by workers and sampler, and what :func:`nas.simulation.statistics.compare` says of them.

    Replays on a table end when all of its architectures are trained. Each replay is kept in ``folder``.
    """
    _require_room(source)
    tasks = [
        Task(source=source, spec=spec, workers=count, seed=seed)
        for count in workers
        for spec in specs
        for seed in range(seeds)
    ]
    curves = run_tasks(
        tasks, processes=processes, folder=None if folder is None else folder / KEPT, tell=tell
    )
    groups: dict[int, Group] = {
        count: {
            spec.name: [one for one in curves if (one.task.workers, one.task.spec) == (count, spec)]
            for spec in specs
        }
        for count in workers
    }
    for group in groups.values():
        _require_trained(group)
    told = {"about": _about(source, seeds), **compare(groups)}
    return groups, told


def one_sampler(
    source: AnswerSource,
    spec: Spec,
    workers: int,
    seeds: int,
    *,
    processes: int = 1,
    folder: Path | None = None,
    tell: Tell = lambda done: None,
) -> dict[str, Any]:
    """What one sampler finds, over trainings and over seconds."""
    _require_room(source)
    tasks = [Task(source=source, spec=spec, workers=workers, seed=seed) for seed in range(seeds)]
    curves = run_tasks(tasks, processes=processes, folder=folder, tell=tell)
    _require_trained({spec.name: curves})
    most = min(curve.full[-1] for curve in curves)
    spent = min(curve.spent[-1] for curve in curves)
    return {
        "said": f"{spec.name} on {source.name}, {workers} at once; " + _about(source, seeds)["said"],
        "sampler": spec.name,
        "workers": workers,
        "full_seconds": sum(curve.full_seconds for curve in curves) / len(curves),
        "trainings": [] if spec.rungs else [vars(point) for point in by_trainings(curves, marks_up_to(most))],
        "seconds": [vars(point) for point in by_seconds(curves, seconds_marks(spent))],
        "counts": counts_of(curves),
    }


def _require_trained(group: Group) -> None:
    """Raise RecipeError where a replay was over before anything was trained in full."""
    for name, curves in group.items():
        if any(not curve.full or not curve.full[-1] for curve in curves):
            raise RecipeError(
                f"{name}: no candidate was trained in full; it needs more trainings, or a table of more "
                "architectures"
            )


def _require_room(source: AnswerSource) -> None:
    """Raise RecipeError where there is nothing that a share could be of."""
    surface = source.at(0)
    if surface.best <= 0:
        raise RecipeError(f"{source.name}: its best front covers nothing, so that no share of it can be told")


def _quality(surface: TabularObjective) -> str:
    asked = surface.asked
    return (
        f"asked about fifths that it was not told: tau {asked.tau:.2f}, {asked.error_db:.3f} dB off "
        f"where they spread by {asked.spread_db:.3f} dB"
    )


def _about(source: AnswerSource, seeds: int) -> dict[str, Any]:
    surface = source.at(0)
    day = datetime.now(UTC).date().isoformat()
    machine = f"{processor(torch.device('cpu'))}, ParetoSR {__version__}, {day}"
    if isinstance(surface, TabularObjective):
        kind = f"a table of {len(surface.entries)} architectures"
        if surface.left_out:
            kind += f" ({surface.left_out} that lack a rung are left out)"
        how = (
            f"; a model of the table answers for all others ({_quality(surface)})"
            if surface.model
            else "; a proposal becomes the nearest architecture of the table"
        )
    else:
        kind, how = "a made-up surface", ", drawn three times"
    return {
        "source": source.name,
        "surface": source.surface,
        "digest": source.digest,
        "model": source.model,
        "seeds": seeds,
        "machine": machine,
        "said": f"{kind}{how}; {seeds} seeds; virtual time; {machine}.",
    }

"""Many replays at once: over seeds, in several processes, each kept as soon as it is done.

What is replayed is a :class:`Task` of plain values, so that any process can do it; what comes back is a
:class:`Curve`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import multiprocessing
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from nas._version import __version__
from nas.core.files import sha256_of, write_text
from nas.errors import RecipeError, unknown
from nas.samplers import SAMPLERS
from nas.simulation.objective import Objective
from nas.simulation.simulation import SimulationPlan, full_seconds, simulate
from nas.simulation.synthetic_landscape import surface_of
from nas.simulation.table import read_table
from nas.simulation.tabular_objective import TabularObjective
from search_spaces import TrustedModule, trusted_spaces
from search_spaces.trusted import adopt

SHIPPED = Path(__file__).parents[1] / "tables"
"""Tables that are part of the package."""

RUNG_TRAININGS = 30
"""Full trainings whose seconds a replay with rungs spends where nothing else was said."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A sampler, with or without rungs, for so many full trainings (or their seconds)."""

    sampler: str
    rungs: bool = False
    trainings: int = 400

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self.sampler + ("+rungs" if self.rungs else "")


def parse_specs(text: str, trainings: int) -> list[Spec]:
    """``surrogate,tpe=200,surrogate+rungs=30``; ``trainings`` where no number is given.

    Raises RecipeError for a word that is none, and for the same twice.
    """
    specs: list[Spec] = []
    for word in (part.strip() for part in text.split(",") if part.strip()):
        name, equals, number = word.partition("=")
        sampler, plus, rungs = name.partition("+")
        if sampler not in SAMPLERS:
            raise unknown("sampler", sampler, SAMPLERS)
        if (plus and rungs != "rungs") or (equals and not (number.isdigit() and int(number) > 0)):
            raise RecipeError(f"sampler {word!r}: write NAME, NAME=TRAININGS or NAME+rungs=TRAININGS")
        usual = min(trainings, RUNG_TRAININGS) if plus else trainings
        spec = Spec(sampler=sampler, rungs=bool(plus), trainings=int(number) if equals else usual)
        if spec.name in [other.name for other in specs]:
            raise RecipeError(f"sampler {spec.name!r} is there twice")
        specs.append(spec)
    if not specs:
        raise RecipeError(f"samplers {text!r}: none is named (allowed: {', '.join(SAMPLERS)})")
    return specs


@dataclass(frozen=True, kw_only=True)
class AnswerSource:
    """Where answers come from: a made-up surface by name, or the file of a table.

    ``model`` lets a fitted model answer for architectures that the table does not hold. ``digest`` is the
    file's SHA-256.
    """

    surface: str | None = None
    table: str | None = None
    model: bool = False
    digest: str = ""

    @property
    def name(self) -> str:
        """What it is called."""
        return self.surface or Path(str(self.table)).name

    def at(self, seed: int) -> Objective:
        """The surface that a seed meets."""
        if self.surface is not None:
            return surface_of(self.surface, seed)
        return _recorded(str(self.table), self.model, self.digest)


def source_of(surface: str | None, table: Path | None, *, model: bool = False) -> AnswerSource:
    """A checked AnswerSource of one of the two. Raises RecipeError, and TableError for a damaged file."""
    if (surface is None) == (table is None):
        raise RecipeError("write --table FILE or --surface NAME: one of the two is what answers")
    if table is None:
        if model:
            raise RecipeError("--surrogate is for a table; a made-up surface answers for everything itself")
        surface_of(str(surface), 0)
        return AnswerSource(surface=surface)
    file = _file_of(table)
    source = AnswerSource(table=str(file), model=model, digest=sha256_of(file))
    source.at(0)
    return source


def shipped_tables() -> dict[str, Path]:
    """The tables that are part of the package, by name; another one is one more file there."""
    return {file.stem: file for file in sorted(SHIPPED.glob("*.parquet"))}


def _file_of(table: Path) -> Path:
    """A file, or the one that a name of a shipped table means."""
    if table.is_file():
        return table
    known = shipped_tables()
    if str(table) not in known:
        also = f", and no table called so is part of this program ({', '.join(known)})" if known else ""
        raise RecipeError(f"{table}: there is no such file{also}")
    return known[str(table)]


@functools.cache
def _recorded(path: str, model: bool, digest: str) -> TabularObjective:
    return TabularObjective(read_table(Path(path)), model=model)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One replay."""

    source: AnswerSource
    spec: Spec
    workers: int
    seed: int

    @property
    def key(self) -> str:
        """The name of its file."""
        identity = asdict(self) | {"version": __version__, "table": None}
        identity["source"].pop("table")
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
        return f"{self.spec.name}-{self.workers}-{self.seed}-{digest}"


Side = Literal["trainings", "seconds"]
"""What the marks of a curve count: full trainings, or seconds of workers in full trainings."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The trace of one task, as columns with a row for each training that ended.

    ``spent`` is in full trainings: seconds of all workers over what one full training of a random candidate
    takes (``full_seconds``).
    """

    task: Task
    begun: list[int]
    full: list[int]
    seconds: list[float]
    spent: list[float]
    share: list[float]
    full_seconds: float
    rejected: int = 0
    repeated: int = 0
    answered: int = 0

    def last(self, side: Side) -> float:
        """The mark at which the curve ends; see :meth:`at`."""
        marks: Sequence[float] = self.full if side == "trainings" else self.spent
        return marks[-1] if marks else 0

    def at(self, side: Side, mark: float) -> float:
        """The share of the best front's hypervolume at a mark.

        Args:
            side: What ``mark`` counts: full ``trainings``, or the ``seconds`` that so many of them take.
            mark: Full trainings.

        Returns:
            The share; NaN where the curve ends before the mark.
        """
        if side == "trainings":
            return self.share[self.full.index(int(mark))] if mark in self.full else float("nan")
        if not self.spent or self.spent[-1] < mark - 1:
            return float("nan")
        place = int(np.searchsorted(self.spent, mark, side="right"))
        return self.share[place - 1] if place else 0.0


def run_task(task: Task) -> Curve:
    """Replay it, in this process."""
    surface = task.source.at(task.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Optuna's samplers, for each proposal anew
        plan = SimulationPlan(
            sampler=task.spec.sampler,
            seed=task.seed,
            workers=task.workers,
            trainings=task.spec.trainings,
            rungs=task.spec.rungs,
        )
        trace = simulate(surface, plan)
    mean = full_seconds(surface)
    return Curve(
        task=task,
        begun=[step.begun for step in trace.steps],
        full=[step.full for step in trace.steps],
        seconds=[round(step.seconds, 3) for step in trace.steps],
        spent=[round(step.spent / mean, 6) for step in trace.steps],
        share=[round(step.share, 8) for step in trace.steps],
        full_seconds=mean,
        rejected=trace.rejected,
        repeated=trace.repeated,
        answered=trace.answered,
    )


def run_tasks(
    tasks: Sequence[Task],
    *,
    processes: int = 1,
    folder: Path | None = None,
    tell: Callable[[int], None] = lambda done: None,
) -> list[Curve]:
    """The curves of ``tasks``, in their order.

    Each is kept in ``folder`` when it is done, and what is there already is taken from it, so that the same
    call goes on where an earlier one was stopped. ``tell`` hears how many are done.
    """
    curves = {task: curve for task in tasks if (curve := _kept(folder, task)) is not None}
    left = [task for task in tasks if task not in curves]
    tell(len(curves))
    for curve in _run(left, processes):
        curves[curve.task] = curve
        if folder is not None:
            _keep(folder, curve)
        tell(len(curves))
    return [curves[task] for task in tasks]


def _run(tasks: Sequence[Task], processes: int) -> Iterator[Curve]:
    if processes == 1 or len(tasks) < 2:
        with _one_thread():
            yield from map(run_task, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(
        processes, initializer=_begin_process, initargs=(trusted_spaces(),)
    ) as pool:
        yield from pool.imap_unordered(run_task, tasks)


def _begin_process(spaces: Sequence[TrustedModule]) -> None:
    """Use one thread in a process of the pool, and trust the parent's spaces there."""
    torch.set_num_threads(1)
    adopt(spaces)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices are small: a second thread would only be waited for."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _keep(folder: Path, curve: Curve) -> None:
    text = json.dumps(asdict(curve) | {"task": None}, separators=(",", ":"))
    write_text(folder / f"{curve.task.key}.json", text)


def _kept(folder: Path | None, task: Task) -> Curve | None:
    if folder is None:
        return None
    try:
        columns: dict[str, Any] = json.loads((folder / f"{task.key}.json").read_text(encoding="utf-8"))
        return Curve(**columns | {"task": task})
    except (OSError, ValueError, TypeError):
        return None

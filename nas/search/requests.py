"""What a scheduler asks for, and what it is told of it: the words between scheduler, recorder and loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from leaderboard.store.records import Evaluation, Stage, Trial
from nas.cost.budget import Cost
from nas.search.divergence import DIVERGED
from search_spaces import Genotype

Changes = tuple[tuple[str, Any], ...]
"""Changed fields of a plan with their values, in alphabetical order: what compares two sets of changes."""

Key = tuple[str, str, int, int, Changes]
"""What identifies a training within a run: stage, genotype id, rung, seed, changed fields of the plan."""


@dataclass(frozen=True, kw_only=True)
class Train:
    """A training that a scheduler asks for.

    Attributes:
        genotype: The network.
        cost: What it costs, counted.
        seed: Seed of weights and patches.
        rung: Index into the run's protocols, from 0.
        stage: Which list of the run's trials it belongs to.
        changes: Fields of the rung's plan with the values that this training has instead.
        continues: The rung whose saved state the training continues from; None starts from scratch.
        keep_state: Whether a longer training may continue from this one.
        measured: Memory in bytes and latency in ms, as far as known; None where nothing was measured.
        name: What the network is called in the run's tables; None for the name of a published network.
        token: Passed back with the result. Optuna's trial, where a sampler proposed the network.
    """

    genotype: Genotype
    cost: Cost
    seed: int
    rung: int = 0
    stage: Stage = "search"
    changes: Mapping[str, Any] = field(default_factory=dict)
    continues: int | None = None
    keep_state: bool = False
    measured: Mapping[str, float] | None = None
    name: str | None = None
    token: object = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> Key:
        """What identifies the training within its run."""
        return self.stage, self.genotype.id, self.rung, self.seed, changes_key(self.changes)


def changes_key(changes: Mapping[str, Any]) -> Changes:
    """The changes as a value that can be compared and hashed."""
    return tuple(sorted(changes.items()))


@dataclass(frozen=True, kw_only=True)
class Reject(Train):
    """A network over budget: recorded, never trained. ``excess``: limit -> fraction above it.

    An empty ``excess`` is that of a recorded network which is inside the budget since its cost was counted
    again, as :attr:`Observation.is_obsolete` says.
    """

    excess: Mapping[str, float]


class Pause(Enum):
    """Why a scheduler asks for nothing."""

    SKIPPED = "the proposal is being trained already, or has failed: ask again"
    WAIT = "nothing to start until a result arrives"
    OVER = "nothing is left to start, and no result is awaited"


Action = Train | Reject | Pause


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What became of a request.

    Attributes:
        request: The request, as it was made or as the database holds it.
        state: ``finished``, ``repeated``, ``rejected`` or ``failed``.
        evaluation: The result; None where there is none.
        trial: The row; None where a result was known and no row was written.
        reason: Why it failed.
        failure: The kind of the failure, one of ``schema.FAILURES``; empty for none.
    """

    request: Train
    state: str
    evaluation: Evaluation | None = None
    trial: Trial | None = None
    reason: str = ""
    failure: str = ""

    @property
    def diverged(self) -> bool:
        """Whether the candidate failed because its training diverged."""
        return self.failure == DIVERGED

    def price(self, name: str) -> float:
        """One cost by name, counted or measured; NaN where it was not measured."""
        counted = self.request.cost.to_dict()
        if name in counted:
            return float(counted[name])
        return float((self.request.measured or {}).get(name, float("nan")))

    @property
    def excess(self) -> Mapping[str, float]:
        """Limit -> fraction above it; empty for a network inside the budget."""
        return self.request.excess if isinstance(self.request, Reject) else {}

    @property
    def is_obsolete(self) -> bool:
        """Whether the network was rejected by a cost that no longer counts, and is inside the budget."""
        return self.state == "rejected" and not self.excess


class Scheduler(Protocol):
    """Decides what is trained next. Calls no clock, database or torch: what it needs is passed in."""

    def restore(self, past: Sequence[Observation], pending: Sequence[Train]) -> None:
        """Take in the recorded trials of the run, oldest first, and those that are not finished."""

    def next(self, elapsed: float) -> Action:
        """The next request, ``elapsed`` seconds after the start.

        Raises RunError where continuing makes no sense.
        """

    def on_result(self, observation: Observation) -> None:
        """Take in a request that was finished, repeated or rejected."""

    def on_failure(self, observation: Observation) -> None:
        """Take in a request that failed."""

    def on_elsewhere(self, request: Train) -> None:
        """Another process trains the request, or has taken it over."""


def request_of(
    trial: Trial,
    genotype: Genotype,
    rungs: int = 1,
    *,
    rung: int | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Train:
    """The request that a recorded trial was made from; on a higher rung it continues from the rung below.

    Args:
        trial: A row of the run.
        genotype: The network of the row.
        rungs: How many rungs the run has.
        rung: The rung, where it is another one than the row's.
        changes: Fields in which the plan of the row's protocol differs from the rung's plan.
    """
    on_rungs, rung = trial.stage == "search", trial.rung if rung is None else rung
    values = {
        "genotype": genotype,
        "cost": Cost(**trial.cost),
        "seed": trial.seed,
        "rung": rung,
        "stage": trial.stage,
        "changes": changes or {},
        "continues": rung - 1 if on_rungs and rung else None,
        "keep_state": on_rungs and rung < rungs - 1,
        "measured": trial.measured,
    }
    if trial.state == "rejected":
        return Reject(**values, excess=trial.excess)  # type: ignore[arg-type]
    return Train(**values)  # type: ignore[arg-type]


def observation_of(trial: Trial, request: Train, state: str | None = None) -> Observation:
    """What a recorded trial says of its request; ``state`` where it counts as another one than the row's."""
    return Observation(
        request=request,
        state=trial.state if state is None else state,
        evaluation=trial.evaluation,
        trial=trial,
        reason=trial.reason or "",
        failure=trial.failure or "",
    )

"""Where requests and results are recorded: in the results database, or in memory for simulations."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from leaderboard.store.records import Evaluation, Trial
from nas.errors import NasError
from nas.search.requests import Train
from nas.training import Outcome

EntryState = Literal["running", "waiting", "repeated", "rejected", "elsewhere"]


@dataclass(frozen=True, kw_only=True)
class RecordedRequest:
    """What became of a request when it was entered.

    Attributes:
        state: ``running``: leased to this process. ``waiting``: any process may claim it. ``repeated``: the
            result is known. ``rejected``: over budget. ``elsewhere``: another process trains it.
        trial: The row; None where a known result needs none.
        evaluation: The known result of a repeated request.
    """

    state: EntryState
    trial: Trial | None
    evaluation: Evaluation | None = None


class Recorder(Protocol):
    """The record of one run. Results are recorded before anything else hears of them."""

    owner: str
    """This process, as its rows name it."""

    lease_seconds: float
    """How long this process counts as alive after its last sign of life; it renews four times within that."""

    def begin(self) -> None:
        """Take the run. Raises StudyTakenError while another process leads it."""

    def past(self) -> list[Trial]:
        """The run's trials so far, oldest first; those of dead processes wait again."""

    def enter(self, request: Train, *, waiting: bool = False) -> RecordedRequest:
        """Record a request; where it is to be trained, lease it to this process, or leave it ``waiting``."""

    def leftovers(self) -> Iterator[Trial]:
        """Claim what an earlier process left unfinished, one after another."""

    def claim(self) -> Trial | None:
        """Claim a waiting trial; None where none is to be had."""

    def wanted(self) -> int:
        """How many more trials processes that joined could take."""

    def news(self) -> list[Trial]:
        """Trials left to other processes that ended since the last call."""

    def lost(self, trial: Trial) -> None:
        """Another process has taken over this trial's lease."""

    def record(self, trial: Trial, outcome: Outcome, worker: str) -> Evaluation:
        """Record a result. Raises LeaseLostError where another process has taken over the trial."""

    def fail(self, trial: Trial, error: NasError, worker: str) -> None:
        """Record a failure. Raises LeaseLostError where another process has taken over the trial."""

    def renew(self, trial_ids: Collection[int]) -> None:
        """Extend the leases of this process: on the run, where it leads it, and on its trials."""

    def release(self, trial_ids: Collection[int]) -> None:
        """Let other processes have these trials."""

    def end(self, reason: str) -> None:
        """Let the run go, with the reason: finished, interrupted or failed."""

"""The record of a simulated search: in memory, and nothing else than what its scheduler needs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import UTC, datetime

from leaderboard.store.records import Evaluation, Trial
from nas.errors import NasError
from nas.search.recorder import RecordedRequest
from nas.search.requests import Reject, Train
from nas.training import Outcome

_NEVER = datetime(2000, 1, 1, tzinfo=UTC)


class MemoryRecorder:
    """A run in memory; see ``Recorder``. It has no past, and no other process joins."""

    owner = "simulated"
    lease_seconds = 480.0

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], Evaluation] = {}
        self._numbers = 0

    def begin(self) -> None:
        """Nothing to take."""

    def past(self) -> list[Trial]:
        """None: every simulation begins at the beginning."""
        return []

    def enter(self, request: Train, *, waiting: bool = False) -> RecordedRequest:
        """A new trial, or the known result."""
        if isinstance(request, Reject):
            return RecordedRequest(state="rejected", trial=self._trial(request, "rejected"))
        known = self._known.get((request.genotype.id, request.rung, request.seed))
        if known is not None:
            return RecordedRequest(state="repeated", trial=self._trial(request, "repeated"), evaluation=known)
        return RecordedRequest(state="running", trial=self._trial(request, "running"))

    def record(self, trial: Trial, outcome: Outcome, worker: str) -> Evaluation:
        """Remember a result."""
        evaluation = Evaluation(
            id=trial.id,
            genotype_id=trial.genotype_id,
            protocol_id="",
            seed=trial.seed,
            psnr_db=outcome.psnr_db,
            ssim=outcome.ssim,
            train_seconds=outcome.train_seconds,
            device=outcome.device,
            torch_version="",
            code_version="",
            checkpoint=None,
            curve=[],
            per_image={},
            created_at=_NEVER,
        )
        self._known[trial.genotype_id, trial.rung, trial.seed] = evaluation
        return evaluation

    def _trial(self, request: Train, state: str) -> Trial:
        self._numbers += 1
        return Trial(
            id=self._numbers,
            number=self._numbers - 1,
            stage=request.stage,
            state=state,
            genotype_id=request.genotype.id,
            space=request.genotype.space,
            choices={},
            seed=request.seed,
            scale=4,
            rung=request.rung,
            cost=request.cost.to_dict(),
            excess={},
            evaluation=None,
            reason=None,
            created_at=_NEVER,
            finished_at=None,
        )

    def fail(self, trial: Trial, error: NasError, worker: str) -> None:
        """An objective never fails."""
        raise error

    def leftovers(self) -> Iterator[Trial]:
        """None."""
        return iter(())

    def claim(self) -> Trial | None:
        """None."""
        return None

    def wanted(self) -> int:
        """Nobody joins."""
        return 0

    def news(self) -> list[Trial]:
        """None."""
        return []

    def lost(self, trial: Trial) -> None:
        """Never happens."""

    def renew(self, trial_ids: Collection[int]) -> None:
        """No lease."""

    def release(self, trial_ids: Collection[int]) -> None:
        """No lease."""

    def end(self, reason: str) -> None:
        """Nothing to let go."""

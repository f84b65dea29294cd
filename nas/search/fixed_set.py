"""A scheduler that requests a fixed set of trainings: re-training, and the sweep of a calibration."""

from __future__ import annotations

from collections.abc import Sequence

from nas.search.divergence import require_trainable
from nas.search.requests import Action, Observation, Pause, Train

TrainingKey = tuple[str, int, int]
"""Genotype id, rung, seed."""


def key_of(request: Train) -> TrainingKey:
    """What identifies a training of a fixed set."""
    return request.genotype.id, request.rung, request.seed


class FixedSet:
    """Requests each training once, in order; see ``Scheduler``.

    A training that continues from another one waits for it, and is not started where that has failed.

    Args:
        requests: The trainings, in the order in which they are started.

    Attributes:
        finished: TrainingSetup with a result.
        failed: Training -> why it has none.
    """

    def __init__(self, requests: Sequence[Train]) -> None:
        self.waiting = list(requests)
        self.finished: set[TrainingKey] = set()
        self.failed: dict[TrainingKey, str] = {}
        self._training: set[TrainingKey] = set()
        self._diverged = 0
        self._divergence: str | None = None  # the reason of one that nothing was requested after

    def restore(self, past: Sequence[Observation], pending: Sequence[Train]) -> None:
        """Leave out what was finished or has failed."""
        for observation in past:
            key = key_of(observation.request)
            if observation.state != "failed":
                self.finished.add(key)
                self.failed.pop(key, None)
            else:
                self.failed[key] = observation.reason or "it failed"
                self._diverged += observation.diverged
        over = self.finished | self.failed.keys()
        self.waiting = [request for request in self.waiting if key_of(request) not in over]

    def next(self, elapsed: float) -> Action:
        """The first training that waits for no other one. Raises RunError where nearly all diverged."""
        reason, self._divergence = self._divergence, None
        if reason is not None and self.waiting:
            require_trainable(self._diverged, len(self.finished), reason)
        for request in list(self.waiting):
            below = None
            if request.continues is not None:
                below = request.genotype.id, request.continues, request.seed
            if below in self.failed:
                self.waiting.remove(request)
                self.failed[key_of(request)] = self.failed[below]
            elif below is None or not self._is_awaited(below):
                self.waiting.remove(request)
                self._training.add(key_of(request))
                return request
        return Pause.WAIT if self._training else Pause.OVER

    def _is_awaited(self, key: TrainingKey) -> bool:
        return key in self._training or any(key_of(request) == key for request in self.waiting)

    def on_result(self, observation: Observation) -> None:
        """The training is over."""
        key = key_of(observation.request)
        self._training.discard(key)
        self.finished.add(key)

    def on_failure(self, observation: Observation) -> None:
        """The training has failed; those that would continue from it fail with it."""
        key = key_of(observation.request)
        self._training.discard(key)
        self.failed[key] = observation.reason
        if observation.diverged:
            self._diverged += 1
            self._divergence = observation.reason

    def on_elsewhere(self, request: Train) -> None:
        """Another process trains it, and its result is not awaited."""
        self._training.discard(key_of(request))

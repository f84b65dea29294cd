"""When a run stops because its learning rate is too high for every candidate."""

from __future__ import annotations

from leaderboard.store.records import halvings_text
from nas.errors import DivergedError, RunError
from nas.training import Progress

DIVERGED = DivergedError.failure
"""The kind of a failure that is a candidate's result under its learning rate, and no fault of the run."""

LEAST_TO_JUDGE = 10
"""Candidates after which a run is judged by how many of them failed or diverged."""


MOST_DIVERGED = 0.9
"""Share of the candidates that may diverge."""


class HalvingNotes:
    """Says once that the rate of a training was halved, however often its progress is reported."""

    def __init__(self) -> None:
        self._said: dict[int, int] = {}

    def news(self, number: int, progress: Progress) -> str:
        """A line for the person who watches trial ``number``; empty where nothing new happened."""
        said, now = self._said.get(number, 0), len(progress.halvings)
        self._said[number] = now
        return f"trial {number}: {halvings_text(progress.halvings[said:])}" if now > said else ""


def require_trainable(diverged: int, finished: int, reason: str, lr: float | None = None) -> None:
    """Raise RunError where more than MOST_DIVERGED of LEAST_TO_JUDGE candidates or more diverged.

    Args:
        diverged: Candidates that diverged.
        finished: Candidates with a result.
        reason: Why the last one diverged.
        lr: The learning rate of all of them, where it is known.
    """
    over = diverged + finished
    if over < LEAST_TO_JUDGE or diverged <= MOST_DIVERGED * over:
        return
    who = f"{diverged} of {over} candidates" if finished else f"every candidate, {diverged} so far,"
    at = "; lower lr" if lr is None else f" at lr = {lr:g}; lower it"
    raise RunError(f"{who} diverged{at}, or set clip_norm or warmup_steps (the last one: {reason})")

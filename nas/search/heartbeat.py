"""Signs of life: the leases of a process are renewed in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Self


class Heartbeat:
    """A context that calls ``renew`` every ``seconds``, whatever the main thread computes.

    A validation, a measurement on benchmark sets or an export can take longer than a lease lasts.

    Args:
        renew: Extends the leases of the trials with the given ids.
        trial_ids: The trials that are trained here.
        seconds: Between two renewals.
    """

    def __init__(
        self,
        renew: Callable[[Collection[int]], None],
        trial_ids: Callable[[], Collection[int]] = tuple,
        *,
        seconds: float,
    ) -> None:
        self._renew, self._trial_ids, self._seconds = renew, trial_ids, seconds
        self._stop = threading.Event()
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raise the error of a renewal: the run was taken, or the database is out of reach."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            try:
                self._renew(self._trial_ids())
            except Exception as error:  # raised again in the main thread
                self._error = error
                return

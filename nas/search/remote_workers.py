"""Processes that joined a search, as it sees them: who they are, and what was left to them.

They take up trials that wait in the database (``nas.search.join``), so that all the search has to do is to
leave some there, and to look what became of them.
"""

from __future__ import annotations

import time

from leaderboard.store import Store
from leaderboard.store.owners import is_gone

LOOK_SECONDS = 1.0
"""Seconds between two looks at the database."""

OVERLAP = 1000
"""Events that are looked at again: on a server, the one with the lower number may be kept later."""


class RemoteWorkers:
    """The processes that joined a study. ``left``: ids of trials that wait for them, or that they train."""

    def __init__(self, store: Store, study_id: int) -> None:
        self._store, self._study_id = store, study_id
        self._since = 0
        self._states: dict[int, str] = {}
        self._workers: dict[str, int] = {}
        self._looked = 0.0
        self.left: set[int] = set()

    def ended(self) -> list[int]:
        """The trials of ``left`` that ended; looks at most once in LOOK_SECONDS."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return []
        self._looked = now
        latest = self._store.latest_event(self._study_id)
        for event in self._store.remote_workers(self._study_id, self._since):
            workers = int(event.details.get("workers", 0)) if event.kind == "joined" else 0
            self._workers[event.worker or ""] = workers
        self._since = max(self._since, latest - OVERLAP)
        if not self.left:
            return []
        self._states = self._store.states(sorted(self.left))
        ended = [key for key, state in self._states.items() if state not in ("waiting", "running")]
        self.left.difference_update(ended)
        return ended

    @property
    def workers(self) -> int:
        """How many candidates they train at once, as far as is known."""
        return sum(count for name, count in self._workers.items() if count and not is_gone(name))

    def wanted(self) -> int:
        """How many more trials to leave to them, so that none of their workers is idle."""
        waiting = sum(self._states.get(key, "waiting") == "waiting" for key in self.left)
        return max(0, self.workers - waiting)

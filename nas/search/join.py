"""More workers for a search that runs elsewhere: they train what it leaves waiting in the database.

Whoever joins proposes nothing, so that a study has one sampler; it ends when the search ends.
"""

from __future__ import annotations

import time
from contextlib import suppress

from leaderboard.errors import LeaderboardError, StudyMismatchError
from nas.errors import RunError
from nas.executors import Executor
from nas.search.loop import Runner
from nas.search.progress import Event
from nas.training import Progress

LOOK_SECONDS = 0.5
"""Seconds between two looks for something to train."""


class Joined(Runner):
    """Trains for the search of the recipe's name; where and with how many workers, the recipe says.

    ``tally`` counts what was trained here.
    """

    def prepare(self) -> None:
        """Check that this process would train the same; nothing is trained yet.

        Raises RunError where nobody searches under that name, and StudyMismatchError where the space, the
        data or the training here are others than the search's.
        """
        self.study = self.store.study(self.recipe.name)
        if not self.store.is_led(self.study.id):
            raise RunError(
                f"run {self.recipe.name!r} is not being searched by anybody, so there is nothing to join; "
                "leave out --join to go on with it"
            )
        if self.space.digest != self.study.space_digest:
            raise StudyMismatchError(
                f"run {self.recipe.name!r} has another search space (digest {self.study.space_digest}, "
                f"here {self.space.digest}): the same version of the code is needed to join"
            )
        for protocol in self.protocols:
            if not self.store.has_protocol(protocol.id):
                raise StudyMismatchError(
                    f"run {self.recipe.name!r} trains under other protocols than {protocol.id} (plan "
                    f"{protocol.plan_name}, data digest {protocol.data_digest}): "
                    "joining needs the same images"
                )
        self.listen(Event(kind="note", text=f"joins the search of {self.study.owner}"))

    def run(self) -> None:
        """Train until the search ends and nothing of it waits; Interrupted leaves through here."""
        self.store.join(self.study.id, self.owner, self.recipe.workers)
        try:
            with self._working() as executor:
                while self._fill(executor):
                    if self._training:
                        self._finish(executor.next_result(self._watch), executor)
                    else:
                        self._watch(None)
                        time.sleep(LOOK_SECONDS)
        finally:
            with suppress(LeaderboardError):  # what ended the process is the news
                self.store.leave(self.study.id, self.owner)

    def _fill(self, executor: Executor) -> bool:
        """Take up what waits, as much as is wanted; False where nothing does and nothing will."""
        self._executor, self._looked = executor, time.monotonic()
        led = self.store.is_led(self.study.id)
        while led and len(self._training) < executor.capacity and (candidate := self._claim()) is not None:
            self._submit(executor, candidate)
        return led or bool(self._training)

    def _watch(self, seen: tuple[int, Progress] | None) -> None:
        """Besides what every process does: look whether there is work for workers that have none."""
        super()._watch(seen)
        free = len(self._training) < self._executor.capacity
        if free and time.monotonic() - self._looked > LOOK_SECONDS:
            self._fill(self._executor)

"""More workers for a search that another process leads: they train what it leaves waiting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from leaderboard.errors import StudyMismatchError
from leaderboard.store import Store
from nas.errors import RunError
from nas.recipes.recipe import Recipe
from nas.search.database_recorder import DatabaseRecorder
from nas.search.loop import Loop
from nas.search.progress import Event, Listener, SearchProgress
from nas.search.requests import Action, Observation, Pause, Train, request_of
from nas.search.training_setup import TrainingSetup


class Follower:
    """A scheduler that requests nothing: waiting trials are claimed until the search ends; see ``Scheduler``.

    Args:
        progress: Counts what is trained here.
        is_led: Whether another process still leads the search.
    """

    def __init__(self, progress: SearchProgress, is_led: Callable[[], bool]) -> None:
        self.progress, self._is_led = progress, is_led

    def restore(self, past: Sequence[Observation], pending: Sequence[Train]) -> None:
        """The leader keeps the account of what is past."""

    def next(self, elapsed: float) -> Action:
        """Wait for trials to claim, while the search is led."""
        return Pause.WAIT if self._is_led() else Pause.OVER

    def on_result(self, observation: Observation) -> None:
        """Count a result."""
        if observation.request.stage == "search":
            self.progress.count(observation)

    def on_failure(self, observation: Observation) -> None:
        """Count a failure."""
        self.on_result(observation)

    def on_elsewhere(self, request: Train) -> None:
        """Another process has taken it over."""


class JoinedSearch:
    """Trains for the search of the recipe's name; see ``nas search --join``.

    Args:
        recipe: The search's recipe, with executor and workers of this process.
        store: The results database of the search.
        runs: The folder of all runs.
        device: Device, or devices separated by commas.
        listen: Receives events; may raise Interrupted.
    """

    def __init__(self, recipe: Recipe, store: Store, runs: Path, device: str, listen: Listener) -> None:
        self.recipe, self.store, self.listen = recipe, store, listen
        self.setup = TrainingSetup.of_search(recipe, runs, device)
        self.progress = self.setup.progress(recipe.trials)

    def prepare(self) -> None:
        """Check that this process would train the same; nothing is trained yet.

        Raises RunError where no process leads a search of that name, and StudyMismatchError where the space,
        the data or the training here differ from the search's.
        """
        study = self.study = self.store.study(self.recipe.name)
        self.store.require_recounted(study.name)
        if not self.store.is_led(study.id):
            raise RunError(
                f"run {self.recipe.name!r} is not being searched by anybody, so there is nothing to join; "
                "leave out --join to go on with it"
            )
        space = self.recipe.search_space()
        if space.of_digest(study.space_digest) is None:
            raise StudyMismatchError(
                f"run {self.recipe.name!r} has another search space (digest {study.space_digest}, "
                f"here {space.digest}): the same version of the code is needed to join"
            )
        for protocol in self.setup.protocols:
            if not self.store.has_protocol(protocol.id):
                raise StudyMismatchError(
                    f"run {self.recipe.name!r} trains under other protocols than {protocol.id} (plan "
                    f"{protocol.plan_name}, data digest {protocol.data_digest}): "
                    "joining needs the same images"
                )
        self.listen(Event(kind="note", text=f"joins the search of {study.owner}"))

    def run(self) -> SearchProgress:
        """Train until the search ends and nothing of it waits; call :meth:`prepare` first."""
        setup, study = self.setup, self.study
        recorder = DatabaseRecorder(
            self.store, study, setup.protocols, setup.runs, "join", workers=self.recipe.workers
        )
        recorder.begin()
        genotype, rungs = self.recipe.search_space().genotype, len(setup.plans)
        loop = Loop(
            Follower(self.progress, lambda: self.store.is_led(study.id)),
            recorder,
            start=setup.start_executor,
            make_job=setup.job,
            describe=lambda trial: request_of(trial, genotype.from_dict(trial.choices), rungs),
            listen=self.listen,
        )
        loop.run()
        return self.progress

"""One tuning of a recipe: its parts put together, from the database to the ranked settings."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaderboard.store import Store, sqlite_url
from leaderboard.store.owners import this_process
from leaderboard.store.records import Protocol, Study, Trial
from leaderboard.tables.tuning import ranked_settings, tuning_trainings
from nas._version import __version__
from nas.core.device import pick_devices
from nas.errors import RecipeError, RunError
from nas.recipes.recipe import MAY_CHANGE, Recipe, load_recipe, make_recipe
from nas.recipes.stored import absent_keys, require_kind
from nas.recipes.tuning_fields import checked_setting, domains_of
from nas.search.database_recorder import DatabaseRecorder
from nas.search.loop import Loop
from nas.search.precision import with_precision
from nas.search.progress import Event, Listener
from nas.search.requests import Observation, Train
from nas.search.training_setup import TrainingSetup
from nas.tuning.networks import tuned_networks
from nas.tuning.proposer import SettingProposer
from nas.tuning.scheduler import TuningAims, TuningScheduler

if TYPE_CHECKING:
    import pandas as pd

TUNING_MAY_CHANGE = MAY_CHANGE - {"retrain"} | {"proxy", "tune.trials", "tune.seeds", "tune.enqueue"}
"""What may differ when a tuning is resumed."""


class TuningSession:
    """One tuning of a recipe against a database; ``nas tune`` is this, with a display.

    Args:
        recipe: The tuning; a precision ``auto`` is resolved here.
        store: The results database.
        runs: The folder of all runs.
        device: Device, or devices separated by commas.
        listen: Receives events; may raise Interrupted.

    Raises RecipeError for a recipe without a section ``[tune]`` and for a network that cannot be resolved,
    and RunError where the run of its name is no tuning.

    Attributes:
        recipe: The tuning as it is stored.
        networks: What every setting trains.
    """

    def __init__(self, recipe: Recipe, store: Store, runs: Path, device: str, listen: Listener) -> None:
        require_kind(store, recipe.name, "tuning")
        store.require_recounted(recipe.name)
        if recipe.tune is None:
            raise RecipeError(
                f"recipe {recipe.name!r} has no section [tune]: give --networks and --field, or write it"
            )
        self._choices: list[str] = []
        recipe = with_precision(recipe, store, device, self._choices.append)
        self.recipe, self.store, self.listen = recipe, store, listen
        self.networks = tuned_networks(recipe, store)
        self.setup = TrainingSetup.of_tuning(recipe, runs, device)
        self.plans, self.protocols = self.setup.plans, self.setup.protocols
        self.dataset = self.setup.dataset
        self.owner = this_process()

    def prepare(self) -> None:
        """Begin or find the run in the database. Nothing is trained yet.

        Raises what ``Store.open_study`` raises when the name is taken by another recipe, RunError where a
        word names another network than when the run began, and StudyTakenError when another process leads it.
        """
        name, digest = self.recipe.name, self._digest
        self._require_same_networks(digest)
        self.study: Study = self.store.open_study(
            name,
            recipe=self.recipe.to_dict(),
            space_digest=digest,
            code_version=__version__,
            may_change=TUNING_MAY_CHANGE,
            absent=absent_keys(),
        )
        self._recorder = DatabaseRecorder(
            self.store,
            self.study,
            self.protocols,
            self.setup.runs,
            "lead",
            protocol_of=self.setup.protocol_of,
            owner=self.owner,
        )
        self._recorder.begin()
        for line in (*self._choices, *(f"skipped {name}" for name in self.dataset.skipped)):
            self._note(line)

    def _require_same_networks(self, digest: str) -> None:
        """Raise RunError where the words of the stored recipe name other networks now."""
        name, tune = self.recipe.name, self.recipe.tune
        assert tune is not None
        if name not in self.store.study_names():
            return
        study = self.store.study(name)
        if study.recipe["tune"]["networks"] == tune.networks and study.space_digest != digest:
            raise RunError(
                f"run {name!r}: one of {', '.join(tune.networks)} was another network when the run began; "
                "a tuning of these needs another name"
            )

    @property
    def _digest(self) -> str:
        """What identifies the networks: a tuning has no space of its own."""
        ids = " ".join(network.genotype.id for network in self.networks)
        return hashlib.sha256(ids.encode()).hexdigest()[:16]

    def run(self) -> None:
        """Tune until the recipe's settings are trained and promoted; call :meth:`prepare` first.

        Interrupted leaves through here after everything that was finished is recorded.
        """
        aims = self._aims()
        scheduler = TuningScheduler(aims, self._proposer, has_diverged=self._has_diverged, note=self._note)
        self._genotypes = {network.genotype.id: network for network in self.networks}
        Loop(
            scheduler,
            self._recorder,
            start=self.setup.start_executor,
            make_job=self.setup.job,
            describe=lambda trial: self._request_of(aims, trial),
            listen=self.listen,
            after=self._delete_state_below,
        ).run()

    def settings(self) -> pd.DataFrame:
        """The settings so far, best first: ``leaderboard.tables.tuning.ranked_settings``."""
        return ranked_settings(tuning_trainings(self.store, self.recipe.name))

    def trainings(self) -> int:
        """How many trainings are planned: all settings on the shortest rung, and those that are promoted."""
        aims = self._aims()
        settings, total = max(aims.trials if aims.plan else 1, len(aims.queue)), 0
        for rung in range(aims.rungs):
            total += settings * len(aims.trainings(rung))
            settings = min(settings, 1 + max(1, (settings - 1) // 3))
        return total

    def _note(self, text: str) -> None:
        self.listen(Event(kind="note", text=text))

    def _aims(self) -> TuningAims:
        recipe, tune, plan = self.recipe, self.recipe.tune, self.plans[0]
        assert tune is not None
        queue: list[Mapping[str, Any]] = [{}]
        queue += [checked_setting(changes, plan) for changes in tune.enqueue]
        unique = [changes for place, changes in enumerate(queue) if changes not in queue[:place]]

        def is_possible(changes: Mapping[str, Any]) -> bool:
            try:
                replace(plan, **changes)
            except RecipeError:
                return False
            return True

        return TuningAims(
            networks=self.networks,
            rungs=len(self.plans),
            seeds=range(recipe.seed, recipe.seed + tune.seeds),
            trials=tune.trials,
            queue=unique,
            plan={name: getattr(plan, name) for name in tune.fields},
            bicubic_psnr_db=self.protocols[0].bicubic_psnr_db,
            can_continue=lambda changes: replace(plan, **changes).can_go_on,
            is_possible=is_possible,
            seconds=None if recipe.hours is None else recipe.hours * 3600,
        )

    def _proposer(self, recorded: int) -> SettingProposer:
        tune = self.recipe.tune
        assert tune is not None
        domains = domains_of(tune.fields, self.plans[0])
        return SettingProposer(domains, tune.sampler, seed=self.recipe.seed + recorded, trials=tune.trials)

    def _request_of(self, aims: TuningAims, trial: Trial) -> Train:
        """The request of a recorded trial, through the plan of its protocol."""
        changes = self.setup.changes_of(self._protocol(str(trial.protocol_id)), trial.rung)
        return aims.request(changes, self._genotypes[trial.genotype_id], trial.rung, trial.seed)

    @functools.cache  # noqa: B019  (a session is one run)
    def _protocol(self, protocol_id: str) -> Protocol:
        return self.store.protocol(protocol_id)

    def _has_diverged(self, observation: Observation) -> bool:
        trial = observation.trial
        if trial is None:
            return False
        return (trial.failure or self.store.trial(trial.id).failure) == "diverged"

    def _delete_state_below(self, observation: Observation) -> None:
        """A state takes three times the space of the weights, and no other training continues from it."""
        request = observation.request
        if request.continues is not None:
            self.setup.state_of(request, request.continues).unlink(missing_ok=True)


def tune(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    runs: str | Path = "runs",
    *,
    db: str | None = None,
    listen: Listener = lambda event: None,
) -> pd.DataFrame:
    """Tune a plan from a notebook or a script, as ``nas tune`` does; the same call resumes it.

    Args:
        recipe: A Recipe with a section ``[tune]``, its values, or a TOML file.
        runs: The folder of all runs.
        db: Address of the results database; None is ``results.db`` in ``runs``.
        listen: Receives events; may raise Interrupted.

    Returns:
        The settings, best first: ``leaderboard.tables.tuning.ranked_settings``.
    """
    if isinstance(recipe, str | Path):
        recipe = load_recipe(Path(recipe))
    elif isinstance(recipe, Mapping):
        recipe = make_recipe(dict(recipe), trust=True)
    folder = Path(runs)
    (folder / recipe.name).mkdir(parents=True, exist_ok=True)
    with Store(db or sqlite_url(folder / "results.db")) as store:
        session = TuningSession(recipe, store, folder, pick_devices(recipe.device), listen)
        session.prepare()
        text = session.recipe.to_toml()
        (folder / recipe.name / "recipe.toml").write_text(text, encoding="utf-8")
        session.run()
        return session.settings()

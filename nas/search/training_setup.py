"""How the candidates of a run are trained: plans, protocols, folders, jobs and the executor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from leaderboard.store.records import Protocol
from nas.data import Dataset, load_data
from nas.executors import EXECUTORS, Executor, Pool, require_room_for
from nas.recipes.jobs import make_job
from nas.recipes.protocol import make_protocols, protocol_of
from nas.recipes.recipe import LONGER, PROXY, Recipe
from nas.recipes.tuning_fields import setting_words
from nas.search.progress import SearchProgress
from nas.search.requests import Changes, Train, changes_key
from nas.training import Job, Plan
from nas.training.checkpoint import STATE


@dataclass(frozen=True, kw_only=True)
class TrainingSetup:
    """What all trainings of a run share.

    Attributes:
        recipe: What the run is.
        runs: The folder of all runs.
        device: Device, or devices separated by commas.
        plans: The plan of each rung; ``protocols`` say what their numbers mean.
        dataset: The images.
        folder: The part of the run's folder that holds one folder for each training.
        timed: Whether the recipe's time limit holds.
    """

    recipe: Recipe
    runs: Path
    device: str
    plans: Sequence[Plan]
    protocols: Sequence[Protocol]
    dataset: Dataset
    folder: str = "candidates"
    timed: bool = True
    _changed: dict[tuple[int, Changes], Protocol] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of_search(cls, recipe: Recipe, runs: Path, device: str) -> TrainingSetup:
        """The proxy trainings of a search; measures bicubic interpolation on the held-out images.

        Raises RecipeError for more workers than this machine has room for.
        """
        require_room_for(recipe.executor, recipe.workers)
        plans = recipe.rung_plans()
        protocols, dataset = make_protocols(recipe, recipe.proxy.get("plan", PROXY), plans)
        return cls(recipe=recipe, runs=runs, device=device, plans=plans, protocols=protocols, dataset=dataset)

    @classmethod
    def of_tuning(cls, recipe: Recipe, runs: Path, device: str) -> TrainingSetup:
        """The trainings of a tuning: the ``[retrain]`` plan at the length of each rung.

        Raises RecipeError for more workers than this machine has room for.
        """
        require_room_for(recipe.executor, recipe.workers)
        plans = recipe.tuning_plans()
        protocols, dataset = make_protocols(recipe, recipe.retrain.get("plan", LONGER), plans)
        return cls(
            recipe=recipe,
            runs=runs,
            device=device,
            plans=plans,
            protocols=protocols,
            dataset=dataset,
            folder="settings",
        )

    def progress(self, wanted: int) -> SearchProgress:
        """An empty account of a search for ``wanted`` candidates."""
        return SearchProgress(
            wanted=wanted,
            rungs=[{} for _ in self.plans],
            cost=self.recipe.price(),
            bicubic_psnr_db=self.protocols[0].bicubic_psnr_db,
        )

    def plan_of(self, request: Train) -> Plan:
        """The plan of the request's rung, with its changes. Raises RecipeError for a value out of range."""
        return replace(self.plans[request.rung], **request.changes)

    def protocol_of(self, request: Train) -> Protocol:
        """The protocol of the request's rung; with changes, that of the changed plan."""
        if not request.changes:
            return self.protocols[request.rung]
        key = request.rung, changes_key(request.changes)
        if key not in self._changed:
            self._changed[key] = self._changed_protocol(request)
        return self._changed[key]

    def _changed_protocol(self, request: Train) -> Protocol:
        rung, plan = self.protocols[request.rung], self.plan_of(request)
        # Training images that are too small for one patch are left out.
        same = plan.lr_patch == self.plans[request.rung].lr_patch
        return protocol_of(
            self.dataset if same else load_data(self.recipe.data, self.recipe.scale, plan.lr_patch),
            scale=self.recipe.scale,
            data=self.recipe.data,
            metric=self.recipe.metric,
            plan_name=f"{rung.plan_name}, {' '.join(setting_words(request.changes))}",
            plan=plan,
            bicubic=(rung.bicubic_psnr_db, rung.bicubic_ssim),
        )

    def changes_of(self, protocol: Protocol, rung: int) -> dict[str, Any]:
        """The fields in which a recorded protocol's plan differs from the rung's plan.

        A field that the protocol lacks is newer than it, and has its default there.
        """
        defaults = {each.name: each.default for each in fields(Plan)}
        recorded = {**defaults, **protocol.plan}
        plan = self.plans[rung].to_dict()
        return {name: recorded[name] for name, value in plan.items() if recorded[name] != value}

    def job(self, request: Train) -> Job:
        """The job of a request; it continues from the state of a shorter training where that is on disk."""
        job = make_job(
            self.recipe,
            self.plan_of(request),
            request.genotype,
            self.folder_of(request, request.rung),
            seed=request.seed,
            device=self.device.split(",")[0],
        )
        below = None if request.continues is None else self.state_of(request, request.continues)
        begin = below if below is not None and below.exists() else None
        return replace(job, begin=begin, keep_state=request.keep_state)

    def folder_of(self, request: Train, rung: int) -> Path:
        """Where the files of a network lie that is trained to a rung."""
        seed = "" if request.seed == self.recipe.seed else f"-seed{request.seed}"
        protocol = self.protocol_of(replace(request, rung=rung))
        name = f"{request.genotype.id}-{protocol.id}{seed}"
        return self.runs / self.recipe.name / self.folder / name

    def state_of(self, request: Train, rung: int) -> Path:
        """The state from which a longer training continues."""
        return self.folder_of(request, rung) / STATE

    def start_executor(self) -> Executor[Job]:
        """The executor that the recipe names. Raises RecipeError for devices that are not there."""
        return EXECUTORS[self.recipe.executor](self.pool)

    @property
    def pool(self) -> Pool:
        """How many workers there are, and where."""
        recipe = self.recipe
        devices = tuple(word.strip() for word in self.device.split(",")) if self.device != "cpu" else ()
        return Pool(
            workers=recipe.workers,
            devices=devices,
            time_limit_seconds=recipe.time_limit_seconds if self.timed else None,
            ray_address=recipe.ray_address,
            gpus_per_worker=recipe.gpus_per_worker,
        )

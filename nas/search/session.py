"""One search of a recipe: its parts put together, from the database to the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from leaderboard.store import Store, sqlite_url
from leaderboard.store.owners import this_process
from leaderboard.store.records import Runtime, Study
from nas._version import __version__
from nas.core.device import pick_devices
from nas.cost.budget import Cost
from nas.cost.counting import OUTPUT, cost_of
from nas.cost.latency import Latency, processor
from nas.cost.measured_limits import Measured
from nas.errors import RecipeError
from nas.recipes.recipe import MAY_CHANGE, Recipe, load_recipe, make_recipe
from nas.recipes.stored import absent_keys, require_kind, space_of_run
from nas.samplers import Setting
from nas.search.baselines import made_to_fit, published_that_fit
from nas.search.database_recorder import DatabaseRecorder
from nas.search.feasibility import require_reachable
from nas.search.loop import Loop
from nas.search.pareto_search import Aims, ParetoSearch
from nas.search.precision import with_precision
from nas.search.progress import Event, Listener, SearchProgress
from nas.search.proposer import Proposer
from nas.search.requests import Observation, observation_of, request_of
from nas.search.seeds import SeedResults, seed_results
from nas.search.training_setup import TrainingSetup
from search_spaces import Genotype


class SearchSession:
    """One run of a recipe against a database; ``nas search`` is this, with a display.

    Args:
        recipe: The search; a precision ``auto`` is resolved here.
        store: The results database.
        runs: The folder of all runs.
        device: Device, or devices separated by commas.
        listen: Receives events; may raise Interrupted.

    Raises RecipeError or RunError for a recipe or a run that is a tuning, and OldCostsError where the run, or
    the one it is initialised from, has costs of networks as trained.

    Attributes:
        recipe: The search as it is stored.
        progress: Results and counts so far; may be read at any time.
    """

    def __init__(self, recipe: Recipe, store: Store, runs: Path, device: str, listen: Listener) -> None:
        require_search(recipe, store)
        self._choices: list[str] = []
        recipe = with_precision(recipe, store, device, self._choices.append)
        self.recipe, self.store, self.listen = recipe, store, listen
        store.require_recounted([name for name in (recipe.name, recipe.warm_start) if name is not None])
        self.space, self.budget = space_of_run(store, recipe), recipe.limits()
        self.setup = TrainingSetup.of_search(recipe, runs, device)
        self.plans, self.protocols = self.setup.plans, self.setup.protocols
        self.dataset = self.setup.dataset
        self.progress = self.setup.progress(recipe.trials)
        self.owner = this_process()
        self._measured = Measured(self.budget, recipe.scale, device, recipe.objectives)

    def prepare(self) -> None:
        """Check the budget, and begin or find the run in the database. Nothing is trained yet.

        Raises what ``Store.open_study`` raises when the name is taken by another recipe, StudyTakenError when
        another process leads the run, and BudgetError when no architecture can be inside the budget.
        """
        if self.recipe.name not in self.store.study_names():
            require_reachable(self.space, self.recipe.scale, self.budget)
        self.study: Study = self.store.open_study(
            self.recipe.name,
            recipe=self.recipe.to_dict(),
            space_digest=self.space.digest,
            code_version=__version__,
            may_change=MAY_CHANGE,
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

    def run(self) -> SearchProgress:
        """Search until the recipe's number of candidates have a result; call :meth:`prepare` first.

        Interrupted leaves through here after everything that was finished is recorded.
        """
        scale = self.recipe.scale
        scheduler = ParetoSearch(
            self._aims(),
            self.progress,
            self._proposer,
            lambda genotype: cost_of(genotype, scale),
            measure=self._measure,
            note=self._note,
        )
        if self.recipe.warm_start is not None:
            scheduler.warm_start = self._results_of(self.recipe.warm_start)
        rungs, genotype = len(self.plans), self.space.genotype
        Loop(
            scheduler,
            self._recorder,
            start=self.setup.start_executor,
            make_job=self.setup.job,
            describe=lambda trial: request_of(trial, genotype.from_dict(trial.choices), rungs),
            listen=self.listen,
        ).run()
        return self.progress

    def seed_results(self) -> list[SeedResults]:
        """The PSNR of every member of the front with all its seeds, cheapest network first."""
        return seed_results(self.progress, self.store.trials(self.study.id, "seeds", curves=False))

    def _note(self, text: str) -> None:
        self.listen(Event(kind="note", text=text))

    def _aims(self) -> Aims:
        recipe, space, scale = self.recipe, self.space, self.recipe.scale
        queue: Sequence[Genotype] = ()
        names: dict[str, str] = {}
        if recipe.seed_published:
            narrowed = made_to_fit(space, scale, self.budget)
            names = {genotype.id: name for name, genotype in narrowed.items()}
            queue = [*published_that_fit(space, scale, self.budget), *narrowed.values()]
        return Aims(
            budget=self.budget,
            seed=recipe.seed,
            front_seeds=range(recipe.seed + 1, recipe.seed + recipe.seeds_for_front),
            is_over=self._is_over,
            queue=queue,
            names=names,
            lr=self.plans[0].lr,
        )

    def _is_over(self, elapsed: float, progress: SearchProgress) -> bool:
        """Whether the recipe's time or hypervolume is reached."""
        hours, target = self.recipe.hours, self.recipe.target_hypervolume
        if hours is not None and elapsed > hours * 3600:
            return True
        price = self.recipe.price()
        if target is None or price not in ("multi_adds", "conv_multi_adds"):
            return False
        return progress.hypervolume(self.budget.limits().get(price)) >= target

    def _proposer(self, recorded: int) -> Proposer:
        """The sampler's study; a resumed sampler must not repeat the draws it began with."""
        recipe, scale = self.recipe, self.recipe.scale
        counted = [name for name in recipe.objectives if name in Cost.__dataclass_fields__]
        costs = counted or ["multi_adds"]
        setting = Setting(
            seed=recipe.seed + recorded,
            space=self.space,
            price=lambda genotype: [float(getattr(cost_of(genotype, scale), name)) for name in costs],
            inside=lambda genotype: not self.budget.excess(cost_of(genotype, scale)),
            floor=self.protocols[0].bicubic_psnr_db if recipe.objectives[0] == "psnr_db" else None,
            published=published_that_fit(self.space, scale, self.budget),
            trials=recipe.trials,
        )
        longest = self.plans[-1].steps
        shares = [plan.steps / longest for plan in self.plans]
        return Proposer(recipe.sampler, setting, self.budget, recipe.objectives, shares)

    def _results_of(self, name: str) -> list[Observation]:
        """The results of another run under a protocol of this one."""
        rungs = {protocol.id: rung for rung, protocol in enumerate(self.protocols)}
        results = []
        for trial in self.store.trials(self.store.study(name).id, "search", curves=False):
            evaluation = trial.evaluation
            if evaluation is None or evaluation.protocol_id not in rungs or trial.space != self.space.name:
                continue
            genotype = self.space.genotype.from_dict(trial.choices)
            request = request_of(trial, genotype, rung=rungs[evaluation.protocol_id])
            results.append(observation_of(trial, request, state="finished"))
        self._note(f"begins with {len(results)} results of run {name!r}")
        return results

    def _measure(self, genotype: Genotype) -> dict[str, float]:
        """Memory and latency, where the recipe needs them; a measured latency is kept for all runs."""
        device = self._measured.device

        def keep(latency: Latency) -> None:
            height, width = OUTPUT
            runtime = Runtime(
                network=genotype.id,
                genotype_id=genotype.id,
                scale=self.recipe.scale,
                height=height,
                width=width,
                device=processor(device),
                threads=torch.get_num_threads() if device.type == "cpu" else 0,
                **vars(latency),
                torch_version=torch.__version__,
                code_version=__version__,
            )
            self.store.record_runtime(runtime, space=genotype.space, choices=genotype.to_dict())

        return self._measured.of(genotype, keep)


def require_search(recipe: Recipe, store: Store) -> None:
    """Raise RecipeError for the recipe of a tuning, and RunError where the run of its name is one."""
    require_kind(store, recipe.name, "search")
    if recipe.tune is not None:
        raise RecipeError(
            f"recipe {recipe.name!r} has a section [tune]: nas tune runs it; leave the section out to search"
        )


def search(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    runs: str | Path = "runs",
    *,
    db: str | None = None,
    listen: Listener = lambda event: None,
) -> SearchProgress:
    """Run a search from a notebook or a script, as ``nas search`` does; the same call resumes it.

    Args:
        recipe: A Recipe, its values, or a TOML file.
        runs: The folder of all runs.
        db: Address of the results database; None is ``results.db`` in ``runs``.
        listen: Receives events; may raise Interrupted.

    Returns:
        Results and counts of the search.
    """
    if isinstance(recipe, str | Path):
        recipe = load_recipe(Path(recipe))
    elif isinstance(recipe, Mapping):
        recipe = make_recipe(dict(recipe), trust=True)
    folder = Path(runs)
    (folder / recipe.name).mkdir(parents=True, exist_ok=True)
    with Store(db or sqlite_url(folder / "results.db")) as store:
        session = SearchSession(recipe, store, folder, pick_devices(recipe.device), listen)
        text = session.recipe.to_toml()
        (folder / recipe.name / "recipe.toml").write_text(text, encoding="utf-8")
        session.prepare()
        return session.run()

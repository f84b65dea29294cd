"""The search: ask, cost, budget, train, record, tell, promote.

The results database is the only truth: the study is rebuilt from it at the start, so that a killed search
goes on from what was recorded. A result is recorded first and told second. What is in training is leased to
this process; leases that run out, or whose process is gone, are taken up again. Other processes may join
(``nas.search.join``): they train what is left waiting in the database for them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from leaderboard.errors import LeaderboardError
from leaderboard.store import Store, sqlite_url
from leaderboard.store.records import Evaluation, Runtime, Study, Trial
from nas._version import __version__
from nas.core.device import pick_device
from nas.core.units import format_count
from nas.cost.budget import Cost
from nas.cost.counting import OUTPUT, breakdown, cost_of
from nas.cost.latency import Latency, processor
from nas.cost.measured_limits import Measured
from nas.errors import Interrupted, RunError
from nas.executors import Executor
from nas.recipes.recipe import MAY_CHANGE, Recipe, load_recipe, make_recipe
from nas.samplers import Setting
from nas.search.baselines import made_to_fit, published_that_fit
from nas.search.feasibility import require_reachable
from nas.search.loop import LEASE_SECONDS, Runner
from nas.search.progress import Event, Listener, Tally
from nas.search.promotion import next_promotion
from nas.search.proposer import Candidate, Proposer, many_trials
from nas.search.remote_workers import Partners
from nas.search.seeds import Spread, missing_seeds, spread
from nas.training import Progress
from search_spaces import Genotype
from search_spaces.published import published_name

PATIENCE = 1000
"""Proposals in a row that lead to nothing, after which a search gives up and says why."""

REPEATS_BEFORE_RANDOM = 20
"""Repeats in a row after which candidates are drawn at random instead of by the sampler."""

LEAST_TO_JUDGE = 10
"""Candidates after which a search stops when more than half of them failed."""


class Search(Runner):
    """One run of a recipe against a database.

    ``runs`` is the folder of all runs. ``tally`` can be read at any time by the listener. Raises what
    ``Store.open_study`` raises when the name is taken by another recipe, StudyTakenError when another process
    is searching under it, and BudgetError when no architecture can be inside the budget.
    """

    def __init__(self, recipe: Recipe, store: Store, runs: Path, device: str, listen: Listener) -> None:
        super().__init__(recipe, store, runs, device, listen)
        self.budget = recipe.limits()
        self.measured = Measured(self.budget, recipe.scale, device, recipe.objectives)
        self._promoted: list[set[str]] = [set() for _ in self.plans]
        self._queue: list[Genotype] = []
        self._names: dict[str, str] = {}
        self._repeats = self._rejections = self._fruitless = 0
        self._began = time.monotonic()

    # Starting

    def prepare(self) -> None:
        """Check the budget, and begin or find the run in the database. Nothing is trained yet."""
        known = {study.name for study in self.store.studies()}
        if self.recipe.name not in known:
            require_reachable(self.space, self.recipe.scale, self.budget)
        self.study: Study = self.store.open_study(
            self.recipe.name,
            recipe=self.recipe.to_dict(),
            space_digest=self.space.digest,
            code_version=__version__,
            may_change=MAY_CHANGE,
        )
        self.store.own_study(self.study.id, self.owner, LEASE_SECONDS)
        for protocol in self.protocols:
            self.store.ensure_protocol(protocol)
        for line in self.dataset.skipped:
            self.listen(Event(kind="note", text=f"skipped {line}"))

    def run(self) -> Tally:
        """Search until the recipe's number of candidates have a result; call :meth:`prepare` first.

        Interrupted leaves through here after everything that was finished is recorded.
        """
        reason = "failed"
        executor: Executor | None = None
        try:
            self._rebuild()
            executor = self._start()
            while (candidate := self._claim()) is not None:  # what an earlier process left in the middle
                self._submit(executor, candidate)
            self._search(executor)
            reason = "finished"
        except Interrupted:
            reason = "interrupted"
            if executor is not None:
                self._stop(executor)
            raise
        finally:
            if executor is not None:
                executor.close(save=False)
            self._give_back()
            with suppress(LeaderboardError):  # what ended the search is the news
                self.store.release_study(self.study.id, self.owner, reason)
        return self.tally

    def _rebuild(self) -> None:
        """The sampler's study, from everything that was recorded."""
        self.store.reap(self.study.id)
        self._partners = Partners(self.store, self.study.id)
        past = self.store.trials(self.study.id, "search", curves=False)
        scale = self.recipe.scale
        counted = [name for name in self.recipe.objectives if name in Cost.__dataclass_fields__]
        costs = counted or ["multi_adds"]
        setting = Setting(
            # A resumed sampler must not repeat the draws it began with.
            seed=self.recipe.seed + len(past),
            space=self.space,
            price=lambda genotype: [float(getattr(cost_of(genotype, scale), name)) for name in costs],
            inside=lambda genotype: not self.budget.excess(cost_of(genotype, scale)),
            floor=self.protocols[0].bicubic_psnr_db if self.recipe.objectives[0] == "psnr_db" else None,
            published=published_that_fit(self.space, scale, self.budget),
            trials=self.recipe.trials,
        )
        longest = self.plans[-1].steps
        shares = [plan.steps / longest for plan in self.plans]
        self._proposer = Proposer(self.recipe.sampler, setting, self.budget, self.recipe.objectives, shares)
        with many_trials():
            if self.recipe.warm_start is not None:
                self._learn_from(self.recipe.warm_start)
            for trial in past:
                self._remember(trial)
        if self.recipe.seed_published and not past:
            narrowed = made_to_fit(self.space, scale, self.budget)
            self._names = {genotype.id: name for name, genotype in narrowed.items()}
            self._queue = [*setting.published, *narrowed.values()]

    def _remember(self, trial: Trial) -> None:
        """Take in a trial that an earlier process left."""
        if trial.measured:
            self.measured.know(trial.genotype_id, trial.measured)
        if trial.rung:
            self._promoted[trial.rung - 1].add(trial.genotype_id)
        if trial.state == "running":  # somebody who had joined that process still trains it
            self._partners.left[trial.id] = self._candidate(trial)
        elif trial.state != "waiting":
            self.tally.count(trial)
            self._proposer.tell(self._candidate(trial), trial.state, trial.evaluation)

    def _learn_from(self, name: str) -> None:
        """Tell the sampler what another run found under a protocol of this one."""
        ids = {protocol.id: rung for rung, protocol in enumerate(self.protocols)}
        told = 0
        for trial in self.store.trials(self.store.study(name).id, "search", curves=False):
            evaluation = trial.evaluation
            if evaluation is not None and evaluation.protocol_id in ids and trial.space == self.space.name:
                again = replace(trial, rung=ids[evaluation.protocol_id])
                self._proposer.tell(self._candidate(again), "finished", evaluation)
                told += 1
        self.listen(Event(kind="note", text=f"begins with {told} results of run {name!r}"))

    # The loop

    def _search(self, executor: Executor) -> None:
        while True:
            self._fill(executor)
            if self._training:
                self._finish(executor.next_result(self._watch), executor)
            elif self._partners.left:  # nothing more to begin, but others still train
                self._watch(None)
                time.sleep(0.2)
            else:
                break

    def _fill(self, executor: Executor) -> None:
        """Hand out work until every worker has some, or none is left."""
        while len(self._training) < executor.capacity and (candidate := self._next()) is not None:
            self._submit(executor, candidate)

    def _next(self, *, waiting: bool = False) -> Candidate | None:
        """What is to be trained next, for this process or ``waiting`` for others: promoted, new, a seed."""
        while not self._is_over():
            candidate = self._promote(waiting=waiting)
            if candidate is None and self._wants_more():
                candidate = self._propose(waiting=waiting)
                if candidate is None:
                    continue
            if candidate is None and not waiting:
                candidate = self._take_back()
            return candidate or self._another_seed(waiting=waiting)
        return None if waiting else self._take_back()

    def _take_back(self) -> Candidate | None:
        """A candidate that was left to others and that nobody has taken up."""
        if not self._partners.left:
            return None
        candidate = self._claim()
        if candidate is not None:
            kept = self._partners.left.pop(candidate.trial.id, None)
            candidate.asked = kept.asked if kept else None
        return candidate

    def _watch(self, seen: tuple[int, Progress] | None) -> None:
        """Besides what every process does: hear of results of others, and leave them more."""
        super()._watch(seen)
        for candidate in self._partners.look():
            self._hear(candidate)
        while self._partners.wanted() and (more := self._next(waiting=True)) is not None:
            self._partners.left[more.trial.id] = more

    def _hear(self, candidate: Candidate) -> None:
        """Take in what became of a candidate elsewhere."""
        trial = self.store.trial(candidate.trial.id)
        candidate.trial = trial
        if trial.stage == "search":
            self.tally.count(trial)
            self._proposer.tell(candidate, trial.state, trial.evaluation)
        psnr = None if trial.evaluation is None else trial.evaluation.psnr_db
        told = f"{trial.failure}: {trial.reason}" if trial.state == "failed" else f"by {trial.worker}"
        self._say(trial.state, candidate, psnr_db=psnr, text=told)
        if trial.state == "failed":
            self._judge(trial.reason or "")

    def _lost(self, candidate: Candidate) -> None:
        self._partners.left[candidate.trial.id] = candidate  # somebody else has it, or may

    def _renew(self) -> None:
        self.store.own_study(self.study.id, self.owner, LEASE_SECONDS)
        super()._renew()

    @property
    def _under_way(self) -> list[Candidate]:
        """What is in training, here and elsewhere, or waits for it."""
        return [*self._training.values(), *self._partners.left.values()]

    def _is_over(self) -> bool:
        """Whether time or hypervolume says that nothing more is to be begun."""
        hours, target = self.recipe.hours, self.recipe.target_hypervolume
        if hours is not None and time.monotonic() - self._began > hours * 3600:
            return True
        if target is None or self.recipe.price() not in ("multi_adds", "conv_multi_adds"):
            return False
        return self.tally.hypervolume(self.budget.limits().get(self.recipe.price())) >= target

    def _wants_more(self) -> bool:
        """Whether new candidates are to be proposed."""
        under_way = sum(each.trial.stage == "search" and not each.trial.rung for each in self._under_way)
        if len(self.tally.results) + under_way >= self.tally.wanted:
            return False
        if self._fruitless >= PATIENCE:
            text = f"the last {self._fruitless} proposals were known or over budget: nothing new fits"
            self.listen(Event(kind="note", text=text))
            self.tally.wanted = len(self.tally.results) + under_way
            return False
        return True

    def _promote(self, *, waiting: bool = False) -> Candidate | None:
        """The next candidate that has earned a longer training."""
        while (found := next_promotion(self.tally.rungs, self._promoted)) is not None:
            rung, genotype_id = found
            self._promoted[rung - 1].add(genotype_id)
            if genotype_id in self.tally.failed_ids:
                continue
            genotype = self._recorded(genotype_id)
            cost = cost_of(genotype, self.recipe.scale)
            candidate = self._enter(genotype, cost, {}, rung=rung, waiting=waiting)
            if candidate is not None:
                return candidate
        return None

    def _recorded(self, genotype_id: str) -> Genotype:
        """The genotype of that id, which the database holds."""
        _, _, choices = self.store.find_genotype(genotype_id)[0]
        return self.space.genotype.from_dict(choices)

    def _propose(self, *, waiting: bool = False) -> Candidate | None:
        """The next new candidate; None where the proposal was rejected, known or in training already."""
        asked = None
        if self._queue:
            genotype = self._queue.pop(0)
        elif self._repeats >= REPEATS_BEFORE_RANDOM:
            genotype = self._proposer.draw()
        else:
            genotype, asked = self._proposer.ask()
        cost = cost_of(genotype, self.recipe.scale)
        excess = self.budget.excess(cost)
        busy = any(other.genotype == genotype for other in self._under_way)
        seen = busy or genotype.id in self.tally.failed_ids or genotype.id in self.tally.results
        self._repeats = self._repeats + 1 if seen else 0
        if busy or genotype.id in self.tally.failed_ids:
            self._fruitless += 1
            if asked is not None:
                self._proposer.forget(asked)
            super()._watch(None)
            return None
        if not excess and not seen:
            excess = self.budget.excess(cost, self._measure(genotype))
        candidate = self._enter(genotype, cost, excess, asked=asked, waiting=waiting)
        fresh = candidate is not None or (genotype.id in self.tally.results and not seen)
        self._fruitless = 0 if fresh else self._fruitless + 1
        self._rejections = self._rejections + 1 if excess else 0
        if self._rejections >= PATIENCE:
            raise RunError(self._hopeless())
        return candidate

    def _measure(self, genotype: Genotype) -> dict[str, float]:
        """What the recipe wants to know of a genotype besides its cost; a latency is kept for all to see."""
        device = self.measured.device

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

        return self.measured.of(genotype, keep)

    def _enter(
        self,
        genotype: Genotype,
        cost: Cost,
        excess: dict[str, float],
        *,
        rung: int = 0,
        seed: int | None = None,
        asked: object = None,
        waiting: bool = False,
    ) -> Candidate | None:
        """Put a proposal into the database; gives it back where it is to be trained.

        It is leased to this process, or waits there for anybody.
        """
        protocol, taken = self.protocols[rung], self.recipe.seed if seed is None else seed
        known = None if excess else self.store.known(genotype.id, protocol.id, taken)
        state = "rejected" if excess else "repeated" if known else "waiting" if waiting else "running"
        trial = self.store.propose(
            self.study.id,
            stage="search" if seed is None else "seeds",
            genotype_id=genotype.id,
            space=genotype.space,
            choices=genotype.to_dict(),
            scale=self.recipe.scale,
            cost=cost.to_dict(),
            seed=taken,
            state=state,  # type: ignore[arg-type]
            rung=rung,
            protocol_id=protocol.id,
            excess=excess,
            measured=self._measure(genotype) if self.measured.knows(genotype) or not excess else None,
            name=self._names.get(genotype.id) or published_name(genotype),
            parts=None if excess else _parts(genotype, self.recipe.scale),
            evaluation_id=known.id if known else None,
            owner=self.owner if state == "running" else None,
            seconds=LEASE_SECONDS if state == "running" else None,
        )
        candidate = Candidate(trial, genotype, cost, asked)  # type: ignore[arg-type]
        if state in ("waiting", "running"):
            return candidate
        if trial.stage == "search":
            self.tally.count(trial)
            self._proposer.tell(candidate, state, trial.evaluation)
        self._say(state, candidate, psnr_db=None if known is None else known.psnr_db)
        return None

    def _another_seed(self, *, waiting: bool = False) -> Candidate | None:
        """A member of the front with a seed that it has not been trained with, once the search is over."""
        seeds = range(self.recipe.seed + 1, self.recipe.seed + self.recipe.seeds_for_front)
        if not seeds or any(each.trial.stage == "search" for each in self._under_way):
            return None
        trials = self.store.trials(self.study.id, "seeds", curves=False)
        for genotype_id, seed in missing_seeds(self.tally.front(), seeds, trials):
            genotype = self._recorded(genotype_id)
            cost = cost_of(genotype, self.recipe.scale)
            candidate = self._enter(genotype, cost, {}, rung=self.tally.longest, seed=seed, waiting=waiting)
            if candidate is not None:
                return candidate
        return None

    def spread(self) -> list[Spread]:
        """What the members of the front reach with all their seeds, cheapest first."""
        return spread(self.tally, self.store.trials(self.study.id, "seeds", curves=False))

    def _hopeless(self) -> str:
        tightest = max(self.tally.rejected_by, key=self.tally.rejected_by.__getitem__)
        limit = format_count(self.budget.limits()[tightest])
        return (
            f"{PATIENCE} proposals in a row were over budget; the tightest limit is {tightest} = {limit}, "
            f"which rejected {self.tally.rejected_by[tightest]} of {self.tally.rejected}. "
            "Change it, or narrow the space with [space.only]"
        )

    def _ended(self, candidate: Candidate, state: str, evaluation: Evaluation | None) -> None:
        super()._ended(candidate, state, evaluation)
        if candidate.trial.stage == "search":
            self._proposer.tell(candidate, state, evaluation)

    def _judge(self, reason: str) -> None:
        over = self.tally.failed + sum(len(results) for results in self.tally.rungs)
        if over >= LEAST_TO_JUDGE and self.tally.failed > over / 2:
            raise RunError(f"{self.tally.failed} of {over} candidates failed; the last one: {reason}")


def _parts(genotype: Genotype, scale: int) -> list[dict[str, Any]] | None:
    """What each part of a network costs, as the database keeps it; None where its space names none."""
    parts = [
        {"part": name, "copies": part.copies, "uses": part.uses, **cost.to_dict()}
        for name, part, cost in breakdown(genotype, scale)
    ]
    return parts or None


def search(
    recipe: Recipe | Mapping[str, Any] | str | Path,
    runs: str | Path = "runs",
    *,
    db: str | None = None,
    listen: Listener = lambda event: None,
) -> Tally:
    """Run a search from a notebook or a script, as ``nas search`` does; gives back where it stands then.

    ``recipe`` is a Recipe, the values of one, or a TOML file. ``runs`` is the folder of all runs, ``db`` the
    address of another results database than the one in it. The same call again goes on where it stopped.
    """
    if isinstance(recipe, str | Path):
        recipe = load_recipe(Path(recipe))
    elif isinstance(recipe, Mapping):
        recipe = make_recipe(dict(recipe))
    folder = Path(runs)
    (folder / recipe.name).mkdir(parents=True, exist_ok=True)
    (folder / recipe.name / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    device = ",".join(pick_device(word.strip()) for word in recipe.device.split(","))
    with Store(db or sqlite_url(folder / "results.db")) as store:
        begun = Search(recipe, store, folder, device, listen)
        begun.prepare()
        return begun.run()

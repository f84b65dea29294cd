"""The search: ask, cost, budget, train, record, tell, promote.

The results database is the only truth: the study is rebuilt from it at the start, so that a killed search
goes on from what was recorded. A result is recorded first and told second. What is in training is leased to
this process; leases that run out, or whose process is gone, are taken up again.
"""

from __future__ import annotations

import math
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from leaderboard.errors import LeaderboardError, LeaseLostError
from leaderboard.owners import this_process
from leaderboard.records import Study, Trial
from leaderboard.store import Store
from leaderboard.store.trials import Stage
from nas import __version__
from nas.cost import Cost, cost_of
from nas.errors import DiskError, Interrupted, NasError, RunError, WorkerLostError
from nas.executors import EXECUTORS, Done, Executor, Pool
from nas.jobs import make_job, record_outcome
from nas.limits import Measured
from nas.protocol import make_protocols
from nas.reach import require_reachable
from nas.recipe import MAY_CHANGE, Recipe
from nas.rungs import next_promotion
from nas.samplers import Setting
from nas.study import Candidate, Proposer
from nas.tally import Event, Listener, Tally
from nas.training import Job, Outcome, Progress
from nas.training.checkpoint import STATE
from nas.units import format_count
from search_spaces import Genotype
from search_spaces.published import PUBLISHED

PATIENCE = 1000
"""Proposals in a row that lead to nothing, after which a search gives up and says why."""

REPEATS_BEFORE_RANDOM = 20
"""Repeats in a row after which candidates are drawn at random instead of by the sampler."""

FAILURES_IN_A_ROW = 5
"""Candidates that fail one after another until the search stops: then it is not the candidates."""

LEAST_TO_JUDGE = 10
"""Candidates after which a search stops when more than half of them failed."""

ATTEMPTS = 3
"""Trainings of one candidate whose worker is lost each time, until it is the candidate's fault."""

LEASE_SECONDS = 120.0
"""How long a search is believed to be alive after it last said so."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """What one network reaches with several seeds, in dB."""

    genotype_id: str
    psnr_db: tuple[float, ...]

    @property
    def mean_db(self) -> float:
        """The mean."""
        return statistics.fmean(self.psnr_db)

    @property
    def deviation_db(self) -> float:
        """The standard deviation of a sample; NaN for a single seed."""
        return statistics.stdev(self.psnr_db) if len(self.psnr_db) > 1 else math.nan


class Search:
    """One run of a recipe against a database.

    ``runs`` is the folder of all runs. ``tally`` can be read at any time by the listener. Raises what
    ``Store.open_study`` raises when the name is taken by another recipe, StudyTakenError when another process
    is searching under it, and BudgetError when no architecture can be inside the budget.
    """

    def __init__(self, recipe: Recipe, store: Store, runs: Path, device: str, listen: Listener) -> None:
        self.recipe, self.store, self.runs, self.device, self.listen = recipe, store, runs, device, listen
        self.space, self.budget, self.plans = recipe.search_space(), recipe.limits(), recipe.rung_plans()
        name = recipe.proxy.get("plan", "quick")
        self.protocols, self.dataset = make_protocols(recipe, name, self.plans)
        self.tally = Tally(
            wanted=recipe.trials,
            rungs=[{} for _ in self.plans],
            cost=recipe.price(),
            bicubic_psnr_db=self.protocols[0].bicubic_psnr_db,
        )
        self.owner = this_process()
        self.measured = Measured(self.budget, recipe.scale, device)
        self._training: dict[int, Candidate] = {}
        self._promoted: list[set[str]] = [set() for _ in self.plans]
        self._queue: list[Genotype] = []
        self._repeats = self._rejections = self._fruitless = self._failures = 0
        self._began = self._renewed = time.monotonic()

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
            executor = EXECUTORS[self.recipe.executor](self._pool())
            self._take_up(executor)
            self._search(executor)
            reason = "finished"
        except Interrupted:
            reason = "interrupted"
            for done in executor.close(save=True) if executor else []:
                with suppress(Interrupted):
                    self._finish(done)
            raise
        finally:
            if executor is not None:
                executor.close(save=False)
            with suppress(LeaderboardError):  # what ended the search is the news, and leases run out
                self.store.release(self.owner, [each.trial.id for each in self._training.values()])
                self.store.release_study(self.study.id, self.owner, reason)
        return self.tally

    def _pool(self) -> Pool:
        devices = tuple(word.strip() for word in self.device.split(",")) if self.device != "cpu" else ()
        return Pool(
            workers=self.recipe.workers,
            devices=devices,
            time_limit_seconds=self.recipe.time_limit_seconds,
            ray_address=self.recipe.ray_address,
            gpus_per_worker=self.recipe.gpus_per_worker,
        )

    def _rebuild(self) -> None:
        """The sampler's study, from everything that was recorded."""
        self.store.reap(self.study.id)
        past = self.store.trials(self.study.id, "search", curves=False)
        published = tuple(p.genotype for p in PUBLISHED.values() if self._fits(p.genotype))
        scale = self.recipe.scale
        costs = [name for name in self.recipe.objectives if name in Cost.__dataclass_fields__]
        setting = Setting(
            # A resumed sampler must not repeat the draws it began with.
            seed=self.recipe.seed + len(past),
            space=self.space,
            price=lambda genotype: [float(getattr(cost_of(genotype, scale), name)) for name in costs],
            inside=lambda genotype: not self.budget.excess(cost_of(genotype, scale)),
            floor=self.protocols[0].bicubic_psnr_db if self.recipe.objectives[0] == "psnr_db" else None,
            published=tuple(genotype for genotype in published if genotype is not None),
            trials=self.recipe.trials,
        )
        longest = self.plans[-1].steps
        shares = [plan.steps / longest for plan in self.plans]
        self._proposer = Proposer(self.recipe.sampler, setting, self.budget, self.recipe.objectives, shares)
        if self.recipe.warm_start is not None:
            self._learn_from(self.recipe.warm_start)
        for trial in past:
            if trial.rung:
                self._promoted[trial.rung - 1].add(trial.genotype_id)
            if trial.state not in ("waiting", "running"):
                self.tally.count(trial)
                self._proposer.tell(self._candidate(trial), trial.state, trial.evaluation)
        if self.recipe.seed_published and not past:
            self._queue = list(setting.published)

    def _fits(self, genotype: Genotype | None) -> bool:
        """Whether a published network is a point of the space and inside the budget."""
        if not isinstance(genotype, self.space.genotype):
            return False
        names = {axis.name: axis.options for axis in self.space.axes}
        inside = all(value in names[name] for name, value in genotype.to_dict().items())
        return inside and not self.budget.excess(cost_of(genotype, self.recipe.scale))

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

    def _candidate(self, trial: Trial) -> Candidate:
        return Candidate(trial, self.space.genotype.from_dict(trial.choices), Cost(**trial.cost))

    def _take_up(self, executor: Executor) -> None:
        """Train what an earlier process left in the middle, before anything new."""
        stages: tuple[Stage, ...] = ("search", "seeds")
        for stage in stages:
            while (trial := self.store.claim(self.study.id, self.owner, LEASE_SECONDS, stage)) is not None:
                self._submit(executor, self._candidate(trial))

    # The loop

    def _search(self, executor: Executor) -> None:
        while True:
            self._fill(executor)
            if not self._training:
                break
            self._finish(executor.next_result(self._watch), executor)

    def _fill(self, executor: Executor) -> None:
        """Hand out work until every worker has some, or none is left."""
        while len(self._training) < executor.capacity and not self._is_over():
            candidate = self._promote()
            if candidate is None and self._wants_more():
                candidate = self._propose()
                if candidate is None:
                    continue
            if candidate is None and not self._training:
                candidate = self._another_seed()
            if candidate is None:
                return
            self._submit(executor, candidate)

    def _is_over(self) -> bool:
        """Whether time or hypervolume says that nothing more is to be begun."""
        hours, target = self.recipe.hours, self.recipe.target_hypervolume
        if hours is not None and time.monotonic() - self._began > hours * 3600:
            return True
        if target is None or self.recipe.price() not in ("multi_adds", "conv_multi_adds"):
            return False
        return self.tally.hypervolume(self.budget.ceilings().get(self.recipe.price())) >= target

    def _wants_more(self) -> bool:
        """Whether new candidates are to be proposed."""
        under_way = sum(
            each.trial.stage == "search" and not each.trial.rung for each in self._training.values()
        )
        if len(self.tally.results) + under_way >= self.tally.wanted:
            return False
        if self._fruitless >= PATIENCE:
            text = f"the last {self._fruitless} proposals were known or over budget: nothing new fits"
            self.listen(Event(kind="note", text=text))
            self.tally.wanted = len(self.tally.results) + under_way
            return False
        return True

    def _promote(self) -> Candidate | None:
        """The next candidate that has earned a longer training."""
        while (found := next_promotion(self.tally.rungs, self._promoted)) is not None:
            rung, genotype_id = found
            self._promoted[rung - 1].add(genotype_id)
            if genotype_id in self.tally.failed_ids:
                continue
            genotype = self._recorded(genotype_id)
            candidate = self._enter(genotype, cost_of(genotype, self.recipe.scale), {}, rung=rung)
            if candidate is not None:
                return candidate
        return None

    def _recorded(self, genotype_id: str) -> Genotype:
        """The genotype of that id, which the database holds."""
        _, _, choices = self.store.find_genotype(genotype_id)[0]
        return self.space.genotype.from_dict(choices)

    def _propose(self) -> Candidate | None:
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
        busy = any(other.genotype == genotype for other in self._training.values())
        seen = busy or genotype.id in self.tally.failed_ids or genotype.id in self.tally.results
        self._repeats = self._repeats + 1 if seen else 0
        if busy or genotype.id in self.tally.failed_ids:
            self._fruitless += 1
            if asked is not None:
                self._proposer.forget(asked)
            self._watch(None)
            return None
        if not excess and not seen:
            excess = self.measured.excess(genotype, cost)
        candidate = self._enter(genotype, cost, excess, asked=asked)
        fresh = candidate is not None or (genotype.id in self.tally.results and not seen)
        self._fruitless = 0 if fresh else self._fruitless + 1
        self._rejections = self._rejections + 1 if excess else 0
        if self._rejections >= PATIENCE:
            raise RunError(self._hopeless())
        return candidate

    def _enter(
        self,
        genotype: Genotype,
        cost: Cost,
        excess: dict[str, float],
        *,
        rung: int = 0,
        seed: int | None = None,
        asked: object = None,
    ) -> Candidate | None:
        """Put a proposal into the database; gives it back where it is to be trained."""
        protocol, taken = self.protocols[rung], self.recipe.seed if seed is None else seed
        known = None if excess else self.store.known(genotype.id, protocol.id, taken)
        state = "rejected" if excess else "repeated" if known else "running"
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
            evaluation_id=known.id if known else None,
            owner=self.owner if state == "running" else None,
            seconds=LEASE_SECONDS if state == "running" else None,
        )
        candidate = Candidate(trial, genotype, cost, asked)  # type: ignore[arg-type]
        if state == "running":
            return candidate
        if trial.stage == "search":
            self.tally.count(trial)
            self._proposer.tell(candidate, state, trial.evaluation)
        self._say(state, candidate, psnr_db=None if known is None else known.psnr_db)
        return None

    def _another_seed(self) -> Candidate | None:
        """A member of the front with a seed that it has not been trained with."""
        seeds = range(self.recipe.seed + 1, self.recipe.seed + self.recipe.seeds_for_front)
        if not seeds:
            return None
        trials = self.store.trials(self.study.id, "seeds", curves=False)
        begun = {(trial.genotype_id, trial.seed) for trial in trials}
        for genotype_id in self.tally.front():
            for seed in seeds:
                if (genotype_id, seed) in begun:
                    continue
                genotype = self._recorded(genotype_id)
                cost = cost_of(genotype, self.recipe.scale)
                candidate = self._enter(genotype, cost, {}, rung=self.tally.longest, seed=seed)
                if candidate is not None:
                    return candidate
        return None

    def spread(self) -> list[Spread]:
        """What the members of the front reach with all their seeds, cheapest first."""
        found = {genotype_id: [self.tally.top[genotype_id][1]] for genotype_id in self.tally.front()}
        for trial in self.store.trials(self.study.id, "seeds", curves=False):
            if (
                trial.evaluation is not None
                and trial.rung == self.tally.longest
                and trial.genotype_id in found
            ):
                found[trial.genotype_id].append(trial.evaluation.psnr_db)
        return [Spread(genotype_id=name, psnr_db=tuple(values)) for name, values in found.items()]

    def _hopeless(self) -> str:
        tightest = max(self.tally.rejected_by, key=self.tally.rejected_by.__getitem__)
        limit = format_count(self.budget.limits()[tightest])
        return (
            f"{PATIENCE} proposals in a row were over budget; the tightest limit is {tightest} = {limit}, "
            f"which rejected {self.tally.rejected_by[tightest]} of {self.tally.rejected}. "
            "Change it, or narrow the space with [space.only]"
        )

    # One candidate

    def _submit(self, executor: Executor, candidate: Candidate) -> None:
        self._training[candidate.trial.id] = candidate
        self._say("started", candidate)
        executor.submit(candidate.trial.id, self._job(candidate))

    def _job(self, candidate: Candidate) -> Job:
        """The training of a candidate; on a higher rung it goes on from the state of the rung below."""
        trial = candidate.trial
        job = make_job(
            self.recipe,
            self.plans[trial.rung],
            candidate.genotype,
            self._folder(trial, trial.rung),
            seed=trial.seed,
            device=self.device.split(",")[0],
        )
        if trial.stage != "search":
            return job
        before = self._folder(trial, trial.rung - 1) / STATE if trial.rung else None
        return replace(
            job,
            begin=before if before is not None and before.exists() else None,
            keep_state=trial.rung < len(self.plans) - 1,
        )

    def _folder(self, trial: Trial, rung: int) -> Path:
        seed = "" if trial.stage == "search" else f"-seed{trial.seed}"
        name = f"{trial.genotype_id}-{self.protocols[rung].id}{seed}"
        return self.runs / self.recipe.name / "candidates" / name

    def _watch(self, seen: tuple[int, Progress] | None) -> None:
        """Between two steps, or a few times a second: stay the owner; the listener may stop the search."""
        now = time.monotonic()
        if now - self._renewed > LEASE_SECONDS / 4:
            self._renewed = now
            self.store.own_study(self.study.id, self.owner, LEASE_SECONDS)
            self.store.renew(self.owner, list(self._training), LEASE_SECONDS)
        key, progress = seen or (-1, None)
        candidate = self._training.get(key)
        number = -1 if candidate is None else candidate.trial.number
        self.listen(Event(kind="progress", number=number, progress=progress))

    def _finish(self, done: Done, executor: Executor | None = None) -> None:
        """Record first, tell second; without an executor nothing is begun again."""
        candidate, result = self._training[done.key], done.result
        if isinstance(result, DiskError):
            raise result  # the disk's failure and not the candidate's, which is trained again later
        tries = ATTEMPTS if executor is None else ATTEMPTS // executor.attempts
        if isinstance(result, WorkerLostError) and candidate.attempts < tries:
            if executor is not None:
                candidate.attempts += 1
                self.listen(Event(kind="note", text=f"trial {candidate.trial.number}: {result}; once more"))
                executor.submit(done.key, self._job(candidate))
            return
        try:
            if isinstance(result, Outcome):
                self._finished(candidate, result, done.worker)
            else:
                self._failed(candidate, result, done.worker)
        except LeaseLostError as error:
            self.listen(Event(kind="note", text=f"{error}; this result is not kept"))
        finally:
            del self._training[done.key]

    def _finished(self, candidate: Candidate, outcome: Outcome, worker: str) -> None:
        trial = candidate.trial
        evaluation = record_outcome(
            self.store,
            trial,
            self.protocols[trial.rung].id,
            outcome,
            self.runs,
            owner=self.owner,
            worker=worker,
        )
        self._failures = 0
        if trial.stage == "search":
            self.tally.count(replace(trial, state="finished", evaluation=evaluation))
            self._proposer.tell(candidate, "finished", evaluation)
        self._say("finished", candidate, psnr_db=outcome.psnr_db)

    def _failed(self, candidate: Candidate, error: NasError, worker: str) -> None:
        trial = candidate.trial
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        self.store.fail(trial.id, reason, owner=self.owner, failure=error.failure, worker=worker)
        self._failures += 1
        if trial.stage == "search":
            self.tally.count(replace(trial, state="failed"))
            self._proposer.tell(candidate, "failed", None)
        self._say("failed", candidate, text=f"{error.failure}: {reason}")
        if self._failures >= FAILURES_IN_A_ROW:
            raise RunError(f"{self._failures} candidates failed one after another; the last one: {reason}")
        over = self.tally.failed + sum(len(results) for results in self.tally.rungs)
        if over >= LEAST_TO_JUDGE and self.tally.failed > over / 2:
            raise RunError(f"{self.tally.failed} of {over} candidates failed; the last one: {reason}")

    def _say(self, kind: str, candidate: Candidate, *, psnr_db: float | None = None, text: str = "") -> None:
        trial = candidate.trial
        told = f"seed {trial.seed}" if trial.stage == "seeds" and not text else text
        self.listen(
            Event(
                kind=kind,
                number=trial.number,
                rung=trial.rung,
                genotype=candidate.genotype,
                cost=candidate.cost,
                psnr_db=psnr_db,
                text=told,
            )
        )

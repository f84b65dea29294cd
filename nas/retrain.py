"""Training the best of a search for longer: the recipe's ``[retrain]`` plan, resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from leaderboard.errors import LeaderboardError, not_of_the_run
from leaderboard.owners import this_process
from leaderboard.records import Evaluation, Protocol, Trial
from leaderboard.store import Store
from nas.cost import Cost
from nas.device import cpu_threads
from nas.errors import RunError
from nas.jobs import make_job, record_outcome
from nas.protocol import make_protocols
from nas.recipe import Recipe
from nas.training import Progress, ranks, train
from search_spaces import Genotype

LEASE_SECONDS = 30 * 86400.0
"""Longer than any training: a re-training does not renew its lease, and one that died is seen to be gone."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A candidate to re-train: what it costs, and what it reached in the search, in dB, where it did."""

    genotype: Genotype
    cost: Cost
    proxy_psnr_db: float | None


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """A re-trained candidate; ``known`` where the database held the result already."""

    chosen: Chosen
    evaluation: Evaluation
    known: bool


def choose(store: Store, recipe: Recipe, top: int) -> list[Chosen]:
    """The ``top`` candidates of the front with the highest PSNR, best first.

    Raises RunError when the run has no results.
    """
    from leaderboard.pareto import pareto_mask

    study = store.study(recipe.name)
    trained = [trial for trial in store.trials(study.id, "search") if trial.evaluation is not None]
    if not trained:
        raise RunError(f"run {recipe.name!r} has no results yet; run nas search first")
    longest = max(trial.rung for trial in trained)  # only equally long trainings are compared
    done: dict[str, Trial] = {trial.genotype_id: trial for trial in trained if trial.rung == longest}
    found = [_chosen(recipe, trial) for trial in done.values()]
    reached = [chosen.proxy_psnr_db or 0.0 for chosen in found]
    mask = pareto_mask([getattr(chosen.cost, recipe.price()) for chosen in found], reached)
    best = sorted(range(len(found)), key=lambda place: -reached[place])
    return [found[place] for place in best if mask[place]][:top]


def choose_ids(store: Store, recipe: Recipe, ids: Sequence[str]) -> list[Chosen]:
    """The networks of the run with those ids, or whose ids begin so, each once, in that order.

    Raises RunError for what is no network of the run, with the nearest one, or several of its networks.
    """
    study = store.study(recipe.name)
    trials: dict[str, Trial] = {}
    for trial in store.trials(study.id, curves=False):
        before = trials.get(trial.genotype_id)
        if before is None or _tells_more(trial, before):
            trials[trial.genotype_id] = trial
    found: dict[str, Chosen] = {}
    for word in ids:
        some = [word] if word in trials else [id for id in trials if word and id.startswith(word)]
        if not some:
            raise RunError(not_of_the_run(recipe.name, word, trials))
        if len(some) > 1:
            listed = ", ".join(sorted(some)[:5]) + (", ..." if len(some) > 5 else "")
            raise RunError(
                f"{word!r} is the beginning of {len(some)} networks of run {recipe.name!r}: {listed}"
            )
        found[some[0]] = _chosen(recipe, trials[some[0]])
    return list(found.values())


def _tells_more(trial: Trial, other: Trial) -> bool:
    """Whether a trial says more of what its network reached in the search: trained, and for longer."""
    of_search = trial.stage == "search" and trial.evaluation is not None
    known = other.stage == "search" and other.evaluation is not None
    return of_search and (not known or trial.rung > other.rung)


def _chosen(recipe: Recipe, trial: Trial) -> Chosen:
    in_search = trial.stage == "search" and trial.evaluation is not None
    return Chosen(
        genotype=recipe.search_space().genotype.from_dict(trial.choices),
        cost=Cost(**trial.cost),
        proxy_psnr_db=trial.evaluation.psnr_db if in_search and trial.evaluation else None,
    )


class Retraining:
    """The long training of one run's candidates, under one protocol."""

    def __init__(
        self,
        recipe: Recipe,
        store: Store,
        runs: Path,
        device: str,
        *,
        validate_every: int = 0,
        events: bool = False,
    ) -> None:
        self.recipe, self.store, self.runs, self.device = recipe, store, runs, device
        self.validate_every, self.events = validate_every, events
        self.plan = recipe.plan("retrain")
        self.protocol: Protocol
        (self.protocol,), _ = make_protocols(recipe, recipe.retrain.get("plan", "longer"), [self.plan])

    def run(self, chosen: Chosen, report: Callable[[Progress], None]) -> Retrained:
        """Train ``chosen``, going on from an interrupted attempt, and record it.

        A result that the database holds is given back instead. Interrupted, from ``report``, leaves the
        training's state on disk.
        """
        self.store.ensure_protocol(self.protocol)
        genotype, seed = chosen.genotype, self.recipe.seed
        known = self.store.known(genotype.id, self.protocol.id, seed)
        if known is not None:
            return Retrained(chosen=chosen, evaluation=known, known=True)
        trial = self._trial(chosen)
        folder = self.runs / self.recipe.name / "retrained" / f"{genotype.id}-{self.protocol.id}"
        job = replace(
            make_job(
                self.recipe,
                self.plan,
                genotype,
                folder,
                seed=seed,
                device=self.device,
                threads=cpu_threads(),
            ),
            validate_every=self.validate_every,
            events=self.events,
        )
        try:
            outcome = train(ranks.shared(job), report)
        except BaseException:
            with suppress(LeaderboardError):  # what went wrong first is the news
                self.store.release(this_process(), [trial.id])
            raise
        evaluation = record_outcome(
            self.store, trial, self.protocol.id, outcome, self.runs, owner=this_process()
        )
        return Retrained(chosen=chosen, evaluation=evaluation, known=False)

    def close(self) -> None:
        """Let the other processes of a group go; see :func:`follow`."""
        ranks.shared(None)

    def _trial(self, chosen: Chosen) -> Trial:
        """The row of this re-training: the one an interrupted attempt left, or a new one."""
        study = self.store.study(self.recipe.name)
        owner = this_process()
        self.store.reap(study.id)
        for trial in self.store.trials(study.id, "retrain", curves=False):
            same = trial.genotype_id == chosen.genotype.id
            # Rows of older databases do not say what they are to be trained under.
            if trial.state == "waiting" and same and trial.protocol_id in (None, self.protocol.id):
                taken = self.store.claim_this(trial.id, owner, LEASE_SECONDS)
                if taken is not None:
                    return taken
        return self.store.propose(
            study.id,
            stage="retrain",
            genotype_id=chosen.genotype.id,
            space=chosen.genotype.space,
            choices=chosen.genotype.to_dict(),
            scale=self.recipe.scale,
            cost=chosen.cost.to_dict(),
            seed=self.recipe.seed,
            state="running",
            protocol_id=self.protocol.id,
            owner=owner,
            seconds=LEASE_SECONDS,
        )


def follow(report: Callable[[Progress], None]) -> None:
    """What a process of a group does that is not its first: train along until that one has finished."""
    while (job := ranks.shared(None)) is not None:
        train(job, report)

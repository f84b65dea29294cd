"""The same architectures trained at several lengths and with several seeds, whatever they turn out to be.

A search gives long trainings to the promising; to see what short ones say about long ones, everybody has to
climb. This is the search's own way of training (``nas.search.loop``) with nothing to propose: leases, any
executor, one row for each (architecture, protocol, seed), none of them ever trained twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaderboard.errors import LeaderboardError
from leaderboard.store import Store
from leaderboard.store.records import Evaluation, Protocol, Study, Trial
from nas._version import __version__
from nas.calibration.fidelities import Level, make_levels
from nas.cost.counting import cost_of
from nas.errors import Interrupted, NasError, RecipeError, RunError
from nas.executors import Executor, Pool
from nas.recipes.protocol import make_protocols, protocol_of
from nas.recipes.recipe import MAY_CHANGE, Recipe
from nas.search.loop import Runner
from nas.search.progress import Event, Listener
from nas.search.proposer import Candidate
from nas.training import Job, Outcome, Plan
from nas.training.checkpoint import STATE
from search_spaces import Genotype
from search_spaces.published import PUBLISHED, published_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "Ladder", "Level", "is_ladder", "make_levels", "read_ladder", "train_ladder"]

LADDER = "ladder"
"""The key that marks a ladder among the recipes in the database."""

LEASE_SECONDS = 600.0
"""Longer than a search's: nothing renews it while a network is measured on many images."""


@dataclass(frozen=True, kw_only=True)
class Climb:
    """One training of a ladder: an architecture, the place of its level, and the seed."""

    genotype: Genotype
    level: int
    seed: int


class Ladder(Runner):
    """Trains every given architecture at every level, with every seed of it.

    ``recipe`` says the rest: name of the study, scale, data, metric, first seed, executor and workers; its
    time limit is for candidates of a search and does not hold. Level after level, so that what is there after
    an interruption is whole as far as it goes. A level whose plan goes on from a shorter one's
    (``Level.continues``) begins with that state, so that the longest costs the sum only once. Who failed at a
    level is not trained at those that go on from it, and not tried again. ``failed`` says why, by genotype's
    id, place of the level and seed. ``left`` is how many trainings :meth:`run` found to do.
    """

    lease_seconds = LEASE_SECONDS

    def __init__(
        self,
        recipe: Recipe,
        levels: Sequence[Level],
        store: Store,
        runs: Path,
        device: str,
        listen: Listener = lambda event: None,
    ) -> None:
        self.levels = list(levels)
        super().__init__(recipe, store, runs, device, listen)
        # The base makes the protocols of one plan at several lengths; the others may be of any plan.
        self.protocols = [self._protocol(level) for level in self.levels]
        self.plans = [level.plan for level in self.levels]
        if len({protocol.id for protocol in self.protocols}) < len(self.protocols):
            raise RecipeError("two levels of a ladder are the same training")
        self.failed: dict[tuple[str, int, int], str] = {}
        self.left = 0
        self._over: set[tuple[str, int, int]] = set()
        self._rows: dict[tuple[str, str, int], Trial] = {}

    def _plans(self) -> tuple[str, list[Plan]]:
        return self.levels[0].name, [self.levels[0].plan]

    def _protocol(self, level: Level) -> Protocol:
        if level.plan.lr_patch != self.levels[0].plan.lr_patch:  # images may be too small for one of the two
            return make_protocols(self.recipe, level.name, [level.plan])[0][0]
        first, recipe = self.protocols[0], self.recipe
        return protocol_of(
            self.dataset,
            scale=recipe.scale,
            data=recipe.data,
            metric=recipe.metric,
            plan_name=level.name,
            plan=level.plan,
            bicubic=(first.bicubic_psnr_db, first.bicubic_ssim),
        )

    def prepare(self) -> None:
        """Begin or find the study in the database. Nothing is trained yet.

        Raises what ``Store.open_study`` raises where the name is taken by something else.
        """
        rungs = [level.plan.steps for level in self.levels if level.kind == "rung"]
        self.study: Study = self.store.open_study(
            self.recipe.name,
            recipe={**self.recipe.to_dict(), "rungs": rungs, LADDER: True},
            space_digest=self.space.digest,
            code_version=__version__,
            may_change=MAY_CHANGE | {"rungs"},
        )
        for protocol in self.protocols:
            self.store.ensure_protocol(protocol)

    def run(self, genotypes: Sequence[Genotype]) -> None:
        """Train what is left; call :meth:`prepare` first. The same call goes on after any interruption.

        Raises leaderboard's StudyTakenError while another process is at it. Interrupted leaves through here
        with the states of what runs on disk.
        """
        self.store.own_study(self.study.id, self.owner, self.lease_seconds)
        reason = "failed"
        try:
            waiting = self._look(genotypes)
            self.left = len(waiting)
            with self._working() as executor:
                while waiting or self._training:
                    self._fill(waiting, executor)
                    if self._training:
                        self._finish(executor.next_result(self._watch), executor)
            reason = "finished"
        except Interrupted:
            reason = "interrupted"
            raise
        finally:
            with suppress(LeaderboardError):  # what ended it is the news
                self.store.release_study(self.study.id, self.owner, reason)

    @property
    def steps(self) -> int:
        """What one architecture is trained altogether, in steps, over all levels and seeds."""
        return sum(
            (level.plan.steps - (self.levels[below].plan.steps if below is not None else 0))
            for place, level in enumerate(self.levels)
            for offset in range(level.seeds)
            for below in [self._below(place, self.recipe.seed + offset)]
        )

    # What is to be done

    def _look(self, genotypes: Sequence[Genotype]) -> list[Climb]:
        """What is left to train: all but what this study, or another one, has a result of."""
        self.store.reap(self.study.id)
        for trial in self.store.trials(self.study.id, curves=False):
            if trial.protocol_id is not None:
                self._rows[trial.genotype_id, trial.protocol_id, trial.seed] = trial
        different = list({genotype.id: genotype for genotype in genotypes}.values())
        climbs = [
            Climb(genotype=genotype, level=place, seed=self.recipe.seed + offset)
            for place, level in enumerate(self.levels)
            for offset in range(level.seeds)
            for genotype in different
        ]
        return [climb for climb in climbs if not self._is_over(climb)]

    def _is_over(self, climb: Climb) -> bool:
        """Whether there is a result, or a failure, already."""
        key = climb.genotype.id, climb.level, climb.seed
        row = self._row(climb)
        if row is not None and row.state == "failed":
            self.failed[key] = row.reason or "it failed"
        if row is not None and row.state not in ("waiting", "running"):
            self._over.add(key)
            return True
        known = self.store.known(climb.genotype.id, self.protocols[climb.level].id, climb.seed)
        if known is None or row is not None:  # a row that was begun ends as repeated when it is recorded
            return False
        trial = self._propose(climb, known)
        self._over.add(key)
        cost = cost_of(climb.genotype, self.recipe.scale)
        candidate = Candidate(replace(trial, rung=climb.level), climb.genotype, cost)
        self._say("repeated", candidate, psnr_db=known.psnr_db)
        return True

    def _row(self, climb: Climb) -> Trial | None:
        return self._rows.get((climb.genotype.id, self.protocols[climb.level].id, climb.seed))

    def _fill(self, waiting: list[Climb], executor: Executor) -> None:
        """Begin what may begin, until every worker has something to do."""
        for climb in list(waiting):
            if len(self._training) >= executor.capacity:
                break
            below = self._below(climb.level, climb.seed)
            before = None if below is None else (climb.genotype.id, below, climb.seed)
            if before in self.failed:
                waiting.remove(climb)
                self.failed[climb.genotype.id, climb.level, climb.seed] = self.failed[before]
            elif before is None or before in self._over or not self._is_training(before):
                waiting.remove(climb)
                self._begin(climb, executor)

    def _is_training(self, key: tuple[str, int, int]) -> bool:
        return any(
            key == (one.trial.genotype_id, one.trial.rung, one.trial.seed) for one in self._training.values()
        )

    def _begin(self, climb: Climb, executor: Executor) -> None:
        row = self._row(climb)
        if row is None:
            trial = self._propose(climb, None)
        else:
            trial = self.store.claim_this(row.id, self.owner, self.lease_seconds) or self.store.trial(row.id)
        if trial.state != "running" or trial.owner != self.owner:
            text = f"{climb.genotype.id} (seed {climb.seed}) is trained by {trial.owner}, and left to it"
            self.listen(Event(kind="note", text=text))
            return
        cost = cost_of(climb.genotype, self.recipe.scale)
        # Rungs may have been added since the row was made: its place is that of its protocol now.
        self._submit(executor, Candidate(replace(trial, rung=climb.level), climb.genotype, cost))

    def _propose(self, climb: Climb, known: Evaluation | None) -> Trial:
        """The row of a training: ours to train, or one that another study has done."""
        level, genotype = self.levels[climb.level], climb.genotype
        first = climb.seed == self.recipe.seed and level.kind == "rung"
        return self.store.propose(
            self.study.id,
            stage="retrain" if level.kind == "reference" else "search" if first else "seeds",
            genotype_id=genotype.id,
            space=genotype.space,
            choices=genotype.to_dict(),
            scale=self.recipe.scale,
            cost=cost_of(genotype, self.recipe.scale).to_dict(),
            seed=climb.seed,
            state="running" if known is None else "repeated",
            rung=climb.level,
            protocol_id=self.protocols[climb.level].id,
            name=published_name(genotype),
            evaluation_id=None if known is None else known.id,
            owner=self.owner if known is None else None,
            seconds=self.lease_seconds if known is None else None,
        )

    # How it is done

    def _pool(self) -> Pool:
        return replace(super()._pool(), time_limit_seconds=None)

    def _below(self, place: int, seed: int) -> int | None:
        """The level whose state a training at ``place`` with ``seed`` goes on from; None for the start."""
        level = self.levels[place]
        below = [
            (other.plan.steps, at)
            for at, other in enumerate(self.levels)
            if level.continues(other) and seed < self.recipe.seed + other.seeds
        ]
        return max(below)[1] if below else None

    def _job(self, candidate: Candidate) -> Job:
        trial = candidate.trial
        job = self._job_from(candidate, self._below(trial.rung, trial.seed))
        return replace(job, keep_state=self._is_gone_on_from(trial.rung, trial.seed))

    def _is_gone_on_from(self, place: int, seed: int) -> bool:
        return any(
            self._below(above, seed) == place
            for above, level in enumerate(self.levels)
            if seed < self.recipe.seed + level.seeds
        )

    def _folder(self, trial: Trial, rung: int) -> Path:
        seed = "" if trial.seed == self.recipe.seed else f"-seed{trial.seed}"
        name = f"{trial.genotype_id}-{self.protocols[rung].id}{seed}"
        return self.runs / self.recipe.name / "candidates" / name

    def _finished(self, candidate: Candidate, outcome: Outcome, worker: str) -> Evaluation:
        evaluation = super()._finished(candidate, outcome, worker)
        trial = candidate.trial
        if (below := self._below(trial.rung, trial.seed)) is not None:
            # Three times the weights for each candidate: nobody goes on from it a second time.
            (self._folder(trial, below) / STATE).unlink(missing_ok=True)
        return evaluation

    def _failed(self, candidate: Candidate, error: NasError, worker: str) -> None:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        trial = candidate.trial
        self.failed[trial.genotype_id, trial.rung, trial.seed] = reason
        super()._failed(candidate, error, worker)

    def _ended(self, candidate: Candidate, state: str, evaluation: Evaluation | None) -> None:
        self._over.add((candidate.trial.genotype_id, candidate.trial.rung, candidate.trial.seed))

    def _renew(self) -> None:
        self.store.own_study(self.study.id, self.owner, self.lease_seconds)
        super()._renew()


def train_ladder(
    recipe: Recipe,
    genotypes: Sequence[Genotype],
    rungs: Sequence[int],
    seeds: int | Mapping[int, int] = 1,
    reference: Plan | int | None = None,
    *,
    store: Store,
    runs: Path,
    device: str = "cpu",
    listen: Listener = lambda event: None,
    reference_name: str = "reference",
    reference_seeds: int = 1,
) -> Ladder:
    """Train ``genotypes`` at every rung, with its seeds, and at the reference; gives the ladder, all done.

    The study is ``recipe.name``. See :func:`make_levels` and :class:`Ladder` for the rest and what raises.
    """
    levels = make_levels(
        recipe, rungs, seeds, reference, reference_name=reference_name, reference_seeds=reference_seeds
    )
    ladder = Ladder(recipe, levels, store, runs, device, listen)
    ladder.prepare()
    ladder.run(genotypes)
    return ladder


def is_ladder(study: Study) -> bool:
    """Whether a study is a ladder, and no search."""
    return LADDER in study.recipe


COLUMNS: dict[str, str] = {
    **{"genotype_id": "object", "name": "object", "space": "object", "choices": "object", "scale": "int64"},
    **dict.fromkeys(("params", "multi_adds", "conv_multi_adds", "activations"), "int64"),
    **{"protocol": "object", "plan": "object", "steps": "int64", "reference": "bool", "seed": "int64"},
    **dict.fromkeys(("psnr_db", "ssim", "train_seconds"), "float64"),
    **{"device": "object", "torch_version": "object", "code_version": "object"},
}
"""The columns of :func:`read_ladder`, and their dtypes."""


def read_ladder(store: Store, study: str, *, per_image: bool = False) -> pd.DataFrame:
    """Every result of the ladder ``study``: a row for each (architecture, protocol, seed), in that order.

    | column | meaning |
    | --- | --- |
    | genotype_id, name, space, choices, scale | the network: id, what a paper calls it, dict of choices |
    | params, multi_adds, conv_multi_adds, activations | what it costs |
    | protocol, plan, steps | id of the protocol; its plan's name and length |
    | reference | whether this is the training that the rungs are judged by |
    | seed | random seed |
    | psnr_db, ssim | on the validation images: dB; 0 to 1 |
    | train_seconds | wall time of the whole training, that of the rungs it went on from included |
    | device, torch_version, code_version | where and with what it was trained |
    | per_image | where asked for: dict of image to [PSNR in dB, SSIM] |

    Raises UnknownStudyError, and RunError for a study that is no ladder.
    """
    import pandas as pd

    found = store.study(study)
    if not is_ladder(found):
        raise RunError(f"run {study!r} is no ladder: its candidates were chosen by a search")
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    protocols: dict[str, Protocol] = {}
    names = {entry.genotype.id: name for name, entry in PUBLISHED.items() if entry.genotype is not None}
    for trial in store.trials(found.id, curves=per_image):
        evaluation = trial.evaluation
        if evaluation is None:
            continue
        key = evaluation.protocol_id
        protocol = protocols.get(key) or protocols.setdefault(key, store.protocol(key))
        rows[trial.genotype_id, key, trial.seed] = {
            **{"genotype_id": trial.genotype_id, "name": names.get(trial.genotype_id), "space": trial.space},
            **{"choices": trial.choices, "scale": trial.scale, **trial.cost},
            **{"protocol": key, "plan": protocol.plan_name, "steps": protocol.plan["steps"]},
            **{"reference": trial.stage == "retrain", "seed": trial.seed},
            **{name: getattr(evaluation, name) for name in ("psnr_db", "ssim", "train_seconds", "device")},
            **{name: getattr(evaluation, name) for name in ("torch_version", "code_version", "per_image")},
        }
    kinds = COLUMNS | ({"per_image": "object"} if per_image else {})
    frame = pd.DataFrame(list(rows.values()), columns=list(kinds)).astype(kinds)
    frame["name"] = frame["name"].where(frame["name"].notna(), None)
    return frame.sort_values(["genotype_id", "reference", "steps", "protocol", "seed"], ignore_index=True)

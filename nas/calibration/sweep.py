"""Train every sampled architecture at every fidelity, and read the results.

A search gives long trainings only to promising candidates. To see what short trainings say about long ones,
all architectures are trained at all lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaderboard.store import Store
from leaderboard.store.records import Protocol, Study
from nas._version import __version__
from nas.calibration.fidelities import Fidelity, make_fidelities
from nas.cost.counting import cost_of
from nas.errors import RecipeError, RunError
from nas.recipes.protocol import make_protocols, protocol_of
from nas.recipes.recipe import MAY_CHANGE, Recipe
from nas.recipes.stored import absent_keys, space_of_run
from nas.search.database_recorder import DatabaseRecorder
from nas.search.fixed_set import FixedSet, TrainingKey
from nas.search.loop import Loop
from nas.search.progress import Listener
from nas.search.requests import Observation, Train, request_of
from nas.search.training_setup import TrainingSetup
from search_spaces import Genotype
from search_spaces.published import published_names

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "Fidelity", "SweepSession", "is_sweep", "make_fidelities", "read_sweep"]

SWEEP = "ladder"
"""The key that marks a sweep among the recipes in the database; stored, so it keeps its first name."""


class SweepSession:
    """Trains every given architecture at every fidelity, with every seed of it.

    Fidelity after fidelity, so that what is recorded after an interruption is complete as far as it goes. A
    fidelity whose plan continues a shorter one (``Fidelity.continues``) starts from its state, so that the
    longest training pays for all of them. An architecture that failed is not trained at the fidelities that
    continue from there, and not tried again.

    Args:
        recipe: Name of the study, scale, data, metric, first seed, executor and workers. Its time limit is
            for candidates of a search and does not hold.
        fidelities: See ``make_fidelities``.
        store: The results database.
        runs: The folder of all runs.
        device: Device, or devices separated by commas.
        listen: Receives events; may raise Interrupted.

    Attributes:
        failed: (genotype id, index of the fidelity, seed) -> why it has no result.
        left: How many trainings :meth:`run` has found to do.
    """

    def __init__(
        self,
        recipe: Recipe,
        fidelities: Sequence[Fidelity],
        store: Store,
        runs: Path,
        device: str,
        listen: Listener = lambda event: None,
    ) -> None:
        self.recipe, self.store, self.listen = recipe, store, listen
        store.require_recounted(recipe.name)
        self.fidelities, self.space = list(fidelities), space_of_run(store, recipe)
        first = self.fidelities[0]
        made, self.dataset = make_protocols(recipe, first.name, [first.plan])
        self.protocols = [made[0], *(self._protocol(each, made[0]) for each in self.fidelities[1:])]
        if len({protocol.id for protocol in self.protocols}) < len(self.protocols):
            raise RecipeError("two fidelities of a sweep are the same training")
        self._setup = TrainingSetup(
            recipe=recipe,
            runs=runs,
            device=device,
            plans=[fidelity.plan for fidelity in self.fidelities],
            protocols=self.protocols,
            dataset=self.dataset,
            timed=False,
        )
        self.failed: dict[TrainingKey, str] = {}
        self.left = 0

    def _protocol(self, fidelity: Fidelity, first: Protocol) -> Protocol:
        recipe = self.recipe
        if fidelity.plan.lr_patch != self.fidelities[0].plan.lr_patch:
            # Images may be too small for one of the two sizes of patches.
            return make_protocols(recipe, fidelity.name, [fidelity.plan])[0][0]
        return protocol_of(
            self.dataset,
            scale=recipe.scale,
            data=recipe.data,
            metric=recipe.metric,
            plan_name=fidelity.name,
            plan=fidelity.plan,
            bicubic=(first.bicubic_psnr_db, first.bicubic_ssim),
        )

    def prepare(self) -> None:
        """Begin or find the study in the database. Nothing is trained yet.

        Raises what ``Store.open_study`` raises where the name is taken by something else.
        """
        rungs = [fidelity.plan.steps for fidelity in self.fidelities if fidelity.kind == "rung"]
        self.study: Study = self.store.open_study(
            self.recipe.name,
            recipe={**self.recipe.model_copy(update={"tune": None}).to_dict(), "rungs": rungs, SWEEP: True},
            space_digest=self.space.digest,
            code_version=__version__,
            may_change=MAY_CHANGE | {"rungs"},
            absent=absent_keys(),
        )
        for protocol in self.protocols:
            self.store.ensure_protocol(protocol)

    @property
    def steps(self) -> int:
        """Steps of training per architecture, over all fidelities and seeds."""
        return sum(
            fidelity.plan.steps - (self.fidelities[below].plan.trunk_steps if below is not None else 0)
            for place, fidelity in enumerate(self.fidelities)
            for offset in range(fidelity.seeds)
            for below in [self._below(place, self.recipe.seed + offset)]
        )

    def run(self, genotypes: Sequence[Genotype]) -> None:
        """Train what is left; call :meth:`prepare` first. Interrupted leaves after all results are recorded.

        Raises StudyTakenError while another process is at it.
        """
        requests = self._requests(genotypes)
        scheduler = FixedSet(requests)
        genotype = self.space.genotype
        recorder = DatabaseRecorder(
            self.store, self.study, self.protocols, self._setup.runs, "lead", claims=False
        )
        recorder.begin()
        self.left = self._count_left(recorder, requests)
        loop = Loop(
            scheduler,
            recorder,
            start=self._setup.start_executor,
            make_job=self._setup.job,
            describe=lambda trial: request_of(trial, genotype.from_dict(trial.choices)),
            listen=self.listen,
            after=self._delete_state_below,
        )
        try:
            loop.run()
        finally:
            self.failed = scheduler.failed

    def _requests(self, genotypes: Sequence[Genotype]) -> list[Train]:
        different = list({genotype.id: genotype for genotype in genotypes}.values())
        return [
            self._request(genotype, place, self.recipe.seed + offset)
            for place, fidelity in enumerate(self.fidelities)
            for offset in range(fidelity.seeds)
            for genotype in different
        ]

    def _request(self, genotype: Genotype, place: int, seed: int) -> Train:
        fidelity = self.fidelities[place]
        first = seed == self.recipe.seed and fidelity.kind == "rung"
        return Train(
            genotype=genotype,
            cost=cost_of(genotype, self.recipe.scale),
            seed=seed,
            rung=place,
            stage="retrain" if fidelity.kind == "reference" else "search" if first else "seeds",
            continues=self._below(place, seed),
            keep_state=self._is_continued(place, seed),
        )

    def _count_left(self, recorder: DatabaseRecorder, requests: Sequence[Train]) -> int:
        """How many trainings have neither ended here nor a known result."""
        ended = {
            (trial.genotype_id, trial.rung, trial.seed)
            for trial in recorder.past()
            if trial.state not in ("waiting", "running")
        }
        return sum(
            (each.genotype.id, each.rung, each.seed) not in ended
            and self.store.known(each.genotype.id, self.protocols[each.rung].id, each.seed) is None
            for each in requests
        )

    def _below(self, place: int, seed: int) -> int | None:
        """The fidelity from whose state a training continues; None for a start from scratch."""
        fidelity = self.fidelities[place]
        below = [
            (other.plan.steps, at)
            for at, other in enumerate(self.fidelities)
            if fidelity.continues(other) and seed < self.recipe.seed + other.seeds
        ]
        return max(below)[1] if below else None

    def _is_continued(self, place: int, seed: int) -> bool:
        return any(
            self._below(above, seed) == place
            for above, fidelity in enumerate(self.fidelities)
            if seed < self.recipe.seed + fidelity.seeds
        )

    def _delete_state_below(self, observation: Observation) -> None:
        """A state takes three times the space of the weights, and no other training continues from it."""
        request = observation.request
        if request.continues is not None:
            self._setup.state_of(request, request.continues).unlink(missing_ok=True)


def is_sweep(study: Study) -> bool:
    """Whether a study is a sweep and not a search."""
    return SWEEP in study.recipe


COLUMNS: dict[str, str] = {
    **{"genotype_id": "object", "name": "object", "space": "object", "choices": "object", "scale": "int64"},
    **dict.fromkeys(("params", "multi_adds", "conv_multi_adds", "activations"), "int64"),
    **{"protocol": "object", "plan": "object", "steps": "int64", "reference": "bool", "seed": "int64"},
    **dict.fromkeys(("psnr_db", "ssim", "train_seconds"), "float64"),
    **{"device": "object", "torch_version": "object", "code_version": "object"},
}
"""The columns of :func:`read_sweep`, and their dtypes."""


def read_sweep(store: Store, study: str, *, per_image: bool = False) -> pd.DataFrame:
    """Every result of the sweep ``study``: a row for each (architecture, protocol, seed), in that order.

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

    Raises UnknownStudyError, and RunError for a study that is no sweep.
    """
    import pandas as pd

    found = store.study(study)
    if not is_sweep(found):
        raise RunError(f"run {study!r} is no sweep: its candidates were chosen by a search")
    rows: dict[tuple[str, str, int], dict[str, Any]] = {}
    protocols: dict[str, Protocol] = {}
    names = published_names()
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

"""A sample of a space, trained at several lengths and with several seeds, as a table
(``nas/simulation/table.py``).

The sample is that of ``nas/calibration/design.py``, the trainings are those of ``nas/calibration/sweep.py``,
recorded in the results database; so a table that was interrupted goes on, and nothing in it is trained twice.
Several machines take parts of the same sample (:class:`Shard`), and their files are merged.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from leaderboard.store import Store
from nas._version import __version__
from nas.calibration.design import spread
from nas.calibration.sweep import SweepSession, make_fidelities, read_sweep
from nas.cost.latency import processor
from nas.data.benchmarks import BenchmarkSet
from nas.errors import RecipeError, RunError
from nas.evaluation.benchmark_sets import measure_retrained
from nas.recipes.recipe import Recipe
from nas.search.precision import with_precision
from nas.search.progress import Event, Listener
from nas.simulation.sampling import Sampling
from nas.simulation.table import Table, make_table
from nas.simulation.validate_table import COSTS, VERSION

LICENCE = "CC-BY-4.0"


class Tabulation:
    """Trains a sample and gives its table; ``recipe.name`` is the name of both, and of the study.

    Raises what :class:`nas.calibration.sweep.SweepSession` and :func:`nas.calibration.design.spread` raise.
    """

    def __init__(
        self,
        recipe: Recipe,
        sampling: Sampling,
        store: Store,
        runs: Path,
        device: str,
        listen: Listener = lambda event: None,
        *,
        licence: str = LICENCE,
    ) -> None:
        self.name, self.sampling, self.licence = recipe.name, sampling, licence
        shard = sampling.shard
        self.recipe = recipe = with_precision(
            recipe.model_copy(update={"name": self.name + shard.suffix}),
            store,
            device,
            lambda text: listen(Event(kind="note", text=text)),
            shards=[self.name + each.suffix for each in shard.all] if shard.parts > 1 else (),
        )
        self.store, self.runs, self.device = store, runs, device
        fidelities = make_fidelities(recipe, list(sampling.rungs), sampling.seeds_of)
        self.sweep = SweepSession(self.recipe, fidelities, store, runs, device, listen)
        whole = spread(
            self.sweep.space,
            recipe.scale,
            sampling.architectures,
            budget=recipe.limits(),
            seed=recipe.seed,
            published=sampling.published,
        )
        self.genotypes = sampling.shard.of(whole)
        if not self.genotypes:
            raise RecipeError(
                f"part {sampling.shard.part} of {sampling.architectures} architectures is empty"
            )

    @property
    def trainings(self) -> int:
        """How many trainings the table of this part has when it is whole."""
        return len(self.genotypes) * sum(self.sampling.seeds_of.values())

    def train(self) -> None:
        """Train what is left."""
        self.sweep.prepare()
        self.sweep.run(self.genotypes)

    def measure(
        self,
        sets: Sequence[BenchmarkSet],
        breathe: Callable[[], None] = lambda: None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Measure the weights of the longest rung on benchmark sets, each once."""
        top = self.sweep.protocols[-1].id
        for trial in self.store.trials(self.sweep.study.id, curves=False):
            evaluation = trial.evaluation
            if evaluation is None or evaluation.protocol_id != top:
                continue
            breathe()
            measure_retrained(
                self.store,
                evaluation,
                sets,
                runs=self.runs,
                metric=self.recipe.metric,
                scale=self.recipe.scale,
                device=torch.device(self.device.split(",")[0]),
                breathe=breathe,
            )
            tell(trial.genotype_id)

    def table(self, sets: Sequence[BenchmarkSet] = ()) -> Table:
        """What is there so far. Raises RunError where nothing is."""
        frame = read_sweep(self.store, self.recipe.name)
        known = {one.id for one in self.genotypes}
        rungs = {protocol.id: rung for rung, protocol in enumerate(self.sweep.protocols)}
        rows = [
            _row(row, rungs[row["protocol"]])
            for row in frame.to_dict("records")
            if row["genotype_id"] in known and row["protocol"] in rungs
        ]
        if not rows:
            raise RunError(f"run {self.recipe.name!r}: nothing was trained, so there is no table to write")
        if sets:
            self._add_scores(rows, [one.name for one in sets])
        return make_table(self._card(), rows, where=self.name)

    def _add_scores(self, rows: list[dict[str, Any]], names: Sequence[str]) -> None:
        """PSNR and SSIM on benchmark sets, for the rows whose weights were measured."""
        digests = {}
        for trial in self.store.trials(self.sweep.study.id, curves=False):
            if (made := trial.evaluation) is not None:
                digests[made.genotype_id, made.protocol_id, made.seed] = made.checkpoint_sha256
        for row in rows:
            for name in names:
                row[f"psnr_db_{name}"] = row[f"ssim_{name}"] = float("nan")
            digest = digests.get((row["genotype_id"], row["protocol"], row["seed"]))
            if digest is None:
                continue
            for one in self.store.measurements(row["genotype_id"]):
                same = (one.scale, one.metric) == (self.recipe.scale, self.recipe.metric)
                plain = one.network == row["genotype_id"] and one.checkpoint_sha256 == digest
                if one.benchmark in names and same and plain:
                    row[f"psnr_db_{one.benchmark}"] = one.psnr_db
                    row[f"ssim_{one.benchmark}"] = float("nan") if one.ssim is None else one.ssim

    def _card(self) -> dict[str, Any]:
        protocols, space = self.sweep.protocols, self.sweep.space
        fidelities = self.sweep.fidelities
        return {
            "version": VERSION,
            "name": self.name,
            "space": space.name,
            "only": {name: list(options) for name, options in space.only.items()},
            "space_digest": space.digest,
            "scale": self.recipe.scale,
            "metric": self.recipe.metric,
            "data": _without_path(self.recipe.data),
            "data_digest": protocols[0].data_digest,
            "bicubic_psnr_db": protocols[0].bicubic_psnr_db,
            "rungs": [
                {"steps": one.plan["steps"], "protocol": one.id, "plan": one.plan} for one in protocols
            ],
            "goes_on": all(later.continues(before) for before, later in pairwise(fidelities)),
            "budget": self.recipe.limits().limits(),
            "cost_form": "use",
            "sample": self.sampling.words(),
            "wanted": self.sampling.architectures,
            "licence": self.licence,
            "machines": [processor(torch.device(self.device.split(",")[0]))],
            "created": datetime.now(UTC).date().isoformat(),
            "code_version": __version__,
        }


def _row(row: Mapping[Any, Any], rung: int) -> dict[str, Any]:
    return {
        "genotype_id": row["genotype_id"],
        "genotype": json.dumps(row["choices"], sort_keys=True),
        **{name: row[name] for name in COSTS},
        "rung": rung,
        "steps": row["steps"],
        "seed": row["seed"],
        "protocol": row["protocol"],
        "psnr_db": row["psnr_db"],
        "ssim": row["ssim"],
        "seconds": row["train_seconds"],
        "device": row["device"],
        "torch_version": row["torch_version"],
    }


def _without_path(data: str) -> str:
    """The data's word without where it lies on this machine; the digest says which pixels it was."""
    parts = []
    for part in data.split("+"):
        kind, colon, path = part.partition(":")
        parts.append(f"{kind}:{Path(path).name}" if colon else kind)
    return "+".join(parts)

"""The rows of one pipeline in the results database, written while this process holds its study."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from leaderboard.store import Store
from leaderboard.store.owners import this_process
from leaderboard.store.records import Protocol, Runtime, Study, Trial
from nas._version import __version__
from nas.compression.stages import Stage
from nas.core.files import sha256_of
from nas.cost.latency import processor
from nas.training.checkpoint import WEIGHTS
from search_spaces import Genotype
from search_spaces.named import Named
from search_spaces.published import published_name

LEASE_SECONDS = 3600.0
"""How long a pipeline is believed to be alive after it last said so."""

RENEW_SECONDS = 60.0


class Rows:
    """Where the stages of a pipeline are recorded: a row of ``study`` each, under ``protocol``.

    ``runs`` is the folder of all runs; ``output`` the size, (height, width), of the latencies.
    """

    def __init__(
        self,
        store: Store,
        study: Study,
        protocol: Protocol,
        runs: Path,
        *,
        seed: int,
        output: tuple[int, int],
    ) -> None:
        self.store, self.study, self.protocol, self.runs = store, study, protocol, runs
        self._seed, self._output, self._scale = seed, output, protocol.scale
        self._owner, self._renewed = this_process(), 0.0

    def begin(self) -> None:
        """Take the study. Raises leaderboard's StudyTakenError while another process is at it."""
        self.store.ensure_protocol(self.protocol)
        self.store.own_study(self.study.id, self._owner, LEASE_SECONDS)
        self.store.reap(self.study.id)

    def end(self, reason: str) -> None:
        """Let it go, with why."""
        self.store.release_study(self.study.id, self._owner, reason)

    def renew(self) -> None:
        """Stay the one that is at it; cheap to call."""
        now = time.monotonic()
        if now - self._renewed > RENEW_SECONDS:
            self._renewed = now
            self.store.own_study(self.study.id, self._owner, LEASE_SECONDS)

    def record(self, stage: Stage) -> None:
        """A row of the study, unless there is one; repeated where another study has the very same."""
        genotype, seed = stage.genotype, self._seed
        rows = self.store.trials(self.study.id, "retrain", curves=False)
        if any(row.genotype_id == genotype.id and row.evaluation is not None for row in rows):
            return
        weights = stage.folder / WEIGHTS
        self.store.record(
            self._trial(stage).id,
            owner=self._owner,
            genotype_id=genotype.id,
            protocol_id=self.protocol.id,
            seed=seed,
            psnr_db=stage.psnr_db,
            ssim=stage.ssim,
            train_seconds=stage.train_seconds,
            device=stage.device,
            torch_version=torch.__version__,
            code_version=__version__,
            checkpoint=weights.relative_to(self.runs).as_posix(),
            checkpoint_sha256=sha256_of(weights),
            curve=stage.curve,
            per_image=stage.per_image,
        )
        self._record_runtime(stage)

    def _trial(self, stage: Stage) -> Trial:
        """The stage's row, ours to end: one that an interruption left, or a new one."""
        for trial in self.store.trials(self.study.id, "retrain", curves=False):
            if trial.genotype_id == stage.genotype.id and trial.state == "waiting":
                taken = self.store.claim_this(trial.id, self._owner, LEASE_SECONDS)
                if taken is not None:
                    return taken
        measured = {"bytes": float(stage.bytes)}
        if stage.median_ms is not None:
            measured["latency_ms"] = stage.median_ms
        return self.store.propose(
            self.study.id,
            stage="retrain",
            genotype_id=stage.genotype.id,
            space=stage.genotype.space,
            choices=stage.genotype.to_dict(),
            scale=self._scale,
            cost=stage.cost,
            seed=self._seed,
            state="running",
            protocol_id=self.protocol.id,
            measured=measured,
            owner=self._owner,
            seconds=LEASE_SECONDS,
            name=_published(stage.genotype),
        )

    def _record_runtime(self, stage: Stage) -> None:
        if stage.latency_ms is None:
            return
        low, median, high = stage.latency_ms
        height, width = self._output
        runtime = Runtime(
            network=stage.genotype.id,
            genotype_id=stage.genotype.id,
            scale=self._scale,
            height=height,
            width=width,
            device=processor(torch.device("cpu")),
            threads=stage.threads,
            precision="int8" if stage.name == "int8" else "fp32",
            engine="onnxruntime",
            median_ms=median,
            p5_ms=low,
            p95_ms=high,
            torch_version=torch.__version__,
            code_version=__version__,
        )
        self.store.record_runtime(runtime, space=stage.genotype.space, choices=stage.genotype.to_dict())


def _published(genotype: Genotype) -> str | None:
    """What papers call it, where they do."""
    return genotype.network if isinstance(genotype, Named) else published_name(genotype)

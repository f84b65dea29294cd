"""From a trained network to a small one in integers: distil, sharpen, prune, quantise; every stage is a row.

The sequence is that of Light F2SRGAN (the survey "Investigation into Perceptual-Aware Optimization for
Single-Image Super-Resolution in Embedded Systems", Electronics 2023, 12(11), 2544, sec. 3 to 5), trained with
L1. Where it is asked for, a training against a critic follows that with L1, and the critic stays on while the
network is pruned and quantised, beginning afresh in each training: the order of the released code, which
teaches and quantises with the same loss. That the teacher stays on while a pruned network is fine-tuned, that
the critic does, and the lengths, are ours.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import nn

from leaderboard.store import Store
from leaderboard.store.records import Protocol
from nas._version import __version__
from nas.compression.compression import QUANTISED_BITS, Compression
from nas.compression.records import outcome_of_stage, request_of_stage, runtime_of_stage
from nas.compression.source import CompressionSource
from nas.compression.stages import (
    FLOAT,
    INT8,
    Stage,
    Training,
    compressed,
    for_perception,
    load_stage,
    load_training,
)
from nas.core.device import cpu_threads, device_name
from nas.core.files import sha256_of
from nas.cost.budget import Budget
from nas.cost.counting import cost_of
from nas.cost.latency import measure_latency
from nas.data import Patches, load_data
from nas.data.benchmarks import BenchmarkSet, read_benchmark
from nas.errors import CompressError, ExportError, RecipeError
from nas.evaluation.benchmark_sets import Network, digest_weights, keep_scores, measure_network
from nas.export.onnx import OnnxNetwork, write_onnx
from nas.export.onnx_int8 import quantise_onnx
from nas.pruning.structured import Target, describe, prune
from nas.recipes.protocol import protocol_of
from nas.search.database_recorder import DatabaseRecorder
from nas.search.heartbeat import Heartbeat
from nas.search.precision import measured_precision, stored_compression_precision
from nas.training import Job, Plan, Progress, train, validate
from nas.training.checkpoint import WEIGHTS, load_described, save_described
from nas.training.features import read_features, require_features
from nas.training.plan import AUTO, NONE, NOT_ADVERSARIAL
from nas.training.validation import mean_scores
from search_spaces import Genotype
from search_spaces.blocks.folding import fold, folds
from search_spaces.compressed import Compressed

CALIBRATION = 64
"""Training patches on which the ranges of activations are found."""

TEACHER, ADVERSARIAL, PRUNED = "teacher", "adversarial", "pruned"

Report = Callable[[str, Progress], None]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One stage to come: its name, and what makes it of the network before (None: there is none)."""

    name: str
    make: Callable[[Path, Stage | None], Stage]


class Pipeline:
    """A compression under way: every stage that was finished is on the disk and in the database.

    ``runs`` is the folder of all runs, ``name`` that of this one and of its study, ``features`` the file of
    VGG19's weights for an adversarial stage. ``notes`` has a line where a precision was measured. Raises
    RecipeError where source, teacher, features and plan do not fit, CheckpointError for a file of other
    weights, CompressError for a network that is compressed already, and leaderboard's StudyMismatchError
    where a run of that name was of something else.
    """

    def __init__(
        self,
        name: str,
        compression: Compression,
        source: CompressionSource,
        teacher: CompressionSource | None,
        *,
        store: Store,
        runs: Path,
        device: str = "cpu",
        benchmarks: Sequence[BenchmarkSet] = (),
        features: Path | None = None,
    ) -> None:
        self.name, self.compression, self.source, self.teacher = name, compression, source, teacher
        self.store, self.runs, self.device, self.benchmarks = store, runs, device, benchmarks
        self.scale, self.folder, self.features = source.network.scale, runs / name, features
        store.require_recounted(name)
        self.notes: list[str] = []
        self._check()
        self.compression = compression = self._with_precision()
        plan = compression.plan
        self.dataset = load_data(compression.data, self.scale, plan.lr_patch)
        self.protocol = self._protocol()
        recipe = {**self._identity, "max_drop_db": compression.max_drop_db}
        study = store.open_study(
            name,
            recipe={"scale": self.scale, "objectives": ["psnr_db", "multi_adds"], "compress": recipe},
            space_digest=Compressed.space,
            code_version=__version__,
            may_change=frozenset({"compress.max_drop_db"}),
        )
        self._recorder = DatabaseRecorder(
            store,
            study,
            [self.protocol],
            runs,
            "lead",
            claims=False,
        )
        self._heartbeat = Heartbeat(self._recorder.renew, seconds=self._recorder.lease_seconds / 4)

    def _check(self) -> None:
        plan, teacher = self.compression.plan, self.teacher
        needed = ["onnx", "onnxruntime", "onnxscript"]
        needed += ["torch_pruning"] if self.compression.prune is not None else []
        missing = [package for package in needed if importlib.util.find_spec(package) is None]
        if missing:
            raise CompressError(f"{', '.join(missing)} is missing: pip install 'paretosr[compress]'")
        if isinstance(self.source.genotype, Compressed):
            raise CompressError(
                f"{self.source.network.name} is compressed already: compress what it was made from"
            )
        if (teacher is None) != (plan.distil == NONE):
            raise RecipeError(f"distil = {plan.distil!r} with{'out' if teacher is None else ''} a teacher")
        if teacher is not None and teacher.network.scale != self.scale:
            raise RecipeError(f"the teacher is of x{teacher.network.scale}, the student of x{self.scale}")
        if teacher is not None and teacher.genotype.id == self.source.genotype.id:
            raise RecipeError(f"{teacher.network.name} is the network itself: a teacher is another one")
        if teacher is not None and not teacher.trained:
            raise RecipeError(f"{teacher.network.name} has no weights to teach from: give them")
        if self.compression.adversarial is not None:
            read_features(require_features(self.features))
        elif self.features is not None:
            raise RecipeError(f"features ({self.features}) are of no use without an adversarial stage")

    def _with_precision(self) -> Compression:
        """The compression with the precision of its run: for ``auto`` the stored or the measured one."""
        plan = self.compression.plan
        if plan.precision != AUTO:
            return self.compression
        word = stored_compression_precision(self.store, self.name) or measured_precision(
            plan, self.scale, Budget(), self.device, workers=1, say=self.notes.append
        )
        return replace(self.compression, plan=replace(plan, precision=word))

    @cached_property
    def _identity(self) -> dict[str, object]:
        """What decides the numbers of all stages."""
        told = self.compression.to_dict()
        del told["max_drop_db"]
        told["source"] = self.source.told()
        if self.teacher is not None:
            told["teacher"] = self.teacher.told()
        if self.features is not None:
            told["features"] = sha256_of(self.features)
        return told

    def _protocol(self) -> Protocol:
        asked = self.compression
        return protocol_of(
            self.dataset,
            scale=self.scale,
            data=asked.data,
            metric=asked.metric,
            plan_name="compress",
            plan=asked.plan,
            besides=[{key: value for key, value in self._identity.items() if key != "output"}],
        )

    # The stages

    def run(self, report: Report, tell: Callable[[Stage], None]) -> Compressing:
        """Make the stages that are left, and record each; the same call after any interruption goes on.

        ``report`` is called during trainings and may raise Interrupted; ``tell`` is given every stage, also
        those that were finished before. Raises leaderboard's StudyTakenError while another process is at it.
        """
        self._report = report
        self._recorder.begin()
        reason = "stopped"
        try:
            with self._heartbeat:
                result = self._stages(tell)
            reason = "stopped by max_drop_db" if result.stopped else "finished"
            return result
        finally:
            self._recorder.end(reason)

    def _stages(self, tell: Callable[[Stage], None]) -> Compressing:
        found: list[Stage] = []
        recorded = {row.genotype_id for row in self._recorder.past() if row.evaluation is not None}
        for number, step in enumerate(self._steps()):
            folder = self.folder / "stages" / f"{number}-{step.name.replace(' ', '-').replace('/', '-of-')}"
            network = next((stage for stage in reversed(found) if stage.name != TEACHER), None)
            stage = load_stage(folder)
            if stage is None:
                self._heartbeat.check()
                stage = step.make(folder, network)
                stage.save()
            else:  # its file may be older than what a cost means
                stage = replace(stage, cost=cost_of(stage.genotype, self.scale).to_dict())
            if stage.genotype.id not in recorded:
                self._record(stage)
                recorded.add(stage.genotype.id)
            found.append(stage)
            tell(stage)
            result = Compressing(stages=tuple(found), max_drop_db=self.compression.max_drop_db)
            if result.stopped:
                break
        return result

    def _record(self, stage: Stage) -> None:
        """A row of the study; repeated where another study has the very same."""
        entry = self._recorder.enter(request_of_stage(stage, self.compression.seed))
        if entry.state == "running":
            assert entry.trial is not None
            self._recorder.record(entry.trial, outcome_of_stage(stage), self._recorder.owner)
        runtime = runtime_of_stage(stage, self.scale, self.compression.output)
        if runtime is not None:
            self.store.record_runtime(runtime, space=stage.genotype.space, choices=stage.genotype.to_dict())

    def _steps(self) -> Iterator[Step]:
        asked = self.compression
        if self.teacher is not None:
            yield Step(name=TEACHER, make=partial(self._measured, self.teacher))
        if self.source.trained:
            yield Step(name="original", make=partial(self._measured, self.source))
        elif self.teacher is None:
            yield Step(name="original", make=partial(self._trained, asked.plan, self.source.genotype))
        if self.teacher is not None:
            genotype = compressed(self.source.genotype)
            yield Step(name="distilled", make=partial(self._trained, asked.plan, genotype))
        if asked.adversarial is not None:
            genotype = for_perception(self.source.genotype)
            yield Step(name=ADVERSARIAL, make=partial(self._trained, asked.against_critic, genotype))
        if asked.prune is not None:
            for number in range(1, asked.rounds + 1):
                name = PRUNED if asked.rounds == 1 else f"{PRUNED} {number}/{asked.rounds}"
                yield Step(
                    name=name, make=partial(self._pruned, asked.prune ** (number / asked.rounds), name)
                )
        if asked.quantise == "int8":
            yield Step(name="int8", make=self._quantised)

    def _measured(self, source: CompressionSource, folder: Path, before: Stage | None) -> Stage:
        """A network as it came."""
        weights = source.save(folder / WEIGHTS)
        module = load_described(weights)[2].to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        scores = self._validated(module)
        name = TEACHER if source is self.teacher else "original"
        return self._stage(name, folder, source.genotype, module, scores)

    def _trained(self, plan: Plan, genotype: Genotype, folder: Path, before: Stage | None) -> Stage:
        """Trained from where the stage before ended, or afresh."""
        begin = None if before is None else before.folder / WEIGHTS
        name = "original" if plan.distil == NONE else "distilled"
        name = name if plan.adversarial == NOT_ADVERSARIAL else ADVERSARIAL
        outcome = self._train(name, plan, genotype, folder, begin)
        return self._after(name, outcome, folder, genotype)

    def _pruned(self, kept: float, name: str, folder: Path, before: Stage | None) -> Stage:
        """Pruned to the share ``kept`` of what there was before the first round, then fine-tuned.

        Before the first round it is trained with the group lasso, where that is asked for.
        """
        assert before is not None
        asked, begin, start = self.compression, folder / "pruned.safetensors", before.folder / WEIGHTS
        sparse = None
        form, start = self._folded(before.genotype, start, folder)
        if asked.sparsity is not None and not before.name.startswith(PRUNED):
            sparse = self._train(f"{name}: sparsity", asked.sparse, form, folder / "sparse", start)
            start = folder / "sparse" / WEIGHTS
        if not begin.exists():
            whole = cost_of(self.source.genotype, self.scale).to_dict()[asked.prune_of]
            share = min(1.0, kept * whole / before.cost[asked.prune_of])
            module = load_described(start)[2]
            target = Target(**{asked.prune_of: share})
            smaller = prune(module, self.scale, target, importance=asked.importance, seed=asked.seed)
            genotype: Genotype = describe(smaller, self.source.genotype, self.scale)
            genotype = genotype if asked.adversarial is None else for_perception(genotype)
            save_described(begin, genotype, self.scale, smaller)
        genotype = load_described(begin)[0]
        outcome = self._train(name, asked.finetune, genotype, folder, begin)
        stage = self._after(name, outcome, folder, genotype)
        return (
            stage
            if sparse is None
            else replace(stage, train_seconds=stage.train_seconds + sparse.train_seconds)
        )

    def _quantised(self, folder: Path, before: Stage | None) -> Stage:
        """Trained with rounded weights and activations, then written in integers; measured as it will run."""
        assert before is not None
        form, start = self._folded(before.genotype, before.folder / WEIGHTS, folder)
        genotype = compressed(form, QUANTISED_BITS)
        outcome = self._train("int8", self.compression.quantised, genotype, folder, start)
        module = load_described(folder / WEIGHTS)[2]
        write_onnx(module, self.scale, folder / FLOAT)
        patches = Patches(
            self.dataset.train,
            scale=self.scale,
            lr_patch=self.compression.quantised.lr_patch,
            seed=self.compression.seed,
            device=torch.device("cpu"),
        )
        quantise_onnx(folder / FLOAT, folder / INT8, patches.draw(CALIBRATION)[0])
        (folder / FLOAT).unlink()
        network = OnnxNetwork(folder / INT8, cpu_threads())
        scores = validate(
            network, self.dataset.valid, self.scale, self.compression.metric, torch.device("cpu")
        )
        stage = self._stage("int8", folder, genotype, network, scores)
        return replace(
            stage,
            curve=outcome.curve,
            halvings=outcome.halvings,
            train_seconds=outcome.train_seconds,
            training_psnr_db=outcome.psnr_db,
        )

    # Their parts

    def _folded(self, genotype: Genotype, weights: Path, folder: Path) -> tuple[Genotype, Path]:
        """The genotype and the weights of the network in use, written once where it has branches to fold."""
        module = load_described(weights)[2]
        if not folds(module):
            return genotype, weights
        folded, path = fold(module), folder / "folded.safetensors"
        form = describe(folded, genotype, self.scale)
        save_described(path, form, self.scale, folded)
        return form, path

    def _train(self, name: str, plan: Plan, genotype: Genotype, folder: Path, begin: Path | None) -> Training:
        """Train, or read what a training that ended before an interruption found."""

        def report(progress: Progress) -> None:
            self._heartbeat.check()
            self._report(name, progress)

        teacher = None
        if self.teacher is not None:
            teacher = self.teacher.save(self.folder / "stages" / f"0-{TEACHER}" / WEIGHTS)
        job = Job(
            genotype=genotype,
            scale=self.scale,
            plan=plan,
            data=self.compression.data,
            metric=self.compression.metric,
            seed=self.compression.seed,
            device=self.device,
            threads=cpu_threads(),
            folder=folder,
            teacher=teacher,
            features=None if plan.adversarial == NOT_ADVERSARIAL else self.features,
            begin_weights=begin,
        )
        known = load_training(folder)
        if known is None:
            known = Training.of(train(job, report))
            known.save(folder)
        return known

    def _after(self, name: str, outcome: Training, folder: Path, genotype: Genotype) -> Stage:
        """The stage of a training."""
        module = load_described(folder / WEIGHTS)[2].to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        stage = self._stage(name, folder, genotype, module, outcome.per_image)
        return replace(
            stage,
            curve=outcome.curve,
            halvings=outcome.halvings,
            train_seconds=outcome.train_seconds,
        )

    def _validated(self, module: nn.Module) -> dict[str, tuple[float, float]]:
        asked, device = self.compression, torch.device(self.device)
        return validate(module, self.dataset.valid, self.scale, asked.metric, device)

    def _stage(
        self,
        name: str,
        folder: Path,
        genotype: Genotype,
        module: nn.Module,
        scores: dict[str, tuple[float, float]],
    ) -> Stage:
        """What a network reaches and costs; its ONNX file is written where it is not one already."""
        psnr_db, ssim = mean_scores(scores)
        file, note = folder / INT8, ""
        if not isinstance(module, OnnxNetwork):
            file = folder / FLOAT
            try:
                write_onnx(load_described(folder / WEIGHTS)[2], self.scale, file)
            except ExportError as error:
                file, note = folder / WEIGHTS, f"no ONNX file: {error}"
        latency = None
        if file.suffix == ".onnx":
            run = partial(OnnxNetwork, file, cpu_threads())
            found = measure_latency(run, self.scale, torch.device("cpu"), self.compression.output)
            latency = found.p5_ms, found.median_ms, found.p95_ms
        cpu = isinstance(module, OnnxNetwork) or self.device == "cpu"
        stage = Stage(
            name=name,
            folder=folder,
            genotype=genotype,
            cost=cost_of(genotype, self.scale).to_dict(),
            psnr_db=psnr_db,
            ssim=ssim,
            bytes=file.stat().st_size,
            per_image={image: list(both) for image, both in scores.items()},
            device=device_name(torch.device("cpu" if cpu else self.device)),
            latency_ms=latency,
            threads=cpu_threads(),
            note=note,
        )
        return replace(stage, benchmarks=self._benchmarks(stage, module))

    def _benchmarks(self, stage: Stage, module: nn.Module) -> dict[str, list[float | None]]:
        """PSNR and SSIM on each set, which are kept as measurements, too."""
        asked, told = self.compression, {}
        in_integers = isinstance(module, OnnxNetwork)
        network = Network(
            name=stage.genotype.id,
            source=str(stage.folder),
            scale=self.scale,
            module=module,
            genotype=stage.genotype,
            weights=sha256_of(stage.folder / INT8)[:16] if in_integers else digest_weights(module),
            file_sha256=sha256_of(stage.folder / WEIGHTS),
        )
        device = "cpu" if in_integers else self.device
        for one in self.benchmarks:
            self._heartbeat.check()
            images = read_benchmark(one, self.scale)
            scores = measure_network(network, images, asked.metric, torch.device(device))
            about = {"benchmark": one.name, "metric": asked.metric, "device": device}
            keep_scores(self.store, scores, network, scale=self.scale, **about)
            told[one.name] = [scores.psnr_db, scores.ssim if scores.ssim == scores.ssim else None]
        return told


@dataclass(frozen=True, kw_only=True)
class Compressing:
    """The stages of a pipeline so far, in their order."""

    stages: tuple[Stage, ...]
    max_drop_db: float

    @property
    def reference(self) -> Stage | None:
        """What drops are counted from at first: the first network that is not the teacher."""
        return next((stage for stage in self.stages if stage.name != TEACHER), None)

    def reference_of(self, stage: Stage) -> Stage | None:
        """What the drop of ``stage`` is counted from; None for the teacher.

        After the adversarial stage, which gives PSNR away on purpose, that is this stage.
        """
        if stage.name == TEACHER:
            return None
        before = self.stages[: self.stages.index(stage)]
        return next((one for one in before if one.name == ADVERSARIAL), self.reference)

    def drop_db(self, stage: Stage) -> float | None:
        """How far a stage is below its reference, in dB; None for the teacher."""
        reference = self.reference_of(stage)
        return None if reference is None else reference.psnr_db - stage.psnr_db

    @property
    def stopped(self) -> Stage | None:
        """The stage that lost too much; None where none did. The adversarial one cannot: it is meant to."""
        bounded = (stage for stage in self.stages if stage.name != ADVERSARIAL)
        return next((stage for stage in bounded if (self.drop_db(stage) or 0) > self.max_drop_db), None)

    @property
    def good(self) -> Stage | None:
        """The last stage that did not lose too much."""
        return next((s for s in reversed(self.stages) if s.name != TEACHER and s is not self.stopped), None)

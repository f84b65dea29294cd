"""``nas compress``: distil, sharpen, prune and quantise a network, one resumable stage after the other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.model_options import Given, ModelOptions, meets_spaces, takes
from nas.cli.options import Db, Device, Runs, again, benchmarks_to_measure, open_store, store_reader
from nas.core.fields import Help

if TYPE_CHECKING:
    from nas.compression.compression import Compression
    from nas.compression.pipeline import Compressing
    from nas.compression.source import CompressionSource
    from nas.compression.stages import Stage
    from nas.training import Plan


What = Annotated[
    str,
    typer.Argument(
        metavar="WHAT",
        help="A run, a genotype's id, FILE.safetensors, FILE.pth (released weights), or a published name "
        "(trained from fresh weights where --weights gives none).",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The networks, files and the plan of a compression."""

    distil_from: Annotated[
        str | None,
        Help(
            "The teacher, named like WHAT.",
            option="--distil-from --distill-from",
            metavar="BIG",
            unset="no teacher",
        ),
    ] = None
    distil: Annotated[str, Help("How it teaches: output, at or afd.")] = "at"
    adversarial: Annotated[
        bool,
        Help(
            "After L1, train against a critic and VGG19's features; PSNR usually falls.",
            option="--adversarial",
        ),
    ] = False
    features: Annotated[
        Path | None,
        Help(
            "For --adversarial: weights of VGG19 as torchvision names them, .pth or .safetensors.",
            unset="none",
        ),
    ] = None
    plan: Annotated[str, Help("Named plan of every training.")] = "longer"
    steps: Annotated[int | None, Help("Steps of a training.", unset="the plan's")] = None
    data_dir: Annotated[Path | None, Help("Folder of the benchmark sets.", unset="NAS_DATA")] = None
    sets: Annotated[
        tuple[str, ...], Help("Only these benchmark sets: Set5,Set14.", unset="all in the folder")
    ] = ()
    scale: Annotated[int | None, Help("Factor of enlargement: 2, 3 or 4.", unset="the weights' own")] = None
    weights: Annotated[
        Path | None,
        Help("Weights of WHAT: .safetensors or .pth.", unset="its own, or fresh ones"),
    ] = None
    teacher_weights: Annotated[Path | None, Help("Weights of BIG, likewise.", unset="its own")] = None
    output: Annotated[str, Help("Size of the enlarged image whose latency is measured.")] = "1280x720"
    name: Annotated[str | None, Help("Name of the run and of its folder.", unset="made of WHAT")] = None


@meets_spaces
@takes(
    given=ModelOptions("nas.cli.compress:Inputs"),
    asked=ModelOptions("nas.compression.compression:Compression"),
)
def compress(
    what: What,
    given: Given,
    asked: Given,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a field of the plan.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    device: Device = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Distil, prune and quantise a network; every stage is measured and is a row of a run of its own.

    The same command again goes on where it stopped. Exit status 1 where a stage lost more than --max-drop-db:
    then the stages after it are left out, and the last good one is told.
    """
    from nas.cli.signals import watch_signals
    from nas.compression.pipeline import Pipeline
    from nas.core.device import pick_device
    from nas.errors import Interrupted

    inputs = Inputs(**given)
    compression = _compression(inputs, asked, settings or [])
    found = _Finder(runs, db)
    source = found.network(what, inputs.scale, inputs.weights, fresh=True)
    teacher = None
    if inputs.distil_from is not None:
        at = source.network.scale
        teacher = found.network(inputs.distil_from, at, inputs.teacher_weights, fresh=False)
    run = inputs.name or re.sub(r"[^A-Za-z0-9._-]+", "-", f"compressed-{source.network.name}")[:100]
    with watch_signals() as stop, open_store(runs, db) as store:
        display = _Display(stop, as_json)
        try:
            pipeline = Pipeline(
                _checked(run),
                compression,
                source,
                teacher,
                store=store,
                runs=runs,
                device=pick_device(device or "auto"),
                benchmarks=benchmarks_to_measure(inputs.data_dir, inputs.sets),
                features=inputs.features,
            )
            display.begin(run, source.network.scale, pipeline.protocol.bicubic_psnr_db, pipeline.notes)
            result = pipeline.run(display.report, display.finished)
        except Interrupted:
            display.close()
            typer.echo("Stopped. What is finished is kept; the same command goes on from there.", err=True)
            raise typer.Exit(stop.status) from None
        display.close()
    _conclude(result, compression, again("front", run, runs=runs, db=db), as_json)


def _compression(inputs: Inputs, asked: Given, settings: list[str]) -> Compression:
    """The compression of the command line."""
    from nas.compression.compression import Compression
    from nas.training.features import require_features

    if inputs.adversarial:
        require_features(inputs.features)
    taught = _plan(inputs.plan, inputs.steps, settings, inputs.distil if inputs.distil_from else None)
    plan, comparing = _adversarial(taught, inputs.adversarial)
    usual = {"finetune_steps": max(1, plan.steps // 2)}
    return Compression(plan=plan, adversarial=comparing, output=_size(inputs.output), **{**usual, **asked})


class _Finder:
    """Networks by the words of the command line."""

    def __init__(self, runs: Path, db: str | None) -> None:
        self.runs, self.db = runs, db

    def network(
        self, word: str, scale: int | None, weights: Path | None, *, fresh: bool
    ) -> CompressionSource:
        """A network with its weights; ``fresh``: a published name may come without."""
        from nas.compression.source import CompressionSource
        from nas.errors import RecipeError
        from nas.evaluation.benchmark_sets import SCALE, Network, load_network
        from search_spaces.named import genotype_of
        from search_spaces.published import PUBLISHED

        if scale not in (None, 2, 3, 4):
            raise RecipeError(f"--scale {scale}: 2, 3 or 4")
        if fresh and weights is None and word in PUBLISHED:
            at = scale or SCALE
            genotype = genotype_of(word, PUBLISHED[word], at)
            module = genotype.build(at)
            network = Network(name=word, source="fresh", scale=at, module=module, genotype=genotype)
            return CompressionSource.of(network, trained=False)
        network = load_network(
            word,
            scale=scale,
            weights=weights,
            runs=self.runs,
            open_store=store_reader(self.runs, self.db),
        )
        return CompressionSource.of(network, trained=True)


class _Display:
    """A bar while a stage trains, a row of the table when it is over."""

    def __init__(self, stop: Any, quiet: bool) -> None:
        self.stop, self.quiet = stop, quiet
        self._training: Any = None
        self._name = ""
        self._reference: float | None = None

    def begin(self, run: str, scale: int, bicubic_psnr_db: float, notes: list[str]) -> None:
        """The head of the table."""
        if not self.quiet:
            typer.echo("\n".join([f"Run {run!r}, x{scale}: bicubic {bicubic_psnr_db:.3f} dB", *notes]))

    def report(self, name: str, progress: Any) -> None:
        """Between two steps of a stage's training."""
        from nas.cli.display import TrainingDisplay

        self.stop.check()
        if self.quiet:
            return
        if self._training is None or self._name != name:
            self.close()
            self._name, self._training = name, TrainingDisplay(name).__enter__()
        self._training.show(progress)

    def finished(self, stage: Stage) -> None:
        """A stage is over."""
        self.close()
        if not self.quiet:
            typer.echo(f"{stage.name}: {stage.psnr_db:.3f} dB  ({stage.genotype.id}, {stage.folder})")

    def close(self) -> None:
        """Take the bar down."""
        if self._training is not None:
            self._training.__exit__(None, None, None)
            self._training = None


def _plan(name: str, steps: int | None, settings: list[str], distil: str | None) -> Plan:
    """The plan of the trainings with what the command line changes."""
    from nas.errors import RecipeError
    from nas.training import named_plan
    from nas.training.plan import parse_changes

    changes: dict[str, Any] = {} if steps is None else {"steps": steps}
    changes |= parse_changes(settings)
    for field in ("distil", "quantise_bits"):
        if field in changes:
            raise RecipeError(f"--set {field}: this is what --distil and --quantise are for")
    if "group_lasso" in changes:
        raise RecipeError("--set group_lasso: this is what --sparsity is for")
    if distil is not None:
        changes["distil"] = distil
    return named_plan(name, **changes)


def _adversarial(plan: Plan, asked: bool) -> tuple[Plan, str | None]:
    """The plan of the trainings before the critic's, and how the critic compares where there is one."""
    from dataclasses import replace

    from nas.errors import RecipeError
    from nas.training.plan import NOT_ADVERSARIAL, USUAL

    kind = plan.adversarial
    if kind != NOT_ADVERSARIAL and not asked:
        raise RecipeError(f"--set adversarial={kind}: says how --adversarial compares; give that, too")
    plain = replace(plan, adversarial=NOT_ADVERSARIAL)
    return plain, (USUAL if kind == NOT_ADVERSARIAL else kind) if asked else None


def _size(word: str) -> tuple[int, int]:
    """Height and width from ``1280x720``."""
    from nas.errors import RecipeError

    width, sign, height = word.partition("x")
    if not sign or not width.isdecimal() or not height.isdecimal() or min(int(width), int(height)) < 64:
        raise RecipeError(f"--output {word!r}: WIDTHxHEIGHT is needed, 64x64 at least")
    return int(height), int(width)


def _checked(run: str) -> str:
    from leaderboard.names import RUN_NAME
    from nas.errors import RecipeError

    if RUN_NAME.fullmatch(run) is None:
        raise RecipeError(f"--name {run!r}: letters, digits, '.', '_' and '-' are needed, 100 at most")
    return run


def _conclude(result: Compressing, compression: Compression, front: str, as_json: bool) -> None:
    """The table, and whether it went to the end."""
    import json

    if as_json:
        typer.echo(json.dumps(_told(result), indent=2))
    else:
        _print(result, compression)
    stopped, good = result.stopped, result.good
    if stopped is not None and good is not None:
        reference = result.reference_of(stopped)
        assert reference is not None
        below = f"{result.drop_db(stopped):.3f} dB below {reference.name}"
        typer.echo(
            f"Stopped: {stopped.name} is {below}, and --max-drop-db is {compression.max_drop_db:g}; "
            f"the last good stage is {good.name}: {good.folder}",
            err=as_json,
        )
        raise typer.Exit(1)
    if not as_json:
        typer.echo(f"Next:\n  {front}   the stages as a front")


def _told(result: Compressing) -> dict[str, Any]:
    rows = []
    for stage in result.stages:
        row = {name: value for name, value in vars(stage).items() if name not in ("curve", "per_image")}
        row |= {"genotype": stage.genotype.id, "folder": str(stage.folder), "drop_db": result.drop_db(stage)}
        reference = result.reference_of(stage)
        row["drop_from"] = None if reference is None else reference.name
        rows.append(row)
    stopped = None if result.stopped is None else result.stopped.name
    return {"stages": rows, "stopped": stopped, "good": None if result.good is None else result.good.name}


def _print(result: Compressing, compression: Compression) -> None:
    from nas.compression.pipeline import ADVERSARIAL
    from nas.core.units import format_count

    sets = list(dict.fromkeys(name for stage in result.stages for name in stage.benchmarks))
    names = [f"{'stage':<12}", "params", "Multi-Adds", f"{'bytes':>9}", f"{'ms':>8}", "PSNR dB", "   drop"]
    typer.echo("  ".join([*names, *(f"{name:>8}" for name in sets)]))
    for stage in result.stages:
        drop = result.drop_db(stage)
        row = [
            f"{stage.name:<12}",
            f"{format_count(stage.cost['params']):>6}",
            f"{format_count(stage.cost['multi_adds']):>10}",
            f"{stage.bytes:>9}",
            f"{'none' if stage.median_ms is None else f'{stage.median_ms:.1f}':>8}",
            f"{stage.psnr_db:>7.3f}",
            f"{'' if drop is None else f'{drop:+.3f}':>7}",
        ]
        scores = [stage.benchmarks.get(name, [None])[0] for name in sets]
        typer.echo("  ".join([*row, *(f"{'' if s is None else f'{s:.3f}':>8}" for s in scores)]))
    height, width = compression.output
    last = result.stages[-1]
    typer.echo(
        f"Bytes of the ONNX file; milliseconds of ONNX Runtime on this CPU ({last.threads} threads) for an "
        f"output of {width}x{height}; PSNR on the images held out."
    )
    sharpened = next((stage for stage in result.stages if stage.name == ADVERSARIAL), None)
    if sharpened is not None:
        typer.echo(
            f"{sharpened.name}: trained for perception, not for PSNR; --max-drop-db does not bound its drop, "
            "and drops after it are counted from it."
        )
    for stage in result.stages:
        if stage.training_psnr_db is not None:
            typer.echo(f"{stage.name}: its training ended at {stage.training_psnr_db:.3f} dB in float32.")
        if stage.note:
            typer.echo(f"{stage.name}: {stage.note}")

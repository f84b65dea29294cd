"""``nas measure``: how long networks take, and how much memory, side by side on the device at hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.model_options import meets_spaces
from nas.cli.options import Db, Device, Runs, between_commas, open_store, store_reader

if TYPE_CHECKING:
    from nas.measuring.measure import MeasurementSetting, Row, Subject


@meets_spaces
def measure(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="WHAT...",
            help="Runs, genotypes' ids or files, FILE.safetensors, FILE.pth (released weights), FILE.onnx, "
            "published names, MODULE:FUNCTION.",
        ),
    ],
    scale: Annotated[int | None, typer.Option(help="2, 3 or 4; a file's own, else 4, if not given.")] = None,
    output: Annotated[str, typer.Option(help="Size of the enlarged image: WIDTHxHEIGHT.")] = "1280x720",
    input: Annotated[str | None, typer.Option(help="Size of the small image instead: WIDTHxHEIGHT.")] = None,
    engine: Annotated[str, typer.Option(help="eager, compiled, onnxruntime; several with commas.")] = "eager",
    precision: Annotated[
        str, typer.Option(help="fp32, tf32, bf16, fp16, int8 (onnxruntime); several with commas.")
    ] = "fp32",
    batch: Annotated[int, typer.Option(min=1, max=4096, help="Images at once.")] = 1,
    times: Annotated[int, typer.Option(min=1, max=1_000_000, help="Inferences that count, of each.")] = 10,
    threads: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Of the CPU; half of its cores if not given.")
    ] = None,
    memory: Annotated[bool, typer.Option(help="Measure the peak memory, too.")] = True,
    record: Annotated[bool, typer.Option(help="Keep the result in the database.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    device: Device = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Measure latency, throughput and peak memory of networks in turns, in one run.

    Networks without weights get random ones: time and memory do not depend on their values.
    """
    import json
    from functools import partial

    import torch

    from nas.core.device import cpu_threads, pick_device
    from nas.measuring.measure import MeasurementSetting, measure_networks

    setting = MeasurementSetting(
        device=torch.device(pick_device(device or "cpu")),
        threads=threads or cpu_threads(),
        size=_size(input or output, "--output" if input is None else "--input"),
        of_input=input is not None,
        batch=batch,
        runs=times,
        memory=memory,
    )
    subjects = [_subject(word, scale, runs, db) for word in what]
    tell = partial(typer.echo, err=True) if _watched() else (lambda text: None)
    rows = measure_networks(subjects, _words(engine), _words(precision), setting, tell)
    if record:
        _keep(rows, setting, runs, db)
    told = _about(setting) | {"rows": [_plain(row, rows) for row in rows]}
    typer.echo(json.dumps(told, indent=2) if as_json else _table(told))
    if all(row.latency is None for row in rows):
        raise typer.Exit(1)


def _watched() -> bool:
    import sys

    return sys.stderr.isatty()


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(between_commas(text)))


def _size(text: str, option: str) -> tuple[int, int]:
    """Height and width from WIDTHxHEIGHT."""
    import re

    from nas.errors import RecipeError

    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
    if match is None or min(int(side) for side in match.groups()) < 1:
        raise RecipeError(f"{option} {text!r} is no size (write WIDTHxHEIGHT: 1280x720)")
    return int(match[2]), int(match[1])


def _subject(word: str, scale: int | None, runs: Path, db: str | None) -> Subject:
    """The network that a word means, with its weights where the word has some."""
    import torch

    from nas.errors import RecipeError
    from nas.evaluation.benchmark_sets import SCALE, load_network
    from nas.measuring.measure import Subject
    from nas.networks.released.reading import is_released_file
    from nas.networks.resolving import find_architecture

    if scale not in (None, 2, 3, 4):
        raise RecipeError(f"--scale {scale}: 2, 3 or 4")
    if word.endswith(".onnx"):
        return _file(Path(word), scale)
    opened = store_reader(runs, db)
    named = False
    if opened is not None:
        with opened() as store:
            named = word in {study.name for study in store.studies()}
    if named or word.endswith(".safetensors") or is_released_file(word):
        found = load_network(word, scale=scale, weights=None, runs=runs, open_store=opened)
        name = found.name if found.genotype is None else found.genotype.id
        return Subject(
            name=name, scale=found.scale, module=found.module, genotype=found.genotype, weights=found.source
        )
    architecture = find_architecture(word, opened)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = architecture.build(scale or SCALE)
    genotype, published = architecture.genotype_at(scale or SCALE), architecture.published
    return Subject(
        name=genotype.id if genotype is not None and published is None else architecture.name,
        scale=scale or SCALE,
        module=module,
        genotype=genotype,
        published=None if published is None else architecture.name,
    )


def _file(path: Path, scale: int | None) -> Subject:
    from nas.errors import RecipeError
    from nas.export.onnx import OnnxNetwork
    from nas.measuring.measure import Subject

    if not path.is_file():
        raise RecipeError(f"{path}: there is no such file")
    of_file = OnnxNetwork(path).scale
    if scale not in (None, of_file):
        raise RecipeError(f"{path}: is for x{of_file}, not for x{scale}")
    return Subject(name=str(path), scale=of_file, file=path, weights=str(path))


def _keep(rows: list[Row], setting: MeasurementSetting, runs: Path, db: str | None) -> None:
    """Into the database, all but what came from an ONNX file: nothing there says which network that is."""
    from nas.measuring.measure import runtime_of

    kept = [row for row in rows if row.latency is not None and row.subject.file is None]
    if not kept:
        return
    with open_store(runs, db) as store:
        for row in kept:
            genotype = row.subject.genotype
            store.record_runtime(
                runtime_of(row, setting),
                space="" if genotype is None else genotype.space,
                choices={} if genotype is None else genotype.to_dict(),
                name=row.subject.published,
            )


def _about(setting: MeasurementSetting) -> dict[str, Any]:
    import torch

    from nas.cost.latency import processor

    return {
        "device": processor(setting.device),
        "threads": setting.threads if setting.device.type == "cpu" else 0,
        "input" if setting.of_input else "output": [setting.size[1], setting.size[0]],
        "batch": setting.batch,
        "times": setting.runs,
        "torch": torch.__version__,
    }


def _plain(row: Row, rows: list[Row]) -> dict[str, Any]:
    """A row as JSON has it; ``ratio`` is its median over that of the first row that has one."""
    subject, latency = row.subject, row.latency
    first = next((one.latency for one in rows if one.latency is not None), None)
    ratio = None if latency is None or first is None else latency.median_ms / first.median_ms
    return {
        "network": subject.name,
        "genotype": None if subject.genotype is None else subject.genotype.id,
        "scale": subject.scale,
        "weights": subject.weights,
        "engine": row.engine,
        "precision": row.precision,
        **(dict.fromkeys(("median_ms", "p5_ms", "p95_ms")) if latency is None else vars(latency)),
        "ratio": ratio,
        "images_a_second": row.images_a_second,
        "megapixels_a_second": row.megapixels_a_second,
        "peak_memory_bytes": row.peak_memory_bytes,
        "reason": row.reason,
    }


def _table(told: dict[str, Any]) -> str:
    from tabulate import tabulate

    threads = f", {told['threads']} threads" if told["threads"] else ""
    side = "input" if "input" in told else "output"
    size = "x".join(str(number) for number in told[side])
    head = f"{told['device']}{threads}, torch {told['torch']}; {side} {size}, batch {told['batch']}, "
    head += f"{told['times']} runs each, taking turns"
    names = ("network", "", "engine", "precision", "ms", "5-95 %", "ratio", "images/s", "MP/s", "memory")
    cells = [_cells(row) for row in told["rows"]]
    table = tabulate(cells, names, disable_numparse=True, colalign=("left",) * 4 + ("right",) * 6)
    notes = [
        f"{row['network']}, {row['engine']}, {row['precision']}: {row['reason']}"
        for row in told["rows"]
        if row["reason"]
    ]
    if any(row["weights"] == "random" for row in told["rows"]):
        notes.append("Weights of networks that were named only are random: time and memory are the same.")
    return "\n".join([head, "", table, *([""] if notes else []), *notes])


def _cells(row: dict[str, Any]) -> list[str]:
    start = [row["network"], f"x{row['scale']}", row["engine"], row["precision"]]
    if row["median_ms"] is None:
        return [*start, *["-"] * 6]
    memory = row["peak_memory_bytes"]
    return [
        *start,
        f"{row['median_ms']:.1f}",
        f"{row['p5_ms']:.1f}-{row['p95_ms']:.1f}",
        f"{row['ratio']:.3f}",
        f"{row['images_a_second']:.2f}",
        f"{row['megapixels_a_second']:.2f}",
        "-" if memory is None else f"{memory / 1e6:,.0f} MB",
    ]

"""``nas evaluate``: PSNR and SSIM on the benchmark sets."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.model_options import meets_spaces
from nas.cli.options import DataDir, Db, Device, Runs, between_commas, open_store, store_reader
from nas.cli.scores import about, row_of, show_all

if TYPE_CHECKING:
    import torch

    from leaderboard.store import Store
    from nas.data.benchmarks import BenchmarkSet
    from nas.evaluation.benchmark_sets import Network, Scores
    from nas.imaging.tiling import Tiling


Format = Annotated[str, typer.Option("--format", help="Of --table: table, markdown, latex, csv or json.")]
Near = Annotated[
    str,
    typer.Option(
        metavar="FACTOR|all",
        help="Of --table: published networks within this factor of the measured cost (2: half to twice), "
        "or all; about a dozen, the nearest, if not given.",
    ),
]


@meets_spaces
def evaluate(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHAT]...",
            help="A run, a genotype's id, FILE.safetensors, FILE.pth (released weights), a published name or "
            "MODULE:FUNCTION (with --weights), or bicubic. With --table none is all that was measured.",
        ),
    ] = None,
    scale: Annotated[int | None, typer.Option(help="2, 3 or 4; the weights' own if not given.")] = None,
    metric: Annotated[str, typer.Option(help="y_float, y_uint8 or rgb.")] = "y_float",
    data_dir: DataDir = None,
    sets: Annotated[str, typer.Option(help="Only these: Set5,Set14. With --table, its columns.")] = "",
    weights: Annotated[Path | None, typer.Option(help="Weights: .safetensors or .pth.")] = None,
    self_ensemble: Annotated[
        bool, typer.Option("--self-ensemble", help="Average over eight flips and turns: 8 times the cost.")
    ] = False,
    table: Annotated[
        bool, typer.Option("--table", help="The papers' table, with the published networks around.")
    ] = False,
    format: Format = "table",
    near: Near = "",
    sr: Annotated[Path | None, typer.Option(help="Folder of enlarged images, instead of WHAT.")] = None,
    hr: Annotated[Path | None, typer.Option(help="Folder of their high resolution.")] = None,
    tile: Annotated[int, typer.Option(help="Compute in tiles of about so many LR pixels; 0: whole.")] = 0,
    per_image: Annotated[bool, typer.Option("--per-image", help="A row an image, too.")] = False,
    record: Annotated[bool, typer.Option(help="Keep the result in the database.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    device: Device = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Measure networks, bicubic, or a folder of images: a row a benchmark set, or the papers' table."""
    import json

    from nas.errors import RecipeError

    words = what or []
    how = _How(scale, metric, weights, self_ensemble, tile, record, device, runs, db)
    how.check(words)
    factor = _near(near, table)
    if table:
        if sr is not None or hr is not None or not record:
            raise RecipeError("--table shows what is in the database: without --sr, --hr and --no-record")
        typer.echo(_table(words, how, data_dir, sets, format, factor))
        return
    if (not words) == (sr is None) or (sr is None) != (hr is None):
        raise RecipeError("name a network, or give both --sr DIR and --hr DIR")
    if self_ensemble and (not words or BICUBIC in words):
        raise RecipeError("--self-ensemble averages a network's outputs; folders and bicubic have none")
    chosen = _sets(data_dir, sets) if words else []
    told = [_bicubic(chosen, how) if word == BICUBIC else _network(word, chosen, how) for word in words]
    if sr is not None and hr is not None:
        told = [_folders(sr, hr, scale, metric)]
    if as_json:
        typer.echo(json.dumps(told if len(told) > 1 else told[0], indent=2))
    else:
        show_all(told, per_image)


BICUBIC = "bicubic"


@dataclass(frozen=True)
class _How:
    """The options that say how something is measured, and where that is kept."""

    scale: int | None
    metric: str
    weights: Path | None
    self_ensemble: bool
    tile: int
    record: bool
    device: str | None
    runs: Path
    db: str | None

    def check(self, words: list[str]) -> None:
        """Raise RecipeError for a value that is not allowed."""
        from nas.errors import RecipeError, unknown
        from nas.metrics.fidelity import METRICS

        if self.metric not in METRICS:
            raise unknown("metric", self.metric, METRICS)
        if self.scale not in (None, 2, 3, 4):
            raise RecipeError(f"--scale {self.scale}: 2, 3 or 4")
        if self.tile < 0 or 0 < self.tile < 48:
            raise RecipeError(f"--tile {self.tile}: 0 for whole images, or at least 48 LR pixels")
        if self.weights is not None and len(words) > 1:
            raise RecipeError(f"--weights {self.weights} belong to one network, and {len(words)} are named")

    def keep(self) -> Callable[[], Store] | None:
        return (lambda: open_store(self.runs, self.db)) if self.record else None

    def place(self) -> torch.device:
        import torch

        from nas.core.device import cpu_threads, pick_device

        place = torch.device(pick_device(self.device or "auto"))
        if place.type == "cpu":
            torch.set_num_threads(cpu_threads())
        return place


def _sets(data_dir: Path | None, sets: str) -> list[BenchmarkSet]:
    from nas.data.benchmarks import choose_benchmarks, data_folder

    names = between_commas(sets)
    return choose_benchmarks(data_folder(data_dir), names)


def _folders(sr: Path, hr: Path, scale: int | None, metric: str) -> dict[str, Any]:
    from nas.errors import RecipeError
    from nas.evaluation.benchmark_sets import measure_folders

    if scale is None:
        raise RecipeError("--sr and --hr need --scale: so many pixels are cut from each side")
    scores = measure_folders(sr, hr, scale, metric)
    return {**about(str(sr), f"against {hr}", scale, metric), "sets": [row_of(hr.name, scores)]}


def _bicubic(chosen: list[BenchmarkSet], how: _How) -> dict[str, Any]:
    from nas.data.benchmarks import read_benchmark
    from nas.evaluation.benchmark_sets import SCALE, measure_bicubic

    at = how.scale or SCALE
    rows = []
    for one in chosen:
        scores = measure_bicubic(read_benchmark(one, at), at, how.metric)
        _keep(scores, None, one.name, at, how.metric, "cpu", how.keep())
        rows.append(row_of(one.name, scores))
    origin = "as papers print it: LR not rounded" if how.metric == "y_float" else "from 8-bit LR"
    return {**about(BICUBIC, origin, at, how.metric), "sets": rows}


def _network(what: str, chosen: list[BenchmarkSet], how: _How) -> dict[str, Any]:
    from nas.data.benchmarks import read_benchmark
    from nas.evaluation.benchmark_sets import load_network, measure_network
    from nas.evaluation.self_ensemble import self_ensembled
    from nas.imaging.tiling import plan_tiling

    network = load_network(
        what,
        scale=how.scale,
        weights=how.weights,
        runs=how.runs,
        open_store=store_reader(how.runs, how.db),
    )
    place = how.place()
    network.module.to(place)
    tiling: Tiling | None = plan_tiling(network.module, network.scale, how.tile, place) if how.tile else None
    told = about(network.name, network.source, network.scale, how.metric)
    if how.self_ensemble:
        network = self_ensembled(network)
        told |= {"network": network.name, "self_ensemble": _ensemble_words(network)}
    rows = []
    for one in chosen:
        images = read_benchmark(one, network.scale)
        scores = measure_network(network, images, how.metric, place, tiling)
        _keep(scores, network, one.name, network.scale, how.metric, str(place), how.keep())
        rows.append(row_of(one.name, scores))
    if network.origin and how.metric == "y_float" and not how.self_ensemble:
        _add_figures(rows, network)
    if network.origin:
        told |= {"released": network.origin, "file": Path(what if how.weights is None else how.weights).name}
    told["genotype"] = None if network.genotype is None else network.genotype.id
    told["weights"] = network.weights
    told["tiles"] = None if tiling is None else tiling.told()
    return {**told, "sets": rows}


def _add_figures(rows: list[dict[str, Any]], network: Network) -> None:
    """What the authors' code reaches with the same weights, and what papers print of the network."""
    from nas.evaluation.released_figures import figures_of

    figures = figures_of(network.name, network.scale, str(network.origin.get("sha256", "")))
    for row in rows:
        name = row["name"]
        row["authors_code"] = [
            {"psnr_db": figure.measured[name], "data": figure.data}
            for figure in figures
            if name in figure.measured
        ]
        row["printed"] = [
            {"psnr_db": figure.printed[name], "data": figure.data, "in": figure.printed_in}
            for figure in figures
            if name in figure.printed
        ]


def _ensemble_words(network: Network) -> str:
    """What the average over flips and turns costs."""
    from nas.core.units import format_count
    from nas.cost.counting import cost_of
    from nas.evaluation.self_ensemble import WAYS

    words = f"self-ensemble: mean of {WAYS} flips and turns, {WAYS} times the Multi-Adds"
    if network.genotype is None:
        return words
    once = cost_of(network.genotype, network.scale).multi_adds
    return f"{words} ({WAYS} x {format_count(once)} = {format_count(WAYS * once)})"


def _near(text: str, table: bool) -> float | None:
    """The factor that ``--near`` means; None where it is not given."""
    import math

    from leaderboard.tables.window import ALL
    from nas.errors import RecipeError

    if text and not table:
        raise RecipeError(f"--near {text} narrows the papers' table: add --table")
    if text in ("all", "0"):
        return ALL
    if not text:
        return None
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 1 <= factor < math.inf:
        raise RecipeError(f"--near {text}: a factor of 1 or more (2: half to twice the cost), or all")
    return factor


def _table(
    words: list[str], how: _How, data_dir: Path | None, sets: str, format: str, near: float | None
) -> str:
    """The papers' table of these networks; what was not measured yet is, where the sets are found."""
    import pandas as pd

    from leaderboard.tables.paper import FORMATS, MARKS, NOTE
    from nas.errors import unknown
    from nas.evaluation.paper_tables import papers_tables

    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    named = data_dir is not None or bool(os.environ.get("NAS_DATA"))
    if words and (named or how.weights is not None):
        chosen = _sets(data_dir, sets)
        names = [name for word in words for name in _measured(word, chosen, how)]
    else:
        names = words
    with open_store(how.runs, how.db, read_only=True) as store:
        tables = papers_tables(
            store,
            names,
            scale=how.scale,
            metric=how.metric,
            builders=words,
            sets=between_commas(sets),
            near=near,
        )
    if format not in MARKS:
        for at, table in tables.items():
            typer.echo(f"x{at}: {table.note}", err=True)
        return FORMATS[format](pd.concat([table.rows for table in tables.values()])).rstrip("\n")
    comment = "% " if format == "latex" else ""
    heading = "**x{}, measured with {}**" if format == "markdown" else f"{comment}x{{}}, measured with {{}}"
    parts = [
        f"{heading.format(at, how.metric)}\n\n{FORMATS[format](table.rows)}\n\n{comment}{table.note}\n"
        for at, table in tables.items()
    ]
    return "\n".join([*parts, f"{comment}{MARKS[format]} {NOTE}"])


def _measured(word: str, chosen: list[BenchmarkSet], how: _How) -> list[str]:
    """Measure what ``word`` means on the sets, where that was not done; the names it has in the database."""
    from nas.evaluation.benchmark_sets import measure_missing
    from nas.evaluation.paper_tables import networks_meant
    from nas.evaluation.self_ensemble import self_ensembled
    from nas.imaging.tiling import plan_tiling

    if word == BICUBIC:
        for scale in (2, 3, 4) if how.scale is None else (how.scale,):
            _bicubic(chosen, replace(how, scale=scale))
        return [word]
    place, names = how.place(), []
    found = networks_meant(
        word,
        scale=how.scale,
        weights=how.weights,
        runs=how.runs,
        open_store=store_reader(how.runs, how.db),
    )
    for network in found:
        network.module.to(place)
        tiling = plan_tiling(network.module, network.scale, how.tile, place) if how.tile else None
        names.append(network.name)
        with open_store(how.runs, how.db) as store:
            for each in (network, self_ensembled(network)) if how.self_ensemble else (network,):
                measure_missing(store, each, chosen, how.metric, place, tiling=tiling)
    return names


def _keep(
    scores: Scores,
    network: Network | None,
    benchmark: str,
    scale: int,
    metric: str,
    device: str,
    keep: Callable[[], Store] | None,
) -> None:
    """Write it into the database, where that is wanted."""
    from nas.evaluation.benchmark_sets import keep_scores

    if keep is None:
        return
    with keep() as store:
        keep_scores(store, scores, network, benchmark=benchmark, scale=scale, metric=metric, device=device)

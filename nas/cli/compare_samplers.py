"""``nas compare-samplers``: many replays of several samplers side by side, as tables and one figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.model_options import meets_spaces
from nas.cli.simulation_options import (
    Model,
    Processes,
    SurfaceName,
    TableFile,
    numbers,
    prepare_folder,
    progress,
)


@meets_spaces
def compare_samplers(
    samplers: Annotated[
        str,
        typer.Option(
            help="NAME, NAME=TRAININGS or NAME+rungs=TRAININGS, with commas; random is always among them."
        ),
    ] = "surrogate,tpe,random",
    surface: SurfaceName = None,
    table: TableFile = None,
    seeds: Annotated[int, typer.Option(min=1, help="Replays of each.")] = 20,
    workers: Annotated[str, typer.Option(help="At once in a replay; several numbers with commas.")] = "1,8",
    trainings: Annotated[int, typer.Option(min=2, help="Full trainings of a replay.")] = 400,
    surrogate: Model = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for tables, figure and replays; goes on with what is in it."),
    ] = None,
    processes: Processes = 1,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Replay searches with several samplers on a table or a made-up surface, and compare what they find."""
    import json

    from nas.simulation.comparison_report import markdown_of, write_report
    from nas.simulation.replays import parse_specs, source_of
    from nas.simulation.sampler_comparison import gather

    source = source_of(surface, table, model=surrogate)
    specs = parse_specs(samplers, trainings)
    if not any(spec.name == "random" for spec in specs):
        specs += parse_specs("random", trainings)
    counts = numbers(workers, "--workers")
    prepare_folder(out)
    with progress(len(specs) * len(counts) * seeds) as tell:
        groups, told = gather(source, specs, counts, seeds, processes=processes, folder=out, tell=tell)
    typer.echo(json.dumps(told, indent=2, allow_nan=False) if as_json else markdown_of(told))
    if out is not None:
        for path in write_report(groups, told, out):
            typer.echo(f"wrote {path}", err=True)

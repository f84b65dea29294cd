"""``nas simulate``: a search replayed in virtual time on recorded or made-up results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nas.cli.model_options import meets_spaces
from nas.cli.simulation_options import Model, Processes, SurfaceName, TableFile, prepare_folder, progress


@meets_spaces
def simulate(
    table: TableFile = None,
    surface: SurfaceName = None,
    sampler: Annotated[
        str, typer.Option(help="surrogate, tpe, evolution, nsga2, nsga3, gp or random.")
    ] = "surrogate",
    workers: Annotated[int, typer.Option(min=1, help="How many candidates at once.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="Replays.")] = 20,
    trainings: Annotated[
        int, typer.Option(min=2, help="Full trainings of a replay, or their seconds with --rungs.")
    ] = 100,
    rungs: Annotated[
        bool, typer.Option("--rungs", help="Short trainings first; ever fewer candidates go on.")
    ] = False,
    surrogate: Model = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder that keeps each replay; goes on with what is in it.")
    ] = None,
    processes: Processes = 1,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Replay searches without training: what a table recorded, or a made-up surface says, is the answer.

    Prints the share of the best front's hypervolume that is found, as mean and 95 % interval over the seeds.
    """
    import json

    from nas.simulation.replays import parse_specs, source_of
    from nas.simulation.sampler_comparison import one_sampler

    source = source_of(surface, table, model=surrogate)
    [spec] = parse_specs(f"{sampler}{'+rungs' if rungs else ''}={trainings}", trainings)
    prepare_folder(out)
    with progress(seeds) as tell:
        told = one_sampler(source, spec, workers, seeds, processes=processes, folder=out, tell=tell)
    typer.echo(json.dumps(told, indent=2, allow_nan=False) if as_json else _table(told))


def _table(told: dict[str, Any]) -> str:
    from tabulate import tabulate

    from nas.core.units import format_seconds

    lines = [told["said"], ""]
    for side, head in (("trainings", "trained in full"), ("seconds", "time of workers")):
        points = told[side]
        if not points:
            continue
        marks = [
            f"{point['mark']:g}"
            if side == "trainings"
            else format_seconds(point["mark"] * told["full_seconds"])
            for point in points
        ]
        shares = [f"{point['mean']:.3f} +- {point['half']:.3f}" for point in points]
        rows = list(zip(marks, shares, strict=True))
        lines += [tabulate(rows, (head, "share of the best front"), disable_numparse=True), ""]
    counts = told["counts"]
    lines.append(
        f"On average {counts['begun']:.0f} candidates begun, {counts['full']:.0f} trained in full, "
        f"{counts['rejected']:.0f} proposals over budget, {counts['repeated']:.0f} repeats."
    )
    if counts["answered_by_the_model"]:
        part = counts["answered_by_the_model"] / counts["begun"]
        lines.append(
            f"{counts['answered_by_the_model']:.0f} of the candidates ({part:.0%}) are not in the table: "
            "a model of it answered for them."
        )
    return "\n".join(lines)

"""``nas export``: a network as a file that others can use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.model_options import meets_spaces
from nas.cli.options import Db, Runs, store_reader


@meets_spaces
def export(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="A run, a genotype's id, FILE.safetensors, FILE.pth (released weights), a published name or "
            "MODULE:FUNCTION (with --weights).",
        ),
    ],
    format: Annotated[str, typer.Option(help="onnx, torch-export, safetensors or python.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option(help="FILE or FOLDER; NAME-xSCALE in this folder if not given.")
    ] = None,
    scale: Annotated[int | None, typer.Option(help="2, 3 or 4; the weights' own if not given.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights: .safetensors or .pth.")] = None,
    licence: Annotated[str, typer.Option("--license", help="Of the weights, for the card.")] = "not stated",
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Write a network in a format, compare the file with it, and put a model card beside it."""
    import re

    from nas.errors import RecipeError, unknown
    from nas.evaluation.benchmark_sets import load_network
    from nas.export.formats import FORMATS, SUFFIXES, TOLD
    from nas.export.formats import export as write

    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    if scale not in (None, 2, 3, 4):
        raise RecipeError(f"--scale {scale}: 2, 3 or 4")
    opener = store_reader(runs, db)
    network = load_network(what, scale=scale, weights=weights, runs=runs, open_store=opener)
    name = re.sub(r"\W+", "-", f"{network.name} x{network.scale}")
    if format == "python":  # has to be importable
        name = re.sub(r"^(?=\d)", "net_", name.replace("-", "_"))
    path = out or Path(name + SUFFIXES[format])
    if path.is_dir() or not path.suffix:
        path = path / (name + SUFFIXES[format])
    made = write(network, format, path, licence=licence, force=force, open_store=opener)
    typer.echo(f"{network.name}  ({network.source})")
    sizes = ", ".join(f"{width}x{height}" for _, height, width in made.sizes)
    size = made.path.stat().st_size / 2**20
    typer.echo(f"  {made.path}  ({format}{TOLD[format]}; {size:.2f} MiB)")
    typer.echo(f"  largest difference to PyTorch {made.difference:.1e} of 1, on {sizes}")
    typer.echo(f"  card: {made.cards[0].name}, {made.cards[1].name}")

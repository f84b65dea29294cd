"""``nas cost``: what a network costs, before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import DATABASE, Runs, open_store


def cost(
    arch: Annotated[
        str, typer.Argument(metavar="ARCH", help="A published name, a genotype's id, or a file.")
    ],
    scale: Annotated[int, typer.Option(help="2, 3 or 4.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Print the parameters and the Multi-Adds of a network for an output of 1280x720 pixels."""
    import json

    from leaderboard.tables import words
    from nas.architectures import find_architecture
    from nas.cost import OUTPUT, input_size, measure
    from nas.units import format_count

    there = (runs / DATABASE).exists()
    found = find_architecture(arch, (lambda: open_store(runs, read_only=True)) if there else None)
    counted = measure(lambda: found.genotype.build(scale), scale)
    height, width = input_size(scale)
    if as_json:
        about = {
            "name": found.name,
            "genotype": found.genotype.id,
            "scale": scale,
            "output": [OUTPUT[1], OUTPUT[0]],
            "input": [width, height],
        }
        typer.echo(json.dumps({**about, **counted.to_dict()}, indent=2))
        return
    typer.echo(f"{found.name}  ({found.source}), genotype {found.genotype.id}")
    typer.echo(f"  {words(found.genotype.to_dict())}")
    typer.echo(f"  counted at x{scale} for {OUTPUT[1]}x{OUTPUT[0]} from {width}x{height}")
    rows = {
        "parameters": counted.params,
        "Multi-Adds": counted.multi_adds,
        "  of convolutions": counted.conv_multi_adds,
        "activations": counted.activations,
    }
    for label, value in rows.items():
        typer.echo(f"  {label:<18}{value:>18,}   {format_count(value)}")

"""``nas import-weights``: released weights as a file that every command takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_weights(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Weights that authors released: .pth.")],
    out: Annotated[Path, typer.Option(help="NAME.safetensors.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Recognise whose weights a file holds, and write them by the names used here, for input in [0, 1].

    The network, its scale and its size are recognised by the file's tensors. Nothing in the file runs.
    """
    from nas.core.units import format_count
    from nas.errors import RecipeError
    from nas.networks.released.reading import read_released
    from nas.training.checkpoint import save_described

    if out.suffix != ".safetensors":
        raise RecipeError(f"--out {out}: a name that ends in .safetensors is needed")
    if out.exists() and not force:
        raise RecipeError(f"{out} is there already; --force replaces it")
    released = read_released(file)
    network = released.build()
    save_described(out, released.genotype, released.scale, network, released.origin())
    params = format_count(sum(parameter.numel() for parameter in network.parameters()))
    typer.echo(f"{file}: {released.called()}, {params} parameters ({released.source})")
    typer.echo(f"  {out}")
    typer.echo("Next:")
    typer.echo(f"  nas upscale IMAGE --model {out}")

"""``nas upscale``: images enlarged by a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.model_options import meets_spaces
from nas.cli.options import Db, Device, Runs, store_reader

if TYPE_CHECKING:
    from torch import nn

    from nas.upscale.upscaling import Upscaler


@meets_spaces
def upscale(
    source: Annotated[Path, typer.Argument(metavar="IMAGE|FOLDER", help="What to enlarge.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="FILE.onnx, a run, a genotype's id, FILE.safetensors, FILE.pth (released weights), a "
            "published name or MODULE:FUNCTION; the network that comes with ParetoSR if not given."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="FILE or FOLDER; beside the image, or FOLDER_xSCALE, if not given.")
    ] = None,
    scale: Annotated[int | None, typer.Option(help="2, 3 or 4; the model's own if not given.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights: .safetensors or .pth.")] = None,
    tile: Annotated[int, typer.Option(help="Side of a tile in LR pixels; by memory if not given.")] = 0,
    half: Annotated[bool, typer.Option("--half", help="Half precision, on a GPU.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    device: Device = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Enlarge an image, or all of a folder: 8 or 16 bits, with transparency, of any size."""
    import torch

    from nas.core.device import cpu_threads, pick_device
    from nas.errors import RecipeError
    from nas.networks.pretrained import DEFAULT
    from nas.upscale.upscaling import make_upscaler, targets_of

    if scale not in (None, 2, 3, 4):
        raise RecipeError(f"--scale {scale}: 2, 3 or 4")
    if tile < 0 or 0 < tile < 48:
        raise RecipeError(f"--tile {tile}: at least 48 LR pixels, or 0 to choose it by memory")
    if model is None and weights is not None:
        raise RecipeError(f"--weights {weights}: say with --model which network they belong to")
    if not source.exists():
        targets_of(source, out, 1)  # says so before a network is loaded
    onnx = model is not None and model.endswith(".onnx")
    place = torch.device(pick_device(device or ("cpu" if onnx else "auto")))
    if place.type == "cpu":
        torch.set_num_threads(cpu_threads())
    network, at = _load(model, scale, weights, runs, db)
    if model is None:
        typer.echo(f"by {DEFAULT}, x{at}, which comes with ParetoSR (--model takes another)")
    targets = targets_of(source, out, at)
    upscaler = make_upscaler(network, at, place, half=half, tile=tile)
    if upscaler.radius is None and not tile:
        typer.echo("outputs depend on the whole image: where it has to be cut into tiles, seams are possible")
    _run(upscaler, targets, force, folder=source.is_dir())


def _load(
    model: str | None, scale: int | None, weights: Path | None, runs: Path, db: str | None
) -> tuple[nn.Module, int]:
    """The network and its scale; the one that comes with the package needs no database."""
    from nas.errors import RecipeError
    from nas.evaluation.benchmark_sets import load_network
    from nas.export.onnx import OnnxNetwork
    from nas.networks.pretrained import DEFAULT

    if model is None:
        own = load_network(DEFAULT, scale=scale, weights=None, runs=runs, open_store=None)
        return own.module, own.scale
    if model.endswith(".onnx"):
        import torch

        if weights is not None:
            raise RecipeError(f"{model} holds weights already; --weights {weights} is one too many")
        onnx = OnnxNetwork(Path(model), torch.get_num_threads())
        if scale not in (None, onnx.scale):
            raise RecipeError(f"{model}: enlarges x{onnx.scale}, not x{scale}")
        return onnx, onnx.scale
    opener = store_reader(runs, db)
    network = load_network(model, scale=scale, weights=weights, runs=runs, open_store=opener)
    return network.module, network.scale


def _run(upscaler: Upscaler, targets: dict[Path, Path], force: bool, *, folder: bool) -> None:
    """One after the other; in a folder what is there already is skipped, and what fails does not stop it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from nas.errors import DataError, NasError
    from nas.upscale.upscaling import upscale_file

    console = Console(highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    failed = []
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        images = bars.add_task("images", total=len(targets))
        rows = bars.add_task("rows", total=None)

        def progress(done: int, total: int) -> None:
            bars.update(rows, completed=done, total=total)

        for source, target in targets.items():
            if folder and target.exists() and not force:
                bars.console.print(f"{target}: is there already, skipped", markup=False, soft_wrap=True)
            else:
                try:
                    how = upscale_file(upscaler, source, target, force=force, progress=progress)
                    bars.console.print(f"{target}  {how}", markup=False, soft_wrap=True)
                except NasError as error:
                    if not folder:
                        raise
                    failed.append(str(error))
            bars.advance(images)
    if failed:
        raise DataError(f"{len(failed)} of {len(targets)} were not enlarged: {'; '.join(failed)}")

"""``nas data``: what data is there, and fetching what is not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def data(
    action: Annotated[str, typer.Argument(metavar="[list|download]", help="What to do.")] = "list",
    name: Annotated[str | None, typer.Argument(metavar="[SET]", help="What to download: div2k.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Folder of all data; NAS_DATA if not given.")
    ] = None,
    scale: Annotated[int, typer.Option(help="2, 3 or 4: whose low resolution is meant.")] = 4,
    address: Annotated[
        str | None, typer.Option(help="Another address of the archives than the official one.")
    ] = None,
) -> None:
    """List the training data and benchmark sets that are found, or download DIV2K."""
    from nas.data.benchmarks import data_folder
    from nas.data.download import DOWNLOADS
    from nas.errors import RecipeError, unknown

    if scale not in (2, 3, 4):
        raise RecipeError(f"--scale {scale}: 2, 3 or 4")
    if action == "list":
        known = data_dir is not None or os.environ.get("NAS_DATA")
        _list(data_folder(data_dir) if known else None, scale)
    elif action == "download":
        if name not in DOWNLOADS:
            raise unknown("data set to download", name, DOWNLOADS)
        if data_dir is not None:
            data_dir.mkdir(parents=True, exist_ok=True)
        _download(name, data_folder(data_dir), scale, address)
    else:
        raise unknown("action", action, ("list", "download"))


def _list(folder: Path | None, scale: int) -> None:
    from nas.data.benchmarks import count_images, find_benchmarks
    from nas.data.cache import cache_folder
    from nas.data.sources import list_found

    if folder is None:
        typer.echo(f"Training data that needs no folder, at x{scale} (give --data-dir PATH for more)")
    else:
        typer.echo(f"Training data below {folder}, at x{scale}")
    sources = [("photos", "photos"), *(list_found(folder) if folder else [])]
    for word, source in sources:
        typer.echo(f"  {source:<40} {_source_line(word, source, scale)}")
    typer.echo("Benchmark sets")
    sets = find_benchmarks(folder) if folder else []
    for one in sets:
        count, scales = count_images(one)
        low = f"LR read at {', '.join(f'x{s}' for s in scales)}" if scales else "LR made"
        typer.echo(f"  {one.name:<10} {count:>4} images  {low}  {one.root}")
    if not sets:
        typer.echo("  none")
    cache = cache_folder()
    if cache is None:
        typer.echo("Cache of decoded images: off (NAS_CACHE=off, or it cannot be written to)")
    else:
        size = sum(path.stat().st_size for path in cache.glob("*.bin"))
        typer.echo(f"Cache of decoded images: {cache} ({size / 1e6:,.0f} MB)")


def _source_line(word: str, source: str, scale: int) -> str:
    from nas.data.dataset import is_cached
    from nas.data.sources import list_source

    [(_, listing)] = list_source(source, scale)
    entries = [*listing.train, *(listing.valid or ())]
    size = sum(entry.hr.stat().st_size for entry in entries) / 1e6
    read = sum(entry.lr is not None for entry in entries)
    low = "LR read" if read == len(entries) else "LR made" if not read else f"LR read for {read}"
    held = "one in ten held out" if listing.valid is None else f"{len(listing.valid)} held out"
    state = "decoded" if is_cached(word, listing, scale) else "not decoded yet"
    return f"{len(entries):>6} images  {size:>8,.1f} MB  {held}, {low}, {state}"


def _download(name: str, folder: Path, scale: int, address: str | None) -> None:
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

    from nas.data.download import DOWNLOADS, download

    console = Console(highlight=False)
    columns = (TextColumn("{task.description}"), DownloadColumn(), TransferSpeedColumn())
    bars: dict[str, TaskID] = {}
    told: dict[str, int] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:

        def report(file: str, there: int, total: int) -> None:
            if file not in bars:
                bars[file] = progress.add_task(file, total=total or None)
            progress.update(bars[file], completed=there)
            tenth = there * 10 // total if total else 0
            if not console.is_terminal and tenth > told.get(file, -1):
                told[file] = tenth
                typer.echo(f"{file}  {there / 1e6:,.1f} of {total / 1e6:,.1f} MB")

        root = folder / {"div2k": "DIV2K"}[name]
        folders = download(DOWNLOADS[name], root, scale=scale, address=address, report=report)
    typer.echo(f"{name} is in {root}: {', '.join(folders)}")
    typer.echo("Next:")
    typer.echo(f"  nas search --data {name}:{root}")

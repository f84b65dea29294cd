"""Options and progress bar that ``nas simulate`` and ``nas compare-samplers`` share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import between_commas

TableFile = Annotated[
    Path | None,
    typer.Option(
        "--table",
        help="A Parquet file of nas tabulate, whose trainings answer; or nas-bench-sr, which is shipped.",
    ),
]
SurfaceName = Annotated[
    str | None, typer.Option("--surface", help="landscape, landscape-tight or bottleneck: a made-up one.")
]
Model = Annotated[
    bool,
    typer.Option(
        "--surrogate", help="Let a model of the table answer for architectures that it does not hold."
    ),
]
Processes = Annotated[int, typer.Option(min=1, help="How many replays at once.")]


def prepare_folder(folder: Path | None) -> None:
    """Make the folder of ``--out`` before any work. Raises RunError where it cannot be made."""
    from nas.errors import RunError

    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"--out {folder}: the folder cannot be made ({error.strerror or error})") from error


def numbers(text: str, option: str) -> list[int]:
    """Parse positive integers separated by commas."""
    from nas.errors import RecipeError

    given = between_commas(text)
    if not given or not all(word.isdigit() and int(word) > 0 for word in given):
        raise RecipeError(f"{option} {text!r}: whole numbers from 1 are needed, with commas (1,8)")
    return list(dict.fromkeys(int(word) for word in given))


@contextmanager
def progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of ``total`` replays on a terminal, and nothing elsewhere."""
    import sys

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(file=sys.stderr)
    with Progress(
        TextColumn("replays"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("replays", total=total)
        yield lambda done: bar.update(task, completed=done)

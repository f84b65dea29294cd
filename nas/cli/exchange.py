"""``nas import-results`` and ``nas export-results``: results from one place to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Db, Runs, again, open_store

SHOWN = 5


def import_results(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A results.db, a database's address, or a file of nas export-results."
        ),
    ],
    prefix: Annotated[str, typer.Option(help="Put this before the names of its runs.")] = "",
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Call its only run so instead.")
    ] = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Take in what another results database or file holds; the source is only read.

    What is here already stays, so that the same command again adds nothing. Files of weights are not copied.
    """
    from leaderboard.tables.exchange import import_results as take_in
    from nas.errors import RunError
    from nas.recipes.recipe import MAY_CHANGE
    from nas.recipes.stored import absent_keys

    if prefix and name is not None:
        raise RunError(f"--prefix {prefix} and --as {name}: one of them")
    with open_store(runs, db) as store:
        merged = take_in(store, source, prefix=prefix, name=name, may_change=MAY_CHANGE, absent=absent_keys())
    typer.echo(f"took in {_counted(merged.new) or 'nothing new'} from {source}")
    if merged.same:
        typer.echo(f"here already: {_counted(merged.same)}")
    if merged.unfinished:
        typer.echo(f"left out: {merged.unfinished} trials that wait or run there")
    if merged.different:
        typer.echo(f"with other numbers here, which are kept: {len(merged.different)}")
        for line in merged.different[:SHOWN]:
            typer.echo(f"  {line}")
        if len(merged.different) > SHOWN:
            typer.echo(f"  and {len(merged.different) - SHOWN} more")


def export_results(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The run; all if not given.")] = None,
    output: Annotated[Path | None, typer.Option(help="The file; NAME.FORMAT if not given.")] = None,
    format: Annotated[
        str | None, typer.Option("--format", help="csv, parquet or jsonl; the file's ending if not given.")
    ] = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Write all trials with all that is known of them, one row each, for other programs and for import."""
    from leaderboard.tables.exchange import export_results as write

    if format is None:
        format = output.suffix.lstrip(".") if output is not None and output.suffix else "csv"
    path = output or Path(f"{name or 'results'}.{format}")
    with open_store(runs, db, read_only=True) as store:
        count = write(store, name, path, format)
    typer.echo(f"wrote {count} trials to {path}")
    typer.echo("Next:")
    typer.echo(
        f"  {again('import-results', str(path), runs=Path('runs'))}   takes them into another database"
    )


def _counted(numbers: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in numbers.items())

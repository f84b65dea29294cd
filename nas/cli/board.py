"""``nas board``: the leaderboard as a live page on this machine, or as a folder for a web server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import DATABASE, Db, Runs, again, open_store


def board(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The run for --site; needed if there are several.")
    ] = None,
    site: Annotated[Path | None, typer.Option(help="Write a static page into this folder instead.")] = None,
    port: Annotated[int, typer.Option(help="Port of the live page.")] = 8050,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Browse the results: a live page on 127.0.0.1, or with --site a folder that needs no server."""
    if site is None:
        _serve(runs, db, port)
        return
    from leaderboard.site import write_site
    from nas.errors import RunError

    with open_store(runs, db, read_only=True) as store:
        if name is None:
            names = [study.name for study in store.studies()]
            if len(names) != 1:
                raise RunError(f"name one of the runs: {', '.join(names) or 'there are none yet'}")
            name = names[0]
        page = write_site(store, name, site)
    typer.echo(f"Leaderboard page: {page}")
    typer.echo("Next:")
    typer.echo(f"  open {page} in a browser (it needs no server), or")
    typer.echo(f"  {again('board', runs=runs, db=db)}   for the live page of all runs")


def _serve(runs: Path, db: str | None, port: int) -> None:
    from leaderboard.app import serve

    open_store(
        runs, db, read_only=True
    ).close()  # a missing or newer database is told before the server starts
    typer.echo(f"Leaderboard of {runs} on http://127.0.0.1:{port}/  (Ctrl-C ends it)")
    serve(db or f"sqlite:///{(runs / DATABASE).resolve()}", port=port)

"""``nas board``: the leaderboard as a live page on this machine, or as a folder for a web server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import DATABASE, Db, Runs, again, open_store


def board(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this run in the folder of --site.")
    ] = None,
    site: Annotated[Path | None, typer.Option(help="Write static pages into this folder instead.")] = None,
    port: Annotated[int, typer.Option(help="Port of the live page; 0 takes a free one.")] = 8050,
    host: Annotated[
        str, typer.Option(help="Address to serve on; another than loopback asks for a token, printed once.")
    ] = "127.0.0.1",
    allow_queue: Annotated[
        bool, typer.Option("--allow-queue", help="Let the page ask for re-trainings (nas retrain --queued).")
    ] = False,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Browse the results: a live page on 127.0.0.1, or with --site a folder that needs no server."""
    if site is None:
        _serve(runs, db, host=host, port=port, allow_queue=allow_queue)
        return
    from leaderboard.site import write_site

    with open_store(runs, db, read_only=True) as store:
        studies = None if name is None else [name]
        page = write_site(store, site, studies, runs=runs, options=_options(runs, db))
    typer.echo(f"Leaderboard page: {page}")
    typer.echo("Next:")
    typer.echo(f"  open {page} in a browser (it needs no server), or")
    typer.echo(f"  {again('board', runs=runs, db=db)}   for the live page of all runs")


def _serve(runs: Path, db: str | None, *, host: str, port: int, allow_queue: bool) -> None:
    from leaderboard.page import serve

    open_store(
        runs, db, read_only=True
    ).close()  # a missing or newer database is told before the server starts
    serve(
        db or f"sqlite:///{(runs / DATABASE).resolve()}",
        runs,
        host=host,
        port=port,
        allow_queue=allow_queue,
        options=_options(runs, db),
        announce=lambda address: typer.echo(f"Leaderboard of {runs} on {address}  (Ctrl-C ends it)"),
    )


def _options(runs: Path, db: str | None) -> str:
    """What another command needs to find the same results, without a password: others may see the page."""
    shown = None if db is None else re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", db)
    return again(runs=runs, db=shown if db != shown else db).removeprefix("nas").strip()

"""``nas front``: the Pareto front of a run as a table or a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Db, RunName, Runs, open_store


def front(
    name: RunName,
    format: Annotated[str, typer.Option("--format", help="table, json, csv, markdown or latex.")] = "table",
    protocol: Annotated[
        str | None, typer.Option(help="Results of this plan or protocol; the search's own if not given.")
    ] = None,
    cost: Annotated[
        str, typer.Option(help="params, multi_adds, conv_multi_adds or activations.")
    ] = "multi_adds",
    png: Annotated[Path | None, typer.Option(help="Write the front as a picture, too.")] = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Print the networks that no other beats in both PSNR and cost, of one protocol."""
    from leaderboard.tables import FORMATS, front_frame
    from nas.errors import unknown

    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    with open_store(runs, db, read_only=True) as store:
        study = store.study(name)
        frame = store.frame(name)
    typer.echo(FORMATS[format](front_frame(frame, name, protocol, cost)))
    if png is not None:
        from leaderboard.png import save_front_png
        from leaderboard.views import Show, budget_of

        show = Show(study=name, protocol=protocol, cost=cost, budget=budget_of(study.recipe))
        typer.echo(f"wrote {save_front_png(frame, png, show)}", err=True)


def print_front(name: str, runs: Path, db: str | None, protocol: str, cost: str) -> None:
    """The table, as the end of other commands."""
    front(name, format="table", protocol=protocol, cost=cost, png=None, runs=runs, db=db)

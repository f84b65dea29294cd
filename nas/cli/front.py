"""``nas front``: the Pareto front of a run as a table, a chart or a picture."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.options import Db, RunName, Runs, open_store

if TYPE_CHECKING:
    import pandas as pd

NEEDED = (
    *("study", "stage", "genotype", "seed", "rung", "protocol", "plan", "bicubic_psnr_db", "psnr_db", "ssim"),
    *("params", "multi_adds", "conv_multi_adds", "activations", "device", "choices"),
)
"""What a table of the front is made of; a picture takes more."""


def front(
    name: RunName,
    format: Annotated[str, typer.Option("--format", help="table, json, csv, markdown or latex.")] = "table",
    protocol: Annotated[
        str | None, typer.Option(help="Results of this plan or protocol; the search's own if not given.")
    ] = None,
    cost: Annotated[
        str, typer.Option(help="params, multi_adds, conv_multi_adds or activations.")
    ] = "multi_adds",
    plot: Annotated[bool, typer.Option("--plot", help="Draw it in the terminal, too.")] = False,
    png: Annotated[Path | None, typer.Option(help="Write the front as a picture, too.")] = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Print the networks that no other beats in both PSNR and cost, of one protocol."""
    with _without_collecting():
        _front(name, format, protocol, cost, plot, png, runs, db)


@contextmanager
def _without_collecting() -> Iterator[None]:
    """What is imported from here on lives until the end, which is near: saves a tenth of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _front(
    name: str,
    format: str,
    protocol: str | None,
    cost: str,
    plot: bool,
    png: Path | None,
    runs: Path,
    db: str | None,
) -> None:
    from leaderboard.tables import FORMATS, front_frame
    from nas.errors import unknown

    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    with open_store(runs, db, read_only=True) as store:
        study = store.study(name)
        frame = store.frame(name, None if png is not None else NEEDED)
    rows = front_frame(frame, name, protocol, cost)
    typer.echo(FORMATS[format](rows))
    if plot:
        # Beside a table for programs it must not be in their way.
        typer.echo(f"\n{_chart(frame, name, protocol, cost, rows)}", err=format != "table")
    if png is not None:
        from leaderboard.png import save_front_png
        from leaderboard.views import Show, budget_of

        show = Show(study=name, protocol=protocol, cost=cost, budget=budget_of(study.recipe))
        typer.echo(f"wrote {save_front_png(frame, png, show)}", err=True)


def _chart(frame: pd.DataFrame, name: str, protocol: str | None, cost: str, rows: pd.DataFrame) -> str:
    import shutil

    from leaderboard.chart import LEAST_WIDTH, WIDTH, front_chart
    from leaderboard.tables import COST_NAMES, networks

    all_of_them = networks(frame, name, protocol)
    return front_chart(
        all_of_them[cost].tolist(),
        all_of_them["psnr_db"].tolist(),
        all_of_them["genotype"].isin(rows["genotype"]).tolist(),
        cost_name=COST_NAMES[cost],
        width=max(LEAST_WIDTH, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)),
    )


def print_front(name: str, runs: Path, db: str | None, protocol: str, cost: str) -> None:
    """The table, as the end of other commands."""
    front(name, format="table", protocol=protocol, cost=cost, plot=False, png=None, runs=runs, db=db)

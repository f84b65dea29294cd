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

    from leaderboard.store import Store

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
        str,
        typer.Option(
            help="params, multi_adds, conv_multi_adds or activations; measured: latency_ms or memory_bytes."
        ),
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
    from leaderboard.tables.front import FORMATS, front_frame, pick_protocol
    from nas.errors import unknown

    if format not in FORMATS:
        raise unknown("format", format, FORMATS)
    with open_store(runs, db, read_only=True) as store:
        study = store.study(name)
        frame = _frame(store, name, cost, whole=png is not None)
        known = store.calibrations()
    rows = front_frame(frame, name, protocol, cost)
    typer.echo(FORMATS[format](rows))
    trust = known.get(pick_protocol(frame[frame["study"] == name], protocol) or "") if known else None
    if trust is not None:
        typer.echo(trust.words, err=format != "table")
        frame["calibration"] = [trust.words if id == trust.protocol_id else None for id in frame["protocol"]]
    if plot:
        # Beside a table for programs it must not be in their way.
        typer.echo(f"\n{_chart(frame, name, protocol, cost, rows)}", err=format != "table")
    if png is not None:
        from leaderboard.views import Show, budget_of
        from leaderboard.views.static_png import save_front_png

        show = Show(study=name, protocol=protocol, cost=cost, budget=budget_of(study.recipe))
        typer.echo(f"wrote {save_front_png(frame, png, show)}", err=True)


def _frame(store: Store, name: str, cost: str, whole: bool) -> pd.DataFrame:
    """The run's trials, with measured costs only where these are asked for: it takes longer."""
    from leaderboard.tables.front import RUNTIME_NAMES

    if cost in RUNTIME_NAMES:
        from leaderboard.sources import SOURCES
        from leaderboard.views import Show

        return SOURCES["trials"](store, Show(study=name, cost=cost))
    return store.frame(name, None if whole else NEEDED)


def _chart(frame: pd.DataFrame, name: str, protocol: str | None, cost: str, rows: pd.DataFrame) -> str:
    import shutil

    from leaderboard.tables.front import COST_NAMES, RUNTIME_NAMES, networks
    from leaderboard.views.terminal import LEAST_WIDTH, WIDTH, front_chart

    all_of_them = networks(frame, name, protocol)
    return front_chart(
        all_of_them[cost].tolist(),
        all_of_them["psnr_db"].tolist(),
        all_of_them["genotype"].isin(rows["genotype"]).tolist(),
        cost_name=(COST_NAMES | RUNTIME_NAMES)[cost],
        width=max(LEAST_WIDTH, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns)),
    )


def print_front(name: str, runs: Path, db: str | None, protocol: str, cost: str) -> None:
    """The table, as the end of other commands."""
    front(name, format="table", protocol=protocol, cost=cost, plot=False, png=None, runs=runs, db=db)

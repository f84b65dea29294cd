"""Options that several commands share, and the results database they open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from leaderboard.store import Store

Runs = Annotated[
    Path, typer.Option("--runs", envvar="NAS_RUNS", help="Folder of all runs and of results.db.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")]
RunName = Annotated[str, typer.Argument(metavar="NAME", help="The run, as its search was called.")]

DATABASE = "results.db"


def open_store(runs: Path, *, read_only: bool = False) -> Store:
    """The results database of ``runs``; it is made when a writer asks and it is not there."""
    from leaderboard.store import Store

    if not read_only:
        runs.mkdir(parents=True, exist_ok=True)
    return Store.at(runs / DATABASE, read_only=read_only)


def again(*command: str, runs: Path) -> str:
    """A ``nas`` command to show, with ``--runs`` where it is not the usual folder."""
    import shlex

    extra = [] if runs == Path("runs") else ["--runs", str(runs)]
    return shlex.join(["nas", *command, *extra])

"""Options that several commands share, and the results database they open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from leaderboard.store import Store
    from nas.data.benchmarks import BenchmarkSet

Runs = Annotated[
    Path, typer.Option("--runs", envvar="NAS_RUNS", help="Folder of all runs and of results.db.")
]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")]
RunName = Annotated[str, typer.Argument(metavar="NAME", help="The run, as its search was called.")]

RecipeFile = Annotated[
    Path | None, typer.Argument(metavar="[RECIPE.toml]", help="A recipe; without one, a small demo.")
]

NamedSpaces = Annotated[
    list[str] | None,
    typer.Option(
        "--space",
        metavar="NAME",
        help="A module of yours that files and the database may name as their space: its code is run; "
        "repeatable. nas trust-space does so for every command.",
    ),
]

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="[SECTION.]KEY=VALUE",
        help="Change a field of the plan (lr=1e-3), or a key in a section of the recipe "
        "(budget.params=300k, space.only.width=16,24); repeatable.",
    ),
]

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of the benchmark sets; NAS_DATA if not given.")
]

Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        envvar="NAS_DB",
        show_envvar=True,
        help="Results database; results.db in --runs if not given. For several machines: "
        "postgresql+psycopg://HOST/NAME.",
    ),
]

DATABASE = "results.db"


def open_store(runs: Path, db: str | None = None, *, read_only: bool = False) -> Store:
    """The results database: at ``db``, or in ``runs``; it is made when a writer asks and it is not there."""
    from leaderboard.store import Store

    if not read_only:
        runs.mkdir(parents=True, exist_ok=True)
    if db is not None:
        return Store(db, read_only=read_only)
    return Store.at(runs / DATABASE, read_only=read_only)


def store_reader(runs: Path, db: str | None) -> Callable[[], Store] | None:
    """What opens the results database to read; None where there is none."""
    there = db is not None or (runs / DATABASE).exists()
    return (lambda: open_store(runs, db, read_only=True)) if there else None


def benchmarks_to_measure(data_dir: Path | None, names: Sequence[str] = ()) -> list[BenchmarkSet]:
    """The benchmark sets that are named, or all in a folder that is; none where nothing is named."""
    import os

    from nas.data.benchmarks import choose_benchmarks, data_folder, find_benchmarks

    if data_dir is None and not os.environ.get("NAS_DATA") and not names:
        return []
    folder = data_folder(data_dir)
    return choose_benchmarks(folder, list(names)) if names else find_benchmarks(folder)


def between_commas(text: str | None) -> list[str]:
    """The words between commas, none of them empty."""
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def again(*command: str, runs: Path, db: str | None = None) -> str:
    """A ``nas`` command to show, with ``--runs`` and ``--db`` where they are not the usual ones."""
    import os
    import shlex

    extra = [] if runs == Path("runs") else ["--runs", str(runs)]
    if db is not None and db != os.environ.get("NAS_DB"):
        extra += ["--db", db]
    return shlex.join(["nas", *command, *extra])

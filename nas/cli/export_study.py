"""``nas export-study``: a run as an Optuna study, for Optuna's own views and dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.model_options import meets_spaces
from nas.cli.options import Db, RunName, Runs, open_store


@meets_spaces
def export_study(
    name: RunName,
    storage: Annotated[str, typer.Option(help="Where to: sqlite:///study.db, or a file: study.log.")],
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Write a run's trials as an Optuna study, with values, parameters and constraints.

    optuna-dashboard and Optuna's visualisations open it. A study of that name must not be there yet.
    """
    from nas.recipes.stored import stored_recipe
    from nas.search.proposer import export

    with open_store(runs, db, read_only=True) as store:
        recipe = stored_recipe(store, name)
        trials = store.trials(store.study(name).id, "search", curves=False)
    count = export(recipe, trials, storage)
    typer.echo(f"wrote {count} trials of run {name!r} to {storage}")
    typer.echo("Next:")
    typer.echo(f"  optuna-dashboard {storage}   (pip install optuna-dashboard)")

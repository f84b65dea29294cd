"""``nas tune``: find the settings of a training plan that serve one network or several best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.model_options import Given, RecipeOptions, meets_spaces, takes, with_settings
from nas.cli.options import Db, Runs, Settings, again, open_store

if TYPE_CHECKING:
    import pandas as pd

    from leaderboard.store import Store
    from nas.recipes.recipe import Recipe

OPTIONS = RecipeOptions(
    *("tune.networks", "tune.steps", "tune.trials", "tune.seeds", "tune.sampler"),
    *("scale", "budget.params", "budget.multi_adds", "data", "retrain.plan", "seed", "hours"),
    *("executor", "workers", "time_limit_seconds", "ray_address", "gpus_per_worker", "device"),
    executor="inline; processes for several workers",
    budget__params="no limit; for NAME-like and NAME-filling",
    budget__multi_adds="no limit; for NAME-like and NAME-filling",
)


@meets_spaces
@takes(given=OPTIONS)
def tune(
    run: Annotated[str, typer.Argument(metavar="NAME|RECIPE.toml", help="The tuning's name, or its recipe.")],
    given: Given,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--field",
            metavar="NAME=DOMAIN",
            help="A field of the plan to tune: lr=5e-4..1.6e-2:log, clip_norm=0,0.5,1 or "
            "warmup_steps=0..200; repeatable.",
        ),
    ] = None,
    tries: Annotated[
        list[str] | None,
        typer.Option(
            "--try",
            metavar="'NAME=VALUE ...'",
            help="A setting to train first, after the plan as it is: 'lr=4e-3 clip_norm=0.5'; repeatable.",
        ),
    ] = None,
    settings: Settings = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print the settings so far, and train nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings for programs.")] = False,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Tune fields of a training plan: learning rate, clipping, warm-up, schedule, any other.

    Every setting trains every network; it counts by the mean gain over bicubic, and a network that diverges
    counts as no gain. The same command again resumes a tuning; Ctrl-C keeps what is finished.
    """
    from nas.recipes.tuning_fields import parse_fields, parse_setting

    changes = with_settings(given, settings, plan="retrain")
    if fields:
        changes["tune.fields"] = parse_fields(fields)
    if tries:
        changes["tune.enqueue"] = [parse_setting(text) for text in tries]
    if show:
        _show(run, runs, db, as_json)
    else:
        _run(run, changes, runs, db, as_json)


def _name(run: str) -> str:
    from nas.recipes.recipe import load_recipe

    return load_recipe(Path(run)).name if run.endswith(".toml") else run


def _recipe(run: str, changes: Given, store: Store) -> Recipe:
    """The recipe of a file, of a tuning in the database, or of the options alone, with its changes."""
    from nas.errors import RecipeError
    from nas.recipes.changes import changed
    from nas.recipes.recipe import load_recipe, make_recipe
    from nas.recipes.stored import require_named_cluster, stored_recipe

    several = {"executor": "processes"} if changes.get("workers", 1) > 1 else {}
    if run.endswith(".toml"):
        return changed(load_recipe(Path(run)), {**several, **changes})
    if run in store.study_names():
        stored = stored_recipe(store, run, "tuning")
        if stored.executor != "inline":
            several = {}
        recipe = changed(stored, {**several, **changes}, where=run)
        require_named_cluster(recipe, changes)
        return recipe
    if "tune.networks" not in changes:
        raise RecipeError(
            f"there is no tuning {run!r} to resume: give --networks and --field, or the file of a recipe, "
            "to begin one"
        )
    return changed(make_recipe({"name": run}), {**several, **changes})


def _show(run: str, runs: Path, db: str | None, as_json: bool) -> None:
    from leaderboard.tables.tuning import ranked_settings, tuning_trainings
    from nas.recipes.stored import stored_recipe

    name = _name(run)
    with open_store(runs, db, read_only=True) as store:
        recipe = stored_recipe(store, name, "tuning")
        settings = ranked_settings(tuning_trainings(store, recipe.name))
    _report(recipe, settings, runs, db, as_json)


def _run(run: str, changes: Given, runs: Path, db: str | None, as_json: bool) -> None:
    from nas.cli.signals import watch_signals
    from nas.cli.tune_display import TuningDisplay, say_headline
    from nas.core.device import pick_devices
    from nas.errors import Interrupted
    from nas.tuning.session import TuningSession

    with open_store(runs, db) as store, TuningDisplay(stderr=as_json) as display, watch_signals() as stop:
        recipe = _recipe(run, changes, store)
        session = TuningSession(recipe, store, runs, pick_devices(recipe.device), display.listener(stop))
        session.prepare()
        recipe = session.recipe
        folder = runs / recipe.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
        display.begin(session)
        display.say(say_headline(session))
        try:
            session.run()
        except Interrupted:
            display.say("Stopped. What is finished is kept; the same command resumes the tuning.")
            raise typer.Exit(stop.status) from None
        settings = session.settings()
    _report(recipe, settings, runs, db, as_json)


def _report(recipe: Recipe, settings: pd.DataFrame, runs: Path, db: str | None, as_json: bool) -> None:
    from nas.cli.tune_display import next_steps, print_settings, say

    if as_json:
        typer.echo(settings.to_json(orient="records", indent=2))
        return
    print_settings(settings)
    typer.echo("Next:")
    say(next_steps(recipe, settings))
    typer.echo(f"  {again('board', runs=runs, db=db)}   gain against each field")

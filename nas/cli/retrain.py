"""``nas retrain``: train the best networks of a run for longer, and measure them on the benchmark sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nas.cli.model_options import Given, ModelOptions, RecipeOptions, meets_spaces, takes, with_settings
from nas.cli.options import DataDir, Db, RunName, Runs, Settings, again, open_store

if TYPE_CHECKING:
    from leaderboard.store import Store
    from leaderboard.store.records import Request
    from nas.cli.retrain_display import RetrainDisplay
    from nas.recipes.recipe import Recipe

RECIPE = RecipeOptions(
    *("retrain.plan", "retrain.steps", "executor", "device", "ray_address"),
    retrain__plan="the run's",
    executor="inline; for several workers the run's, or processes",
    device="the run's",
    ray_address="the run's, where that is auto or a cluster on this machine",
)


@meets_spaces
@takes(asked=ModelOptions("nas.retraining.options:RetrainingOptions"), given=RECIPE)
def retrain(
    name: RunName,
    asked: Given,
    given: Given,
    settings: Settings = None,
    data_dir: DataDir = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Train the best candidates of a search with the recipe's longer plan, and record the results.

    The same command again goes on where it stopped. Started by torchrun, several GPUs train one network.
    """
    from nas.cli.retrain_display import RetrainDisplay
    from nas.cli.signals import watch_signals
    from nas.errors import Interrupted
    from nas.retraining.options import RetrainingOptions
    from nas.retraining.retraining import follow
    from nas.training import ranks

    options = RetrainingOptions(**asked)
    changes = {**with_settings(given, settings, "retrain"), "workers": options.workers}
    with watch_signals() as stop, ranks.joined() as rank:
        try:
            if rank:
                follow(lambda progress: stop.check())
                return
            with open_store(runs, db) as store, RetrainDisplay(store, runs, stop) as display:
                store.require_recounted(name)  # before a request is taken
                display.validate_every, display.events = options.validate_every, options.tensorboard
                display.init_from = options.init_from
                if options.evaluate:
                    display.find_sets(data_dir)
                if options.queued:
                    failed = _train_queued(store, name, changes, display)
                else:
                    recipe = _recipe(store, name, changes)
                    failed = len(display.train(recipe, options.choose(store, recipe)).failed)
                ranks.shared(None)  # lets the other processes of a group go
                display.measure_left()
        except Interrupted:
            if not rank:
                typer.echo("Stopped. The training's state is kept; the same command goes on from there.")
            raise typer.Exit(stop.status) from None
    if failed or display.unmeasured:
        raise typer.Exit(1)
    typer.echo("Next:")
    site = again("board", name, "--site", str(runs / name / "site"), runs=runs, db=db)
    typer.echo(f"  {site}   write the leaderboard page")


def _recipe(store: Store, name: str, changes: dict[str, Any], plan: str | None = None) -> Recipe:
    """The recipe of the run with its changes; ``plan`` goes before the one of the command."""
    from nas.recipes.changes import changed
    from nas.recipes.stored import require_named_cluster, stored_recipe

    stored = stored_recipe(store, name)
    several = "processes" if stored.executor == "inline" else stored.executor
    usual = {"executor": several if changes["workers"] > 1 else "inline"}
    requested = {} if plan is None else {"retrain.plan": plan}
    recipe = changed(stored, {**usual, **changes, **requested}, where=name)
    require_named_cluster(recipe, changes)
    return recipe


def _train_queued(store: Store, name: str, changes: Given, display: RetrainDisplay) -> int:
    """Take up what waits in the queue of a run until nothing does; how many failed."""
    from leaderboard.store.owners import this_process
    from nas.errors import Interrupted

    owner, done, failed = this_process(), 0, 0
    while taken := _take(store, name, changes["workers"]):
        try:
            for plan in {request.plan: None for request in taken}:
                requests = [request for request in taken if request.plan == plan]
                reasons = _train_requests(store, requests, changes, display)
                for request, reason in zip(requests, reasons, strict=True):
                    store.end_request(request.id, owner, reason)
                    taken.remove(request)
                    done, failed = done + (reason is None), failed + (reason is not None)
        except (Interrupted, KeyboardInterrupt):
            for request in taken:
                store.give_back_request(request.id, owner)
            raise
        except Exception as error:
            for request in taken:
                store.end_request(request.id, owner, f"{type(error).__name__}: {error}")
            raise
    display.say(f"{done} done, {failed} failed of what was asked for" if done + failed else "Nothing waits.")
    return failed


def _take(store: Store, name: str, most: int) -> list[Request]:
    """Requests of a run that wait, from now on this process's: as many as are trained at once."""
    from leaderboard.store.owners import this_process

    taken: list[Request] = []
    while len(taken) < most and (request := store.take_request(name, this_process())) is not None:
        taken.append(request)
    return taken


def _train_requests(
    store: Store, requests: Sequence[Request], changes: Given, display: RetrainDisplay
) -> list[str | None]:
    """Train what was asked for under one plan; why each of them failed, None where it did not."""
    from nas.cli.failures import message_of
    from nas.errors import Interrupted
    from nas.retraining.selection import choose_ids
    from nas.training import ranks

    try:
        recipe = _recipe(store, requests[0].study, changes, requests[0].plan)
        chosen = choose_ids(store, recipe, [request.genotype_id for request in requests])
        retraining = display.train(recipe, chosen)
    except Interrupted:
        raise
    except Exception as error:
        message = message_of(error)
        if message is None or ranks.world() > 1:  # the other processes of a group have failed with it
            raise
        for request in requests:
            display.say(f"{request.genotype_id}  failed: {message}")
        return [message] * len(requests)
    nowhere = "another process trains it"
    ids = [request.genotype_id for request in requests]
    return [None if id in retraining.done else retraining.failed.get(id, nowhere) for id in ids]

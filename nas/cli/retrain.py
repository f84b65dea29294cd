"""``nas retrain``: train the best networks of a run for longer, and measure them on the benchmark sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import DataDir, Db, Device, RunName, Runs, again, between_commas, open_store

if TYPE_CHECKING:
    from leaderboard.store import Store
    from leaderboard.store.records import Request
    from nas.cli.longer import Longer
    from nas.recipes.recipe import Recipe
    from nas.retraining.selection import Chosen


def retrain(
    name: RunName,
    top: Annotated[
        int | None, typer.Option(min=1, help="How many of the front, best PSNR first; 1 if not given.")
    ] = None,
    knee: Annotated[
        bool, typer.Option("--knee", help="The knee of the front instead: more cost brings little there.")
    ] = False,
    ids: Annotated[
        str | None, typer.Option(help="These networks instead: ids or their beginnings, with commas.")
    ] = None,
    best_under: Annotated[
        str | None, typer.Option(help="The best within limits instead: params=300k,multi_adds=15G.")
    ] = None,
    queued: Annotated[
        bool, typer.Option("--queued", help="Those that were asked for on the leaderboard's page instead.")
    ] = False,
    controls: Annotated[
        str | None,
        typer.Option(help="Published networks besides, made to fit the run's budget: imdn,rfdn."),
    ] = None,
    plan: Annotated[str | None, typer.Option(help="A named plan instead of the recipe's.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field of the plan: lr=1e-4; repeatable.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps, instead of the plan's.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="How many are trained at once.")] = 1,
    executor: Annotated[
        str | None, typer.Option(help="inline, processes or ray; processes for several workers.")
    ] = None,
    evaluate: Annotated[bool, typer.Option(help="Measure each on the benchmark sets that are found.")] = True,
    data_dir: DataDir = None,
    validate_every: Annotated[
        int, typer.Option(min=0, help="Measure on the way, every so many steps; 0 at the end only.")
    ] = 0,
    tensorboard: Annotated[bool, typer.Option(help="Write TensorBoard's files into the folder.")] = False,
    device: Device = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Train the best candidates of a search with the recipe's longer plan, and record the results.

    The same command again goes on where it stopped. Started by torchrun, several GPUs train one network.
    """
    from nas.cli.longer import Longer
    from nas.cli.stop import watch_signals
    from nas.errors import Interrupted
    from nas.retraining.retraining import follow
    from nas.training import ranks

    choice = _Choice(
        top=top, knee=knee, ids=ids, best_under=best_under, queued=queued, controls=between_commas(controls)
    )
    choice.check()
    wanted = _Wanted(plan, _changes(changes, steps), executor, workers, device)
    with watch_signals() as stop, ranks.joined() as rank:
        try:
            if rank:
                follow(lambda progress: stop.check())
                return
            with open_store(runs, db) as store, Longer(store, runs, stop) as longer:
                longer.validate_every, longer.events = validate_every, tensorboard
                if evaluate:
                    longer.find_sets(data_dir)
                if queued:
                    failed = _train_queued(store, name, wanted, longer)
                else:
                    recipe = wanted.recipe(store, name)
                    failed = len(longer.train(recipe, choice.choose(store, recipe)).failed)
                ranks.shared(None)  # lets the other processes of a group go
                longer.measure_left()
        except Interrupted:
            if not rank:
                typer.echo("Stopped. The training's state is kept; the same command goes on from there.")
            raise typer.Exit(stop.status) from None
    if failed or longer.unmeasured:
        raise typer.Exit(1)
    typer.echo("Next:")
    site = again("board", name, "--site", str(runs / name / "site"), runs=runs, db=db)
    typer.echo(f"  {site}   write the leaderboard page")


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """Which networks are wanted: at most one of these, and controls."""

    top: int | None
    knee: bool
    ids: str | None
    best_under: str | None
    queued: bool
    controls: list[str]

    def check(self) -> None:
        from nas.errors import RunError
        from nas.retraining.selection import parse_limits

        given = (self.top is not None, self.knee, self.ids is not None, self.best_under is not None)
        if sum(given) + self.queued > 1:
            raise RunError("--top, --knee, --ids, --best-under and --queued: one of them")
        if self.queued and self.controls:
            raise RunError("--queued and --controls: one of them")
        if self.ids is not None and not between_commas(self.ids):
            raise RunError(f"--ids {self.ids!r} names no network")
        if self.best_under is not None:
            parse_limits(self.best_under)

    def choose(self, store: Store, recipe: Recipe) -> list[Chosen]:
        from nas.retraining.controls import choose_controls

        return [*self._candidates(store, recipe), *choose_controls(recipe, self.controls)]

    def _candidates(self, store: Store, recipe: Recipe) -> list[Chosen]:
        from nas.retraining.selection import choose, choose_best_under, choose_ids, choose_knee, parse_limits

        if self.ids is not None:
            return choose_ids(store, recipe, between_commas(self.ids))
        if self.best_under is not None:
            return choose_best_under(store, recipe, parse_limits(self.best_under))
        return choose_knee(store, recipe) if self.knee else choose(store, recipe, self.top or 1)


def _changes(words: list[str] | None, steps: int | None) -> dict[str, Any]:
    from nas.errors import RecipeError
    from nas.training.plan import parse_changes

    changes = parse_changes(words or [])
    if steps is not None and "steps" in changes:
        raise RecipeError("--steps and --set steps: one of them")
    return changes if steps is None else {**changes, "steps": steps}


@dataclass(frozen=True)
class _Wanted:
    """How and where they are to be trained; None leaves it to the run's recipe."""

    plan: str | None
    changes: dict[str, Any]
    executor: str | None
    workers: int
    device: str | None

    def recipe(self, store: Store, name: str, plan: str | None = None) -> Recipe:
        """The recipe of the run with the options put in; ``plan`` goes before the one of the command."""
        from nas.recipes.recipe import make_recipe

        table: dict[str, Any] = {**store.study(name).recipe, "name": name}
        chosen = plan or self.plan
        section = table.get("retrain", {}) if chosen is None else {"plan": chosen}
        table["retrain"] = {**section, **self.changes}
        several = table["executor"] if table.get("executor", "inline") != "inline" else "processes"
        table["executor"] = self.executor or (several if self.workers > 1 else "inline")
        table["workers"] = self.workers
        if self.device is not None:
            table["device"] = self.device
        return make_recipe({key: value for key, value in table.items() if value is not None}, where=name)


def _train_queued(store: Store, name: str, wanted: _Wanted, longer: Longer) -> int:
    """Take up what waits in the queue of a run until nothing does; how many failed."""
    from leaderboard.store.owners import this_process
    from nas.errors import Interrupted

    owner, done, failed = this_process(), 0, 0
    while taken := _take(store, name, wanted.workers):
        try:
            for plan in {request.plan: None for request in taken}:
                requests = [request for request in taken if request.plan == plan]
                reasons = _train_requests(store, requests, wanted, longer)
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
    longer.say(f"{done} done, {failed} failed of what was asked for" if done + failed else "Nothing waits.")
    return failed


def _take(store: Store, name: str, most: int) -> list[Request]:
    """Requests of a run that wait, from now on this process's: as many as are trained at once."""
    from leaderboard.store.owners import this_process

    taken: list[Request] = []
    while len(taken) < most and (request := store.take_request(name, this_process())) is not None:
        taken.append(request)
    return taken


def _train_requests(
    store: Store, requests: Sequence[Request], wanted: _Wanted, longer: Longer
) -> list[str | None]:
    """Train what was asked for under one plan; why each of them failed, None where it did not."""
    from nas.cli.failures import message_of
    from nas.errors import Interrupted
    from nas.retraining.selection import choose_ids
    from nas.training import ranks

    try:
        recipe = wanted.recipe(store, requests[0].study, requests[0].plan)
        chosen = choose_ids(store, recipe, [request.genotype_id for request in requests])
        retraining = longer.train(recipe, chosen)
    except Interrupted:
        raise
    except Exception as error:
        message = message_of(error)
        if message is None or ranks.world() > 1:  # the other processes of a group have failed with it
            raise
        for request in requests:
            longer.say(f"{request.genotype_id}  failed: {message}")
        return [message] * len(requests)
    nowhere = "another process trains it"
    ids = [request.genotype_id for request in requests]
    return [None if id in retraining.done else retraining.failed.get(id, nowhere) for id in ids]

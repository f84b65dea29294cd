"""``nas retrain``: train the best networks of a run for longer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from nas.cli.options import Db, Device, RunName, Runs, again, open_store

if TYPE_CHECKING:
    from leaderboard.store import Store
    from nas.cli.stop import Stop
    from nas.recipe import Recipe
    from nas.retrain import Chosen, Retraining


def retrain(
    name: RunName,
    top: Annotated[
        int | None, typer.Option(min=1, help="How many of the front, best PSNR first; 1 if not given.")
    ] = None,
    ids: Annotated[
        str | None, typer.Option(help="These networks instead: ids or their beginnings, with commas.")
    ] = None,
    queued: Annotated[
        bool, typer.Option("--queued", help="Those that were asked for on the leaderboard's page instead.")
    ] = False,
    plan: Annotated[str | None, typer.Option(help="A named plan instead of the recipe's.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps, instead of the plan's.")] = None,
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
    from nas.cli.stop import watch_signals
    from nas.errors import Interrupted, RunError
    from nas.retrain import follow
    from nas.training import ranks

    if (top is not None) + (ids is not None) + queued > 1:
        raise RunError("--top, --ids and --queued: one of them")
    if ids is not None and not ids.strip(", "):
        raise RunError(f"--ids {ids!r} names no network")
    failed = 0
    with watch_signals() as stop, ranks.joined() as rank:
        try:
            if rank:
                follow(lambda progress: stop.check())
                return
            with open_store(runs, db) as store:
                options = _Options(runs, device, validate_every, tensorboard, stop)
                if queued:
                    failed = _train_queued(store, name, plan, steps, options)
                else:
                    _train_chosen(store, _recipe(store, name, plan, steps), top or 1, ids, options)
                ranks.shared(None)  # lets the other processes of a group go
        except Interrupted:
            if not rank:
                typer.echo("Stopped. The training's state is kept; the same command goes on from there.")
            raise typer.Exit(stop.status) from None
    if failed:
        raise typer.Exit(1)
    typer.echo("Next:")
    site = again("board", name, "--site", str(runs / name / "site"), runs=runs, db=db)
    typer.echo(f"  {site}   write the leaderboard page")


class _Options(NamedTuple):
    runs: Path
    device: str | None
    validate_every: int
    tensorboard: bool
    stop: Stop

    def retraining(self, store: Store, recipe: Recipe) -> Retraining:
        from nas.device import pick_device
        from nas.retrain import Retraining

        device = pick_device((self.device or recipe.device).split(",")[0])
        return Retraining(
            recipe, store, self.runs, device, validate_every=self.validate_every, events=self.tensorboard
        )


def _recipe(store: Store, name: str, plan: str | None, steps: int | None) -> Recipe:
    """The recipe of the run, with the options put in."""
    from nas.recipe import make_recipe

    table: dict[str, Any] = {**store.study(name).recipe, "name": name}
    if plan is not None:
        table["retrain"] = {"plan": plan}
    if steps is not None:
        table["retrain"]["steps"] = steps
    return make_recipe({key: value for key, value in table.items() if value is not None}, where=name)


def _train_chosen(store: Store, recipe: Recipe, top: int, ids: str | None, options: _Options) -> None:
    from nas.retrain import choose, choose_ids

    if ids is None:
        chosen = choose(store, recipe, top)
    else:
        chosen = choose_ids(store, recipe, [word.strip() for word in ids.split(",") if word.strip()])
    retraining = options.retraining(store, recipe)
    _announce(retraining, len(chosen))
    for candidate in chosen:
        _train_one(retraining, candidate, options.stop)


def _train_queued(store: Store, name: str, plan: str | None, steps: int | None, options: _Options) -> int:
    """Take up what waits in the queue of a run until nothing does; how many failed."""
    from leaderboard.owners import this_process
    from nas.cli.failures import message_of
    from nas.errors import Interrupted
    from nas.retrain import choose_ids

    owner, done, failed = this_process(), 0, 0
    while (request := store.take_request(name, owner)) is not None:
        try:
            recipe = _recipe(store, name, request.plan or plan, steps)
            retraining = options.retraining(store, recipe)
            _announce(retraining, 1)
            _train_one(retraining, choose_ids(store, recipe, [request.genotype_id])[0], options.stop)
        except (Interrupted, KeyboardInterrupt):
            store.give_back_request(request.id, owner)
            raise
        except Exception as error:
            message = message_of(error)
            store.end_request(request.id, owner, message or f"{type(error).__name__}: {error}")
            if message is None:
                raise
            typer.echo(f"{request.genotype_id}  failed: {message}", err=True)
            failed += 1
        else:
            store.end_request(request.id, owner)
            done += 1
    typer.echo(f"{done} done, {failed} failed of what was asked for" if done + failed else "Nothing waits.")
    return failed


def _announce(retraining: Retraining, count: int) -> None:
    from nas.training import ranks

    plan, together = retraining.plan, ranks.world()
    typer.echo(
        f"Re-training {count} of run {retraining.recipe.name!r}: {plan.steps} steps of "
        f"{plan.batch} patches of {plan.lr_patch}x{plan.lr_patch}; "
        f"bicubic {retraining.protocol.bicubic_psnr_db:.3f} dB"
        + (f"; {together} processes train together" if together > 1 else "")
    )


def _train_one(retraining: Retraining, candidate: Chosen, stop: Stop) -> None:
    from nas.cli.display import TrainingDisplay
    from nas.training import Progress
    from nas.units import format_count

    display = TrainingDisplay(candidate.genotype.id)

    def report(progress: Progress) -> None:
        stop.check()
        display.show(progress)

    with display:
        result = retraining.run(candidate, report)
    psnr = result.evaluation.psnr_db
    gain = psnr - retraining.protocol.bicubic_psnr_db
    before = candidate.proxy_psnr_db
    typer.echo(
        f"{candidate.genotype.id}  {psnr:.3f} dB ({gain:+.3f} over bicubic, "
        + ("no result in the search)  " if before is None else f"{before:.3f} dB in the search)  ")
        + f"{format_count(candidate.cost.params)} params  "
        f"{format_count(candidate.cost.multi_adds)} Multi-Adds" + ("  known already" if result.known else "")
    )
    if result.evaluation.checkpoint:
        typer.echo(f"  weights: {retraining.runs / result.evaluation.checkpoint}")

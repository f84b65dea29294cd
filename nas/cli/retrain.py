"""``nas retrain``: train the best networks of a run for longer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import Db, Device, RunName, Runs, again, open_store

if TYPE_CHECKING:
    from leaderboard.store import Store
    from nas.cli.stop import Stop
    from nas.recipe import Recipe
    from nas.retrain import Chosen, Retraining


def retrain(
    name: RunName,
    top: Annotated[int, typer.Option(min=1, help="How many of the front, best PSNR first.")] = 1,
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
    from nas.device import pick_device
    from nas.errors import Interrupted
    from nas.retrain import Retraining, follow
    from nas.training import ranks

    with watch_signals() as stop, ranks.joined() as rank:
        try:
            if rank:
                follow(lambda progress: stop.check())
                return
            with open_store(runs, db) as store:
                recipe = _recipe(store, name, plan, steps)
                retraining = Retraining(
                    recipe,
                    store,
                    runs,
                    pick_device((device or recipe.device).split(",")[0]),
                    validate_every=validate_every,
                    events=tensorboard,
                )
                _train(store, recipe, retraining, top, stop)
                retraining.close()
        except Interrupted:
            if not rank:
                typer.echo("Stopped. The training's state is kept; the same command goes on from there.")
            raise typer.Exit(stop.status) from None
    typer.echo("Next:")
    site = again("board", name, "--site", str(runs / name / "site"), runs=runs, db=db)
    typer.echo(f"  {site}   write the leaderboard page")


def _recipe(store: Store, name: str, plan: str | None, steps: int | None) -> Recipe:
    """The recipe of the run, with the options put in."""
    from nas.recipe import make_recipe

    table: dict[str, Any] = {**store.study(name).recipe, "name": name}
    if plan is not None:
        table["retrain"] = {"plan": plan}
    if steps is not None:
        table["retrain"]["steps"] = steps
    return make_recipe({key: value for key, value in table.items() if value is not None}, where=name)


def _train(store: Store, recipe: Recipe, retraining: Retraining, top: int, stop: Stop) -> None:
    from nas.retrain import choose
    from nas.training import ranks

    chosen = choose(store, recipe, top)
    plan, together = retraining.plan, ranks.world()
    typer.echo(
        f"Re-training {len(chosen)} of run {recipe.name!r}: {plan.steps} steps of "
        f"{plan.batch} patches of {plan.lr_patch}x{plan.lr_patch}; "
        f"bicubic {retraining.protocol.bicubic_psnr_db:.3f} dB"
        + (f"; {together} processes train together" if together > 1 else "")
    )
    for candidate in chosen:
        _train_one(retraining, candidate, stop)


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
    typer.echo(
        f"{candidate.genotype.id}  {psnr:.3f} dB ({gain:+.3f} over bicubic, "
        f"{candidate.proxy_psnr_db:.3f} dB in the search)  "
        f"{format_count(candidate.cost.params)} params  "
        f"{format_count(candidate.cost.multi_adds)} Multi-Adds" + ("  known already" if result.known else "")
    )
    if result.evaluation.checkpoint:
        typer.echo(f"  weights: {retraining.runs / result.evaluation.checkpoint}")

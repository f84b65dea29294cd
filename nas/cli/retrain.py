"""``nas retrain``: train the best networks of a run for longer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.cli.options import Device, RunName, Runs, again, open_store


def retrain(
    name: RunName,
    top: Annotated[int, typer.Option(min=1, help="How many of the front, best PSNR first.")] = 1,
    plan: Annotated[str | None, typer.Option(help="A named plan instead of the recipe's.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps, instead of the plan's.")] = None,
    device: Device = None,
    runs: Runs = Path("runs"),
) -> None:
    """Train the best candidates of a search with the recipe's longer plan, and record the results.

    The same command again goes on where it stopped.
    """
    from nas.cli.display import TrainingDisplay
    from nas.cli.stop import watch_signals
    from nas.device import pick_device
    from nas.errors import Interrupted
    from nas.recipe import make_recipe
    from nas.retrain import Retraining, choose
    from nas.training import Progress
    from nas.units import format_count

    with open_store(runs) as store, watch_signals() as stop:
        table = {**store.study(name).recipe, "name": name}
        if plan is not None:
            table["retrain"] = {"plan": plan}
        if steps is not None:
            table["retrain"]["steps"] = steps
        recipe = make_recipe({key: value for key, value in table.items() if value is not None}, where=name)
        chosen = choose(store, recipe, top)
        retraining = Retraining(recipe, store, runs, pick_device(device or recipe.device))
        protocol = retraining.protocol
        typer.echo(
            f"Re-training {len(chosen)} of run {name!r}: {retraining.plan.steps} steps of "
            f"{retraining.plan.batch} patches of {retraining.plan.lr_patch}x{retraining.plan.lr_patch}; "
            f"bicubic {protocol.bicubic_psnr_db:.3f} dB"
        )
        for candidate in chosen:
            display = TrainingDisplay(candidate.genotype.id)

            def report(progress: Progress, display: TrainingDisplay = display) -> None:
                stop.check()
                display.show(progress)

            try:
                with display:
                    result = retraining.run(candidate, report)
            except Interrupted:
                typer.echo("Stopped. The training's state is kept; the same command goes on from there.")
                raise typer.Exit(stop.status) from None
            psnr = result.evaluation.psnr_db
            gain = psnr - protocol.bicubic_psnr_db
            typer.echo(
                f"{candidate.genotype.id}  {psnr:.3f} dB ({gain:+.3f} over bicubic, "
                f"{candidate.proxy_psnr_db:.3f} dB in the search)  "
                f"{format_count(candidate.cost.params)} params  "
                f"{format_count(candidate.cost.multi_adds)} Multi-Adds"
                + ("  known already" if result.known else "")
            )
            if result.evaluation.checkpoint:
                typer.echo(f"  weights: {runs / result.evaluation.checkpoint}")
    typer.echo("Next:")
    site = again("board", name, "--site", str(runs / name / "site"), runs=runs)
    typer.echo(f"  {site}   write the leaderboard page")

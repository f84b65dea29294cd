"""``nas rerun``: check a number by making it once more."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from nas.cli.model_options import meets_spaces
from nas.cli.options import Db, Device, RunName, Runs, open_store


@meets_spaces
def rerun(
    name: RunName,
    network: Annotated[
        str, typer.Argument(metavar="ID", help="A network of the run: its id, or how it begins.")
    ],
    protocol: Annotated[
        str | None,
        typer.Option(help="Its result under this plan or protocol; the longest training if not given."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Its result with this seed.")] = None,
    device: Device = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Train a network again as a recorded result was, and compare; nothing is recorded.

    On the same kind of CPU with the same torch the result is the same to the last bit.
    """
    from leaderboard.store.records import halvings_text
    from nas.cli.display import TrainingDisplay
    from nas.cli.signals import watch_signals
    from nas.core.device import pick_device
    from nas.errors import Interrupted
    from nas.retraining.reproduce import find_result, require_same_images, run_again

    with open_store(runs, db, read_only=True) as store:
        found = find_result(store, name, network, protocol=protocol, seed=seed)
    recorded = found.evaluation
    wanted = device or ("cpu" if recorded.device.startswith("cpu") else "auto")
    found = replace(found, job=replace(found.job, device=pick_device(wanted)))
    require_same_images(found)
    with TrainingDisplay(recorded.genotype_id) as display, watch_signals() as stop:

        def report(progress: object) -> None:
            stop.check()
            display.show(progress)  # type: ignore[arg-type]

        try:
            outcome = run_again(found, report)
        except Interrupted:
            display.say("Stopped. Nothing was kept.")
            raise typer.Exit(stop.status) from None
    if outcome.halvings:
        typer.echo(halvings_text(outcome.halvings).capitalize())
    difference = outcome.psnr_db - recorded.psnr_db
    where = f"{recorded.device}, torch {recorded.torch_version}"
    typer.echo(f"recorded  {recorded.psnr_db:.6f} dB, SSIM {recorded.ssim:.6f}  ({where})")
    here = f"{outcome.device}, torch {outcome.torch_version}"
    typer.echo(f"now       {outcome.psnr_db:.6f} dB, SSIM {outcome.ssim:.6f}  ({here})")
    same = (outcome.psnr_db, outcome.ssim) == (recorded.psnr_db, recorded.ssim)
    typer.echo("The same, to the last bit." if same else f"Differs by {difference:+.6f} dB.")

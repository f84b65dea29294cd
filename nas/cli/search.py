"""``nas search``: find the best networks under a budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import Device, Runs

if TYPE_CHECKING:
    from nas.recipe import Recipe
    from nas.search import Search


def search(
    recipe: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE.toml]", help="A recipe; without one, a small demo.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the run is called; its folder's name.")] = None,
    space: Annotated[str | None, typer.Option(help="lightweight, or a module of yours.")] = None,
    scale: Annotated[int | None, typer.Option(help="2, 3 or 4.")] = None,
    max_params: Annotated[str | None, typer.Option(help="Most parameters: 300k, 1.5M.")] = None,
    max_multi_adds: Annotated[str | None, typer.Option(help="Most Multi-Adds at 1280x720: 15G.")] = None,
    data: Annotated[
        str | None, typer.Option(help="photos, folder:PATH, div2k:PATH, ...; joined by +.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="How many candidates to train.")] = None,
    sampler: Annotated[str | None, typer.Option(help="tpe, nsga2 or random.")] = None,
    executor: Annotated[str | None, typer.Option(help="inline, processes or ray.")] = None,
    workers: Annotated[int | None, typer.Option(help="How many candidates at once.")] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps of a candidate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of sampling, weights and patches.")] = None,
    device: Device = None,
    runs: Runs = Path("runs"),
) -> None:
    """Search for the networks with the best PSNR for their cost, none of them over budget.

    Options win over the recipe. The same command again goes on where it stopped; Ctrl-C keeps what is done.
    """
    from nas.recipe import EMBEDDED, load_recipe

    base = EMBEDDED if recipe is None else load_recipe(recipe)
    options = {
        "name": name,
        "space": space,
        "scale": scale,
        "params": max_params,
        "multi_adds": max_multi_adds,
        "data": data,
        "trials": trials,
        "sampler": sampler,
        "executor": executor,
        "workers": workers,
        "steps": steps,
        "seed": seed,
        "device": device,
    }
    given = {key: value for key, value in options.items() if value is not None}
    _run(_with_options(base, given), runs)


def _with_options(recipe: Recipe, given: dict[str, Any]) -> Recipe:
    """The recipe with the options of the command line put in."""
    from nas.recipe import make_recipe

    table = recipe.model_dump(exclude_none=True)
    for key, value in given.items():
        if key in ("params", "multi_adds"):
            table["budget"][key] = value
        elif key == "steps":
            table["proxy"]["steps"] = value
        elif key == "space":
            same = value == recipe.space.name
            table["space"] = {"name": value, "only": table["space"]["only"] if same else {}}
        else:
            table[key] = value
    return make_recipe(table, where="options")


def _run(recipe: Recipe, runs: Path) -> None:
    from filelock import FileLock, Timeout

    from nas.cli.display import SearchDisplay
    from nas.cli.options import again, open_store
    from nas.cli.stop import watch_signals
    from nas.device import pick_device
    from nas.errors import Interrupted, RunError
    from nas.search import Event, Search

    device = pick_device(recipe.device)
    with open_store(runs) as store, SearchDisplay() as display, watch_signals() as stop:

        def listen(event: Event) -> None:
            stop.check()
            display.show(event)

        search = Search(recipe, store, runs, device, listen)
        display.tally = search.tally
        search.prepare()
        folder = runs / recipe.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
        display.say(_headline(recipe, search, device))
        try:
            with FileLock(folder / ".lock", timeout=0):
                search.run()
        except Timeout:
            raise RunError(f"run {recipe.name!r} is being searched by another process already") from None
        except Interrupted:
            done = len(search.tally.results)
            display.say(f"Stopped. {done} of {recipe.trials} results are kept; the same command goes on.")
            raise typer.Exit(stop.status) from None
    _report(recipe, search, runs, again)


def _headline(recipe: Recipe, search: Search, device: str) -> str:
    from nas.units import format_count

    limits = ", ".join(
        f"{limit} at most {format_count(value)}" for limit, value in search.budget.limits().items()
    )
    narrowed = "; ".join(f"{axis} = {', '.join(map(str, o))}" for axis, o in search.space.only.items())
    data = search.dataset
    held_out = ", ".join(data.valid.names[:6]) + (", ..." if len(data.valid) > 6 else "")
    lines = [
        f"Search {recipe.name!r}: x{recipe.scale}, {limits or 'no budget'}",
        f"  space     {search.space.name}, {search.space.count():,} architectures"
        + (f" (only {narrowed})" if narrowed else ""),
        f"  data      {data.source}: {len(data.train)} images to train on, "
        f"{len(data.valid)} held out ({held_out})",
        f"  training  {search.plan.steps} steps of {search.plan.batch} patches of "
        f"{search.plan.lr_patch}x{search.plan.lr_patch} a candidate, on {device}",
        f"  bicubic   {search.protocol.bicubic_psnr_db:.3f} dB on the held-out images ({recipe.metric})",
    ]
    return "\n".join(lines)


def _report(recipe: Recipe, search: Search, runs: Path, again: Any) -> None:
    from nas.cli.front import print_front

    tally = search.tally
    limits = ", ".join(f"{name}: {count}" for name, count in tally.rejected_by.items())
    typer.echo(
        f"\n{len(tally.results)} candidates measured, {tally.rejected} rejected before training"
        + (f" ({limits})" if limits else "")
        + f", {tally.repeated} known already, {tally.failed} failed."
    )
    print_front(recipe.name, runs)
    if tally.best_psnr_db is not None:
        best, bicubic = tally.best_psnr_db, tally.bicubic_psnr_db
        area = tally.hypervolume(search.budget.multi_adds)
        typer.echo(
            f"Best candidate {best:.3f} dB, bicubic {bicubic:.3f} dB ({best - bicubic:+.3f}); "
            f"hypervolume over bicubic {area:.3g} dB G."
        )
    typer.echo("Next:")
    typer.echo(f"  {again('retrain', recipe.name, '--top', '1', runs=runs)}   train the best one for longer")
    typer.echo(f"  {again('board', runs=runs)}   browse the results")

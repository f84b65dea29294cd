"""``nas tabulate``: trains a sample of a space and writes a table of it; merges such tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.model_options import Given, ModelOptions, RecipeOptions, meets_spaces, takes, with_settings
from nas.cli.options import DataDir, Db, Runs, Settings, again, benchmarks_to_measure, open_store

if TYPE_CHECKING:
    from nas.data.benchmarks import BenchmarkSet
    from nas.recipes.recipe import Recipe
    from nas.simulation.sampling import Sampling

RECIPE = RecipeOptions(
    *("name", "data", "scale", "budget.params", "budget.multi_adds", "proxy.plan", "executor", "workers"),
    "device",
    name="RECIPE-table",
)


@meets_spaces
@takes(asked=ModelOptions("nas.simulation.sampling:Sampling"), given=RECIPE)
def tabulate(
    asked: Given,
    given: Given,
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE.toml]", help="A recipe, else the demo's; with --merge, tables."),
    ] = None,
    settings: Settings = None,
    licence: Annotated[str, typer.Option(help="The table's licence, for its data card.")] = "CC-BY-4.0",
    data_dir: DataDir = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file; NAME.parquet if not given.")] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge tables of one sample into --out instead of training.")
    ] = False,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Train a sample of the space at several lengths and seeds, and write it as one Parquet file.

    The same command again goes on where it stopped. A data card lies beside the file.
    """
    if merge:
        _merge(what or [], out, given.get("name"))
        return
    recipe = _recipe(what or [], with_settings(given, settings))
    sampling = _sampling(recipe, asked)
    path = out or Path(f"{recipe.name}{sampling.shard.suffix}.parquet")
    _train(recipe, sampling, path, licence, benchmarks_to_measure(data_dir), runs, db)


def _recipe(what: list[str], changes: Given) -> Recipe:
    from nas.errors import RecipeError
    from nas.recipes.changes import changed
    from nas.recipes.recipe import load_or_embedded

    if len(what) > 1:
        raise RecipeError(f"{', '.join(what)}: one recipe is tabulated; --merge puts tables together")
    base = load_or_embedded(Path(what[0]) if what else None)
    return changed(base, {"name": f"{base.name}-table", **changes})


def _sampling(recipe: Recipe, asked: Given) -> Sampling:
    from nas.simulation.sampling import Sampling, parse_shard

    usual = {"rungs": tuple(recipe.rungs) or (recipe.plan("proxy").steps,)}
    shard = {"shard": parse_shard(asked["shard"])}
    return Sampling(**{**usual, **asked, **shard})


def _train(
    recipe: Recipe,
    sampling: Sampling,
    path: Path,
    licence: str,
    sets: list[BenchmarkSet],
    runs: Path,
    db: str | None,
) -> None:
    from contextlib import suppress

    from nas.cli.display import TrainingDisplay
    from nas.cli.signals import watch_signals
    from nas.core.device import pick_devices
    from nas.errors import Interrupted, RunError
    from nas.search.progress import Event
    from nas.simulation.build_table import Tabulation
    from nas.simulation.table import write_table

    done = 0
    with open_store(runs, db) as store, TrainingDisplay() as display, watch_signals() as stop:

        def listen(event: Event) -> None:
            nonlocal done
            stop.check()
            if event.kind in ("finished", "repeated", "failed") and event.genotype is not None:
                done += 1
                psnr = event.text if event.psnr_db is None else f"{event.psnr_db:.3f} dB"
                known = "  known already" if event.kind == "repeated" else ""
                display.say(f"[{done}] {event.genotype.id}  rung {event.rung + 1}  {psnr}{known}")
            elif event.kind == "note":
                display.say(event.text)

        device = pick_devices(recipe.device)
        tabulation = Tabulation(recipe, sampling, store, runs, device, listen, licence=licence)
        display.say(
            f"Tabulating {len(tabulation.genotypes)} of {sampling.architectures} architectures, "
            f"{tabulation.trainings} trainings of {', '.join(map(str, sampling.rungs))} steps"
        )
        try:
            tabulation.train()
            if sets:
                tabulation.measure(sets, stop.check)
        except Interrupted:
            with suppress(RunError):
                write_table(tabulation.table(sets), path)
            display.say("Stopped. What is trained is kept; the same command goes on.")
            raise typer.Exit(stop.status) from None
        table = tabulation.table(sets)
        write_table(table, path)
        failed = len(tabulation.sweep.failed)
    _told(table, path)
    if failed:
        typer.echo(f"{failed} trainings failed and are not in it")
    typer.echo("Next:")
    typer.echo(f"  {again('simulate', '--table', str(path), runs=Path('runs'))}   replays searches on it")


def _merge(what: list[str], out: Path | None, name: str | None) -> None:
    from leaderboard.names import RUN_NAME
    from nas.errors import RecipeError
    from nas.simulation.table import merge_tables, read_table, write_table

    if len(what) < 2 or out is None:
        raise RecipeError("--merge takes two or more tables and --out: nas tabulate --merge A B --out C")
    if name is not None and RUN_NAME.fullmatch(name) is None:
        raise RecipeError(f"--name {name!r}: letters, digits, and . _ - after the first of them")
    tables = [read_table(Path(word)) for word in what]
    table, repeated = merge_tables(tables, what)
    if name is not None:
        table.card["name"] = name
    write_table(table, out)
    _told(table, out)
    if repeated:
        typer.echo(f"{repeated} rows were there more than once, and alike")


def _told(table: Any, path: Path) -> None:
    from nas.core.units import format_seconds

    counts = table.card["counts"]
    size = path.stat().st_size
    typer.echo(
        f"wrote {path}: {counts['architectures']} architectures, {counts['rows']} trainings, "
        f"{format_seconds(counts['seconds'])}, {size / 1e6:.2f} MB; its data card is {path}.md"
    )

"""``nas tabulate``: trains a sample of a space and writes a table of it; merges such tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import DataDir, Db, Device, Runs, again, open_store
from nas.cli.replaying import SpaceName

if TYPE_CHECKING:
    from nas.data.benchmarks import BenchmarkSet
    from nas.recipes.recipe import Recipe
    from nas.simulation.build_table import Sampling


def tabulate(
    what: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RECIPE.toml]", help="A recipe, else the demo's; with --merge, tables."),
    ] = None,
    architectures: Annotated[int, typer.Option(min=1, help="How many in the whole sample.")] = 60,
    rungs: Annotated[
        str | None, typer.Option(help="Steps of the proxy plan, growing: 200,600; the recipe's if not given.")
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="Seeds of each rung: one number for all, or one a rung: 3,1.")
    ] = "1",
    shard: Annotated[
        str, typer.Option(help="The part that is trained here: 2/5 is the second of five.")
    ] = "1/1",
    published: Annotated[bool, typer.Option(help="Begin with published networks that fit.")] = True,
    name: Annotated[
        str | None, typer.Option(help="What the table and its run are called; RECIPE-table if not given.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="photos, folder:PATH, div2k:PATH, ...")] = None,
    scale: Annotated[int | None, typer.Option(help="2, 3 or 4.")] = None,
    max_params: Annotated[str | None, typer.Option(help="Most parameters: 300k.")] = None,
    max_multi_adds: Annotated[str | None, typer.Option(help="Most Multi-Adds at 1280x720: 15G.")] = None,
    plan: Annotated[str | None, typer.Option(help="How they are trained: quick, short, steady, ...")] = None,
    executor: Annotated[str | None, typer.Option(help="inline, processes or ray.")] = None,
    workers: Annotated[int | None, typer.Option(help="How many are trained at once.")] = None,
    licence: Annotated[
        str, typer.Option(help="What the data card says of the table's licence.")
    ] = "CC-BY-4.0",
    data_dir: DataDir = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file; NAME.parquet if not given.")] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge tables of one sample into --out instead of training.")
    ] = False,
    space: SpaceName = None,
    device: Device = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Train a sample of the space at several lengths and seeds, and write it as one Parquet file.

    The same command again goes on where it stopped. A data card lies beside the file.
    """
    if merge:
        _merge(what or [], out, name, space)
        return
    given = {
        "name": name,
        "data": data,
        "scale": scale,
        "params": max_params,
        "multi_adds": max_multi_adds,
        "plan": plan,
        "executor": executor,
        "workers": workers,
        "device": device,
    }
    recipe = _recipe(what or [], {key: value for key, value in given.items() if value is not None})
    sampling = _sampling(recipe, architectures, rungs, seeds, shard, published)
    path = out or Path(f"{recipe.name}{sampling.shard.suffix}.parquet")
    _train(recipe, sampling, path, licence, _sets(data_dir), runs, db)


def _recipe(what: list[str], given: dict[str, Any]) -> Recipe:
    from nas.errors import RecipeError
    from nas.recipes.recipe import EMBEDDED, load_recipe, make_recipe

    if len(what) > 1:
        raise RecipeError(f"{', '.join(what)}: one recipe is tabulated; --merge puts tables together")
    base = load_recipe(Path(what[0])) if what else EMBEDDED
    table = base.model_dump(exclude_none=True)
    table["name"] = f"{base.name}-table"
    for key, value in given.items():
        if key in ("params", "multi_adds"):
            table["budget"][key] = value
        elif key == "plan":
            table["proxy"] = {"plan": value}
        else:
            table[key] = value
    return make_recipe(table, where="options")


def _sampling(
    recipe: Recipe, architectures: int, rungs: str | None, seeds: str, shard: str, published: bool
) -> Sampling:
    from nas.cli.replaying import numbers
    from nas.errors import RecipeError
    from nas.simulation.build_table import Sampling, parse_shard

    steps = numbers(rungs, "--rungs") if rungs else recipe.rungs or [recipe.plan("proxy").steps]
    words = [word.strip() for word in seeds.split(",")]
    if not all(word.isdigit() and int(word) > 0 for word in words) or len(words) not in (1, len(steps)):
        raise RecipeError(f"--seeds {seeds!r}: one number for all rungs, or one for each of {len(steps)}")
    counts = [int(word) for word in words] * (len(steps) if len(words) == 1 else 1)
    return Sampling(
        architectures=architectures,
        rungs=tuple(steps),
        seeds=dict(zip(steps, counts, strict=True)),
        published=published,
        shard=parse_shard(shard),
    )


def _sets(data_dir: Path | None) -> list[BenchmarkSet]:
    """The benchmark sets in the folder; none where none was named."""
    import os

    from nas.data.benchmarks import data_folder, find_benchmarks

    if data_dir is None and not os.environ.get("NAS_DATA"):
        return []
    return find_benchmarks(data_folder(data_dir))


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
    from nas.cli.stop import watch_signals
    from nas.core.device import pick_device
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

        device = ",".join(pick_device(word.strip()) for word in recipe.device.split(","))
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


def _merge(what: list[str], out: Path | None, name: str | None, space: str | None) -> None:
    import re

    from nas.errors import RecipeError
    from nas.recipes.recipe import NAME
    from nas.simulation.table import merge_tables, read_table, write_table
    from nas.simulation.validate_table import TRUSTED

    if len(what) < 2 or out is None:
        raise RecipeError("--merge takes two or more tables and --out: nas tabulate --merge A B --out C")
    if name is not None and not re.fullmatch(NAME, name):
        raise RecipeError(f"--name {name!r}: letters, digits, and . _ - after the first of them")
    if space is not None:
        TRUSTED.add(space)
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

"""``nas search``: find the best networks under a budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nas.cli.model_options import Given, RecipeOptions, takes, with_settings
from nas.cli.options import Db, RecipeFile, Runs, Settings, again, open_store

if TYPE_CHECKING:
    from nas.recipes.recipe import Recipe
    from nas.search.session import SearchSession

BUDGET = ("params", "multi_adds", "conv_multi_adds", "memory", "latency_ms", "min_params", "min_multi_adds")

WHERE = ("executor", "workers", "device", "time_limit_seconds", "ray_address", "gpus_per_worker")
"""The keys of a recipe that a process which joins a search may set for itself."""

OPTIONS = RecipeOptions(
    *("name", "space.name", "scale", *(f"budget.{limit}" for limit in BUDGET)),
    *("data", "trials", "hours", "target_hypervolume", "sampler", "objectives", "rungs"),
    *("seeds_for_front", "seed_published", "warm_start", "executor", "workers", "time_limit_seconds"),
    *("ray_address", "gpus_per_worker", "proxy.plan", "proxy.steps", "seed", "device"),
    name="the recipe's file name; demo without a recipe",
)


@takes(given=OPTIONS)
def search(
    given: Given,
    recipe: RecipeFile = None,
    settings: Settings = None,
    join: Annotated[
        bool, typer.Option("--join", help="Be more workers of the search that runs under this name.")
    ] = False,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Search for the networks with the best PSNR for their cost, none of them over budget.

    Options win over the recipe. The same command again goes on where it stopped; Ctrl-C keeps what is done.
    """
    from nas.recipes.recipe import load_or_embedded

    base = load_or_embedded(recipe)
    changes = with_settings(given, settings)
    if join:
        _join(given.get("name", base.name), changes, runs, db)
    else:
        _run(_checked(base, changes), runs, db)


def _checked(recipe: Recipe, changes: Given) -> Recipe:
    """The recipe with its changes. Raises RecipeError for steps that its rungs overrule."""
    from nas.errors import RecipeError
    from nas.recipes.changes import changed

    made = changed(recipe, changes)
    steps = changes.get("proxy.steps")
    if made.rungs and steps not in (None, made.rungs[-1]):
        told = ",".join(map(str, made.rungs))
        raise RecipeError(
            f"--steps {steps}: this search has rungs, and their last one says how long a candidate "
            f"trains at most; --rungs {told} is what they are now"
        )
    return made


def _join(name: str, changes: Given, runs: Path, db: str | None) -> None:
    from nas.cli.display import SearchDisplay
    from nas.cli.signals import watch_signals
    from nas.core.device import pick_devices
    from nas.errors import Interrupted, RecipeError
    from nas.recipes.stored import require_named_cluster, stored_recipe
    from nas.search.join import JoinedSearch
    from search_spaces import load_space

    changes = dict(changes)
    named = changes.pop("space.name", None)
    space = None if named is None else load_space(named, trust=True)
    if strange := sorted(changes.keys() - {*WHERE, "name"}):
        key = strange[0].rpartition(".")[2]
        raise RecipeError(
            f"--join trains what the running search asks for, so {key} cannot be given with it; "
            f"allowed are {', '.join(WHERE)}, and --space to name its space"
        )
    with open_store(runs, db) as store, SearchDisplay() as display, watch_signals() as stop:
        recipe = _checked(stored_recipe(store, name), changes)
        require_named_cluster(recipe, changes)
        if space not in (None, recipe.search_space().genotype):
            raise RecipeError(f"--space {named}: the search of {name!r} is in space {recipe.space.name}")
        joined = JoinedSearch(recipe, store, runs, pick_devices(recipe.device), display.listener(stop))
        display.search_progress = progress = joined.progress
        joined.prepare()
        try:
            joined.run()
        except Interrupted:
            display.say(f"Stopped. {len(progress.results)} results from here are kept; the search goes on.")
            raise typer.Exit(stop.status) from None
    typer.echo(f"The search of {name!r} ended; {len(progress.results)} candidates were measured here.")


def _run(recipe: Recipe, runs: Path, db: str | None) -> None:
    from nas.cli.display import SearchDisplay
    from nas.cli.signals import watch_signals
    from nas.core.device import pick_devices
    from nas.errors import Interrupted
    from nas.search.session import SearchSession

    device = pick_devices(recipe.device)
    with open_store(runs, db) as store, SearchDisplay() as display, watch_signals() as stop:
        search = SearchSession(recipe, store, runs, device, display.listener(stop))
        display.search_progress = search.progress
        search.prepare()
        recipe = search.recipe
        folder = runs / recipe.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
        display.say(_headline(recipe, search, device))
        try:
            search.run()
        except Interrupted:
            done = len(search.progress.results)
            display.say(f"Stopped. {done} of {recipe.trials} results are kept; the same command goes on.")
            raise typer.Exit(stop.status) from None
        if recipe.seeds_for_front > 1:
            display.say(_spread(recipe, search))
    _report(recipe, search, runs, db)


def _headline(recipe: Recipe, search: SearchSession, device: str) -> str:
    from nas.core.units import format_count

    words = {name: f"{name} at most" for name in search.budget.limits()}
    words |= {f"min_{name}": f"{name} at least" for name in search.budget.floors()}
    limits = ", ".join(f"{words[name]} {format_count(v)}" for name, v in search.budget.limits().items())
    narrowed = "; ".join(f"{axis} = {', '.join(map(str, o))}" for axis, o in search.space.only.items())
    data, plan = search.dataset, search.plans[0]
    held_out = ", ".join(data.valid.names[:6]) + (", ..." if len(data.valid) > 6 else "")
    steps = ", then ".join(str(each.steps) for each in search.plans)
    bicubic = search.protocols[0].bicubic_psnr_db
    lines = [
        f"Search {recipe.name!r}: x{recipe.scale}, {limits or 'no budget'}",
        f"  space     {search.space.name}, {search.space.count():,} architectures"
        + (f" (only {narrowed})" if narrowed else ""),
        f"  data      {data.source}: {len(data.train)} images to train on, "
        f"{len(data.valid)} held out ({held_out})",
        f"  training  {steps} steps of {plan.batch} patches of {plan.lr_patch}x{plan.lr_patch} a candidate, "
        f"on {device}" + (f", {recipe.workers} at once" if recipe.workers > 1 else ""),
        f"  sampler   {recipe.sampler}, for {' against '.join(recipe.objectives)}",
        f"  bicubic   {bicubic:.3f} dB on the held-out images ({recipe.metric})",
    ]
    return "\n".join(lines)


def _spread(recipe: Recipe, search: SearchSession) -> str:
    """Mean and spread of the front's members over their seeds."""
    lines = [f"The front with {recipe.seeds_for_front} seeds each, mean and standard deviation:"]
    lines += [
        f"  {one.genotype_id}  {one.mean_db:.3f} dB +- {one.deviation_db:.3f}  ({len(one.psnr_db)} seeds)"
        for one in search.seed_results()
    ]
    return "\n".join(lines)


def _report(recipe: Recipe, search: SearchSession, runs: Path, db: str | None) -> None:
    from nas.cli.front import print_front

    progress = search.progress
    limits = ", ".join(f"{name}: {count}" for name, count in progress.rejected_by.items())
    typer.echo(
        f"\n{len(progress.results)} candidates measured, {progress.rejected} rejected before training"
        + (f" ({limits})" if limits else "")
        + f", {progress.repeated} known already, {progress.failed} failed"
        + (f", {progress.diverged} diverged." if progress.diverged else ".")
    )
    for rung, (plan, results) in enumerate(zip(search.plans, progress.rungs, strict=True), start=1):
        if len(search.plans) > 1:
            typer.echo(f"  rung {rung}: {len(results)} trained for {plan.steps} steps")
    if progress.top:
        # Memory was counted and not measured: a front of it is printed by Multi-Adds.
        cost = "multi_adds" if progress.cost == "memory" else progress.cost
        print_front(recipe.name, runs, db, search.protocols[progress.longest].id, cost)
    if progress.best_psnr_db is not None:
        best, bicubic = progress.best_psnr_db, progress.bicubic_psnr_db
        area = progress.hypervolume(search.budget.limits().get(progress.cost))
        typer.echo(
            f"Best candidate {best:.3f} dB, bicubic {bicubic:.3f} dB ({best - bicubic:+.3f}); "
            f"hypervolume over bicubic {area:.3g} dB {progress.unit}."
        )
    typer.echo("Next:")
    longer = again("retrain", recipe.name, "--top", "1", runs=runs, db=db)
    typer.echo(f"  {longer}   train the best one for longer")
    typer.echo(f"  {again('board', runs=runs, db=db)}   browse the results")

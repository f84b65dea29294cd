"""``nas search``: find the best networks under a budget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import Db, Device, Runs, between_commas

if TYPE_CHECKING:
    from nas.recipes.recipe import Recipe
    from nas.search.session import SearchSession

BUDGET = (
    *("params", "multi_adds", "conv_multi_adds", "min_params", "min_multi_adds"),
    *("memory", "latency_ms"),
)

WHERE = ("executor", "workers", "device", "time_limit_seconds", "ray_address", "gpus_per_worker")
"""What may be said of a process that joins a search."""


def search(
    recipe: Annotated[
        Path | None, typer.Argument(metavar="[RECIPE.toml]", help="A recipe; without one, a small demo.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What the run is called; its folder's name.")] = None,
    space: Annotated[str | None, typer.Option(help="lightweight, or a module of yours.")] = None,
    scale: Annotated[int | None, typer.Option(help="2, 3 or 4.")] = None,
    max_params: Annotated[str | None, typer.Option(help="Most parameters: 300k, 1.5M.")] = None,
    max_multi_adds: Annotated[str | None, typer.Option(help="Most Multi-Adds at 1280x720: 15G.")] = None,
    max_conv_multi_adds: Annotated[
        str | None, typer.Option(help="The same for convolutions alone, as several papers count.")
    ] = None,
    max_memory: Annotated[str | None, typer.Option(help="Most bytes of one inference: 2G.")] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(help="Longest inference at 1280x720 on the device at hand.")
    ] = None,
    min_params: Annotated[str | None, typer.Option(help="Least parameters.")] = None,
    min_multi_adds: Annotated[str | None, typer.Option(help="Least Multi-Adds.")] = None,
    data: Annotated[
        str | None, typer.Option(help="photos, folder:PATH, div2k:PATH, ...; joined by +.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="How many candidates to train.")] = None,
    hours: Annotated[float | None, typer.Option(help="Begin nothing new after so many hours.")] = None,
    target_hypervolume: Annotated[
        float | None, typer.Option(help="Begin nothing new once it is reached, in dB G.")
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(help="surrogate, tpe, evolution, nsga2, nsga3, gp or random.")
    ] = None,
    objectives: Annotated[
        str | None, typer.Option(help="psnr_db,multi_adds, or others; see the docs' recipes page.")
    ] = None,
    rungs: Annotated[
        str | None, typer.Option(help="500,2000,8000: steps to which ever fewer candidates train.")
    ] = None,
    seeds_for_front: Annotated[
        int | None, typer.Option(help="Train the front with so many seeds in all, at the end.")
    ] = None,
    seed_published: Annotated[
        bool | None, typer.Option(help="Begin with the published networks inside the budget.")
    ] = None,
    warm_start: Annotated[
        str | None, typer.Option(metavar="NAME", help="Let the sampler know the results of another run.")
    ] = None,
    executor: Annotated[str | None, typer.Option(help="inline, processes or ray.")] = None,
    workers: Annotated[int | None, typer.Option(help="How many candidates at once.")] = None,
    time_limit_seconds: Annotated[
        float | None, typer.Option(help="Longest that one candidate may train.")
    ] = None,
    ray_address: Annotated[str | None, typer.Option(help="auto: the cluster that is running.")] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(help="With ray: 0.25 lets four candidates share a GPU.")
    ] = None,
    plan: Annotated[
        str | None, typer.Option(help="How candidates are trained: quick, short, steady, ...")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Training steps of a candidate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of sampling, weights and patches.")] = None,
    join: Annotated[
        bool, typer.Option("--join", help="Be more workers of the search that runs under this name.")
    ] = False,
    device: Device = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Search for the networks with the best PSNR for their cost, none of them over budget.

    Options win over the recipe. The same command again goes on where it stopped; Ctrl-C keeps what is done.
    """
    from nas.recipes.recipe import EMBEDDED, load_recipe

    base = EMBEDDED if recipe is None else load_recipe(recipe)
    options = {
        "name": name,
        "space": space,
        "scale": scale,
        "params": max_params,
        "multi_adds": max_multi_adds,
        "conv_multi_adds": max_conv_multi_adds,
        "memory": max_memory,
        "latency_ms": max_latency_ms,
        "min_params": min_params,
        "min_multi_adds": min_multi_adds,
        "data": data,
        "trials": trials,
        "hours": hours,
        "target_hypervolume": target_hypervolume,
        "sampler": sampler,
        "objectives": _words(objectives),
        "rungs": _words(rungs),
        "seeds_for_front": seeds_for_front,
        "seed_published": seed_published,
        "warm_start": warm_start,
        "executor": executor,
        "workers": workers,
        "time_limit_seconds": time_limit_seconds,
        "ray_address": ray_address,
        "gpus_per_worker": gpus_per_worker,
        "plan": plan,
        "steps": steps,
        "seed": seed,
        "device": device,
    }
    given = {key: value for key, value in options.items() if value is not None}
    if join:
        _join(name or base.name, given, runs, db)
    else:
        _run(_with_options(base, given), runs, db)


def _words(text: str | None) -> list[str] | None:
    return None if text is None else between_commas(text)


def _with_options(recipe: Recipe, given: dict[str, Any]) -> Recipe:
    """The recipe with the options of the command line put in."""
    from nas.errors import RecipeError
    from nas.recipes.recipe import make_recipe

    table = recipe.model_dump(exclude_none=True)
    for key, value in given.items():
        if key in BUDGET:
            table["budget"][key] = value
        elif key == "plan":
            table["proxy"] = {"plan": value}
        elif key == "steps":
            table["proxy"]["steps"] = value
        elif key == "space":
            same = value == recipe.space.name
            table["space"] = {"name": value, "only": table["space"]["only"] if same else {}}
        else:
            table[key] = value
    made = make_recipe(table, where="options")
    if made.rungs and given.get("steps", made.rungs[-1]) != made.rungs[-1]:
        told = ",".join(map(str, made.rungs))
        raise RecipeError(
            f"--steps {given['steps']}: this search has rungs, and their last one says how long a candidate "
            f"trains at most; --rungs {told} is what they are now"
        )
    return made


def _join(name: str, given: dict[str, Any], runs: Path, db: str | None) -> None:
    from nas.cli.display import SearchDisplay
    from nas.cli.options import open_store
    from nas.cli.stop import watch_signals
    from nas.core.device import pick_device
    from nas.errors import Interrupted, RecipeError
    from nas.recipes.recipe import make_recipe
    from nas.search.join import JoinedSearch
    from nas.search.progress import Event

    if strange := sorted(given.keys() - {*WHERE, "name"}):
        raise RecipeError(
            f"--join trains what the running search asks for, so {strange[0]} cannot be given with it; "
            f"allowed are {', '.join(WHERE)}"
        )
    with open_store(runs, db) as store, SearchDisplay() as display, watch_signals() as stop:
        table = store.study(name).recipe | {"name": name}
        recipe = _with_options(make_recipe(table, where=f"run {name}"), given)

        def listen(event: Event) -> None:
            stop.check()
            display.show(event)

        joined = JoinedSearch(recipe, store, runs, _devices(recipe, pick_device), listen)
        display.search_progress = joined.progress
        joined.prepare()
        try:
            joined.run()
        except Interrupted:
            display.say(
                f"Stopped. {len(joined.progress.results)} results from here are kept; the search goes on."
            )
            raise typer.Exit(stop.status) from None
    progress = joined.progress
    typer.echo(f"The search of {name!r} ended; {len(progress.results)} candidates were measured here.")


def _devices(recipe: Recipe, pick: Callable[[str], str]) -> str:
    return ",".join(pick(word.strip()) for word in recipe.device.split(","))


def _run(recipe: Recipe, runs: Path, db: str | None) -> None:
    from nas.cli.display import SearchDisplay
    from nas.cli.options import open_store
    from nas.cli.stop import watch_signals
    from nas.core.device import pick_device
    from nas.errors import Interrupted
    from nas.search.progress import Event
    from nas.search.session import SearchSession

    device = _devices(recipe, pick_device)
    with open_store(runs, db) as store, SearchDisplay() as display, watch_signals() as stop:

        def listen(event: Event) -> None:
            stop.check()
            display.show(event)

        search = SearchSession(recipe, store, runs, device, listen)
        display.search_progress = search.progress
        search.prepare()
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
    from nas.cli.options import again

    progress = search.progress
    limits = ", ".join(f"{name}: {count}" for name, count in progress.rejected_by.items())
    typer.echo(
        f"\n{len(progress.results)} candidates measured, {progress.rejected} rejected before training"
        + (f" ({limits})" if limits else "")
        + f", {progress.repeated} known already, {progress.failed} failed."
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

"""``nas cost``: what a network costs, before any training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.model_options import meets_spaces
from nas.cli.options import Db, Runs, store_reader

if TYPE_CHECKING:
    from nas.cost.budget import Cost
    from nas.networks.resolving import Architecture


@meets_spaces
def cost(
    arch: Annotated[
        str,
        typer.Argument(
            metavar="ARCH", help="A published name, a genotype's id or file, or MODULE:FUNCTION of yours."
        ),
    ],
    scale: Annotated[int, typer.Option(help="2, 3 or 4.")] = 4,
    check: Annotated[bool, typer.Option(help="Count with fvcore, ptflops and torch, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Print the parameters and the Multi-Adds of a network in use for an output of 1280x720 pixels."""
    import json

    from nas.networks.resolving import find_architecture

    found = find_architecture(arch, store_reader(runs, db))
    counted = found.cost(scale)
    told = _told(found, scale, counted, check)
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        _print(found, told)


def _told(found: Architecture, scale: int, counted: Cost, check: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from nas.cost.counting import OUTPUT, input_size, largest_layer, measure, on_meta, uncounted_operations
    from search_spaces.blocks.folding import folds

    def build() -> Any:
        return found.build(scale)

    height, width = input_size(scale)
    genotype = found.genotype_at(scale)
    layer, layer_multi_adds = largest_layer(build, scale)
    told: dict[str, Any] = {
        "name": found.name,
        "genotype": None if genotype is None else genotype.id,
        "scale": scale,
        "output": [OUTPUT[1], OUTPUT[0]],
        "input": [width, height],
        **counted.to_dict(),
        "largest_layer": {"name": layer, "multi_adds": layer_multi_adds},
        "uncounted": uncounted_operations(build, scale),
    }
    if folds(on_meta(build, (1, 3, 1, 1), in_training=True)[0]):
        told["in_training"] = measure(build, scale, in_training=True).to_dict()
    printed = None if found.published is None else found.published.printed.get(scale)
    if printed is not None:
        row = ("params", "multi_adds", "conv_only", "in_training")
        told["printed"] = {key: getattr(printed, key) for key in row}
    if found.published is not None and found.published.note:
        told["note"] = found.published.note
    if check:
        from nas.cost.cross_check import second_opinions

        told["check"] = [asdict(one) for one in second_opinions(build, scale, counted.multi_adds)]
    return told


def _print(found: Architecture, told: dict[str, Any]) -> None:
    from leaderboard.tables.front import words
    from nas.core.units import format_count

    typer.echo(f"{found.name}  ({found.source})")
    genotype = found.genotype_at(told["scale"])
    if genotype is not None:
        typer.echo(f"  genotype {told['genotype']}: {words(genotype.to_dict())}")
    (width, height), (low_width, low_height) = told["output"], told["input"]
    typer.echo(f"  counted at x{told['scale']} for {width}x{height} from {low_width}x{low_height}")
    rows = {
        "parameters": told["params"],
        "Multi-Adds": told["multi_adds"],
        "  of convolutions": told["conv_multi_adds"],
        "activations": told["activations"],
    }
    for label, value in rows.items():
        typer.echo(f"  {label:<18}{value:>18,}   {format_count(value)}")
    if "in_training" in told:
        row = told["in_training"]
        costs = f"{row['params']:,} parameters, {format_count(row['multi_adds'])} Multi-Adds"
        typer.echo(f"  in training       {costs}: branches that are folded for use")
    largest = told["largest_layer"]
    share = largest["multi_adds"] / max(1, told["multi_adds"])
    typer.echo(f"  largest layer     {largest['name']}: {format_count(largest['multi_adds'])} ({share:.0%})")
    if "printed" in told:
        row = told["printed"]
        multi_adds = "" if row["multi_adds"] is None else f", {format_count(row['multi_adds'])} Multi-Adds"
        counted = {"conv_only": "convolutions only", "in_training": "with the branches of training"}
        kinds = ", ".join(text for key, text in counted.items() if row[key])
        what = f" ({kinds})" if kinds else ""
        typer.echo(f"  in its paper      {format_count(row['params'])} parameters{multi_adds}{what}")
    if "note" in told:
        typer.echo(f"  note              {told['note']}")
    if told["uncounted"]:
        names = ", ".join(told["uncounted"])
        typer.echo(f"  not counted       {names}: they multiply, and torch has no formula")
    for opinion in told.get("check", ()):
        typer.echo(f"  {opinion['counter']:<26}{opinion['multi_adds']:>18,}")
        reasons = {**opinion["differences"]}
        if opinion["unexplained"]:
            reasons["UNEXPLAINED"] = opinion["unexplained"]
        for reason, difference in reasons.items():
            typer.echo(f"    {difference:>+18,}  {reason}")

"""``nas recount``: costs of networks as trained are replaced by those of networks as used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from nas.cli.model_options import meets_spaces
from nas.cli.options import Db, Runs, open_store

if TYPE_CHECKING:
    from leaderboard.store.records import CountedCost, OldCost
    from nas.search.recount import Recount

SHOWN = 5


@meets_spaces
def recount(runs: Runs = Path("runs"), db: Db = None) -> None:
    """Count the costs of an older results database again, on the networks as they are used.

    All or nothing; the same command again changes nothing. The database is brought up to date with it.
    """
    from nas.cli.signals import watch_signals
    from nas.errors import Interrupted
    from nas.search.recount import recount as count_again

    with open_store(runs, db) as store, watch_signals() as stop:
        try:
            found = count_again(store, stop.check)
        except Interrupted:
            typer.echo("Stopped. Nothing was changed.")
            raise typer.Exit(stop.status) from None
    for old, new in found.changed:
        typer.echo(_line(old, new))
    _summarise(found)
    if found.impossible:
        raise typer.Exit(1)


def _line(old: OldCost, new: CountedCost) -> str:
    """What changed of one network."""
    from nas.core.units import format_count

    costs = "  ".join(
        f"{label} {format_count(old.cost[name])} -> {format_count(new.cost[name])}"
        for name, label in (("params", "params"), ("multi_adds", "Multi-Adds"))
    )
    return f"{old.genotype_id}  {old.name or '-'}  x{old.scale}  {costs}"


def _summarise(found: Recount) -> None:
    counted = len(found.counted)
    if not counted and not found.impossible:
        typer.echo("Every cost is that of the network as used: nothing to count again.")
        return
    typer.echo(f"{counted} counted again, {counted - len(found.changed)} of them unchanged.")
    for name, count in sorted(found.inside.items()):
        are = "candidates are" if count > 1 else "candidate is"
        typer.echo(
            f"run {name!r}: {count} rejected {are} inside the budget now, and may be proposed and trained "
            "when the search is resumed"
        )
    if found.impossible:
        typer.echo(f"{len(found.impossible)} could not be counted again; runs with them stay closed:")
        reasons: dict[str, list[str]] = {}
        for old, reason in found.impossible:
            reasons.setdefault(reason, []).append(old.genotype_id)
        for reason, ids in list(reasons.items())[:SHOWN]:
            more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
            typer.echo(f"  {', '.join(ids[:SHOWN])}{more}: {reason}")
        if len(reasons) > SHOWN:
            typer.echo(f"  and {len(reasons) - SHOWN} more reasons")

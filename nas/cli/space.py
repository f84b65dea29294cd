"""``nas space``: the axes of a search space."""

from __future__ import annotations

from typing import Annotated

import typer


def space(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="lightweight, or a module of yours.")] = (
        "lightweight"
    ),
) -> None:
    """List the axes and options of a space, and how many architectures it holds."""
    from rich.console import Console
    from rich.table import Table

    from search_spaces import Space, load_space

    found = Space(load_space(name, trust=True))
    table = Table(title=f"Space {found.name}: {found.count():,} architectures", title_justify="left")
    for heading in ("axis", "options", "applies when", "meaning"):
        table.add_column(heading, overflow="fold")
    for axis in found.axes:
        when = " and ".join(f"{key} in {', '.join(map(str, o))}" for key, o in axis.when.items())
        table.add_row(axis.name, ", ".join(map(str, axis.options)), when or "always", axis.doc)
    Console(highlight=False).print(table, markup=False)

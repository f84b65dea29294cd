"""``nas fit``: published networks made to fill a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nas.cost.budget import Budget


def fit(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Published networks; all that have sizes if none is named."),
    ] = None,
    scale: Annotated[int, typer.Option(help="2, 3 or 4.")] = 4,
    max_params: Annotated[str | None, typer.Option(help="Most parameters, 300k for example.")] = None,
    max_multi_adds: Annotated[str | None, typer.Option(help="Most Multi-Adds, 15G for example.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Print the width and the number of blocks with which published networks fill a budget.

    Two shapes each: in nearly the paper's proportions, and the one that fills the budget most. They are what
    ``nas retrain --controls NAME,NAME-filling`` trains.
    """
    import json

    from nas.core.units import parse_count
    from nas.cost.budget import Budget
    from nas.errors import RecipeError, unknown
    from nas.search.baselines import FITTABLE

    if scale not in (2, 3, 4):
        raise RecipeError(f"--scale {scale}: 2, 3 or 4")
    for name in names or ():
        if name not in FITTABLE:
            raise unknown("published network with sizes", name, FITTABLE)
    if max_params is None and max_multi_adds is None:
        raise RecipeError("nothing to fit: give --max-params, --max-multi-adds or both")
    budget = Budget(
        params=None if max_params is None else parse_count(max_params),
        multi_adds=None if max_multi_adds is None else parse_count(max_multi_adds),
    )
    rows = [row for name in names or FITTABLE for row in _rows(name, scale, budget)]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    _print(rows)


def _rows(name: str, scale: int, budget: Budget) -> list[dict[str, Any]]:
    """The two shapes of a network; of one that does not fit, a row without costs."""
    from nas.search.baselines import FILLING, LIKE, filling, fitted
    from search_spaces import Space
    from search_spaces.lightweight import Lightweight
    from search_spaces.published import PUBLISHED

    genotype: Any = PUBLISHED[name].genotype_at(scale)
    paper = {"paper_width": genotype.width, "paper_blocks": genotype.blocks}
    rows: list[dict[str, Any]] = []
    for end, shape_of in ((LIKE, fitted), (FILLING, filling)):
        row: dict[str, Any] = {"name": f"{name}{end}", **paper}
        shape = shape_of(name, Space(Lightweight), scale, budget)
        if shape is not None:
            made: Any = shape.genotype
            row |= {"width": made.width, "blocks": made.blocks, **shape.cost.to_dict(), "fill": shape.fill}
        rows.append(row)
    return rows


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from nas.core.units import format_count

    table = Table(
        caption="The paper's size is width x blocks. Fill: the largest share of a limit that is used."
    )
    for heading in ("network", "paper's size", "size", "parameters", "Multi-Adds", "fill"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for row in rows:
        paper = f"{row['paper_width']} x {row['paper_blocks']}"
        if "fill" not in row:
            table.add_row(row["name"], paper, "none fits")
            continue
        costs = f"{row['params']:,}", format_count(row["multi_adds"])
        table.add_row(row["name"], paper, f"{row['width']} x {row['blocks']}", *costs, f"{row['fill']:.1%}")
    Console(highlight=False).print(table, markup=False)

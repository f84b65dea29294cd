"""Small parts of pages: facts, tables, names for a screen reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html


def aria(**names: str) -> Any:
    """What a part is to a screen reader, as properties of a component: `aria(label="Table")`."""
    return {f"aria-{name}": value for name, value in names.items()}


def facts(values: Mapping[str, Any]) -> html.Dl:
    """Names and what they are, one line each; a component stays one, all else becomes text."""
    cells: list[Any] = []
    for name, value in values.items():
        shown = value if hasattr(value, "to_plotly_json") else str(value)
        cells += [html.Dt(name), html.Dd(shown)]
    return html.Dl(cells, className="facts")


def table(
    headings: Sequence[str], rows: Sequence[Sequence[Any]], *, text: int = 1, caption: str = ""
) -> html.Div:
    """A table whose first `text` columns are words and all others numbers; it scrolls inside its place."""
    kinds = ["text" if number < text else "" for number in range(len(headings))]
    head = html.Tr(
        [html.Th(name, className=kind, scope="col") for name, kind in zip(headings, kinds, strict=True)]
    )
    body = [
        html.Tr([html.Td(cell, className=kind) for cell, kind in zip(row, kinds, strict=True)])
        for row in rows
    ]
    inner = [html.Caption(caption)] if caption else []
    return html.Div(
        html.Table([*inner, html.Thead(head), html.Tbody(body)]),
        className="scroll",
        tabIndex="0",
        role="region",
        **aria(label=caption or headings[0]),
    )

"""The table below the figure, and what can be saved of it."""

from __future__ import annotations

from typing import Any

import pandas as pd
from dash import ClientsideFunction, Dash, Input, Output, State, no_update
from dash.exceptions import PreventUpdate

from leaderboard.errors import LeaderboardError
from leaderboard.page.cached_store import CachedStore, networks_of, source_frame
from leaderboard.page.context import PageContext, input_, query_of, state
from leaderboard.page.query import Query
from leaderboard.page.rows import FORMATS, HEADINGS, OFFERED, USUAL, page_of, records, trials_table
from leaderboard.tables.front import FORMATS as FILES

READ = (
    "study",
    "others",
    "protocol",
    "cost",
    "quality",
    "low",
    "high",
    "filters",
    "table",
    "columns",
    "chosen",
    "picked",
)
USUAL_KIND = Query().table
ENDINGS = {"csv": "csv", "latex": "tex", "markdown": "md"}
PAPER = ("genotype", "params", "multi_adds", "psnr_db", "ssim")
"""What a table for print holds: method, cost, quality."""


def connect(app: Dash, scene: PageContext) -> None:
    """Fills the table a page at a time, and saves it."""
    _connect_saving(app, scene)

    @app.callback(
        Output("grid", "columnDefs"),
        Output("columns", "options"),
        input_("table"),
        input_("columns"),
        input_("others"),
    )
    def columns(kind: str | None, wanted: list[str] | None, others: list[str] | None) -> Any:
        kind = kind or USUAL_KIND
        shown = [name for name in OFFERED[kind] if name in (wanted or ())] or list(USUAL[kind])
        if others and "study" not in shown:
            shown.insert(0, "study")
        offered = [{"value": name, "label": HEADINGS[name]} for name in OFFERED[kind]]
        return [column(name) for name in ("chosen", *shown)], offered

    @app.callback(
        Output("grid", "getRowsResponse"),
        Output("rows-said", "children"),
        Output("unpick", "hidden"),
        Input("grid", "getRowsRequest"),
        State("stamp", "data"),
        {name: state(name) for name in READ},
    )
    def rows(request: dict[str, Any] | None, stamp: Any, read: dict[str, Any]) -> Any:
        if request is None or not stamp:
            raise PreventUpdate
        query = query_of(read)
        try:
            with scene.reading() as store:
                whole = table_of(store, query)
        except LeaderboardError:  # said above the figure
            return {"rowData": [], "rowCount": 0}, "", no_update
        shown, count = page_of(whole, request)
        found = records(shown, query.table, list(query.chosen))
        return {"rowData": found, "rowCount": count}, said(query, count, len(whole)), not query.picked

    app.clientside_callback(
        ClientsideFunction("page", "purge"),
        Output("purged", "data"),
        Input("stamp", "data"),
        *(input_(name) for name in ("cost", "quality", "low", "high", "filters", "table", "picked")),
    )


def _connect_saving(app: Dash, scene: PageContext) -> None:
    """Lets the buttons below the table save it as a file."""

    @app.callback(
        Output("download", "data"),
        *(Input(f"table-{kind}", "n_clicks") for kind in ENDINGS),
        State("grid", "getRowsRequest"),
        {name: state(name) for name in READ},
        prevent_initial_call=True,
    )
    def save(*given: Any) -> Any:
        from dash import ctx

        request, read = given[-2:]
        query = query_of(read)
        if query.study is None:
            raise PreventUpdate
        kind = str(ctx.triggered_id).removeprefix("table-")
        if kind not in ENDINGS:
            raise PreventUpdate
        with scene.reading() as store:
            text = file_text(store, query, request or {}, kind)
        return {"content": text, "filename": f"{file_name(query.study)}-{query.table}.{ENDINGS[kind]}"}


def table_of(store: CachedStore, query: Query) -> pd.DataFrame:
    """All rows of the table: networks under the protocol, or trials; of what is marked where something is."""
    if query.table == "networks":
        found = networks_of(store, query)
    else:
        found = trials_table(source_frame(store, query, "rejects")[0])
    return found[found["genotype"].isin(query.picked)] if query.picked else found


def said(query: Query, count: int, whole: int) -> str:
    """How many rows there are, in words."""
    what = "networks" if query.table == "networks" else "trials"
    marked = f" of the {len(query.picked)} marked in the figure" if query.picked else ""
    return f"{count:,} {what}{marked}." if count == whole else f"{count:,} of {whole:,} {what}{marked}."


def column(name: str) -> dict[str, Any]:
    """The definition of one column of the grid."""
    found: dict[str, Any] = {"field": name, "headerName": HEADINGS[name]}
    if name == "chosen":
        box = {"cellRenderer": "agCheckboxCellRenderer", "cellEditor": "agCheckboxCellEditor"}
        return (
            found
            | box
            | {"editable": True, "sortable": False, "filter": False, "pinned": "left", "width": 95}
        )
    if name == "genotype":
        return found | {"cellRenderer": "PageNetwork", "minWidth": 140}
    if name == "on_front":
        return found | {"cellRenderer": "agCheckboxCellRenderer", "cellDataType": "boolean", "width": 105}
    if name == "words":
        return found | {"minWidth": 420, "tooltipField": name}
    if name == "reason":
        return found | {"minWidth": 260, "tooltipField": name}
    if name in FORMATS:
        found |= {"type": "rightAligned", "filter": "agNumberColumnFilter"}
        if FORMATS[name]:
            text = f"params.value == null ? '' : d3.format('{FORMATS[name]}')(params.value)"
            found["valueFormatter"] = {"function": text}
    return found


def file_text(store: CachedStore, query: Query, request: dict[str, Any], kind: str) -> str:
    """The whole table as a file, filtered and sorted as it is on the page.

    CSV has every column with plain numbers; LaTeX and Markdown have the papers' columns, and before them the
    protocol, without which no number is one.
    """
    whole = table_of(store, query)
    shown, _ = page_of(whole, {**request, "startRow": 0, "endRow": len(whole)}, most=len(whole))
    if kind == "csv":
        names = [name for name in OFFERED[query.table] if name in shown]
        return FILES["csv"](shown[names])
    names = [*PAPER[:1], *(name for name in PAPER[1:] if name in shown)]
    if query.table == "trials":
        names.insert(1, "state")
    from leaderboard.page.detail import protocol_line

    protocol = None if query.protocol is None else store.protocol(query.protocol)
    text = FILES[kind](shown[names])
    line = f"{query.study}: {protocol_line(protocol)}"
    safe = " ".join(line.split()).replace("--", "- -")
    return f"% {safe}\n{text}\n" if kind == "latex" else f"<!-- {safe} -->\n\n{text}\n"


def file_name(study: str) -> str:
    """A name for a file that holds only what every system allows."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in study)[:60] or "study"

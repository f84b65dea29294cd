"""What stands on the page: controls, figure, candidates, table, and the panel of details.

A control has the id of the field of `Query` that it sets.
"""

from __future__ import annotations

from typing import Any

import dash_ag_grid as dag
import plotly.graph_objects as go
from dash import dcc, html

from leaderboard.page.parts import aria
from leaderboard.page.query import COSTS, TABLES, Query
from leaderboard.tables.front import QUALITY_NAMES
from leaderboard.views import SETTINGS, VIEWS

PAGE_ROWS = 50
USUAL = Query()


def layout(*, allow_queue: bool) -> html.Div:
    """The page before anything was read."""
    return html.Div(
        [
            html.A("Skip to the figure", href="#figure-card", className="skip"),
            html.Div(
                [_header(), html.Main([_settings(), _message(), _figure(), _chosen(allow_queue), _table()])],
                className="page",
                id="main-part",
            ),
            _drawer(),
            dcc.Location(id="address", refresh=False),
            *(dcc.Store(id=name, data=[]) for name in ("chosen", "picked", "opened")),
            *(
                dcc.Store(id=name)
                for name in ("clock", "stamp", "written", "purged", "marked", "copied", "exported")
            ),
            dcc.Download(id="download"),
        ]
    )


def _header() -> html.Header:
    return html.Header(
        [
            html.H1("ParetoSR leaderboard"),
            html.Button("Theme: as the system", id="theme", type="button", className="quiet"),
        ],
        className="top",
    )


def _control(name: str, label: str, control: Any, className: str = "") -> html.Div:
    return html.Div([html.Label(label, htmlFor=name, id=f"{name}-label"), control], className=className)


def _settings() -> html.Section:
    def pick(name: str, placeholder: str = "", **settings: Any) -> dcc.Dropdown:
        return dcc.Dropdown(id=name, placeholder=placeholder, **settings)

    def named(names: dict[str, str]) -> list[dict[str, str]]:
        return [{"value": key, "label": name} for key, name in names.items()]

    first = [
        _control("study", "Study", pick("study", "none yet", clearable=False)),
        _control("others", "Compare with", pick("others", "no other study", multi=True)),
        _control("protocol", "Protocol", pick("protocol", "none yet", clearable=False), "wide"),
        _control("cost", "Cost", pick("cost", options=named(COSTS), value=USUAL.cost, clearable=False)),
        _control(
            "quality",
            "Quality",
            pick("quality", options=named(QUALITY_NAMES), value=USUAL.quality, clearable=False),
        ),
        html.Div(
            [
                html.Span("Cost from, to", id="range-label", className="label"),
                html.Div([_bound("low", "Lowest cost"), _bound("high", "Highest cost")], className="bounds"),
            ]
        ),
        _control("filters", "Only with", pick("filters", "any choices", multi=True)),
    ]
    return html.Section(
        [
            html.Div(first, className="controls"),
            html.Details(
                [html.Summary("Protocol", id="protocol-line"), html.Div(id="protocol-facts")],
                className="protocol",
            ),
        ],
        className="card",
        **aria(label="What is shown"),
    )


def _bound(name: str, label: str) -> html.Div:
    field = dcc.Input(id=name, type="text", value="", debounce=0.25, placeholder="any")
    return html.Div([html.Label(label, htmlFor=name, className="unseen"), field])


def _message() -> html.Div:
    return html.Div(
        [html.P(id=name, className="message") for name in ("message", "problem", "lost")], role="status"
    )


def _figure() -> html.Section:
    empty = go.Figure().update_layout(
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", xaxis_visible=False, yaxis_visible=False
    )
    views = dcc.RadioItems(
        id="view",
        options=[{"value": name, "label": view.title} for name, view in VIEWS.items()],
        value=USUAL.view,
        className="tabs",
    )
    return html.Section(
        [
            html.Div(views, role="group", **aria(label="View")),
            html.P(id="about", className="soft about"),
            html.Div(
                dcc.Graph(
                    id="figure", figure=empty, responsive=True, config=SETTINGS, style={"height": "100%"}
                ),
                className="figure",
            ),
            html.Div(
                [
                    html.Span(id="hint"),
                    _buttons("Figure", {"figure-html": "HTML", "figure-svg": "SVG", "figure-png": "PNG"}),
                ],
                className="under soft",
            ),
        ],
        className="card",
        id="figure-card",
        tabIndex="-1",
        **aria(label="Figure"),
    )


def _buttons(name: str, ids: dict[str, str]) -> html.Div:
    """Buttons that save something as a file."""
    return html.Div(
        [
            html.Span(f"{name} as"),
            *(
                html.Button(text, id=key, type="button", className="quiet", title=f"Save the {name.lower()}")
                for key, text in ids.items()
            ),
        ],
        className="buttons",
    )


def _chosen(allow_queue: bool) -> html.Section:
    queue = [html.Button("Queue the re-training", id="queue", type="button")] if allow_queue else []
    return html.Section(
        [
            html.H2("Candidates"),
            html.Div(id="chosen-list", className="chips"),
            html.Div(
                [
                    html.Button("Compare", id="compare", type="button"),
                    html.Button("Copy the command", id="copy", type="button"),
                    *queue,
                    html.Button("Clear", id="clear", type="button", className="quiet"),
                    html.Span(id="copy-said", role="status"),
                ],
                className="buttons",
            ),
            html.Pre(html.Code(id="command"), tabIndex="0", **aria(label="Command")),
            html.P(id="queue-said", className="soft", role="status"),
        ],
        className="card",
        **aria(label="Candidates"),
    )


def _table() -> html.Section:
    kinds = dcc.RadioItems(
        id="table",
        options=[{"value": key, "label": name} for key, name in TABLES.items()],
        value=USUAL.table,
        className="tabs",
    )
    return html.Section(
        [
            html.H2("Table"),
            html.Div(kinds, role="group", **aria(label="Rows")),
            html.Div(
                [
                    _control(
                        "columns",
                        "Columns",
                        dcc.Dropdown(id="columns", multi=True, placeholder="the usual"),
                        "wide",
                    ),
                    _buttons(
                        "Table", {"table-csv": "CSV", "table-latex": "LaTeX", "table-markdown": "Markdown"}
                    ),
                ],
                className="controls",
            ),
            html.P(
                [
                    html.Span(id="rows-said"),
                    html.Button("Show all", id="unpick", type="button", className="quiet", hidden=True),
                ],
                className="soft",
                role="status",
            ),
            dag.AgGrid(
                id="grid",
                rowModelType="infinite",
                columnDefs=[],
                defaultColDef={"sortable": True, "filter": True, "resizable": True, "minWidth": 90},
                getRowId="params.data.id",
                columnSize="autoSize",
                dashGridOptions={
                    "pagination": True,
                    "paginationPageSize": PAGE_ROWS,
                    "paginationPageSizeSelector": False,
                    "cacheBlockSize": PAGE_ROWS,
                    "maxBlocksInCache": 4,
                    "animateRows": False,
                    "theme": {"function": "page_theme(themeQuartz)"},
                    "suppressCellFocus": False,
                },
                eventListeners={"cellKeyDown": ["page_key(params)"]},
                className="grid",
                style={"height": "560px", "width": "100%"},
            ),
        ],
        className="card",
        id="table-card",
        **aria(label="Table"),
    )


def _drawer() -> html.Div:
    return html.Div(
        [
            html.Div(id="backdrop", className="backdrop"),
            html.Div(
                [
                    html.Div(
                        [
                            html.H2("Network", id="drawer-title", tabIndex="-1"),
                            html.Button("Choose", id="choose", type="button"),
                            html.Button(
                                "Close", id="close", type="button", className="quiet", title="Escape"
                            ),
                        ],
                        className="drawer-top",
                    ),
                    html.Div(id="drawer-body"),
                ],
                className="drawer",
                role="dialog",
                **aria(modal="true", labelledby="drawer-title"),
            ),
        ],
        id="panel",
        className="panel closed",
    )

"""The results as a page that follows a running search; it reads the database and never writes.

A new view of `VIEWS` appears by itself.
"""

from __future__ import annotations

import math
import socket
from typing import Any

import dash_ag_grid as dag
import pandas as pd
import plotly.graph_objects as go
from dash import Dash, Input, Output, State, dcc, html, no_update
from werkzeug.serving import WSGIRequestHandler, make_server

from leaderboard.errors import LeaderboardError
from leaderboard.store import Store
from leaderboard.tables import COST_NAMES, main_protocol, words
from leaderboard.views import INK, SETTINGS, VIEWS, Show, budget_of

REFRESH_SECONDS = 5
COLUMNS = {
    "stage": "Stage",
    "number": "Trial",
    "state": "State",
    "psnr_db": "PSNR (dB)",
    "ssim": "SSIM",
    "params": "Parameters",
    "multi_adds": "Multi-Adds",
    "words": "Choices",
    "genotype": "Network",
    "seed": "Seed",
    "plan": "Plan",
    "train_seconds": "Training (s)",
    "reason": "Reason",
}
NUMBER_FORMATS = {
    "psnr_db": ".2f",
    "ssim": ".4f",
    "params": ",",
    "multi_adds": ".4~s",
    "train_seconds": ".1f",
}


def make_app(store_url: str) -> Dash:
    """The page over the database at `store_url`, which is opened for reading at each request.

    No file comes from another host.
    """
    app = Dash(
        "leaderboard",
        title="ParetoSR",
        update_title="",
        serve_locally=True,
        assets_ignore=r"site\.js",
        add_log_handler=False,
    )
    app.layout = _layout()

    @app.callback(
        Output("study", "options"),
        Output("study", "value"),
        Input("clock", "n_intervals"),
        State("study", "value"),
    )
    def list_studies(ticks: int, chosen: str | None) -> tuple[list[str], Any]:
        try:
            with Store(store_url, read_only=True) as store:
                names = [study.name for study in store.studies()]
        except LeaderboardError:
            return [], no_update
        return names, no_update if chosen in names else (names[-1] if names else None)

    @app.callback(
        Output("protocol", "options"),
        Output("protocol", "value"),
        Output("cost", "options"),
        *(Output(name, "figure") for name in VIEWS),
        Output("trials", "rowData"),
        Output("message", "children"),
        Output("seen", "data"),
        Input("clock", "n_intervals"),
        Input("study", "value"),
        Input("protocol", "value"),
        Input("cost", "value"),
        State("seen", "data"),
    )
    def refresh(
        ticks: int, study: str | None, protocol: str | None, cost: str, seen: list[Any] | None
    ) -> Any:
        nothing = [no_update] * (3 + len(VIEWS) + 1)
        try:
            with Store(store_url, read_only=True) as store:
                if study is None:
                    return [*nothing, "" if store.studies() else "No search has been started yet.", None]
                frame, recipe = store.frame(study), store.study(study).recipe
        except LeaderboardError as error:
            return [*nothing, str(error), None]
        known = sorted(frame["protocol"].dropna().unique())
        if protocol not in known:
            protocol = main_protocol(frame)
        state = [study, protocol, cost, len(frame), str(frame["finished_at"].max()), len(known)]
        if state == seen:
            return [*nothing, no_update, no_update]
        show = Show(study=study, protocol=protocol, cost=cost, budget=budget_of(recipe))
        names = frame.dropna(subset=["protocol"]).drop_duplicates("protocol")
        options = [
            {"value": row["protocol"], "label": f"{row['plan']}, {row['metric']}, x{row['scale']}"}
            for row in names.to_dict("records")
        ]
        figures = [_styled(view(frame, show)) for view in VIEWS.values()]
        return [options, protocol, no_update, *figures, rows_of(frame), "", state]

    return app


def serve(store_url: str, host: str = "127.0.0.1", port: int = 8050) -> None:
    """Serves the page until interrupted. Raises `LeaderboardError` when the address cannot be used."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise LeaderboardError(
                f"cannot serve on {host}:{port} ({reason}); choose another with --port"
            ) from error
    server = make_server(
        host, port, make_app(store_url).server, threaded=True, request_handler=_QuietRequests
    )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


class _QuietRequests(WSGIRequestHandler):
    """Says nothing of each request: a page that refreshes asks every few seconds."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing; errors are still said."""


def rows_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The trials for the grid, newest first, each with an id of its own; what is missing is None."""
    shown = frame.assign(words=[words(choices) for choices in frame["choices"]])[list(COLUMNS)]
    rows = [
        {
            str(key): None if isinstance(value, float) and math.isnan(value) else value
            for key, value in row.items()
        }
        for row in shown.iloc[::-1].to_dict("records")
    ]
    return [{**row, "id": f"{row['stage']}-{row['number']}"} for row in rows]


def _styled(figure: go.Figure) -> go.Figure:
    return figure.update_layout(font_color="#1e293b", modebar_color=INK)


def _layout() -> html.Div:
    def choice(name: str, label: str, **settings: Any) -> html.Div:
        return html.Div([html.Label(label, htmlFor=name), dcc.Dropdown(id=name, clearable=False, **settings)])

    empty = go.Figure().update_layout(paper_bgcolor="rgba(0,0,0,0)", xaxis_visible=False, yaxis_visible=False)
    graphs = {
        name: html.Section(
            dcc.Graph(
                id=name,
                figure=empty,
                style={"height": "480px"},
                responsive=True,
                config=SETTINGS,
            ),
            className="card",
        )
        for name in VIEWS
    }
    first, *others = graphs.values()
    return html.Div(
        [
            html.H1("ParetoSR leaderboard"),
            html.Section(
                html.Div(
                    [
                        choice("study", "Study"),
                        choice("protocol", "Protocol"),
                        choice(
                            "cost",
                            "Cost",
                            options=[{"value": key, "label": name} for key, name in COST_NAMES.items()],
                            value="multi_adds",
                        ),
                    ],
                    className="controls",
                ),
                className="card",
            ),
            html.Div(id="message", className="message", role="status"),
            first,
            html.Div(others, className="pair"),
            html.Section([html.H2("Trials"), _grid()], className="card"),
            dcc.Interval(id="clock", interval=REFRESH_SECONDS * 1000),
            dcc.Store(id="seen"),
        ],
        className="page",
    )


def _grid() -> dag.AgGrid:
    columns = []
    for field, heading in COLUMNS.items():
        column: dict[str, Any] = {"field": field, "headerName": heading}
        if field in NUMBER_FORMATS:
            column["type"] = "rightAligned"
            column["filter"] = "agNumberColumnFilter"
            column["valueFormatter"] = {
                "function": f"params.value == null ? '' : d3.format('{NUMBER_FORMATS[field]}')(params.value)"
            }
        if field == "words":
            column |= {"minWidth": 380, "tooltipField": field}
        columns.append(column)
    return dag.AgGrid(
        id="trials",
        columnDefs=columns,
        rowData=[],
        defaultColDef={"sortable": True, "filter": True, "resizable": True},
        columnSize="autoSize",
        dashGridOptions={"pagination": True, "paginationPageSize": 20, "animateRows": False},
        getRowId="params.data.id",
        style={"height": "560px", "width": "100%"},
    )

"""Networks put aside as candidates, marked in the figure, and what can be done with them."""

from __future__ import annotations

from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, html
from dash.exceptions import PreventUpdate

from leaderboard.errors import LeaderboardError
from leaderboard.page.context import PageContext, input_, state
from leaderboard.page.network_data import retrain_command
from leaderboard.page.parts import aria
from leaderboard.page.query import MOST_COMPARED, MOST_NAMES
from leaderboard.store import Store


def connect(app: Dash, scene: PageContext) -> None:
    """Lets networks be chosen in the table and the panel; gives the command that re-trains them."""
    marks = (
        (
            *("chosen", "choose", ["chosen", "opened"]),
            [
                *(Input("grid", "cellValueChanged"), Input("choose", "n_clicks"), Input("clear", "n_clicks")),
                Input({"type": "unchoose", "name": ALL}, "n_clicks"),
            ],
        ),
        (
            *("picked", "pick", ["picked"]),
            [Input("figure", "clickData"), Input("figure", "selectedData"), Input("unpick", "n_clicks")],
        ),
        (
            *("opened", "open", ["chosen", "opened"]),
            [
                Input("figure", "clickData"),
                *(Input(button, "n_clicks") for button in ("compare", "close", "backdrop")),
            ],
        ),
    )
    for name, function, states, inputs in marks:
        app.clientside_callback(
            ClientsideFunction("page", function),
            Output(name, "data", allow_duplicate=True),
            *inputs,
            *(state(each) for each in states),
            prevent_initial_call=True,
        )
    app.clientside_callback(ClientsideFunction("page", "mark"), Output("marked", "data"), input_("chosen"))
    app.clientside_callback(
        ClientsideFunction("page", "copy"),
        Output("copy-said", "children"),
        Input("copy", "n_clicks"),
        State("command", "children"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output("chosen-list", "children"),
        Output("command", "children"),
        Output("compare", "disabled"),
        Output("copy", "disabled"),
        Output("clear", "disabled"),
        input_("chosen"),
        input_("study"),
    )
    def tell(chosen: list[str] | None, study: str | None) -> Any:
        chosen = (chosen or [])[:MOST_NAMES]
        if not chosen or study is None:
            return "None yet: tick networks in the table, or open one and choose it.", "", True, True, True
        command = retrain_command(study, chosen, scene.options)
        comparable = 2 <= len(chosen) <= MOST_COMPARED
        return [chip(name) for name in chosen], command, not comparable, False, False

    if scene.allow_queue:
        _connect_queue(app, scene)


def chip(genotype: str) -> html.Button:
    """A chosen network, to be put back with a click."""
    return html.Button(
        [genotype, html.Span(" x", **aria(hidden="true"))],
        id={"type": "unchoose", "name": genotype},
        type="button",
        className="chip",
        title=f"Take {genotype} out",
        n_clicks=0,
    )


def _connect_queue(app: Dash, scene: PageContext) -> None:
    """The only callback that writes; it exists only where the server was started with --allow-queue."""

    @app.callback(
        Output("queue-said", "children"),
        Input("queue", "n_clicks"),
        state("study"),
        state("chosen"),
        prevent_initial_call=True,
    )
    def queue(clicks: int | None, study: str | None, chosen: list[str] | None) -> str:
        if not clicks or study is None:
            raise PreventUpdate
        if not chosen:
            return "Choose networks first."
        try:
            with Store(scene.store_url) as store:
                made = store.request_retraining(study, [str(name) for name in chosen[:MOST_NAMES]])
                waiting = int((store.requests(study)["state"] == "waiting").sum())
        except LeaderboardError as error:
            return str(error)
        command = f"nas retrain {_quoted(study)} --queued {scene.options}".rstrip()
        return f"{len(set(made))} asked for, {waiting} waiting in all. To take them up: {command}"


def _quoted(name: str) -> str:
    import shlex

    return shlex.quote(name)

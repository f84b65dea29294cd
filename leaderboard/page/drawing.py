"""The address, the controls, and the figure: what is looked at, kept up to date while a search runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from dash import ClientsideFunction, Dash, Input, Output, State, ctx, html, no_update
from dash.exceptions import PreventUpdate

from leaderboard.errors import LeaderboardError, OldCostsError
from leaderboard.page.cached_store import (
    CachedStore,
    protocol_to_show,
    show_of,
    source_frame,
    state_of,
)
from leaderboard.page.context import PageContext, input_, output, query_of, state
from leaderboard.page.detail import protocol_facts, protocol_line, trust_of
from leaderboard.page.offering import MOST_OFFERED, can_be_offered, offered
from leaderboard.page.plain import drawn_plainly
from leaderboard.page.query import FIELDS, Query, parse, require_view
from leaderboard.views import VIEWS

LOOKS = ("study", "others", "protocol")
DRAWN = ("cost", "quality", "low", "high", "filters", "view", "chosen")
HINT = "Click a point to open the network; lasso or box to list several."


def connect(app: Dash, scene: PageContext) -> None:
    """Lets the controls follow the address and the database, and the figure the controls."""

    @app.callback(
        {name: output(name) for name in FIELDS},
        {name: Output(name, "options") for name in ("study", "others", "protocol", "filters")},
        Output("stamp", "data"),
        Output("message", "children"),
        Output("protocol-line", "children"),
        Output("protocol-facts", "children"),
        Input("address", "search"),
        Input("clock", "data"),
        {name: input_(name) for name in LOOKS},
        State("stamp", "data"),
    )
    def follow(search: str | None, ticks: Any, looked: dict[str, Any], seen: Any) -> Any:
        if search is None:
            raise PreventUpdate  # the address is not known yet
        opened = ctx.triggered_id in (None, "address")
        query = parse(search) if opened else query_of(looked)
        try:
            with scene.reading() as store:
                return _followed(store, query, seen, opened=opened)
        except LeaderboardError as error:
            return _only_said(str(error))

    @app.callback(
        Output("figure", "figure"),
        Output("about", "children"),
        Output("hint", "children"),
        Output("problem", "children"),
        Input("stamp", "data"),
        {name: input_(name) for name in DRAWN},
        {name: state(name) for name in LOOKS},
    )
    def draw(stamp: Any, drawn: dict[str, Any], looked: dict[str, Any]) -> Any:
        if not stamp:
            raise PreventUpdate
        query = query_of({**drawn, **looked})
        try:
            with scene.reading() as store:
                figure = figure_of(store, query)
        except LeaderboardError as error:
            return no_update, no_update, no_update, str(error)
        return figure, VIEWS[query.view].about, HINT if has_networks(figure) else "", ""

    _connect_search(app, scene)
    _connect_scripts(app)


def _connect_search(app: Dash, scene: PageContext) -> None:
    """Lets what is typed into the controls of studies find those that are not listed."""

    @app.callback(
        Output("study", "options", allow_duplicate=True),
        Input("study", "search_value"),
        state("study"),
        prevent_initial_call=True,
    )
    def search_study(text: str | None, study: str | None) -> list[str]:
        return _searched(scene, text, [] if study is None else [study], without=None)

    @app.callback(
        Output("others", "options", allow_duplicate=True),
        Input("others", "search_value"),
        state("others"),
        state("study"),
        prevent_initial_call=True,
    )
    def search_others(text: str | None, others: list[str] | None, study: str | None) -> list[str]:
        return _searched(scene, text, others or [], without=study)


def _searched(
    scene: PageContext, text: str | None, selected: Sequence[str], *, without: str | None
) -> list[str]:
    with scene.reading() as store:
        names = _names(store)
    if len(names) <= MOST_OFFERED:
        raise PreventUpdate  # all are listed, and the browser searches by itself
    return offered([name for name in names if name != without], selected, text)


def _connect_scripts(app: Dash) -> None:
    """Connects what runs in the browser alone: the address, the theme, saving the figure."""
    app.clientside_callback(
        ClientsideFunction("page", "write_address"),
        Output("written", "data"),
        *(input_(name) for name in FIELDS),
    )
    app.clientside_callback(
        ClientsideFunction("page", "theme"), Output("theme", "children"), Input("theme", "n_clicks")
    )
    app.clientside_callback(
        ClientsideFunction("page", "save_figure"),
        Output("exported", "data"),
        *(Input(f"figure-{kind}", "n_clicks") for kind in ("html", "svg", "png")),
        prevent_initial_call=True,
    )


def _names(store: CachedStore) -> list[str]:
    """The studies that can be shown, oldest first."""
    return [name for name in store.study_names() if can_be_offered(name)]


def _only_said(message: str, studies: list[str] | None = None) -> list[Any]:
    """An answer of `follow` that changes nothing but the message, and the studies to choose from."""
    options: dict[str, Any] = dict.fromkeys(("study", "others", "protocol", "filters"), no_update)
    if studies is not None:
        options["study"] = studies
    return [dict.fromkeys(FIELDS, no_update), options, no_update, message, no_update, no_update]


def _followed(store: CachedStore, query: Query, seen: Any, *, opened: bool) -> Any:
    """The controls for `query`, as far as they are others than the page has; see `follow`."""
    names = _names(store)
    if not names:
        return _only_said("No search has been started yet: run `nas search`.")
    known = set(names)
    message = ""
    if opened and query.study is not None and query.study not in known:
        message = f"There is no study {query.study!r} here; this is another one."
    study = query.study if query.study in known else names[-1]
    others = [name for name in query.others if name in known and name != study]
    try:
        facts = store.facts(study)
    except OldCostsError as error:
        return _only_said(str(error), offered(names, [study]))  # of which another one can be opened
    before = seen or {}
    protocol = protocol_to_show(facts, query.protocol)
    stamp = {
        "study": study,
        "others": others,
        "protocol": protocol,
        "events": [*(store.last_event(name) for name in (study, *others)), store.last_calibration()],
        "studies": len(names),
    }
    if stamp == seen and not opened:
        raise PreventUpdate  # nothing new: nothing is drawn again, and the zoom stays
    values = dict.fromkeys(FIELDS, no_update) | {"study": study, "others": others, "protocol": protocol}
    if opened:
        values = {name: _plain(getattr(query, name)) for name in FIELDS} | {
            name: values[name] for name in LOOKS
        }
    elif before.get("study") != study:  # what was marked belongs to the study that was left
        values |= {"chosen": [], "picked": [], "opened": [], "filters": []}
    options: dict[str, Any] = dict.fromkeys(("study", "others"), no_update)
    options |= {"protocol": facts.protocols, "filters": facts.options}
    if (before.get("studies"), before.get("study")) != (len(names), study):
        options["study"] = offered(names, [study])
        options["others"] = offered([name for name in names if name != study], others)
    return [values, options, stamp, message, *_protocol_lines(store, protocol)]


def _protocol_lines(store: CachedStore, protocol: str | None) -> tuple[str, list[Any]]:
    """The protocol in one line, and all that belongs to it."""
    if protocol is None:
        return "Nothing has been measured yet", []
    kept = store.protocol(protocol)
    line = f"Protocol: {protocol_line(kept)}"
    facts: list[Any] = [protocol_facts(kept)]
    if (trust := store.calibrations().get(kept.id)) is not None:
        line += f"; {trust.words}"
        facts.append(html.P(trust_of(trust), className="soft"))
    return line, facts


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def figure_of(store: CachedStore, query: Query) -> go.Figure:
    """The figure of the view that `query` names, ready for the page; nobody may change it.

    Raises `LeaderboardError`.
    """
    require_view(query.view)
    show = show_of(store, query)
    shown = tuple(getattr(query, name) for name in (*LOOKS, *DRAWN, "opened"))
    return store.kept.value(("figure", shown), state_of(store, show), lambda: _figure(store, query))


def _figure(store: CachedStore, query: Query) -> go.Figure:
    frame, show = source_frame(store, query, query.view)
    axes = (query.view, query.study, query.protocol, query.cost, query.quality)
    return for_page(VIEWS[query.view](frame, show), "|".join(map(str, axes)))


def for_page(figure: go.Figure, kept: str) -> go.Figure:
    """The figure with tools to mark points where it has some; its zoom lasts while `kept` stays the same."""
    figure = drawn_plainly(figure)
    marking = [] if has_networks(figure) else ["lasso", "select"]
    unwanted = ["zoomin", "zoomout", "autoscale", "toimage", *marking]
    figure.update_layout(uirevision=kept, selectionrevision=kept, modebar_remove=unwanted, autosize=True)
    figure.update_layout(width=None, height=None)
    figure.for_each_xaxis(_follows_data)
    figure.for_each_yaxis(_follows_data)
    return figure


def has_networks(figure: go.Figure) -> bool:
    """Whether a click on it can open a network: the first datum of a point is an id then."""
    given = (trace.customdata for trace in figure.data)
    return any(data is not None and len(data) > 0 and isinstance(data[0][0], str) for data in given)


def _follows_data(axis: Any) -> None:
    """Says a fixed range as one that plotly finds by itself: a new fixed one would undo the reader's zoom."""
    if axis.range is None or axis.type == "category":
        return
    low, high = axis.range
    if low is not None and high is not None and not isinstance(low, str) and low < high:
        axis.update(autorange=True, range=None, autorangeoptions={"minallowed": low, "maxallowed": high})

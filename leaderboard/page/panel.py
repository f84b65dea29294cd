"""The panel over the page: one network, or several side by side."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, dcc, html

from leaderboard.crops import CropImage
from leaderboard.errors import LeaderboardError
from leaderboard.page.cached_store import CachedStore, source_frame
from leaderboard.page.comparison import compared
from leaderboard.page.context import PageContext, input_, query_of, state
from leaderboard.page.detail import sections
from leaderboard.page.drawing import for_page
from leaderboard.page.network_data import NetworkData, gather
from leaderboard.page.query import MOST_COMPARED, Query
from leaderboard.views import SETTINGS, VIEWS

READ = ("study", "others", "protocol", "cost", "quality")


def connect(app: Dash, scene: PageContext) -> None:
    """Opens the panel over what is to be looked at, and closes it."""

    @app.callback(
        Output("panel", "className"),
        Output("drawer-title", "children"),
        Output("drawer-body", "children"),
        Output("choose", "hidden"),
        Input("stamp", "data"),
        input_("opened"),
        {name: state(name) for name in READ},
    )
    def show(stamp: Any, opened: list[str] | None, read: dict[str, Any]) -> Any:
        if not opened or not stamp:
            return "panel closed", "", [], True
        query = query_of({**read, "opened": opened[:MOST_COMPARED]})
        try:
            with scene.reading() as store:
                title, body = content(store, scene, query)
        except LeaderboardError as error:
            return "panel", "Not found", html.P(str(error)), True
        return f"panel{' wide' if len(opened) > 1 else ''}", title, body, len(opened) > 1


def content(store: CachedStore, scene: PageContext, query: Query) -> tuple[str, list[Any]]:
    """Heading and body of the panel for the networks that `query` opens. Raises `LeaderboardError`."""
    networks = [_found(store, scene, query, name) for name in query.opened]
    curve = _curve(store, query)
    if len(networks) > 1:
        return f"{len(networks)} networks compared", compared(networks, source, curve)
    return heading(networks[0]), sections(networks[0], source, curve, scene.options)


def heading(network: NetworkData) -> str:
    """What a network is called: its id, and what a paper calls it."""
    return f"Network {network.genotype}" + (f" ({network.name})" if network.name else "")


def source(picture: CropImage) -> str:
    """A picture inside the answer itself, so that no address of the server leads to a file."""
    return picture.data_url()


def _found(store: CachedStore, scene: PageContext, query: Query, genotype: str) -> NetworkData:
    """The network in the first of the studies looked at that knows it."""
    if query.study is None:
        raise LeaderboardError("no study is chosen")
    for study in (query.study, *query.others):
        if (store.frame(study)["genotype"] == genotype).any():
            return gather(store, scene.runs, study, genotype, query.protocol)
    raise LeaderboardError(f"{genotype!r} is no network of run {query.study!r}")


def _curve(store: CachedStore, query: Query) -> Any:
    if "curves" not in VIEWS:
        return html.P("There is no view of loss curves.", className="soft")
    frame, show = source_frame(store, query, "curves")
    figure = for_page(VIEWS["curves"](frame, show), "|".join(query.opened))
    graph = dcc.Graph(
        id="curves-figure", figure=figure, config=SETTINGS, responsive=True, style={"height": "100%"}
    )
    return html.Div(graph, className="figure small")

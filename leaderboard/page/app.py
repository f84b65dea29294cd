"""The application: its layout, its guards, and the callbacks of its parts."""

from __future__ import annotations

from pathlib import Path

from dash import Dash

from leaderboard.page.cached_store import Kept
from leaderboard.page.context import PageContext
from leaderboard.page.drawing import connect as connect_drawing
from leaderboard.page.failures import handle_failures
from leaderboard.page.layout import layout
from leaderboard.page.panel import connect as connect_panel
from leaderboard.page.security import protect
from leaderboard.page.selecting import connect as connect_selecting
from leaderboard.page.table import connect as connect_table

ASSETS = Path(__file__).parents[1] / "assets"


def make_app(
    store_url: str,
    runs: Path | None = None,
    *,
    allow_queue: bool = False,
    options: str = "",
    token: str | None = None,
) -> Dash:
    """The page over the database at `store_url`, which is opened for reading at each request.

    Pictures are read below `runs` (None: none are shown). `options` is what a `nas` command needs to find the
    same results. With `allow_queue` the page may write requests for re-trainings, and nothing else. With
    `token` no route answers without it. No file comes from another host.
    """
    app = Dash(
        "leaderboard",
        title="ParetoSR",
        update_title="",
        serve_locally=True,
        assets_folder=str(ASSETS),
        assets_ignore=r"site\.js",
        add_log_handler=False,
        enable_mcp=False,
        meta_tags=[
            {"name": "viewport", "content": "width=device-width, initial-scale=1"},
            {"name": "referrer", "content": "no-referrer"},
        ],
        index_string=_INDEX,
    )
    app.layout = layout(allow_queue=allow_queue)
    scene = PageContext(store_url=store_url, runs=runs, allow_queue=allow_queue, options=options, kept=Kept())
    for connect in (connect_drawing, connect_table, connect_selecting, connect_panel):
        connect(app, scene)
    protect(app.server, app.csp_hashes(), token=token)
    handle_failures(app)  # after the guards: who may not ask is told nothing else
    return app


_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
{%favicon%}
{%css%}
</head>
<body>
{%app_entry%}
<footer>
{%config%}
{%scripts%}
{%renderer%}
</footer>
</body>
</html>
"""

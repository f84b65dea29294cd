"""The leaderboard as a folder of files that a browser opens without a server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from plotly.offline import get_plotlyjs

from leaderboard.errors import LeaderboardError, UnknownStudyError, unknown_name
from leaderboard.site.folder import MARKER, may_replace, swap_in
from leaderboard.site.pages import StudyPage, overview, study_page
from leaderboard.store import Store
from leaderboard.views import SETTINGS

__all__ = ["MARKER", "write_site"]

ASSETS = Path(__file__).parents[1] / "assets"


def write_site(
    store: Store,
    folder: Path,
    studies: Sequence[str] | None = None,
    *,
    runs: Path | None = None,
    options: str = "",
) -> Path:
    """Writes the pages of `studies` (all when None) into `folder`, whole or not at all; the index.html.

    One study is a page, several have a list before them. Pictures come from `runs`; `options` is what a
    `nas` command needs to find the same results. A folder that this function wrote before, or an empty one,
    is replaced; any other raises `LeaderboardError`. Raises `UnknownStudyError` for an unknown study.
    """
    target = folder.resolve()
    may_replace(target)
    known = [study.name for study in store.studies()]
    for name in studies or ():
        if name not in known:
            raise UnknownStudyError(unknown_name("run", name, known))
    chosen = known if studies is None else list(dict.fromkeys(studies))
    several = len(chosen) != 1
    files: dict[str, str | bytes] = {
        "plotly.min.js": get_plotlyjs(),
        "page.css": (ASSETS / "page.css").read_text("utf-8"),
        "site.js": (ASSETS / "site.js").read_text("utf-8"),
        MARKER: "Written by ParetoSR, which replaces this folder when it writes the page again.\n",
    }
    pages: list[StudyPage] = []
    for number, name in enumerate(chosen, start=1):
        page = study_page(store, name, number, runs=runs, options=options, index=several)
        files[page.file if several else "index.html"] = page.text
        files[page.script] = _figures(page)
        files |= page.pictures
        pages.append(page)
    if several:
        files["index.html"] = overview(pages)
    try:
        swap_in(files, target)
    except OSError as error:
        raise LeaderboardError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder / "index.html"


def _figures(page: StudyPage) -> str:
    """A script rather than a JSON file: a page opened from a folder may not fetch.

    All that it holds is JSON, and no ``<`` is left in it that could begin a tag.
    """
    drawn = ",\n".join(f"{json.dumps(name)}: {figure.to_json()}" for name, figure in page.figures.items())
    data = f"window.SETTINGS = {json.dumps(SETTINGS)};\nwindow.FIGURES = {{\n{drawn}\n}};\n"
    return data.replace("<", "\\u003c")

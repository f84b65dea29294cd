"""The page over a large database: its first view and a filter in a real browser, its callbacks, its memory.

python tests/benchmarks/page.py [--evaluations 100000] [--studies 50] [--db FILE] [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "importable"))
sys.path.insert(0, str(Path(__file__).parents[2]))  # before tests, which has a folder of this name, too

from board_database import make_board_database
from board_server import board_server
from browser import Browser, programs

from leaderboard.page.cached_store import CachedStore, Kept
from leaderboard.page.drawing import figure_of
from leaderboard.page.query import Query
from leaderboard.page.rows import page_of, records
from leaderboard.page.table import table_of
from leaderboard.store import Store, sqlite_url

ROOT = Path(__file__).parents[2]


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def said(what: str, seconds: list[float]) -> None:
    print(f"{what}: {1000 * statistics.median(seconds):.0f} ms (worst {1000 * max(seconds):.0f} ms)")


def callbacks(path: Path, studies: list[str], repeats: int) -> None:
    """What the server does for a first look at a study, and for a filter in one that was looked at."""
    url = sqlite_url(path)
    kept = Kept()

    def look(query: Query) -> None:
        with CachedStore(url, kept) as store:
            figure_of(store, query).to_json()
        with CachedStore(url, kept) as store:
            rows, _ = page_of(table_of(store, query), {"startRow": 0, "endRow": 50})
            records(rows, query.table, [])

    protocol = "proxy-81c2e0"
    fresh = [
        timed(lambda name=name: look(Query(study=name, protocol=protocol))) for name in studies[: repeats + 1]
    ]
    said("figure and table of a study never looked at", fresh[1:])
    filters = [f"{limit}G" for limit in range(4, 4 + repeats)]
    again = [
        timed(lambda high=high: look(Query(study=studies[0], protocol=protocol, high=high)))
        for high in filters
    ]
    said("figure and table after a filter", again)
    with Store(url, read_only=True) as store:
        said(
            "Store.frame of that study alone",
            [timed(lambda: store.frame(studies[0])) for _ in range(repeats)],
        )


def in_browser(path: Path, studies: list[str], repeats: int) -> None:
    """What a person waits for: from the address to points and rows, and from a filter to other points."""
    with board_server(path) as address, tempfile.TemporaryDirectory() as folder:
        browser = Browser(Path(folder))
        try:
            measure(browser, address, studies, repeats)
        finally:
            browser.close()


def measure(browser: Browser, address: str, studies: list[str], repeats: int) -> None:
    drawn = "return document.querySelectorAll('#figure .main-svg .xtick').length > 0"
    rows = "return document.querySelectorAll('.ag-row .link').length > 0"
    said_rows = "return document.querySelector('#rows-said').innerText"

    def first(name: str) -> float:
        browser.open("about:blank")
        start = time.perf_counter()
        browser.open(f"{address}?study={name}")
        browser.until(lambda: browser.run(drawn) and browser.run(rows), "the first view", 60)
        return time.perf_counter() - start

    first(studies[-1])  # the browser's own cache of the libraries, as for anybody's second visit
    said("in the browser, from the address to figure and table", [first(name) for name in studies[:repeats]])
    waits = []
    for limit in range(repeats):
        before = browser.run(said_rows)
        field = browser.one("#high")
        start = time.perf_counter()
        field.send_keys("\b\b\b" + f"{9 - limit}G")
        browser.until(lambda before=before: browser.run(said_rows) != before, "other rows", 60)
        waits.append(time.perf_counter() - start)
    said(
        "in the browser, from a typed filter (0.25 s of them waiting for the next letter) to other rows",
        waits,
    )
    count = browser.run("return document.querySelectorAll('.ag-center-cols-container .ag-row').length")
    size = browser.run("return JSON.stringify(document.querySelector('#figure .js-plotly-plot').data).length")
    print(f"rows in the page: {count}; figure: {size / 1000:.0f} KB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=100_000)
    parser.add_argument("--studies", type=int, default=50)
    parser.add_argument("--db", type=Path, help="keep the database here, and take it from here again")
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {busy}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.db or Path(folder) / "results.db"
        if not path.exists():
            seconds = timed(lambda: make_board_database(path, chosen.evaluations, chosen.studies))
            print(f"made in {seconds:.0f} s")
        with Store(sqlite_url(path), read_only=True) as store:
            studies = [study.name for study in store.studies()]
        callbacks(path, studies, chosen.repeats)
        print(f"memory of reading so: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
        if programs() is None:
            print("in the browser: not measured, there is none here")
            return
        in_browser(path, studies, chosen.repeats)


if __name__ == "__main__":
    main()

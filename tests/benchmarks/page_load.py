"""The page over many runs and two browsers: the first page, the answers of the clock under load, the memory.

By default 10,000 runs with 100,000 evaluations in all. The server is `nas board` in a process of its own. Two
clients ask as two browsers do: all parts of a first page, then the clock's question three seconds after each
answer. Concurrently a search writes a result every `--every` seconds, so that the page is drawn again. Where
Chromium is installed, a real browser measures from the address to figure and table.

python tests/benchmarks/page_load.py [--evaluations 100000] [--runs 10000] [--seconds 60] [--every 2]
    [--db FILE]
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "importable"))
sys.path.insert(0, str(Path(__file__).parents[2]))  # before tests, which has a folder of this name, too

from board_database import make_board_database
from board_server import board_server
from browser import Browser, programs
from new_records import propose, protocol, record
from page_client import PageClient

from leaderboard.store import Store, sqlite_url

ROOT = Path(__file__).parents[2]
PERIOD = 3.0
"""Seconds from an answer to the clock's next question, as in leaderboard/assets/page.js."""


class Answer:
    """An answer as a test client of Flask's has it."""

    def __init__(self, status: int, data: bytes) -> None:
        self.status_code, self.data = status, data

    def get_json(self) -> Any:
        return json.loads(self.data)


class HttpClient:
    """Asks a server as a test client of Flask's does."""

    def __init__(self, address: str) -> None:
        self.host = urlsplit(address).netloc

    def get(self, path: str, headers: dict[str, str]) -> Answer:
        return self._ask("GET", path, None, {})

    def post(self, path: str, headers: dict[str, str], data: bytes, content_type: str) -> Answer:
        return self._ask("POST", path, data, {"Content-Type": content_type})

    def _ask(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self.host, timeout=300)
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()


def first_page(address: str, study: str) -> tuple[PageClient, float]:
    """A page after its first view, and the seconds of the server for layout, figure and table."""
    start = time.perf_counter()
    client = HttpClient(address)
    assert client.get("/", {}).status_code == client.get("/_dash-layout", {}).status_code == 200
    page = PageClient(client)
    page.first_view(study)
    return page, time.perf_counter() - start


def poll(address: str, study: str, end: float, waits: list[float]) -> None:
    """Asks as one browser does until `end`; the seconds that each answer of the clock took."""
    page, _ = first_page(address, study)
    while time.perf_counter() < end:
        time.sleep(PERIOD)
        before = page.values["stamp.data"]
        start = time.perf_counter()
        status = page.update("stamp.data", "clock.data")
        waits.append(time.perf_counter() - start)
        assert status in (200, 204)
        if page.values["stamp.data"] != before:
            for part in ("figure.figure", "grid.getRowsResponse"):
                assert page.update(part) == 200


def search(path: Path, study: str, every: float, end: float) -> None:
    """Writes a result every so often, as a search does."""
    with Store.at(path) as store:
        store.ensure_protocol(protocol())
        study_id = store.study(study).id
        index = 0
        while time.perf_counter() < end:
            index, id = index + 1, f"new-{time.time_ns():x}"
            trial = propose(store, study_id, index, genotype_id=id)
            record(store, trial.id, index, genotype_id=id)
            time.sleep(every)


def said(what: str, seconds: list[float]) -> None:
    ordered = sorted(seconds)
    high = ordered[int(0.95 * (len(ordered) - 1))]
    print(
        f"{what}: median {statistics.median(ordered):.2f} s, 95 % {high:.2f} s, worst {ordered[-1]:.2f} s "
        f"({len(ordered)} times)",
        flush=True,
    )


def in_browser(address: str) -> None:
    drawn = "return document.querySelectorAll('#figure .main-svg .xtick').length > 0"
    rows = "return document.querySelectorAll('.ag-row .link').length > 0"
    waits = []
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(Path(folder))
        try:
            for _ in range(4):
                browser.open("about:blank")
                start = time.perf_counter()
                browser.open(address)
                browser.until(lambda: browser.run(drawn) and browser.run(rows), "the first page", 120)
                waits.append(time.perf_counter() - start)
        finally:
            browser.close()
    print(f"first page in Chromium, the first time: {waits[0]:.2f} s")
    said("first page in Chromium, again", waits[1:])


def measure(path: Path, seconds: float, every: float) -> None:
    with Store(sqlite_url(path), read_only=True) as store:
        study = store.study_names()[-1]
    with board_server(path) as address:
        _, taken = first_page(address, study)
        print(f"first page on the server, nothing kept: {taken:.2f} s")
        said("first page on the server, again", [first_page(address, study)[1] for _ in range(5)])
        if programs() is not None:
            in_browser(address)
        end, waits = time.perf_counter() + seconds, [[], []]  # type: ignore[var-annotated]
        work = [threading.Thread(target=search, args=(path, study, every, end))]
        work += [threading.Thread(target=poll, args=(address, study, end, each)) for each in waits]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
        said(f"answers of the clock to two browsers, {seconds:g} s, beside a search", [*waits[0], *waits[1]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--every", type=float, default=2, help="seconds between two results of a search")
    parser.add_argument("--db", type=Path, help="keep the database here, and take it from here again")
    chosen = parser.parse_args()
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"python {' '.join(sys.argv)}, {date.today():%d %B %Y}")
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {busy}, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.db or Path(folder) / "results.db"
        if not path.exists():
            make_board_database(path, chosen.evaluations, chosen.runs)
        measure(path, chosen.seconds, chosen.every)


if __name__ == "__main__":
    main()

"""The page as a person meets it: in a real browser, over a real search and a larger made-up one."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from browser import MISSING, Browser, programs
from forked import Forker
from hostile import PAYLOADS, TOOK_EFFECT, columns_without, hostile, make_hostile
from new_records import new_evaluation, propose, record
from rich_results import TUNED
from selenium.webdriver import ActionChains, Keys
from werkzeug.serving import make_server

from leaderboard.page import make_app
from leaderboard.page.cached_store import CachedStore, Kept, networks_of
from leaderboard.page.query import Query
from leaderboard.page.rows import OFFERED
from leaderboard.site import write_site
from leaderboard.store import Store, sqlite_url
from leaderboard.tables.front import front_frame
from leaderboard.views import VIEWS

RECIPE = """
name = "night"
scale = 4
data = "photos"
trials = 6
device = "cpu"
[space.only]
width = [16, 20, 24]
blocks = [1, 2]
block = ["residual", "rlfb", "imdb"]
transformers = [0]
[budget]
params = "60k"
[proxy]
plan = "quick"
steps = 8
batch = 2
lr_patch = 16
[retrain]
plan = "longer"
steps = 10
batch = 2
lr_patch = 16
"""
BAD = "<script>window.broken = 1</script><img src=x onerror='window.broken = 2'>"


@pytest.fixture(scope="session")
def run_nas(forker: Forker) -> Callable[..., str]:
    """Runs the command; what it printed."""

    def run(*arguments: str) -> str:
        done = forker.run_nas(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory, fill_store: Any, run_nas: Callable[..., str]) -> Path:
    """A runs folder after a night: a real search of six candidates, and made-up studies beside it."""
    folder = tmp_path_factory.mktemp("browsed") / "runs"
    recipe = folder.parent / "night.toml"
    recipe.write_text(RECIPE)
    run_nas("search", str(recipe), "--runs", str(folder))
    run_nas("retrain", "night", "--top", "1", "--runs", str(folder))
    with Store.at(folder / "results.db") as store:
        fill_store(store, BAD, trials=12)
        fill_store(store, "x4-300k", retrained=4)
    return folder


class Board:
    """`nas board` in a process of its own, on a free port."""

    def __init__(self, forker: Forker, *arguments: str) -> None:
        self.process = forker.nas("board", "--port", "0", *arguments)
        line = self.process.stdout.readline()
        found = re.search(r"(http://\S+)", line)
        assert found, (line, self.process.stderr.read())
        self.address = found[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.communicate(timeout=20)


@pytest.fixture(scope="session")
def board(runs: Path, forker: Forker) -> Iterator[str]:
    """The address of the page over `runs`, which may queue re-trainings."""
    with Board(forker, "--runs", str(runs), "--allow-queue") as opened:
        yield opened.address


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if programs() is None:
        pytest.skip(MISSING)
    opened = Browser(tmp_path_factory.mktemp("downloads"))
    yield opened
    opened.close()


@pytest.fixture
def browser(chromium: Browser) -> Iterator[Browser]:
    """The browser, as new; at the end of the test it must not have complained of anything."""
    chromium.size(1280, 900)
    chromium.scheme("light")
    for file in chromium.downloads.iterdir():
        file.unlink()
    chromium.errors()
    yield chromium
    complaints = [said for said in chromium.errors() if "GL Driver Message" not in said]
    chromium.open("about:blank")
    assert not complaints, "\n".join(complaints)


def shown(browser: Browser, address: str) -> None:
    """Opens the page and waits until figure and table are there."""
    browser.open(address)
    browser.until(lambda: browser.all("#figure .scatterlayer .trace"), "a figure")
    browser.until(lambda: browser.all(".ag-row .link"), "rows in the table")


def pick(browser: Browser, control: str, option: str) -> None:
    """Chooses an option of a control, as a person does."""
    browser.click(f"#{control}")

    def clicked() -> bool:
        for each in browser.all(".dash-dropdown-option"):
            if each.text.strip() == option:
                each.click()
                return True
        return False

    browser.until(clicked, f"{option} in {control}")


def points(browser: Browser) -> dict[str, tuple[float, float]]:
    """Where each network stands in the window, in CSS pixels."""
    return browser.run(
        """
        const plot = document.querySelector('#figure .js-plotly-plot');
        plot.scrollIntoView({block: 'center', behavior: 'instant'});
        const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect(), found = {};
        plot.calcdata.forEach((trace) => trace.forEach((point, index) => {
          const data = trace[0].trace.customdata;
          if (!data || trace[0].trace.visible !== true || !data[index]) return;
          found[data[index][0]] = [box.left + xaxis._offset + xaxis.c2p(point.x),
                                   box.top + yaxis._offset + yaxis.c2p(point.y)];
        }));
        return found;
        """
    )


def click_at(browser: Browser, place: tuple[float, float]) -> None:
    x, y = (round(value) for value in place)
    actions = ActionChains(browser.driver, duration=50)
    actions.w3c_actions.pointer_action.move_to_location(x, y)
    actions.w3c_actions.pointer_action.click()
    actions.perform()


def drag(browser: Browser, start: tuple[float, float], end: tuple[float, float]) -> None:
    actions = ActionChains(browser.driver, duration=80)
    pointer = actions.w3c_actions.pointer_action
    pointer.move_to_location(*map(round, start))
    pointer.pointer_down()
    pointer.move_to_location(*(round((a + b) / 2) for a, b in zip(start, end, strict=True)))
    pointer.move_to_location(*map(round, end))
    pointer.pointer_up()
    actions.perform()


def front(runs: Path, study: str) -> list[str]:
    with Store.at(runs / "results.db", read_only=True) as store:
        return list(front_frame(store.frame(study), study)["genotype"])


def test_from_the_first_look_to_a_command_to_copy(browser: Browser, board: str, runs: Path) -> None:
    shown(browser, board)
    pick(browser, "study", "night")
    browser.until(lambda: browser.text("#rows-said") == "6 networks.", "the networks of the search")
    assert "plan quick on photos" in browser.text("#protocol-line")
    members = front(runs, "night")
    browser.until(lambda: members[0] in points(browser), "the figure of the study")
    click_at(browser, points(browser)[members[0]])
    browser.until(lambda: browser.text("#drawer-title") == f"Network {members[0]}", "its details")
    said = browser.text("#drawer-body")
    for word in (
        "over bicubic",
        "Choices",
        "ParetoSR 0.1.0, torch",
        "nas rerun",
        "photos (digest ",
        "candidates/",
        "seed 0",
    ):
        assert word in said, word
    pictures = "return [...document.querySelectorAll('#drawer-body img')].map((each) => each.naturalWidth)"
    browser.until(lambda: (sizes := browser.run(pictures)) and all(sizes), "its pictures")
    assert len(browser.run(pictures)) == 12
    assert len(browser.all("#drawer-body .diagram .box")) >= 4
    browser.click("#choose")
    ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
    browser.until(
        lambda: "closed" in browser.run("return document.querySelector('#panel').className"), "it closed"
    )
    assert browser.text("#rows-said").startswith("1 networks of the 1 marked")
    browser.click("#unpick")
    browser.until(lambda: browser.text("#rows-said") == "6 networks.", "all networks again")
    other = next(each for each in browser.run(NAMES) if each != members[0])
    tick(browser, other)
    command = f"nas retrain night --ids {members[0]},{other} --runs {runs}"
    browser.until(lambda: browser.text("#command") == command, "the command")
    browser.driver.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": board.rstrip("/")},
    )
    browser.click("#copy")
    browser.until(lambda: browser.text("#copy-said") == "Copied.", "it was copied")
    read = (
        "const done = arguments[0]; navigator.clipboard.readText().then(done, (error) => done(String(error)))"
    )
    assert browser.driver.execute_async_script(read) == command
    browser.click("#compare")
    browser.until(lambda: "2 networks compared" in browser.text("#drawer-title"), "the comparison")
    assert browser.all("#drawer-body tr.differs mark")
    assert "★" in browser.text("#drawer-body")
    assert all(name in browser.text("#drawer-body") for name in (members[0], other))


NAMES = "return [...document.querySelectorAll('.ag-row .link')].map((each) => each.innerText)"


def tick(browser: Browser, genotype: str) -> None:
    def ticked() -> bool:
        for row in browser.all(".ag-center-cols-container .ag-row"):
            if genotype in row.text:
                mark = row.get_attribute("row-id")
                box = browser.all(f".ag-pinned-left-cols-container .ag-row[row-id='{mark}'] input")[0]
                browser.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", box)
                box.click()
                return True
        return False

    browser.until(ticked, f"a box beside {genotype}")
    browser.until(lambda: genotype in browser.text("#chosen-list"), f"{genotype} among the candidates")


@pytest.mark.thorough
def test_filters_by_cost_and_by_choices_leave_fewer_networks(
    browser: Browser, board: str, runs: Path
) -> None:
    shown(browser, f"{board}?study=x4-300k&cost=params")
    whole = len(points(browser))
    with CachedStore(sqlite_url(runs / "results.db"), Kept()) as store:
        cheap = networks_of(store, Query(study="x4-300k", protocol="proxy-81c2e0", cost="params", high="50K"))
        esa = cheap[[each["attention"] == "esa" for each in cheap["choices"]]]
    assert 0 < len(esa) < len(cheap) < whole
    browser.one("#high").send_keys("50K")
    browser.until(lambda: set(points(browser)) == set(cheap["genotype"]), "the cheap ones alone")
    browser.until(lambda: browser.text("#rows-said") == f"{len(cheap)} networks.", "the same in the table")
    pick(browser, "filters", "attention: esa")
    ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
    browser.until(lambda: set(points(browser)) == set(esa["genotype"]), "those with esa")
    browser.one("#high").send_keys("x")
    browser.until(lambda: "'50Kx' is no cost" in browser.text("#problem"), "what is wrong with the cost")


@pytest.mark.thorough
def test_marking_several_points_lists_them(browser: Browser, board: str) -> None:
    shown(browser, f"{board}?study=x4-300k")
    places = points(browser)
    browser.run(
        "return Plotly.relayout(document.querySelector('#figure .js-plotly-plot'), {dragmode: 'select'})"
    )
    box = browser.run(
        "const r = document.querySelector('#figure .nsewdrag').getBoundingClientRect();"
        "return [r.left, r.top, r.right, r.bottom]"
    )
    middle = (box[0] + box[2]) / 2
    inside = {name for name, (x, _) in places.items() if x < middle - 2}
    drag(browser, (box[0] + 1, box[1] + 1), (middle, box[3] - 1))
    browser.until(
        lambda: browser.text("#rows-said").startswith(f"{len(inside)} networks of the {len(inside)} marked"),
        f"{len(inside)} networks in the table",
    )


@pytest.mark.thorough
def test_a_link_shows_the_same_after_a_reload(browser: Browser, board: str) -> None:
    wanted = "study=x4-300k&cost=params&quality=ssim&low=20K&view=history&table=trials"
    shown_address = f"{board}?{wanted}"
    browser.open(shown_address)
    browser.until(lambda: "Proposals" in browser.text("#view") and browser.text("#rows-said"), "the page")
    browser.until(lambda: "protocol=proxy" in browser.driver.current_url, "the whole address")
    browser.click("#view label:last-child")
    browser.until(
        lambda: "view=" in browser.driver.current_url and "view=history" not in browser.driver.current_url,
        "another view",
    )
    address, said = browser.driver.current_url, browser.text("#figure-card .tabs label.selected")
    assert "quality=ssim" in address
    assert "low=20K" in address
    browser.driver.refresh()
    browser.until(lambda: browser.text("#rows-said"), "the page again")
    browser.until(lambda: browser.driver.current_url == address, "the same address")
    assert browser.text("#figure-card .tabs label.selected") == said
    assert browser.text("#cost-label") == "Cost"
    assert browser.text("#cost .dash-dropdown-value") == "Parameters"
    assert browser.run("return document.querySelector('#low').value") == "20K"


@pytest.mark.thorough
def test_a_result_arrives_while_the_page_is_open_and_the_zoom_stays(
    browser: Browser, forker: Forker, tmp_path: Path, fill_store: Any
) -> None:
    with Store.at(tmp_path / "results.db") as store:
        study = fill_store(store, "running", trials=20)
        with Board(forker, "--runs", str(tmp_path)) as opened:
            shown(browser, opened.address)
            before = len(points(browser))
            box = browser.run(
                "const plot = document.querySelector('#figure .js-plotly-plot'); window.drawn = 0;"
                "plot.on('plotly_afterplot', () => { window.drawn += 1; });"
                "const r = plot.querySelector('.nsewdrag').getBoundingClientRect();"
                "return [r.left, r.top, r.width, r.height]"
            )
            left, top, width, height = box
            zoom = "return document.querySelector('#figure .js-plotly-plot').layout.xaxis.range"
            whole = browser.run(zoom)
            drag(browser, (left + width * 0.4, top + height * 0.3), (left + width * 0.9, top + height * 0.9))
            browser.until(lambda: browser.run(zoom) != whole, "the zoom")
            zoomed = browser.run(zoom)
            browser.run("return new Promise((done) => setTimeout(done, 500))")
            browser.run("window.drawn = 0")
            ticks = (
                "return performance.getEntriesByType('resource')"
                ".filter((each) => each.name.includes('update')).length"
            )
            asked = browser.run(ticks)
            browser.until(lambda: browser.run(ticks) >= asked + 2, "two looks at the database")
            assert browser.run("return window.drawn") == 0  # nothing new: nothing was drawn
            trial = propose(store, study.id, 1000)
            record(store, trial.id, 1000)
            browser.until(lambda: len(points(browser)) == before + 1, "the new network")
            assert new_evaluation(1000).genotype_id in points(browser)
            browser.until(lambda: browser.run(zoom) == zoomed, "the zoom again")
            browser.run("return new Promise((done) => setTimeout(done, 500))")
            assert browser.run(zoom) == zoomed


class GatedServer:
    """The page on a server whose answers to the page's clock a test can hold back or break."""

    def __init__(self, database: Path, port: int = 0) -> None:
        self.app = make_app(sqlite_url(database)).server
        self.open = threading.Event()
        self.open.set()
        self.broken = False
        self.asked: list[float] = []
        self.most_at_once = self.at_once = 0
        self.server = make_server("127.0.0.1", port, self._answer, threaded=True)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.port = self.server.server_port

    def _answer(self, environ: Any, start: Any) -> Any:
        if environ["PATH_INFO"] != "/_dash-update-component":
            return self.app(environ, start)
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = io.BytesIO(body)
        if "..stamp.data.." not in json.loads(body)["output"]:
            return self.app(environ, start)
        self.asked.append(time.monotonic())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            assert self.open.wait(60)
            if self.broken:
                start("500 Broken", [("Content-Type", "text/plain")])
                return [b"broken"]
            return self.app(environ, start)
        finally:
            self.at_once -= 1

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.thorough
def test_the_clock_waits_for_its_answer_and_outlasts_errors_and_a_lost_server(
    chromium: Browser, filled: Path
) -> None:
    browser = chromium
    first = GatedServer(filled)
    address = f"http://127.0.0.1:{first.port}/?study=x4-300k"
    try:
        shown(browser, address)
        browser.until(lambda: len(first.asked) >= 2, "a question of the clock")
        first.open.clear()
        before = len(first.asked)
        browser.until(lambda: len(first.asked) == before + 1, "another one")
        time.sleep(8)  # more than two periods of the clock
        assert len(first.asked) == before + 1
        first.open.set()
        answered = time.monotonic()
        browser.until(lambda: len(first.asked) == before + 2, "the next question, after the answer")
        assert first.asked[-1] - answered > 2
        first.broken = True
        browser.until(lambda: len(first.asked) >= before + 5, "questions after an error")
        first.broken = False
        assert first.most_at_once == 1
    finally:
        first.close()
    browser.until(lambda: "does not answer" in browser.text("#lost"), "that the server is gone")
    again = GatedServer(filled, first.port)
    try:
        browser.until(lambda: len(again.asked) >= 2, "the clock asks the server that came back")
        browser.until(lambda: browser.text("#lost") == "", "that the server is there again")
        assert again.most_at_once == 1
    finally:
        browser.open("about:blank")
        browser.errors()  # it complains of the lost server
        again.close()


@pytest.mark.thorough
def test_tables_and_figures_are_saved_as_files(browser: Browser, board: str, runs: Path) -> None:
    import pandas as pd

    shown(browser, f"{board}?study=x4-300k")
    with CachedStore(sqlite_url(runs / "results.db"), Kept()) as store:
        whole = networks_of(store, Query(study="x4-300k", protocol="proxy-81c2e0"))
    browser.click("#table-csv")
    saved = pd.read_csv(browser.file(".csv"), dtype={"genotype": str})
    assert list(saved["genotype"]) == list(whole["genotype"])
    assert saved["psnr_db"].to_numpy() == pytest.approx(whole["psnr_db"].to_numpy())
    browser.click("#table-latex")
    latex = browser.file(".tex").read_text("utf-8")
    assert "plan proxy on photographs" in latex.splitlines()[0]
    assert latex.count(r"\\") >= len(whole)
    browser.click("#table-markdown")
    assert browser.file(".md").read_text("utf-8").count("\n| ") >= len(whole)
    browser.click("#figure-svg")
    svg = browser.file(".svg").read_text("utf-8")
    assert svg.startswith("<svg")
    assert "PSNR (dB)" in svg
    browser.click("#figure-png")
    assert browser.file(".png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    browser.click("#figure-html")
    page = browser.file(".html")
    browser.open(page.as_uri())
    browser.until(lambda: browser.all("#figure .scatterlayer .trace"), "the saved figure, drawn alone")


@pytest.mark.thorough
def test_a_re_training_is_asked_for_and_told_how_to_take_up(browser: Browser, board: str, runs: Path) -> None:
    name = front(runs, "night")[-1]
    shown(browser, f"{board}?study=night&chosen={name}")
    browser.until(lambda: name in browser.text("#command"), "the candidate of the address")
    browser.click("#queue")
    browser.until(lambda: "nas retrain night --queued" in browser.text("#queue-said"), "how to take it up")
    with Store.at(runs / "results.db", read_only=True) as store:
        requests = store.requests("night")
    assert list(requests["genotype"]) == [name]
    assert list(requests["state"]) == ["waiting"]


@pytest.mark.thorough
def test_every_view_is_reached_and_drawn(browser: Browser, board: str) -> None:
    shown(browser, f"{board}?study=x4-300k")
    labels = len(browser.all("#view label"))
    assert labels == len(VIEWS)
    for name, view in VIEWS.items():
        browser.run(
            "const labels = [...document.querySelectorAll('#view label')];"
            "labels.find((each) => each.innerText.trim() === arguments[0]).click()",
            view.title,
        )
        browser.until(lambda view=view: browser.text("#about") == view.about, f"the view {name}")
        browser.until(lambda: browser.all("#figure .main-svg .gtitle"), f"a title of {name}")
        assert browser.text("#problem") == "", name
        if name in ("front", "importance", "proxies", "tuning"):
            says = "Click a point to open" in browser.text("#hint")
            assert says == (name == "front"), name
        assert "WebGL is not supported" not in browser.text("#figure"), name


@pytest.mark.thorough
def test_names_never_become_markup(browser: Browser, board: str) -> None:
    shown(browser, f"{board}?study={urllib.parse.quote(BAD)}")
    assert browser.text("#study").strip() == BAD
    genotype = browser.run(NAMES)[0]
    browser.click(".ag-row .link")
    browser.until(lambda: genotype in browser.text("#drawer-title"), "the details")
    assert BAD in browser.text("#drawer-body")
    assert browser.run("return window.broken") is None


@pytest.mark.thorough
def test_dark_and_light_as_the_system_or_as_chosen(browser: Browser, board: str) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    browser.scheme("dark")
    shown(browser, f"{board}?study=x4-300k")
    assert browser.run(ground) == "rgb(16, 21, 28)"
    ink = "return getComputedStyle(document.querySelector('#figure .gtitle')).fill"
    assert browser.run(ink) == "rgb(229, 235, 242)"
    grid = "return getComputedStyle(document.querySelector('.ag-root-wrapper')).backgroundColor"
    assert browser.run(grid) == "rgb(25, 33, 43)"
    browser.click("#theme")
    browser.until(lambda: browser.text("#theme") == "Theme: light", "the light theme")
    assert browser.run(ground) == "rgb(246, 248, 250)"
    browser.driver.refresh()
    browser.until(lambda: browser.text("#theme") == "Theme: light", "the theme that was kept")
    browser.run("localStorage.clear()")


@pytest.mark.parametrize("size", [(390, 844), (1280, 720)])
@pytest.mark.thorough
def test_nothing_is_wider_than_the_window(
    browser: Browser, board: str, runs: Path, size: tuple[int, int]
) -> None:
    browser.size(*size)
    name = front(runs, "night")[0]
    width = "return [document.documentElement.scrollWidth <= window.innerWidth, window.innerWidth]"
    shown(browser, f"{board}?study=night")
    assert browser.run(width) == [True, size[0]]
    shown(browser, f"{board}?study=night&opened={name}")
    browser.until(lambda: name in browser.text("#drawer-title"), "the details")
    assert browser.run(width) == [True, size[0]]
    assert browser.run("const d = document.querySelector('.drawer'); return d.scrollWidth <= d.clientWidth")


@pytest.mark.thorough
def test_the_keyboard_alone_is_enough(browser: Browser, board: str) -> None:
    shown(browser, f"{board}?study=x4-300k")
    keys = ActionChains(browser.driver)
    keys.send_keys(Keys.TAB).perform()
    assert browser.run("return document.activeElement.innerText") == "Skip to the figure"
    where = "const e = document.activeElement; return getComputedStyle(e).outlineStyle"
    assert browser.run(where) != "none"
    seen = []
    for _ in range(60):
        ActionChains(browser.driver).send_keys(Keys.TAB).perform()
        seen.append(browser.run("return document.activeElement.id || document.activeElement.className"))
        if "ag-header-cell" in seen[-1]:
            break
    order = [
        name
        for name in ("theme", "study", "protocol", "cost", "low", "figure-svg", "table-csv")
        if name in seen
    ]
    assert order == ["theme", "study", "protocol", "cost", "low", "figure-svg", "table-csv"]
    assert [seen.index(name) for name in order] == sorted(seen.index(name) for name in order)
    ActionChains(browser.driver).send_keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ENTER).perform()
    browser.until(lambda: browser.text("#drawer-title").startswith("Network "), "the details, by Enter")
    assert browser.run("return document.querySelector('#main-part').inert")
    ActionChains(browser.driver).send_keys(Keys.ESCAPE).perform()
    browser.until(lambda: not browser.run("return document.querySelector('#main-part').inert"), "it closed")
    assert browser.run("return document.activeElement.closest('.ag-root-wrapper') !== null")


@pytest.mark.thorough
def test_the_static_site_opens_from_a_folder(
    browser: Browser, runs: Path, tmp_path: Path, run_nas: Callable[..., str]
) -> None:
    said = run_nas("board", "--site", str(tmp_path / "site"), "--runs", str(runs))
    assert "it needs no server" in said
    browser.open((tmp_path / "site" / "index.html").as_uri())
    assert [row.text for row in browser.all("tbody td:first-child")] == ["night", BAD, "x4-300k"]
    browser.all("tbody a")[0].click()
    browser.until(lambda: browser.all("#view-front .scatterlayer .trace"), "the front")
    browser.click("#details summary")
    browser.until(
        lambda: browser.run(
            "return [...document.querySelectorAll('#details img')].some((each) => each.naturalWidth)"
        ),
        "pictures",
    )
    assert "nas retrain night --ids" in browser.text("#details")
    browser.size(390, 844)
    browser.scheme("dark")
    browser.driver.refresh()
    browser.run("document.querySelector('#view-front').scrollIntoView()")
    browser.until(lambda: browser.all("#view-front .scatterlayer .trace"), "the front")
    assert browser.run("return document.documentElement.scrollWidth") == 390
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(16, 21, 28)"
    for number in (2, 3):
        browser.open((tmp_path / "site" / f"study-{number}.html").as_uri())
        browser.run("document.querySelector('#view-front').scrollIntoView()")
        browser.until(lambda: browser.all("#view-front .scatterlayer .trace"), "the front")
    assert browser.run("return window.broken") is None


CODE = (
    'a":(window.broken = 3,{}),"b',
    "</script><script>window.broken = 4</script>",
    BAD,
    "__proto__",
    "'\"`\\u2028\u2028\\",
)
"""Ids that would be code, markup or a property that every object has."""


@pytest.mark.thorough
def test_ids_never_become_code_in_the_static_site(browser: Browser, tmp_path: Path, fill_store: Any) -> None:
    with Store.at(tmp_path / "results.db") as store:
        study = fill_store(store, "hostile", trials=12)
        for index, name in enumerate(CODE, start=100):
            cost = {"params": index, "multi_adds": index, "conv_multi_adds": index, "activations": index}
            trial = propose(store, study.id, index, genotype_id=name, cost=cost)
            record(store, trial.id, index, genotype_id=name, psnr_db=40.0 + index)
        page = write_site(store, tmp_path / "site", ["hostile"])
    browser.open(page.as_uri())
    browser.until(lambda: browser.all("#view-front .scatterlayer .trace"), "the front")
    for number in range(len(CODE)):
        one = f"document.querySelectorAll('#details > details')[{number}]"
        browser.run(f"{one}.open = true; {one}.querySelector('.figure').scrollIntoView()")
        drawn = f"return {one}.querySelector('.figure .trace') !== null"
        browser.until(lambda drawn=drawn: browser.run(drawn), f"the loss curve of network {number}")
    text = browser.text("#details")
    assert all(name in text for name in CODE)
    assert browser.run("return window.broken") is None
    assert browser.run("return document.title") == "hostile - ParetoSR"
    assert browser.run("return document.querySelectorAll('script').length") == 3
    assert browser.run("return document.querySelectorAll('img').length") == 0


@pytest.fixture(scope="session")
def hostile_database(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A database with hostile text in every text column, and a study in it that every view shows."""
    path = tmp_path_factory.mktemp("hostile") / "results.db"
    study = make_hostile(path, trials=90)
    assert columns_without(path) == []
    return path, study


def nothing_ran(browser: Browser, where: str) -> None:
    assert browser.run(TOOK_EFFECT) == [0, 0, 0, 0], where


def hovered(browser: Browser, plot: str) -> str:
    """What a figure says of its first points, as it is drawn over them."""
    return browser.run(
        """
        const plot = document.querySelector(arguments[0]);
        plot._fullData.forEach((trace, curveNumber) => {
          const points = plot.calcdata[curveNumber] || [];
          const pointNumber = points.findIndex((each) => Number.isFinite(each.x) && Number.isFinite(each.y));
          const place = trace.xaxis + trace.yaxis;
          if (trace.type !== "scatter" || trace.visible !== true || pointNumber < 0) return;
          if (plot._fullLayout._plots[place]) Plotly.Fx.hover(plot, [{curveNumber, pointNumber}], place);
        });
        return plot.querySelector(".hoverlayer").textContent;
        """,
        plot,
    )


@pytest.mark.thorough
def test_hostile_text_in_every_column_never_takes_effect_in_the_page(
    browser: Browser, forker: Forker, hostile_database: tuple[Path, str]
) -> None:
    path, study = hostile_database
    plot = "#figure .js-plotly-plot"
    with Board(forker, "--db", sqlite_url(path), "--allow-queue") as opened:
        with Store.at(path, read_only=True) as store:
            other = store.study_names()[1]
            names = [str(name) for name in front_frame(store.frame(study), study)["genotype"]][:2]
        address = f"{opened.address}?{urllib.parse.urlencode({'study': study, 'others': other})}"
        said = ""
        for name, view in VIEWS.items():
            tuned = f"{opened.address}?{urllib.parse.urlencode({'study': hostile(TUNED)})}"
            browser.open(f"{tuned if name == 'tuning' else address}&view={name}")
            browser.until(lambda view=view: browser.text("#about") == view.about, f"the view {name}")
            browser.until(lambda: browser.all("#figure .main-svg .gtitle"), f"a title of {name}")
            browser.until(lambda: browser.all(".ag-row .link"), f"a table beside {name}")
            assert browser.text("#problem") == "", name
            assert browser.run(f"return document.querySelector('{plot}').data.length") > 0, name
            said += hovered(browser, plot) + browser.text("#figure")
            nothing_ran(browser, name)
        assert "x-pwned" in said
        for table, columns in OFFERED.items():
            wanted = urllib.parse.urlencode({"table": table, "columns": columns}, doseq=True)
            browser.size(8000, 900)  # all columns are drawn
            browser.open(f"{address}&{wanted}")
            browser.until(lambda: browser.all(".ag-row .link"), f"the table {table}")
            browser.until(lambda: "x-pwned" in browser.text(".ag-center-cols-container"), "its texts")
            nothing_ran(browser, table)
        browser.size(1280, 900)
        for opened_ones in (names[:1], names):
            chosen = urllib.parse.urlencode({"opened": opened_ones, "chosen": opened_ones}, doseq=True)
            browser.open(f"{address}&{chosen}")
            browser.until(lambda: browser.all("#drawer-body .js-plotly-plot .trace"), "the panel")
            browser.until(lambda: "x-pwned" in browser.text("#command"), "the command")
            browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
            text = browser.run("return document.querySelector('.drawer').textContent")
            assert all(name in text for name in opened_ones)
            nothing_ran(browser, f"the panel of {len(opened_ones)}")
        for control in ("study", "others", "protocol", "filters"):
            browser.open(address)
            browser.until(lambda: browser.all(".ag-row .link"), "the page")
            browser.click(f"#{control}")
            browser.until(lambda: browser.all(".dash-dropdown-option"), f"options of {control}")
            nothing_ran(browser, control)
        browser.open(f"{address.replace('study=', 'study=nobody')}")
        browser.until(lambda: "x-pwned" in browser.text("#message"), "that there is no such study")
        nothing_ran(browser, "a message")
        browser.open("about:blank")  # before the server goes


@pytest.mark.thorough
def test_hostile_text_in_every_column_never_takes_effect_in_the_site(
    browser: Browser, tmp_path: Path, hostile_database: tuple[Path, str]
) -> None:
    path, study = hostile_database
    with Store.at(path, read_only=True) as store:
        page = write_site(store, tmp_path / "site", [study, store.study_names()[-1]])
    browser.open(page.as_uri())
    assert "x-pwned" in browser.text("tbody")
    nothing_ran(browser, "the list of studies")
    for number in (1, 2):
        browser.open((tmp_path / "site" / f"study-{number}.html").as_uri())
        assert "x-pwned" in browser.run("return document.title")
        browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        figures = browser.run("return [...document.querySelectorAll('.figure')].map((each) => each.id)")
        assert len(figures) > len(VIEWS) if number == 1 else figures
        for figure in figures:
            place = f"document.getElementById('{figure}')"
            browser.run(f"{place}.scrollIntoView({{behavior: 'instant'}})")
            drawn = f"return {place}.querySelector('.main-svg') !== null"
            browser.until(lambda drawn=drawn: browser.run(drawn), f"the figure {figure}")
            hovered(browser, f"#{figure}")
        policy = browser.run(
            "return document.querySelector('meta[http-equiv=Content-Security-Policy]').content"
        )
        assert "default-src 'none'" in policy
        nothing_ran(browser, f"page {number} of the site")


@pytest.mark.thorough
def test_the_probe_of_hostile_text_sees_what_takes_effect(chromium: Browser, tmp_path: Path) -> None:
    """A page that escapes nothing: otherwise the two tests above could not fail."""
    (tmp_path / "open.html").write_text(f"<body><main>{' '.join(PAYLOADS)}</main>", "utf-8")
    chromium.open((tmp_path / "open.html").as_uri())
    chromium.until(lambda: min(chromium.run(TOOK_EFFECT)) > 0, "effects of every kind")
    chromium.errors()
    chromium.open("about:blank")


@pytest.mark.thorough
def test_another_address_asks_for_the_token_and_then_remembers_it(
    browser: Browser, forker: Forker, runs: Path
) -> None:
    with Board(forker, "--runs", str(runs), "--host", "127.0.0.2") as opened:
        address, _, token = opened.address.partition("?token=")
        assert address.startswith("http://127.0.0.2:")
        assert len(token) >= 32
        for path in (
            "",
            "_dash-layout",
            "_dash-dependencies",
            "assets/page.css",
            "?token=wrong",
            f"?token={token}x",
        ):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(address + path, timeout=10)  # noqa: S310  (our own server)
        shown(browser, opened.address)
        assert "token" not in browser.driver.current_url
        cookie = browser.driver.get_cookie("paretosr-token")
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"
        browser.driver.delete_all_cookies()


@pytest.mark.thorough
def test_a_page_never_imports_torch(runs: Path) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "nas", "board", "--port", "0", "--runs", str(runs)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    imported: list[str] = []
    assert process.stdout is not None
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: imported.extend(process.stderr or ()))
    reader.start()
    found = re.search(r"(http://\S+)", process.stdout.readline())
    assert found
    with urllib.request.urlopen(found[1] + "_dash-layout", timeout=20) as answer:  # noqa: S310
        assert answer.status == 200
    process.terminate()
    process.wait(20)
    reader.join(20)
    process.stdout.close()
    process.stderr.close()
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in imported if "import time:" in line}
    assert {"dash", "pandas", "leaderboard"} <= names
    assert not names & {"torch", "optuna"}

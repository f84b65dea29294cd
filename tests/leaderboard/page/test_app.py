from __future__ import annotations

import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from new_records import new_evaluation, propose, record
from page_client import PageClient
from rich_results import TUNED, make

from leaderboard.errors import LeaderboardError
from leaderboard.page import make_app, serve
from leaderboard.page.cached_store import CachedStore, Kept, networks_of, options_of, protocols_of
from leaderboard.page.comparison import differing
from leaderboard.page.detail import sections
from leaderboard.page.diagram import boxes
from leaderboard.page.drawing import figure_of, has_networks
from leaderboard.page.network_data import gather, retrain_command
from leaderboard.page.offering import MOST_OFFERED, bounded, can_be_offered, offered
from leaderboard.page.query import Query, count, parse
from leaderboard.page.rows import page_of
from leaderboard.page.security import COOKIE
from leaderboard.page.table import file_text
from leaderboard.site.markup import markup
from leaderboard.store import Store, sqlite_url
from leaderboard.tables.front import front_frame
from leaderboard.views import VIEWS

LOCAL = {"Host": "127.0.0.1:8050"}


def client_of(path: Path, **settings: Any) -> Any:
    return make_app(sqlite_url(path), **settings).server.test_client()


def callback_of(client: Any, headers: dict[str, str], wanted: str) -> dict[str, Any]:
    listed = client.get("/_dash-dependencies", headers=headers).get_json()
    found: dict[str, Any] = next(each for each in listed if wanted in each["output"])
    return found


# Who may ask


def test_every_route_is_closed_without_the_token(filled: Path) -> None:
    client = client_of(filled, token="secret" * 6)
    paths = ["/", "/_dash-layout", "/_dash-dependencies", "/assets/page.css", "/_favicon.ico", "/nowhere"]
    paths += re.findall(r'src="([^"]+)"', client_of(filled).get("/", headers=LOCAL).get_data(as_text=True))
    assert any("plotly" in path or "dash_ag_grid" in path for path in paths)
    for path in paths:
        assert client.get(path, headers=LOCAL).status_code == 403, path
    assert client.post("/_dash-update-component", headers=LOCAL, json={}).status_code == 403
    client.set_cookie(COOKIE, "wrong")
    assert client.get("/", headers=LOCAL).status_code == 403
    assert client.get("/?token=Secret", headers=LOCAL).status_code == 403
    assert client.get("/?token=%C3%A9", headers=LOCAL).status_code == 403


def test_the_token_becomes_a_cookie_and_leaves_the_address(filled: Path) -> None:
    client = client_of(filled, token="secret" * 6)
    answer = client.get("/?token=" + "secret" * 6 + "&study=x4-300k", headers=LOCAL)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/?study=x4-300k"
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert client.get("/", headers=LOCAL).status_code == 200
    led = client.get("//evil.example/?token=" + "secret" * 6, headers=LOCAL).headers.get("Location", "/")
    assert not led.startswith("//")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8050", "127.0.0.1.evil.example", "", "[", "10.0.0.1"]
)
def test_a_name_that_another_site_made_point_here_is_refused(filled: Path, host: str) -> None:
    client = client_of(filled)
    assert client.get("/", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8050", "localhost:1", "LOCALHOST", "[::1]:8050"])
def test_loopback_names_are_answered_on_any_port(filled: Path, host: str) -> None:
    assert client_of(filled).get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:8050"},
    ],
)
def test_what_another_page_sends_changes_nothing(filled: Path, headers: dict[str, str]) -> None:
    answer = client_of(filled).post("/_dash-update-component", headers=LOCAL | headers, json={})
    assert answer.status_code == 403
    assert "another page" in answer.get_data(as_text=True)


def test_a_browser_is_told_to_run_nothing_but_our_own_files(filled: Path) -> None:
    client = client_of(filled)
    answer = client.get("/", headers=LOCAL)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "unsafe-inline" not in scripts
    assert not re.search(r"https?:|\*", policy)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    with client.get("/assets/page.css", headers=LOCAL) as style:
        assert style.headers["X-Content-Type-Options"] == "nosniff"
    page = answer.get_data(as_text=True)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "site.js" not in page


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../app.py",
        "/assets/..%2f..%2fschema.py",
        "/assets/%2e%2e/schema.py",
        "/_dash-component-suites/dash/../../schema.py",
        "/runs/results.db",
        "/results.db",
        "/../results.db",
    ],
)
def test_no_path_leads_to_another_file(filled: Path, path: str) -> None:
    answer = client_of(filled, runs=filled.parent).get(path, headers=LOCAL)
    text = answer.get_data(as_text=True)
    assert "SQLite format" not in text
    assert "import" not in text or "react-entry-point" in text


def test_a_page_that_may_not_queue_has_no_callback_that_writes(filled: Path) -> None:
    plain, queueing = client_of(filled), client_of(filled, allow_queue=True)
    for client, there in ((plain, False), (queueing, True)):
        listed = client.get("/_dash-dependencies", headers=LOCAL).get_json()
        assert any("queue-said" in each["output"] for each in listed) is there
        assert ('"queue"' in json.dumps(client.get("/_dash-layout", headers=LOCAL).get_json())) is there
    found = callback_of(queueing, LOCAL, "queue-said")
    asked = {
        "output": found["output"],
        "outputs": {"id": "queue-said", "property": "children"},
        "inputs": [{"id": "queue", "property": "n_clicks", "value": 1}],
        "state": [
            {"id": "study", "property": "value", "value": "x4-300k"},
            {"id": "chosen", "property": "data", "value": ["x"]},
        ],
        "changedPropIds": ["queue.n_clicks"],
    }
    assert plain.post("/_dash-update-component", headers=LOCAL, json=asked).status_code >= 400


def test_pictures_come_only_from_the_index_inside_the_runs_folder(
    tmp_path: Path, store: Store, fill_store: Any
) -> None:
    study = fill_store(store, "pictured", trials=3)
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "0-hr.png").write_bytes(b"\x89PNG\r\n\x1a\nsecret")
    runs = tmp_path / "runs"
    folder = runs / "pictured" / "n"
    (folder / "pictures").mkdir(parents=True)
    names = {
        kind: {"file": "../../../../secret/0-hr.png", "psnr_db": None}
        for kind in ("lr", "bicubic", "network", "hr")
    }
    index = {"metric": "y_float", "crops": [{"image": "a", "box": [0, 0, 9, 9], **names}]}
    (folder / "pictures" / "index.json").write_text(json.dumps(index))
    trial = propose(store, study.id, 500)
    record(store, trial.id, 500, checkpoint="pictured/n/weights.safetensors")
    name = new_evaluation(500).genotype_id
    protocol = new_evaluation(500).protocol_id
    assert gather(store, runs, "pictured", name, protocol).crops == ()
    (folder / "pictures" / "index.json").unlink()
    (folder / "pictures").rmdir()
    (folder / "pictures").symlink_to(secret)
    (secret / "index.json").write_text(
        json.dumps({**index, "crops": [{**index["crops"][0], **{k: {"file": "0-hr.png"} for k in names}}]})
    )  # type: ignore[index]
    assert gather(store, runs, "pictured", name, protocol).crops == ()


def test_a_taken_port_is_one_line(filled: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LeaderboardError, match=rf"cannot serve on 127\.0\.0\.1:{port} .*--port"):
            serve(sqlite_url(filled), filled.parent, port=port)


# What the address says


def test_an_address_gives_the_state_that_it_was_made_of() -> None:
    query = parse(
        "?study=a%26b&others=c&others=d&cost=params&low=30K&view=history"
        "&chosen=x&chosen=x&chosen=y&filters=block%3Dimdb"
    )
    assert query.study == "a&b"
    assert query.others == ("c", "d")
    assert query.chosen == ("x", "y")
    assert query.filters == ("block=imdb",)
    assert (query.cost, query.low, query.view) == ("params", "30K", "history")


def test_what_an_address_says_wrongly_is_the_usual() -> None:
    usual = Query()
    found = parse(
        "?cost=__class__&quality=1&view=<script>&table=../..&unknown=1&opened=" + "&opened=".join("abcdefgh")
    )
    assert (found.cost, found.quality, found.view, found.table) == (
        usual.cost,
        usual.quality,
        usual.view,
        usual.table,
    )
    assert len(found.opened) == 4
    assert parse(None) == usual


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("300K", 3e5),
        ("1.5 m", 1.5e6),
        ("12g", 12e9),
        ("", None),
        (None, None),
        ("4200", 4200.0),
        ("1,5G", 1.5e9),
    ],
)
def test_costs_are_read_as_people_write_them(text: str | None, value: float | None) -> None:
    assert count(text) == value


@pytest.mark.parametrize("text", ["x", "3K5", "-1", "1e999", "nan", "5 bananas"])
def test_what_is_no_cost_is_named(text: str) -> None:
    with pytest.raises(LeaderboardError, match=r"is no cost|too large"):
        count(text)


# What is read


def test_frames_are_kept_until_something_happens(tmp_path: Path, fill_store: Any) -> None:
    path, kept = tmp_path / "results.db", Kept()
    with Store.at(path) as store:
        study = fill_store(store, "s", trials=10)
        with CachedStore(sqlite_url(path), kept) as reading:
            first = reading.frame("s")
            assert reading.frame("s") is first
            trial = propose(store, study.id, 100)
            record(store, trial.id, 100)
            later = reading.frame("s")
            assert len(later) == len(first) + 1
            assert new_evaluation(100).genotype_id in set(later.loc[later["psnr_db"].notna(), "genotype"])


def test_requests_that_ask_the_same_at_once_wait_for_one_computation() -> None:
    kept, made, began, may_end = Kept(), [], threading.Event(), threading.Event()

    def make() -> int:
        made.append(threading.get_ident())
        began.set()
        assert may_end.wait(10)
        return len(made)

    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(kept.value, "question", 1, make) for _ in range(16)]
        assert began.wait(10)
        others = pool.submit(kept.value, "another question", 1, lambda: "another answer")
        may_end.set()
        assert [answer.result(10) for answer in answers] == [1] * 16
        assert others.result(10) == "another answer"
    assert len(made) == 1
    assert kept.value("question", 1, make) == 1
    assert kept.value("question", 2, make) == 2  # another state of the database


def test_a_failed_computation_fails_for_all_who_wait_and_is_not_kept() -> None:
    kept, began, may_end = Kept(), threading.Event(), threading.Event()

    def breaks() -> int:
        began.set()
        assert may_end.wait(10)
        raise LeaderboardError("no such study")

    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(kept.value, "question", 1, breaks) for _ in range(4)]
        assert began.wait(10)
        may_end.set()
        for answer in answers:
            with pytest.raises(LeaderboardError, match="no such study"):
                answer.result(10)
    assert kept.value("question", 1, lambda: 5) == 5


def test_answers_are_bounded_in_number_and_rows_and_the_oldest_goes_first() -> None:
    kept = Kept(most=3, most_rows=100)
    made: list[str] = []

    def ask(name: str, rows: int) -> None:
        def make() -> pd.DataFrame:
            made.append(name)
            return pd.DataFrame({"row": range(rows)})

        kept.value(name, 1, make)

    for name in ("a", "b", "a", "c", "d", "a", "b"):
        ask(name, 1)
    assert made == ["a", "b", "c", "d", "b"]
    ask("large", 100)
    ask("large", 100)
    ask("a", 1)
    assert made[-2:] == ["large", "a"]


def test_browsers_that_open_the_page_at_once_are_answered_by_one_reading(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    whole = Store.frame

    def frame(self: Store, *arguments: Any, **named: Any) -> pd.DataFrame:
        read.append(arguments)
        return whole(self, *arguments, **named)

    monkeypatch.setattr(Store, "frame", frame)
    server = make_app(sqlite_url(filled)).server
    pages = [PageClient(server.test_client()) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(PageClient.first_view, pages))
    assert read == [("x4-300k",)]
    assert len({json.dumps(page.values["figure.figure"], sort_keys=True) for page in pages}) == 1


def test_a_run_with_costs_of_networks_as_trained_is_a_notice_and_another_one_opens(
    tmp_path: Path, fill_store: Any
) -> None:
    path = tmp_path / "results.db"
    with Store.at(path) as store:
        fill_store(store, "used", trials=8)
        fill_store(store, "old", trials=12)
        with store._engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE cost SET form = 'training' WHERE genotype_id NOT IN "
                "(SELECT genotype_id FROM trial JOIN study ON study.id = study_id WHERE name = 'used')"
            )
    server = make_app(sqlite_url(path)).server
    page = PageClient(server.test_client())
    page.values["address.search"] = ""  # the newest run
    assert page.update("stamp.data") == 200
    assert str(page.values["message.children"]).endswith(f"count again with: nas recount --runs {tmp_path}")
    assert set(page.values["study.options"]) == {"used", "old"}
    assert "stamp.data" not in page.values
    PageClient(server.test_client()).first_view("used")


def test_the_page_asks_for_news_only_through_its_own_clock(filled: Path) -> None:
    """Nothing of Dash's ticks: its `Interval` asks again whether or not it was answered."""
    client = client_of(filled)
    parts = json.dumps(client.get("/_dash-layout", headers=LOCAL).get_json())
    assert '"Interval"' not in parts
    inputs = callback_of(client, LOCAL, "stamp.data")["inputs"]
    assert {"id": "clock", "property": "data"} in [
        {key: each[key] for key in ("id", "property")} for each in inputs
    ]


def test_the_table_has_the_front_first_and_the_best_before_others(filled: Path) -> None:
    with CachedStore(sqlite_url(filled), Kept()) as store:
        found = networks_of(store, Query(study="x4-300k", protocol="proxy-81c2e0"))
        frame = store.frame("x4-300k")
    front = front_frame(frame, "x4-300k")
    assert set(found.loc[found["on_front"], "genotype"]) == set(front["genotype"])
    assert list(found["on_front"]) == sorted(found["on_front"], reverse=True)
    assert found.loc[found["on_front"], "psnr_db"].is_monotonic_decreasing


def test_unlike_protocols_are_never_in_one_table(filled: Path) -> None:
    with CachedStore(sqlite_url(filled), Kept()) as store:
        for option in protocols_of(store.frame("x4-300k")):
            found = networks_of(store, Query(study="x4-300k", protocol=option["value"]))
            assert set(found["protocol"]) == {option["value"]}
        none = networks_of(store, Query(study="x4-300k", others=("empty",), protocol="unknown"))
        assert none.empty


def test_of_thousands_of_studies_the_newest_are_listed_and_the_others_are_found() -> None:
    names = [f"study-{number:04}" for number in range(5_000)]
    listed = offered(names, ["study-0007"])
    assert listed == [*names[:-MOST_OFFERED:-1], names[-MOST_OFFERED], "study-0007"]
    assert offered(names, ["study-0007"], "STUDY-412") == [
        *(f"study-412{digit}" for digit in range(9, -1, -1)),
        "study-0007",
    ]
    assert offered(names[:3], []) == names[2::-1]


def test_options_that_would_freeze_a_browser_are_not_offered() -> None:
    assert can_be_offered("x" * 300)
    assert can_be_offered("many words " * 100)
    assert not can_be_offered("x" * 10_000)
    assert not can_be_offered("a name__PROTO__")  # would change every object of the page
    short, long = {"value": "a", "label": "b"}, {"value": "c", "label": "d" * 10_000}
    assert bounded([short, long, {"value": "e" * 10_000, "label": "f"}]) == [
        short,
        {"value": "c", "label": "c"},
    ]
    many = [f"{number:0300}" for number in range(1_000)]
    assert 10 < len(offered(many, [])) < 50
    assert 10 < len(bounded({"value": name, "label": name} for name in many)) < 50


def test_options_are_all_that_occur(filled: Path) -> None:
    with Store.at(filled, read_only=True) as store:
        options = {each["value"] for each in options_of(store.frame("x4-300k"))}
    assert {"attention=esa", "attention=none", "share=True", "share=False", "blocks=2"} <= options


def numbers() -> pd.DataFrame:
    return pd.DataFrame({"name": ["b", "A", "c", None], "value": [3.0, 1.0, 2.0, float("nan")]})


def number(kind: str, first: float, last: float | None = None) -> dict[str, Any]:
    return {"filterType": "number", "type": kind, "filter": first, "filterTo": last}


@pytest.mark.parametrize(
    ("request_", "names", "total"),
    [
        ({"sortModel": [{"colId": "value", "sort": "desc"}]}, ["b", "c", "A", None], 4),
        ({"sortModel": [{"colId": "name", "sort": "asc"}]}, ["A", "b", "c", None], 4),
        ({"startRow": 1, "endRow": 3}, ["A", "c"], 4),
        ({"filterModel": {"value": number("greaterThan", 1)}}, ["b", "c"], 2),
        ({"filterModel": {"value": number("inRange", 1, 2)}}, ["A", "c"], 2),
        ({"filterModel": {"name": {"filterType": "text", "type": "contains", "filter": "a"}}}, ["A"], 1),
        ({"filterModel": {"name": {"filterType": "text", "type": "blank"}}}, [None], 1),
        (
            {"filterModel": {"value": {"filterType": "number", "operator": "OR", "conditions": [
                {"filterType": "number", "type": "equals", "filter": 1},
                {"filterType": "number", "type": "equals", "filter": 3}]}}},
            ["b", "A"],
            2,
        ),
        ({"filterModel": {"x": number("equals", 1)}, "sortModel": [{"colId": "y"}]}, [*"bAc", None], 4),
    ],
)  # fmt: skip
def test_the_table_sorts_filters_and_cuts(request_: dict[str, Any], names: list[Any], total: int) -> None:
    rows, count_ = page_of(numbers(), request_)
    assert [None if pd.isna(name) else name for name in rows["name"]] == names
    assert count_ == total


def test_one_answer_never_holds_all_rows_of_a_large_study() -> None:
    rows, total = page_of(pd.DataFrame({"value": range(100_000)}), {"startRow": 0, "endRow": 100_000})
    assert len(rows) == 200
    assert total == 100_000


def test_files_name_the_protocol_and_hold_every_row(filled: Path) -> None:
    query = Query(study="x4-300k", protocol="proxy-81c2e0")
    with CachedStore(sqlite_url(filled), Kept()) as store:
        whole = networks_of(store, query)
        latex = file_text(store, query, {}, "latex")
        assert latex.startswith("% x4-300k: x4, plan proxy on photographs, y_float (proxy-81c2e0)\n")
        assert latex.count(r"\\") >= len(whole)
        assert file_text(store, query, {}, "csv").count("\n") == len(whole) + 1
        assert "proxy-81c2e0" in file_text(store, query, {}, "markdown").splitlines()[0]


# One network


def test_commands_survive_any_name() -> None:
    assert retrain_command("a b", ["x", "y"], "--runs r") == "nas retrain 'a b' --ids x,y --runs r"
    assert retrain_command("$(rm)", ["x"]) == "nas retrain '$(rm)' --ids x"


def test_all_of_a_network_is_told_and_escaped(tmp_path: Path, fill_store: Any) -> None:
    bad = "<script>alert(1)</script>"
    with Store.at(tmp_path / "results.db") as store:
        fill_store(store, bad, trials=20)
        genotype = str(front_frame(store.frame(bad), bad)["genotype"].iloc[0])
        network = gather(store, None, bad, genotype, "proxy-81c2e0")
        text = markup(sections(network, lambda picture: "", "the curve"))
    assert "<script" not in text
    for said in (
        "NVIDIA H200",
        "torch 2.9.0",
        "proxy-81c2e0",
        "9f0c",
        "y_float",
        "seed 0",
        "the curve",
        "28.42 dB",
        ".safetensors",
    ):
        assert said in text, said
    assert "nas rerun " in text
    assert f" {network.genotype} --protocol proxy-81c2e0 --seed 0</code>" in text


def test_a_rescued_training_is_shown_as_such(tmp_path: Path, fill_store: Any) -> None:
    with Store.at(tmp_path / "results.db") as store:
        study = fill_store(store, "demo", trials=3)
        trial = propose(store, study.id, 70)
        record(store, trial.id, 70, halvings=[(350, 200, 0.5), (1400, 1300, 0.25)])
        network = gather(store, None, "demo", trial.genotype_id, "proxy-81c2e0")
        text = markup(sections(network, lambda picture: "", "the curve"))
        other = str(store.frame("demo").iloc[0]["genotype"])
        plain = markup(sections(gather(store, None, "demo", other, None), lambda picture: "", ""))
    assert "rate halved at step 350 (resumed from 200, rate x 0.5)" in text
    assert "rate halved at step 1,400 (resumed from 1,300, rate x 0.25)" in text
    assert "halved" not in plain


def test_an_unknown_network_is_one_line(filled: Path) -> None:
    with (
        Store.at(filled, read_only=True) as store,
        pytest.raises(LeaderboardError, match="no network of run"),
    ):
        gather(store, None, "x4-300k", "nobody", None)


def test_a_drawing_has_the_parts_in_order_and_every_choice_once() -> None:
    choices = {
        "width": 32,
        "stem": "3x3",
        "blocks": 4,
        "block": "imdb",
        "attention": "esa",
        "transformers": 0,
        "tail": "pixel_shuffle",
        "mine": 7,
    }
    found = boxes(choices, pd.DataFrame(), 4)
    assert [box.title for box in found] == [
        "low-resolution image",
        "stem",
        "block",
        "tail",
        "further choices",
        "super-resolved image",
    ]
    assert found[2].times == 4
    assert found[-2].lines == ("mine: 7",)
    parts = pd.DataFrame(
        {
            "part": ["stem", "block"],
            "copies": [1, 1],
            "uses": [1, 3],
            "params": [10, 3000],
            "multi_adds": [1, 2],
        }
    )
    drawn = boxes(choices, parts, 2)
    assert [box.times for box in drawn] == [1, 1, 3, 1]
    assert "3.0K parameters" in drawn[2].note
    assert "1 set of weights" in drawn[2].note


def test_a_comparison_marks_exactly_what_differs(filled: Path) -> None:
    with Store.at(filled, read_only=True) as store:
        frame = store.frame("x4-300k")
        names = list(front_frame(frame, "x4-300k")["genotype"])[:3]
        networks = [gather(store, None, "x4-300k", name, "proxy-81c2e0") for name in names]
    expected = [
        axis for axis in networks[0].choices if len({str(each.choices[axis]) for each in networks}) > 1
    ]
    assert differing(networks) == expected
    assert expected


def test_markup_refuses_what_could_run() -> None:
    from dash import html

    assert markup(html.P("a < b & 'c'", title='"')) == '<p title="&quot;">a &lt; b &amp; &#x27;c&#x27;</p>'
    with pytest.raises(ValueError, match="style"):
        markup(html.P("x", style={"color": "red"}))
    assert len(VIEWS) >= 3


def test_no_figure_of_the_page_needs_webgl_and_none_loses_a_network() -> None:
    import plotly.graph_objects as go

    from leaderboard.page.plain import drawn_plainly

    points = go.Figure(go.Scattergl(x=[1, 2], y=[3, 4], customdata=[["a"], ["b"]]))
    made = drawn_plainly(points)
    assert [trace.type for trace in made.data] == ["scatter"]
    assert [list(data) for data in made.data[0].customdata] == [["a"], ["b"]]
    lines = go.Figure()
    lines.add_parcoords(
        dimensions=[
            {"label": "kernel", "values": [0, 1, 1], "tickvals": [0, 1], "ticktext": ["3x3", "1x1"]},
            {"label": "PSNR (dB)", "values": [29.0, 30.0, 29.5], "tickformat": ".2f"},
        ],
        line={"color": [29.0, 30.0, 29.5], "colorscale": [(0.0, "#000000"), (1.0, "#ffffff")]},
        customdata=[["a"], ["b"], ["c"]],
    )
    plain = drawn_plainly(lines)
    assert {trace.type for trace in plain.data} == {"scatter"}
    ends = {trace.customdata[0][0]: (trace.y[0], trace.y[1], trace.line.color) for trace in plain.data}
    assert ends == {"a": (0.0, 0.0, "#0b0b0b"), "b": (1.0, 1.0, "#f4f4f4"), "c": (1.0, 0.5, "#8a8a8a")}
    texts = {note.text for note in plain.layout.annotations}
    assert {"<b>kernel</b>", "3x3", "1x1", "29.00", "29.50", "30.00"} <= texts
    assert drawn_plainly(made) is made


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_of_the_page_takes_a_tuning(tuned: Path, name: str) -> None:
    with CachedStore(sqlite_url(tuned), Kept()) as store:
        figure = figure_of(store, Query(study=TUNED, view=name))
    assert figure.layout.title.text
    if name == "tuning":
        assert has_networks(figure)
        assert [trace.type for trace in figure.data] == ["scatter"] * 6 + ["table"]


def test_the_page_of_a_tuning_offers_every_view_and_its_table(tuned: Path) -> None:
    with CachedStore(sqlite_url(tuned), Kept()) as store:
        facts = store.facts(TUNED)
    assert {option["label"].partition(" on ")[0] for option in facts.protocols} == {"longer"}
    assert len(facts.protocols) == 6
    layout = client_of(tuned).get("/_dash-layout", headers=LOCAL).get_data(as_text=True)
    assert all(view.title in layout for view in VIEWS.values())


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a tuning of two networks, beside searches."""
    return make(tmp_path_factory.mktemp("tuned") / "results.db", trials=20)

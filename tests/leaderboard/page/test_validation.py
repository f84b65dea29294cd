from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from levels import mostly_thorough
from page_client import LOCAL, PageClient

from leaderboard.page import make_app
from leaderboard.page.validation import MOST_BYTES, MOST_DEPTH, VALUES
from leaderboard.store import sqlite_url

DEEP = "[" * 50_000 + "]" * 50_000
LONG = "x" * 100_000
VALUES_OF_ANY_KIND: dict[str, Any] = {
    "null": None,
    "number": 12,
    "negative": -1,
    "fraction": 0.5,
    "huge": 10**400,
    "true": True,
    "text": "text",
    "empty text": "",
    "long text": LONG,
    "NUL": "a\0b",
    "half a surrogate pair": "\ud800",
    "list": [1],
    "list of lists": [["a"]],
    "list of null": [None],
    "list of texts": ["a", "b"],
    "long list": ["a"] * 60_000,
    "object": {"a": 1},
    "objects in objects": {"a": {"a": {"a": {"a": {}}}}},
}
ROWS: list[Any] = [
    {"startRow": "1"},
    {"startRow": 10**30, "endRow": 10**31},
    {"filterModel": {"psnr_db": {"type": ["equals"], "filterType": "number"}}},
    {"filterModel": {"psnr_db": {"type": "equals", "filterType": "number", "filter": 10**400}}},
    {"filterModel": {"psnr_db": {"conditions": 5}}},
    {"filterModel": {"psnr_db": {"conditions": [[]], "operator": {}}}},
    {"filterModel": {"psnr_db": {"conditions": [None]}}},
    {"filterModel": ["psnr_db"]},
    {"sortModel": {"psnr_db": "asc"}},
    {"sortModel": [{"colId": ["psnr_db"], "sort": "asc"}]},
    {"sortModel": ["psnr_db"]},
    {"sortModel": [{"colId": "psnr_db", "sort": {}}]},
]


@pytest.fixture(scope="module")
def viewed(filled: Path) -> PageClient:
    """A page after its first view."""
    app = make_app(sqlite_url(filled), filled.parent, allow_queue=True)
    opened = PageClient(app.server.test_client())
    opened.first_view()
    return opened


@pytest.fixture
def page(viewed: PageClient, capfd: Any) -> Iterator[PageClient]:
    """The page as it was after its first view; at the end of the test nothing may stand in the terminal."""
    before = copy.deepcopy(viewed.values)
    capfd.readouterr()
    yield viewed
    viewed.values = before
    said = capfd.readouterr()
    assert said.out + said.err == ""


def is_one_line(answer: Any) -> bool:
    text = answer.get_data(as_text=True)
    return text.count("\n") == 1 and text.endswith("\n") and len(text) < 300 and "Traceback" not in text


def test_the_page_itself_is_never_refused(page: PageClient) -> None:
    for output in sorted(page.callbacks):
        part = output.strip(".").split("...")[0]
        assert page.update(part) in (200, 204), part
    page.values["grid.getRowsRequest"] = {
        "startRow": 50,
        "endRow": 100,
        "rowGroupCols": [],
        "sortModel": [{"sort": "desc", "colId": "ssim"}, {"sort": "asc", "colId": "ssim"}],
        "filterModel": {
            "genotype": {"filterType": "text", "type": "contains", "filter": "a"},
            "psnr_db": {
                "filterType": "number",
                "operator": "AND",
                "conditions": [
                    {"filterType": "number", "type": "greaterThan", "filter": 20},
                    {"filterType": "number", "type": "inRange", "filter": 20, "filterTo": 90.5},
                ],
            },
        },
    }
    assert page.update("grid.getRowsResponse") == 200


@pytest.mark.parametrize(
    "kind", mostly_thorough(VALUES_OF_ANY_KIND, ("null", "huge", "long text", "list of null", "object"))
)
def test_a_property_of_any_kind_is_answered_or_refused_in_one_line(page: PageClient, kind: str) -> None:
    refused = 0
    for output in sorted(page.callbacks):
        part = output.strip(".").split("...")[0]
        usual = page.body(part)
        for group in ("inputs", "state"):
            for place, each in enumerate(usual[group]):
                body = page.body(part, changed=f"{usual['inputs'][0]['id']}.{usual['inputs'][0]['property']}")
                body[group][place] = {**each, "value": VALUES_OF_ANY_KIND[kind]}
                answer = page.post(body)
                name = f"{part}: {each['id']}.{each['property']}"
                assert answer.status_code in (200, 204, 400), name
                if answer.status_code == 400:
                    refused += 1
                    assert is_one_line(answer), name
    assert (refused == 0) == (kind == "null")


@pytest.mark.parametrize("request_", ROWS, ids=str)
def test_a_malformed_request_for_rows_is_refused(page: PageClient, request_: Any) -> None:
    page.values["grid.getRowsRequest"] = request_
    for part, changed in (("grid.getRowsResponse", None), ("download.data", "table-csv.n_clicks")):
        answer = page.post(page.body(part, changed))
        assert answer.status_code == 400
        assert answer.get_data(as_text=True) == "grid.getRowsRequest: a value that this page never sends\n"


def malformed(page: PageClient) -> dict[str, Any]:
    """Bodies that are wrong as a whole."""
    usual = page.body("figure.figure")
    bodies: dict[str, Any] = {
        **{"nothing": b"", "no JSON": b"{", "no UTF-8": b"\xff\xfe{}"},
        **{"NaN": b'{"a": NaN}', "an endless number": b'{"a": 1e999}', "many digits": b"1" * 100_000},
        **{"deep": DEEP.encode(), "a little deep": b"[" * (MOST_DEPTH + 1) + b"]" * (MOST_DEPTH + 1)},
        **{"deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000},
        **{f"{kind} alone": value for kind, value in VALUES_OF_ANY_KIND.items() if kind != "long list"},
    }
    for key in sorted(usual):
        if key not in ("state", "changedPropIds"):
            bodies[f"no {key}"] = {name: value for name, value in usual.items() if name != key}
        for kind, value in VALUES_OF_ANY_KIND.items():
            bodies[f"{key} as {kind}"] = {**usual, key: value}
    first = usual["inputs"][0]
    bodies |= {
        "another output": {**usual, "output": "nobody.value"},
        "a callback of the browser": {**usual, "output": "written.data"},
        "an input too few": {**usual, "inputs": usual["inputs"][1:]},
        "an input too many": {**usual, "inputs": [*usual["inputs"], first]},
        "an input that is a list": {**usual, "inputs": [[first], *usual["inputs"][1:]]},
        "another input": {**usual, "inputs": [{**first, "id": "other"}, *usual["inputs"][1:]]},
        "an id that is an object": {**usual, "inputs": [{**first, "id": {}}, *usual["inputs"][1:]]},
        "other outputs": {**usual, "outputs": usual["outputs"][1:]},
    }
    return bodies


def test_a_malformed_request_is_refused_in_one_line(page: PageClient) -> None:
    bodies = malformed(page)
    assert len(bodies) > 100
    for name, body in bodies.items():
        answer = page.post(body)
        if name in ("changedPropIds as list of texts", "state as null") or "changedPropIds" not in name:
            assert answer.status_code == 400, name
        assert is_one_line(answer) or answer.status_code == 200, name


def test_a_request_that_is_too_large_is_refused(page: PageClient) -> None:
    answer = page.post(b" " * (MOST_BYTES + 1))
    assert answer.status_code == 413
    assert is_one_line(answer)


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_a_request_of_another_content_type_is_refused(page: PageClient, kind: str) -> None:
    body = json.dumps(page.body("figure.figure"))
    answer = page.client.post("/_dash-update-component", headers=LOCAL, data=body, content_type=kind)
    assert answer.status_code == 400
    assert is_one_line(answer)


ADDRESSES = [
    "?study=%00",
    "?study=%ff%fe",
    "?study=" + "x" * 30_000,
    "?" + "&".join(f"others={number}" for number in range(5_000)),
    "?cost=%7B%7D&view=&table=..&low=1e999&high=-&filters=%3D&columns=__class__",
    "?study[]=1&study=x4-300k&opened=nobody&chosen=%3Cscript%3E",
    "?;;;&&&===",
    "?" + "a" * 200_000,
    "no question mark",
]


@pytest.mark.parametrize(
    "address", mostly_thorough(ADDRESSES, ADDRESSES[1:4]), ids=lambda address: address[:30]
)
def test_any_address_is_a_page(page: PageClient, address: str) -> None:
    page.values["address.search"] = address
    for part in (
        "stamp.data",
        "figure.figure",
        "grid.getRowsResponse",
        "panel.className",
        "command.children",
    ):
        assert page.update(part, "address.search" if part == "stamp.data" else None) == 200, part


PATHS = [
    *("/", "/_dash-layout", "/_dash-dependencies", "/_reload-hash", "/_favicon.ico", "/%00", "/%ff"),
    *("/_dash-component-suites/nobody/x.js", "/_dash-component-suites/dash/x", "/assets/%00", "/_mcp"),
    *("/_dash-component-suites/dash/../x.js", "/assets/" + "x" * 5_000, "/?study=%00&token=%00"),
    *("/_dash-update-component", "/_dash-update-component?cacheKey=x&job=1&oldJob=2", "/" + "../" * 500),
]


@pytest.mark.parametrize(
    "method",
    mostly_thorough(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "PROPFIND"], ("GET", "POST")),
)
def test_no_route_fails(page: PageClient, method: str) -> None:
    for path in PATHS:
        data = b"" if method == "GET" else b"{"
        with page.client.open(path, method=method, headers=LOCAL, data=data) as answer:
            assert answer.status_code < 500, path
            if answer.status_code >= 400 and method != "HEAD":
                assert is_one_line(answer), path


def test_an_error_of_ours_is_one_line_that_names_a_file(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any, tmp_path: Path
) -> None:
    from leaderboard.page import drawing

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    page = PageClient(make_app(sqlite_url(filled)).server.test_client())
    page.first_view()
    capfd.readouterr()

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a fault\nof ours")

    monkeypatch.setattr(drawing, "figure_of", broken)
    for _ in range(3):
        answer = page.post(page.body("figure.figure"))
        assert answer.status_code == 500
        assert is_one_line(answer)
    said = capfd.readouterr()
    assert said.out == ""
    [file] = tmp_path.glob("paretosr-board-*.log")
    assert said.err == (
        "error: the page failed at POST '/_dash-update-component': ZeroDivisionError: 'a fault of ours'; "
        f"traceback in {file}\n"
    )
    assert file.read_text("utf-8").count("Traceback (most recent call last)") == 1


def test_every_property_that_a_callback_reads_has_a_check(filled: Path) -> None:
    page = PageClient(make_app(sqlite_url(filled), allow_queue=True).server.test_client())
    read = {
        f"{each['id']}.{each['property']}"
        for callback in page.callbacks.values()
        for each in (*callback["inputs"], *callback["state"])
    }
    assert {name for name in read if not name.endswith(".n_clicks")} == set(VALUES)

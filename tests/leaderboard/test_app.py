from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from leaderboard.app import make_app, serve
from leaderboard.errors import LeaderboardError
from leaderboard.views import VIEWS


def ask(client: Any, first_output: str, inputs: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """What the callback that fills `first_output` answers to a browser."""
    listed = client.get("/_dash-dependencies").get_json()
    known = next(each for each in listed if each["output"].lstrip(".").startswith(first_output))
    outputs = [
        dict(zip(("id", "property"), name.rsplit(".", 1), strict=True))
        for name in known["output"].strip(".").split("...")
    ]
    answer = client.post(
        "/_dash-update-component",
        json={
            "output": known["output"],
            "outputs": outputs,
            "inputs": [{**each, "value": inputs.get(each["id"])} for each in known["inputs"]],
            "state": [{**each, "value": state.get(each["id"])} for each in known["state"]],
            "changedPropIds": ["clock.n_intervals"],
        },
    )
    assert answer.status_code == 200
    response: dict[str, Any] = answer.get_json()["response"]
    return response


def test_the_page_names_no_other_host(filled: Path) -> None:
    client = make_app(f"sqlite:///{filled}").server.test_client()
    page = client.get("/").get_data(as_text=True)
    assert "ParetoSR" in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "site.js" not in page
    assert "page.css" in page
    layout = json.dumps(client.get("/_dash-layout").get_json())
    assert layout.count('"showSendToCloud": false') == len(VIEWS)
    assert all(f'"{name}"' in layout for name in (*VIEWS, "study", "protocol", "cost", "trials"))


def test_the_page_shows_the_newest_study_and_its_results(filled: Path) -> None:
    client = make_app(f"sqlite:///{filled}").server.test_client()
    studies = ask(client, "study.options", {"clock": 0}, {"study": None})
    assert studies["study"] == {"options": ["x4-300k", "empty"], "value": "empty"}
    shown = ask(client, "protocol.options", {"study": "x4-300k", "cost": "params"}, {})
    assert shown["protocol"]["value"] == "proxy-81c2e0"
    assert len(shown["protocol"]["options"]) == 2
    assert all(shown[name]["figure"]["data"] for name in VIEWS)
    rows = shown["trials"]["rowData"]
    assert rows[0]["stage"] == "retrain"
    assert len({row["id"] for row in rows}) == len(rows)
    assert shown["message"]["children"] == ""
    again = ask(
        client,
        "protocol.options",
        {"study": "x4-300k", "cost": "params", "protocol": "proxy-81c2e0"},
        {"seen": shown["seen"]["data"]},
    )
    assert again == {}  # nothing new: nothing is drawn again


def test_a_study_without_results_is_shown_empty(filled: Path) -> None:
    client = make_app(f"sqlite:///{filled}").server.test_client()
    shown = ask(client, "protocol.options", {"study": "empty", "cost": "params"}, {})
    assert shown["trials"]["rowData"] == []


def test_a_missing_database_is_said_on_the_page(tmp_path: Path) -> None:
    client = make_app(f"sqlite:///{tmp_path / 'results.db'}").server.test_client()
    shown = ask(client, "protocol.options", {"cost": "params"}, {})
    assert "run `nas search` first" in shown["message"]["children"]
    assert ask(client, "study.options", {"clock": 1}, {})["study"] == {"options": []}


def test_a_taken_port_is_one_line(filled: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LeaderboardError, match=rf"cannot serve on 127\.0\.0\.1:{port} .*--port"):
            serve(f"sqlite:///{filled}", port=port)

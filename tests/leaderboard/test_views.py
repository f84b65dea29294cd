from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leaderboard.errors import LeaderboardError
from leaderboard.pareto import hypervolume
from leaderboard.store import Store
from leaderboard.views import (
    VIEWS,
    Show,
    budget_of,
    front_info,
    history_info,
    psnr_range,
    rejects_info,
    ticks,
)

BUDGET = {"params": 300_000.0, "multi_adds": 15e9}
SHOW = Show(study="x4-300k", budget=BUDGET)


@pytest.fixture(scope="module")
def frame(filled: Path) -> pd.DataFrame:
    with Store.at(filled, read_only=True) as store:
        return store.frame()


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_has_a_title_and_axes_with_units(name: str, frame: pd.DataFrame) -> None:
    layout = json.loads(VIEWS[name](frame, SHOW).to_json())["layout"]
    assert layout["title"]["text"].startswith("<b>")
    axes = [axis for key, axis in layout.items() if key[1:5] == "axis"]
    titles = " ".join(axis["title"]["text"] for axis in axes if "text" in axis["title"])
    assert "(" in titles or "number" in titles


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_draws_nothing_for_an_empty_study(name: str, filled: Path) -> None:
    with Store.at(filled, read_only=True) as store:
        figure = VIEWS[name](store.frame("empty"), Show(study="empty"))
    assert len(figure.layout.annotations) == 1


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_escapes_what_people_named(name: str, frame: pd.DataFrame) -> None:
    bad = "<script>alert(1)</script>"
    excess = [{bad: 0.5} if value else {} for value in frame["excess"]]
    odd = frame.assign(
        **{
            "study": bad,
            "genotype": bad + frame["genotype"],
            "device": bad,
            "data": bad,
            "plan": bad,
            "excess": excess,
            "choices": [{"block": bad}] * len(frame),
        }
    )
    text = json.dumps(VIEWS[name](odd, Show(study=bad)).to_plotly_json(), default=str)
    assert "<script" not in text
    if name != "history":
        assert "&lt;script&gt;" in text


def test_the_front_never_mixes_searched_and_retrained_numbers(frame: pd.DataFrame) -> None:
    searched = front_info(frame, SHOW)
    again = front_info(frame, Show(study="x4-300k", protocol="full", budget=BUDGET))
    assert searched.points["psnr_db"].max() < 30.5 < again.points["psnr_db"].min()
    assert len(again.points) == 4
    assert "plan proxy on photographs" in searched.protocol


def test_the_front_figure_shows_front_budget_and_bicubic(frame: pd.DataFrame) -> None:
    info = front_info(frame, SHOW)
    figure = VIEWS["front"](frame, SHOW)
    others, front = figure.data
    assert list(front.y) == list(info.front["psnr_db"])
    assert len(others.x) + len(front.x) == len(info.points)
    assert figure.layout.xaxis.type == "log"
    said = [note.text for note in figure.layout.annotations]
    assert said == ["budget 15 G", "bicubic 28.42 dB"]
    assert figure.layout.shapes[0].x0 == 15e9
    area = hypervolume(
        info.points["multi_adds"], info.points["psnr_db"], cost_limit=15e9, quality_floor=28.42
    )
    assert info.hypervolume == pytest.approx(area)
    assert "hypervolume" in figure.layout.title.subtitle.text
    assert "seed 0" in front.hovertext[0]
    assert "parameters" in front.hovertext[0]


def test_bicubic_far_below_leaves_the_networks_their_room(frame: pd.DataFrame) -> None:
    show = Show(study="x4-300k", protocol="full")
    assert psnr_range(front_info(frame, show))[0] > 30
    said = [note.text for note in VIEWS["front"](frame, show).layout.annotations]
    assert said == ["bicubic 28.42 dB, below"]


def test_the_history_is_what_recomputing_after_each_trial_gives(frame: pd.DataFrame) -> None:
    steps = history_info(frame, SHOW).steps
    rows = frame[(frame["stage"] == "search") & frame["psnr_db"].notna()]
    assert list(steps["number"]) == list(rows["number"])
    for last in (1, len(rows) // 2, len(rows)):
        part = rows.iloc[:last]
        area = hypervolume(part["multi_adds"], part["psnr_db"], cost_limit=15e9, quality_floor=28.42)
        assert steps["hypervolume"].iloc[last - 1] == pytest.approx(area)
        assert steps["best_psnr_db"].iloc[last - 1] == part["psnr_db"].max()
    assert (np.diff(steps["hypervolume"]) >= 0).all()


def test_rejects_are_counted_for_each_limit(frame: pd.DataFrame) -> None:
    info = rejects_info(frame, SHOW)
    excesses: list[dict[str, Any]] = list(frame[frame["state"] == "rejected"]["excess"])
    assert info.rejected == len(excesses) > 0
    for row in info.limits.to_dict("records"):
        assert row["count"] == sum(row["limit"] in excess for excess in excesses)


def test_the_budget_is_read_from_a_recipe() -> None:
    recipe = {"budget": {"params": 300_000, "latency_ms": 5, "memory": 1e9, "multi_adds": None}}
    assert budget_of(recipe) == {"params": 300_000.0, "latency_ms": 5.0}
    assert budget_of({}) == {}


def test_an_unknown_cost_is_refused() -> None:
    with pytest.raises(LeaderboardError, match=r"unknown cost 'flops' \(known: activations"):
        Show(study="x", cost="flops")


def test_ticks_are_round_and_inside() -> None:
    assert ticks(3e8, 2.6e10) == [5e8, 1e9, 2e9, 5e9, 1e10, 2e10]
    assert ticks(1e3, 1e9) == [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]
    assert ticks(2.1e5, 3.4e5) == [3e5]

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from levels import mostly_thorough
from rich_results import EMPTY, RECIPE, SETTINGS, STUDY, TUNED, TWIN, UNLIKE, make, network, tuned_gain

from leaderboard.errors import LeaderboardError
from leaderboard.fronts.pareto import hypervolume
from leaderboard.sources import SOURCES, draw
from leaderboard.store import Store
from leaderboard.views import VIEWS, Show, budget_of, front_info, psnr_range, ticks

BAD = "<script>alert(1)</script>"
BUDGET = budget_of(RECIPE)
SHOW = Show(study=STUDY, protocol="rung0-5a17", budget=BUDGET, studies=(TWIN, UNLIKE))
TUNING = Show(study=TUNED)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("rich") / "results.db")


@pytest.fixture(scope="module")
def frames(database: Path) -> dict[str, pd.DataFrame]:
    with Store.at(database, read_only=True) as store:
        return {name: source(store, shown(name)) for name, source in SOURCES.items()}


@pytest.fixture(scope="module")
def frame(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return frames["trials"]


def shown(name: str) -> Show:
    """What a view or a source shows: a tuning has one of its own."""
    return TUNING if name == "tuning" else SHOW


def written(figure: go.Figure) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(figure.to_json())
    return found


def axes_of(layout: dict[str, Any]) -> list[dict[str, Any]]:
    return [axis for key, axis in layout.items() if key[1:5] == "axis"]


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_has_a_title_units_and_its_protocol(name: str, frames: dict[str, pd.DataFrame]) -> None:
    view = VIEWS[name]
    layout = written(view(frames[view.source], shown(name)))["layout"]
    assert layout["title"]["text"].startswith("<b>")
    assert view.about.endswith(".")
    titles = [axis["title"]["text"] for axis in axes_of(layout) if "text" in axis.get("title", {})]
    if name == "parallel":  # its axes are its dimensions
        assert any("PSNR (dB)" in str(trace) for trace in written(view(frames["trials"], SHOW))["data"])
    else:
        assert titles
        assert all(
            "(" in title or title in ("Trial number", "Hypervolume") or "dB" in title for title in titles
        )
    said = layout["title"]["subtitle"]["text"]
    assert "photos, metric y_float" in said or "protocol" in said or name == "benchmarks"


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_draws_something_light_where_there_is_something(
    name: str, frames: dict[str, pd.DataFrame]
) -> None:
    view = VIEWS[name]
    figure = view(frames[view.source], shown(name))
    assert figure.data
    assert len(figure.to_json()) < 400_000


@pytest.mark.parametrize("name", VIEWS)
def test_every_marker_knows_its_network(name: str, frames: dict[str, pd.DataFrame]) -> None:
    view = VIEWS[name]
    known = {network(index)["genotype_id"] for index in range(200)}
    if name == "benchmarks":  # what a paper reports has no genotype, and goes by its name
        known |= set(frames["benchmarks"]["network"])
    for trace in view(frames[view.source], shown(name)).data:
        if name == "proxies":  # its points are trainings of many networks
            assert trace.customdata is None
            continue
        if name == "tuning" and trace.name == "mean":  # over its networks
            continue
        if trace.type in ("scatter", "scattergl") and "markers" in trace.mode:
            assert len(trace.customdata) == len(trace.x)
            assert {entry[0] for entry in trace.customdata} <= known


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_says_so_when_there_is_nothing(name: str, database: Path) -> None:
    with Store.at(database, read_only=True) as store:
        figure = draw(store, Show(study=EMPTY, benchmark="Set9"), name)
    assert not figure.data
    assert len(figure.layout.annotations) == 1
    assert not figure.layout.xaxis.visible


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_takes_a_frame_without_a_row(name: str, frames: dict[str, pd.DataFrame]) -> None:
    view = VIEWS[name]
    figure = view(frames[view.source].iloc[:0], Show(study=shown(name).study, studies=(TWIN,)))
    assert len(figure.layout.annotations) == 1


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("rows", mostly_thorough([1, 2], {1}))
def test_every_view_takes_a_single_point(name: str, rows: int, frames: dict[str, pd.DataFrame]) -> None:
    view = VIEWS[name]
    frame = frames[view.source]
    if view.source == "trials":
        frame = frame[frame["psnr_db"].notna() & (frame["study"] == STUDY)]
    elif view.source == "events":
        frame = frame[frame["kind"].isin(["started", "finished"])]
    figure = view(frame.iloc[:rows], Show(study=shown(name).study))
    assert figure.layout.title.text
    assert figure.data or len(figure.layout.annotations) == 1


@pytest.mark.thorough
@pytest.mark.parametrize("name", VIEWS)
def test_every_view_takes_every_cost_and_quality(name: str, database: Path) -> None:
    with Store.at(database, read_only=True) as store:
        for cost in ("params", "conv_multi_adds", "activations", "latency_ms", "memory_bytes"):
            show = Show(study=STUDY, studies=(TWIN,), cost=cost, protocol="rung0-5a17")
            assert draw(store, show if name != "tuning" else Show(study=TUNED, cost=cost), name).data
        assert draw(store, Show(study=STUDY, studies=(TWIN,), quality="ssim"), name).layout.title.text


def spoiled(frames: dict[str, pd.DataFrame], source: str) -> pd.DataFrame:
    """The frame with a script wherever a person could have put a name."""
    frame = frames[source]
    odd = dict.fromkeys(("device", "data", "plan", "benchmark", "part", "words", "worker", "network"), BAD)
    odd = {column: value for column, value in odd.items() if column in frame}
    changed = frame.assign(**odd)
    for column in (
        "name",
        "genotype",
        "setting",
        "reported_in",
        "page",
        "suspect",
        "trained_on",
        "family",
        "reason",
    ):
        if column in frame:
            changed[column] = [BAD + str(value) for value in frame[column]]
    if "study" in frame:
        changed["study"] = BAD + frame["study"].str.replace(STUDY, "", regex=False)
    if "excess" in frame:
        changed["excess"] = [{BAD: 0.5} if value else {} for value in frame["excess"]]
        changed["choices"] = [{BAD: BAD, "block": BAD + str(row)} for row in range(len(frame))]
    if "fields" in frame:
        changed["fields"] = [{BAD: [BAD]} for _ in range(len(frame))]
        changed["values"] = [{BAD: BAD} for _ in range(len(frame))]
        changed["study"] = BAD
    if "details" in frame:
        changed["details"] = [{"reason": BAD} for _ in range(len(frame))]
    return changed


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_escapes_what_people_named(name: str, frames: dict[str, pd.DataFrame]) -> None:
    view = VIEWS[name]
    show = Show(study=BAD, protocol="rung0-5a17", studies=(f"{BAD}-seed-1", UNLIKE), benchmark=BAD, scale=4)
    odd = spoiled(frames, view.source)
    if view.source == "trials":
        odd["study"] = [BAD if s == BAD else s for s in odd["study"]]
        show = Show(study=BAD, protocol="rung0-5a17", studies=(f"{BAD}-seed-1",))
    text = json.dumps(view(odd, show).to_plotly_json(), default=lambda value: np.asarray(value).tolist())
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_the_front_never_mixes_protocols(frame: pd.DataFrame) -> None:
    searched = front_info(frame, SHOW)
    again = front_info(frame, Show(study=STUDY, protocol="full", budget=BUDGET))
    assert searched.points["psnr_db"].max() < 29.9 < again.points["psnr_db"].min()
    assert len(again.points) == 5
    assert "plan full on photos" in again.protocol


def test_the_front_figure_shows_front_budget_bicubic_and_published_networks(frame: pd.DataFrame) -> None:
    info = front_info(frame, SHOW)
    figure = VIEWS["front"](frame, SHOW)
    others, front, published = figure.data
    assert list(front.y) == list(info.front["psnr_db"])
    assert len(others.x) + len(front.x) == len(info.points)
    assert [entry[0] for entry in front.customdata] == list(info.front["genotype"])
    assert sorted(published.text) == ["imdn", "rfdn"]
    assert figure.layout.xaxis.type == "log"
    assert [note.text for note in figure.layout.annotations] == ["budget 20 G", "bicubic 28.42 dB"]
    assert figure.layout.shapes[0].x0 == 20e9
    area = hypervolume(
        info.points["multi_adds"], info.points["psnr_db"], cost_limit=20e9, quality_floor=28.42
    )
    assert info.hypervolume == pytest.approx(area)
    assert f"hypervolume {area / 1e9:.1f} G dB" in figure.layout.title.subtitle.text
    for said in ("seed 0", "parameters", "over bicubic", "width"):
        assert said in front.hovertext[0]


def test_networks_with_several_seeds_have_bars_and_a_probability(frame: pd.DataFrame) -> None:
    show = Show(study=STUDY, protocol="rung1-5a17")
    info = front_info(frame, show)
    several = info.points[info.points["seeds"] == 3]
    assert len(several) == 6
    rows = frame[(frame["protocol"] == "rung1-5a17") & (frame["study"] == STUDY)]
    one = several.iloc[0]
    assert one["psnr_db_sd"] == pytest.approx(
        np.std(rows[rows["genotype"] == one["genotype"]]["psnr_db"], ddof=1)
    )
    assert info.points["membership"].between(0, 1).all()
    assert ((info.points["membership"] > 0.01) & (info.points["membership"] < 0.99)).any()
    cheapest = info.points.sort_values("multi_adds").iloc[0]
    assert (cheapest["on_front"], cheapest["membership"]) == (True, 1.0)  # whatever the seed gives it
    figure = VIEWS["front"](frame, show)
    front = next(trace for trace in figure.data if trace.name == "Pareto front")
    assert [value is not None for value in front.error_y.array] == list(info.front["seeds"] > 1)
    assert "may be on the front" in [trace.name for trace in figure.data]
    assert "of draws over its seeds" in " ".join(front.hovertext)
    assert "&plusmn;" in " ".join(front.hovertext)


def test_latency_is_of_one_device_which_is_named_and_the_unmeasured_are_counted(frame: pd.DataFrame) -> None:
    show = Show(study=STUDY, protocol="rung0-5a17", cost="latency_ms")
    info = front_info(frame, show)
    assert info.setting == "NVIDIA H200, fp32, eager, output 1280x720"
    assert len(info.points) + info.left_out == len(front_info(frame, SHOW).points)
    made = {network(index)["genotype_id"]: network(index)["cost"]["params"] for index in range(0, 60, 2)}
    for row in info.points.to_dict("records"):
        assert row["latency_ms"] == pytest.approx(1.0 + made[row["genotype"]] / 2e4)
    figure = VIEWS["front"](frame, show)
    assert figure.layout.xaxis.title.text == "Latency (ms, log scale)"
    assert f"{info.left_out} more have no measured latency" in figure.layout.title.subtitle.text
    assert "NVIDIA H200" in figure.layout.title.subtitle.text
    bare = frame.drop(columns=["latency_ms", "runtime_setting"])
    assert "None of" in VIEWS["front"](bare, show).layout.annotations[0].text


def test_bicubic_far_below_leaves_the_networks_their_room(frame: pd.DataFrame) -> None:
    show = Show(study=STUDY, protocol="full")
    assert psnr_range(front_info(frame, show))[0] > 29
    figure = VIEWS["front"](frame, show)
    assert not figure.layout.annotations
    assert "bicubic 28.42 dB lies below" in figure.layout.title.subtitle.text


def test_ssim_has_its_own_axis_and_floor(frame: pd.DataFrame) -> None:
    info = front_info(frame, Show(study=STUDY, protocol="rung0-5a17", quality="ssim"))
    assert info.bicubic == 0.8104
    area = hypervolume(
        info.points["multi_adds"],
        info.points["ssim"],
        cost_limit=info.points["multi_adds"].max() * 1.01,
        quality_floor=0.8104,
    )
    assert info.hypervolume == pytest.approx(area)


def test_the_budget_is_read_from_a_recipe() -> None:
    recipe = {"budget": {"params": 300_000, "latency_ms": 5, "memory": 1e9, "multi_adds": None}}
    assert budget_of(recipe) == {"params": 300_000.0, "latency_ms": 5.0}
    assert budget_of({}) == {}


def test_unknown_costs_qualities_and_axes_are_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(LeaderboardError, match=r"unknown cost 'flops' \(known: activations"):
        Show(study="x", cost="flops")
    with pytest.raises(LeaderboardError, match=r"unknown quality 'psnr'; did you mean 'psnr_db'\?"):
        Show(study="x", quality="psnr")
    with pytest.raises(LeaderboardError, match=r"unknown axis 'widht'; did you mean 'width'\?"):
        VIEWS["slices"](frame, Show(study=STUDY, axes=("widht",)))


def test_ticks_are_round_and_inside() -> None:
    assert ticks(3e8, 2.6e10) == [5e8, 1e9, 2e9, 5e9, 1e10, 2e10]
    assert ticks(1e3, 1e9) == [1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]
    assert ticks(2.1e5, 3.4e5) == [3e5]


def test_a_tuning_shows_every_network_over_each_field_and_its_settings(
    frames: dict[str, pd.DataFrame],
) -> None:
    figure = VIEWS["tuning"](frames["tuning"], TUNING)
    *points, table = figure.data
    assert [trace.name for trace in points] == ["imdn", "rfdn", "mean"] * 2
    rates, clips = points[:3], points[3:]
    assert sorted(rates[0].x) == pytest.approx([2e-3, 4e-3, 8e-3, 2e-2])
    assert figure.layout.xaxis.type == "log"
    assert list(figure.layout.xaxis2.ticktext) == ["0", "0.5"]
    assert set(clips[0].x) == {0, 1}
    gains = {SETTINGS[place][0]: tuned_gain(3, place, 0) for place in range(4)}
    assert dict(zip(rates[0].x, rates[0].y, strict=True)) == pytest.approx(gains)
    lost = list(rates[1].x).index(2e-2)
    assert rates[1].y[lost] == 0.0
    assert (rates[1].marker.symbol[lost], rates[1].marker.symbol.count("x")) == ("x", 1)
    assert "diverged at step 150" in rates[1].hovertext[lost]
    mean = dict(zip(rates[2].x, rates[2].y, strict=True))
    assert mean[2e-2] == pytest.approx(tuned_gain(3, 2, 0) / 2)
    cells = dict(zip(table.header["values"], table.cells["values"], strict=True))
    assert list(cells["<b>Setting</b>"]) == [
        "lr=0.004 clip_norm=0.5",
        "plan as it is",
        "lr=0.008 clip_norm=0.5",
        "lr=0.02",
    ]
    assert list(cells["<b>Steps</b>"]) == ["900", "900", "300", "300"]
    assert list(cells["<b>To the plan</b>"]) == ["+0.100", "+0.000", "+0.300", "-0.190"]
    assert cells["<b>Remarks</b>"][3] == "rfdn diverged at step 150"


def test_a_study_that_is_no_tuning_says_so(database: Path) -> None:
    with Store.at(database, read_only=True) as store:
        figure = draw(store, SHOW, "tuning")
    assert figure.layout.annotations[0].text == "This study is no tuning; nas tune makes one"

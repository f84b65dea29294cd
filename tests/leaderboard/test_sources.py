from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich_results import BOLDER, EMPTY, RUNGS, STUDY, TRUSTED, TWIN, UNLIKE, make, network, report

from leaderboard.errors import LeaderboardError, UnknownStudyError
from leaderboard.fronts.pareto import pareto_mask
from leaderboard.sources import SOURCES, draw
from leaderboard.store import Store
from leaderboard.store.records import Runtime
from leaderboard.views import VIEWS, Show


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("sources") / "results.db", trials=60)


def source(database: Path, name: str, **changes: object) -> pd.DataFrame:
    with Store.at(database, read_only=True) as store:
        return SOURCES[name](store, Show(**({"study": STUDY} | changes)))  # type: ignore[arg-type]


def test_every_source_is_some_views_and_the_other_way_round() -> None:
    assert {view.source for view in VIEWS.values()} == set(SOURCES)


def test_trials_are_those_of_all_chosen_studies_with_floor_and_family(database: Path) -> None:
    frame = source(database, "trials", studies=(TWIN, UNLIKE, STUDY))
    assert set(frame["study"]) == {STUDY, TWIN, UNLIKE}
    assert not frame.duplicated(["study", "stage", "number"]).any()
    assert set(frame["bicubic_ssim"].dropna()) == {0.8104}
    family = frame.drop_duplicates("study").set_index("study")["family"]
    assert family[STUDY] == family[TWIN]  # only their seeds differ
    assert '"seed"' not in family[STUDY]


def test_latency_is_joined_from_the_setting_that_measured_most(database: Path) -> None:
    frame = source(database, "trials")
    assert set(frame["runtime_setting"]) == {"NVIDIA H200, fp32, eager, output 1280x720"}
    by_network = frame.drop_duplicates("genotype").set_index("genotype")
    made = network(4)
    row = by_network.loc[made["genotype_id"]]
    assert row["latency_ms"] == pytest.approx(1.0 + made["cost"]["params"] / 2e4)  # not the CPU's
    assert row["memory_bytes"] == made["cost"]["activations"] * 8
    assert math.isnan(by_network.loc[network(5)["genotype_id"], "latency_ms"])
    assert len(frame) == len(source(database, "trials"))


def test_other_sizes_and_batches_are_never_mixed_in(tmp_path: Path) -> None:
    path = make(tmp_path / "results.db", trials=12)
    made = network(1)
    with Store.at(path) as store:
        runtime = Runtime(
            network="x",
            genotype_id=made["genotype_id"],
            scale=4,
            height=360,
            width=640,
            batch=8,
            device="NVIDIA H200",
            threads=0,
            median_ms=0.1,
            p5_ms=0.1,
            p95_ms=0.1,
            torch_version="2",
            code_version="0",
        )
        store.record_runtime(runtime, space="lightweight", choices=made["choices"])
    frame = source(path, "trials").drop_duplicates("genotype").set_index("genotype")
    assert math.isnan(frame.loc[made["genotype_id"], "latency_ms"])


def test_without_any_runtime_the_columns_are_there_and_empty(tmp_path: Path) -> None:
    with Store.at(tmp_path / "results.db") as store:
        store.open_study("s", recipe={}, space_digest="d", code_version="0")
        frame = SOURCES["trials"](store, Show(study="s"))
    assert frame.empty
    assert {"latency_ms", "memory_bytes", "runtime_setting", "family", "bicubic_ssim"} <= set(frame.columns)


def test_benchmarks_hold_what_was_measured_and_what_papers_report(database: Path) -> None:
    frame = source(database, "benchmarks")
    counts = frame["origin"].value_counts()
    assert counts["measured"] == 6
    assert counts["reported"] > 200
    imdn = frame[(frame["network"] == "IMDN") & (frame["scale"] == 4) & (frame["benchmark"] == "Set5")]
    assert list(imdn["psnr_db"]) == [32.21]
    assert list(imdn["metric"]) == ["as reported"]
    omni = frame[(frame["network"] == "Omni-SR") & (frame["scale"] == 4) & (frame["benchmark"] == "Set5")]
    assert dict(zip(omni["trained_on"], omni["psnr_db"], strict=True)) == {"DIV2K": 32.49, "DF2K": 32.57}
    assert set(omni["table"]) == {"Wang et al., 2023 (Omni-SR), main table"}  # ESC's repeats one of them


def test_curves_are_those_of_the_front_or_of_the_chosen(database: Path) -> None:
    frame = source(database, "curves", protocol=RUNGS[0])
    trials = source(database, "trials")
    rows = trials[(trials["protocol"] == RUNGS[0]) & trials["psnr_db"].notna()].drop_duplicates("genotype")
    front = set(rows[pareto_mask(rows["multi_adds"], rows["psnr_db"])]["genotype"])
    assert set(frame["genotype"]) == front
    ends = frame[frame["psnr_db"].notna()]
    assert (ends["psnr_db"] == ends["reached_psnr_db"]).all()
    other = next(genotype for genotype in rows["genotype"] if genotype not in front)
    assert set(source(database, "curves", protocol=RUNGS[0], genotypes=(other,))["genotype"]) == {other}


def test_parts_are_those_of_the_best_or_of_the_chosen_network(database: Path) -> None:
    frame = source(database, "parts", protocol=RUNGS[0])
    trials = source(database, "trials")
    best = trials[trials["protocol"] == RUNGS[0]].sort_values("psnr_db").dropna(subset="psnr_db").iloc[-1]
    assert set(frame["genotype"]) == {best["genotype"]}
    assert list(frame["part"]) == ["stem", "block", "tail"]
    assert frame["params"].sum() == best["params"]
    chosen = network(5)
    assert (
        source(database, "parts", genotypes=(chosen["genotype_id"],))["params"].sum()
        == chosen["cost"]["params"]
    )
    with pytest.raises(LeaderboardError, match="unknown network 'nobody'"):
        source(database, "parts", genotypes=("nobody",))


@pytest.mark.parametrize("name", VIEWS)
def test_draw_makes_every_view_from_the_store(name: str, database: Path) -> None:
    with Store.at(database, read_only=True) as store:
        figure = draw(store, Show(study=STUDY, studies=(TWIN,)), name)
        assert figure.data or figure.layout.annotations
        assert draw(store, Show(study=EMPTY, benchmark="Set9"), name).layout.annotations


@pytest.mark.parametrize("name", [name for name in VIEWS if name != "benchmarks"])
def test_an_unknown_study_is_refused_with_the_nearest(name: str, database: Path) -> None:
    with (
        Store.at(database, read_only=True) as store,
        pytest.raises(UnknownStudyError, match="unknown run 'manny'; did you mean 'many"),
    ):
        draw(store, Show(study="manny"), name)


def test_an_unknown_view_is_refused_with_the_nearest(database: Path) -> None:
    with (
        Store.at(database, read_only=True) as store,
        pytest.raises(LeaderboardError, match=r"unknown view 'font'; did you mean 'front'\?"),
    ):
        draw(store, Show(study=STUDY), "font")


def test_calibrations_are_those_that_concern_the_study_and_what_shares_their_reference(
    database: Path,
) -> None:
    frame = source(database, "calibrations")
    assert set(frame["study"]) == {TRUSTED, BOLDER}
    assert set(frame.loc[frame["own"], "protocol"]) == set(RUNGS)
    rungs = frame[(frame["kind"] == "rung") & (frame["study"] == TRUSTED)]
    assert list(rungs["tau"]) == [0.6, 0.8] and list(rungs["seconds"]) == [30.0, 120.0]
    assert list(frame.loc[frame["kind"] == "free", "plan"].unique()) == [
        *("params", "multi_adds", "synflow", "zico")
    ]
    asked = source(database, "calibrations", study=BOLDER)
    assert set(asked["study"]) == {TRUSTED, BOLDER} and not asked["own"].any()
    assert source(database, "calibrations", study=UNLIKE).empty  # nobody looked at its protocols
    assert source(database, "calibrations", study=EMPTY).empty


def test_reports_that_are_none_are_left_out(tmp_path: Path) -> None:
    good = report("ladder", ("rung",), 0.0)
    spoiled: list[Any] = [
        *({}, {**good, "scale": "4"}, {**good, "reference_steps": None}, {**good, "rungs": 3}),
        {**good, "rungs": [None, {}, {"tau": 0.5}, {"tau": {"value": 0.5}, "steps": -1}]},
        {**good, "baselines": [{"name": ["x"], "tau": {"value": "high"}}]},
    ]
    with Store.at(tmp_path / "results.db") as store:
        for number, told in enumerate(spoiled):
            study = store.open_study(
                f"s{number}", recipe={"ladder": True}, space_digest="d", code_version="0"
            )
            store.record_calibrations(study.id, [], told)
        frames = [SOURCES["calibrations"](store, Show(study=f"s{number}")) for number in range(6)]
    rungs = [int((frame["kind"] == "rung").sum()) for frame in frames]
    assert rungs[:3] == [0, 0, 0]
    # All share a reference: what can be read of the last three is in each of them, and it is one rung.
    assert rungs[3:] == [1, 1, 1]
    assert set(frames[3]["reference"]) == {"full"}

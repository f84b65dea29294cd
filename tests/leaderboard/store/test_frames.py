from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from new_records import new_trial, propose, record
from sqlalchemy.exc import IntegrityError

import leaderboard
from leaderboard.errors import StoreError, UnknownStudyError
from leaderboard.store import Measurement, Runtime, Store
from leaderboard.store.schema import ENGINES, PRECISIONS, RuntimeRow, TableBase

OPENING = {"recipe": {}, "space_digest": "5d1f", "code_version": "0.1.0"}
DIGEST = "0123456789abcdef" * 4
PARTS = [
    {"part": "head", "copies": 1, "uses": 1, "params": 30, "multi_adds": 40, "conv_multi_adds": 40},
    {"part": "block", "copies": 2, "uses": 4, "params": 60, "multi_adds": 50, "conv_multi_adds": 20},
    {"part": "tail", "copies": 1, "uses": 1, "params": 10, "multi_adds": 10, "conv_multi_adds": 10},
]
PARTS = [{**part, "activations": 5} for part in PARTS]
COST = {"params": 100, "multi_adds": 100, "conv_multi_adds": 70, "activations": 15}


def runtime(**changes: Any) -> Runtime:
    values: dict[str, Any] = {
        **{"network": "imdn", "genotype_id": "0000", "scale": 4, "height": 720, "width": 1280},
        **{"device": "some CPU", "threads": 8, "median_ms": 12.5, "p5_ms": 12.0, "p95_ms": 20.0},
        **{"torch_version": "2.9.0", "code_version": "0.1.0"},
    }
    return Runtime(**values | changes)


def measurement(**changes: Any) -> Measurement:
    values: dict[str, Any] = {
        **{"network": "imdn", "genotype_id": None, "weights": "aa", "scale": 4, "benchmark": "Set5"},
        **{"data_digest": "77aa", "low_resolution": "made", "metric": "y_float", "psnr_db": 31.9},
        **{"ssim": None, "per_image": {}, "seconds": 1.0, "device": "cpu"},
        **{"torch_version": "2.9.0", "code_version": "0.1.0"},
    }
    return Measurement(**values | changes)


def documented(method: Any) -> list[str]:
    """The columns that a docstring's table names, in its order."""
    rows = re.findall(r"^\s*\| ([a-z0-9_, ]+) \|", method.__doc__, re.MULTILINE)
    return [name for row in rows[1:] for name in row.split(", ")]


@pytest.mark.parametrize("kind", ["frame", "curves", "images", "parts", "runtimes", "benchmarks", "requests"])
def test_every_frame_has_its_documented_columns_and_the_same_dtypes_without_rows(
    filled: Path, tmp_path: Path, kind: str
) -> None:
    arguments = {"curves": ["x4-300k"], "images": ["x4-300k"], "parts": ["nothing", 4]}.get(kind, [])
    path = tmp_path / "results.db"
    path.write_bytes(filled.read_bytes())
    with Store.at(path) as store:
        trial = store.frame("x4-300k").iloc[0]
        store.record_runtime(runtime(genotype_id=trial["genotype"]))
        store.record_measurement(measurement(genotype_id=trial["genotype"]))
        store.request_retraining("x4-300k", [trial["genotype"]])
        if kind == "parts":
            arguments = ["0000", 4]
            change = {"genotype_id": "0000", "cost": COST, "parts": PARTS, "state": "rejected"}
            propose(store, store.study("empty").id, **change)
        full = getattr(store, kind)(*arguments)
    with Store("sqlite://") as store:
        store.open_study("x4-300k", **OPENING)
        empty = getattr(store, kind)(*arguments)
    assert len(empty) == 0 < len(full)
    assert full.dtypes.to_dict() == empty.dtypes.to_dict()
    assert sorted(documented(getattr(Store, kind))) == sorted(full.columns)
    texts = full.select_dtypes("object")
    assert not texts.map(lambda value: isinstance(value, float)).any(axis=None)  # None, never NaN


def test_a_frame_of_several_studies_is_those_of_each(store: Store, fill_store: Any) -> None:
    for name, trials in (("one", 3), ("two", 4), ("three", 5)):
        fill_store(store, name, trials=trials)
    both = store.frame(["one", "three"])
    parts = [store.frame("one"), store.frame("three")]
    pd.testing.assert_frame_equal(both, pd.concat(parts, ignore_index=True))
    assert len(store.frame([])) == 0
    with pytest.raises(UnknownStudyError, match="did you mean 'three'"):
        store.frame(["one", "tree"])


def test_a_frame_of_chosen_columns_is_those_of_the_whole_one(filled: Path) -> None:
    with leaderboard.open(filled) as store:
        whole = store.frame("x4-300k")
        for columns in (["psnr_db", "study"], ["folder"], ["choices", "finished_at", "folder", "state"]):
            pd.testing.assert_frame_equal(store.frame("x4-300k", columns), whole[columns])
        with pytest.raises(StoreError, match="unknown column 'psnr'"):
            store.frame("x4-300k", ["psnr"])


def test_names_digests_and_parts_are_kept_and_filled_in_where_they_were_missing(
    store: Store, make_protocol: Any
) -> None:
    study = store.open_study("demo", **OPENING)
    store.ensure_protocol(make_protocol())
    own = {"genotype_id": "0000", "cost": COST}
    first = propose(store, study.id, **own)
    assert store.parts("0000", 4).empty
    assert store.frame()["name"].tolist() == [None]
    over = {"state": "rejected", "excess": {"params": 0.1}}
    propose(store, study.id, **own, **over, name="imdn", parts=PARTS)
    propose(store, study.id, **own, **over, name="another")  # takes nothing away
    assert set(store.frame()["name"]) == {"imdn"}
    assert store.parts("0000", 4).to_dict("records") == PARTS
    assert store.parts("0000", 2).empty
    own = {"genotype_id": "0000", "checkpoint": "demo/a/w.st", "checkpoint_sha256": DIGEST}
    done = record(store, first.id, **own, halvings=[(350, 200, 0.5)])
    assert (done.checkpoint_sha256, done.halvings) == (DIGEST, [[350, 200, 0.5]])
    assert store.known("0000", done.protocol_id, done.seed) == done
    row = store.frame().iloc[0]
    assert row["halvings"] == [[350, 200, 0.5]]
    assert (row["checkpoint_sha256"], row["folder"], row["code_version"]) == (DIGEST, "demo/a", "0.1.0")
    assert (row["torch_version"], row["data_digest"]) == ("2.9.0", "9f0c")
    propose(store, study.id, genotype_id="0000", cost={**COST, "params": 101}, **over)
    assert store.parts("0000", 4).empty  # those of a counting that is not the newest are not its parts


def test_parts_that_do_not_add_up_and_digests_that_are_none_are_refused(
    store: Store, make_protocol: Any
) -> None:
    study = store.open_study("demo", **OPENING)
    store.ensure_protocol(make_protocol())
    with pytest.raises(StoreError, match="the parts have 90 params together, the network has 100"):
        propose(store, study.id, cost=COST, parts=PARTS[:2])
    with pytest.raises(StoreError, match="a part has part, copies; it needs part, copies, uses"):
        propose(store, study.id, cost=COST, parts=[{"part": "head", "copies": 1}])
    trial = propose(store, study.id)
    with pytest.raises(StoreError, match="'0123' is no SHA-256"):
        record(store, trial.id, checkpoint_sha256="0123")
    with pytest.raises(StoreError, match="'0123' is no SHA-256"):
        store.record_measurement(measurement(checkpoint_sha256="0123"))
    assert store.trials(study.id) == [trial]


def test_curves_and_images_are_those_of_each_training_once(store: Store, make_protocol: Any) -> None:
    study, other = store.open_study("demo", **OPENING), store.open_study("other", **OPENING)
    for name in ("proxy", "full"):
        store.ensure_protocol(make_protocol(name))
    curve = [(0, float("nan"), None), (100, 0.25, 29.5)]
    images = {"baby": (31.5, 0.875), "flat": (math.inf, 1.0)}
    for index, plan, stage in ((1, "proxy", "search"), (2, "proxy", "search"), (1, "full", "retrain")):
        trial = propose(store, study.id, index, stage=stage, rung=index - 1)
        own = {"curve": curve, "per_image": images, "protocol_id": make_protocol(plan).id}
        done = record(store, trial.id, index, **own)
        propose(store, study.id, index, state="repeated", evaluation_id=done.id)
    propose(store, other.id, 1, state="repeated", evaluation_id=done.id)
    ids = [new_trial(index).genotype_id for index in (1, 2)]
    curves = store.curves("demo")
    assert len(curves) == 6
    assert curves.iloc[:2].to_dict("list") == {
        **{"genotype": [ids[0]] * 2, "seed": [0, 0], "stage": ["search"] * 2, "rung": [0, 0]},
        **{"protocol": [make_protocol().id] * 2, "step": [0, 100]},
        **{"loss": [pytest.approx(math.nan, nan_ok=True), 0.25]},
        **{"psnr_db": [pytest.approx(math.nan, nan_ok=True), 29.5]},
    }
    chosen = store.images("demo", protocol=make_protocol().id, genotype=ids[1:])
    assert chosen["image"].tolist() == ["baby", "flat"]
    assert chosen["psnr_db"].tolist() == [31.5, pytest.approx(math.nan, nan_ok=True)]
    assert len(store.images("demo", genotype=ids[0])) == 4
    assert len(store.curves("demo", protocol="none")) == 0
    assert len(store.images("other")) == 2
    with pytest.raises(UnknownStudyError):
        store.curves("dem")


def test_a_runtime_is_kept_once_a_setting_and_the_newest_counts(store: Store) -> None:
    store.record_runtime(runtime(), space="lightweight", choices={"width": 64}, name="imdn")
    store.record_runtime(runtime(median_ms=13.0))
    others: list[dict[str, Any]] = [
        {"batch": 8},
        {"threads": 0, "device": "NVIDIA H200", "peak_memory_bytes": 2**33},
        *({"precision": word} for word in PRECISIONS[1:]),
        *({"engine": word} for word in ENGINES[1:]),
        {"network": "somebody.lab:net", "genotype_id": None},
    ]
    for change in others:
        store.record_runtime(runtime(**change))
    frame = store.runtimes()
    assert len(frame) == 1 + len(others)
    assert frame["median_ms"].tolist()[0] == 13.0
    assert frame["peak_memory_bytes"].max() == 2**33
    assert frame["name"].isna().sum() == 1
    assert len(store.runtimes("0000")) == len(others)
    assert store.find_genotype("0000") == [("0000", "lightweight", {"width": 64})]


def test_a_runtime_that_cannot_be_is_refused_by_the_store_and_by_the_tables(store: Store) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"precision": "float32"}, "unknown precision 'float32' .known: bf16"),
        ({"engine": "onnx"}, "unknown engine 'onnx' .known: compiled"),
        ({"p5_ms": 13.0}, "are no 5th percentile, median and 95th"),
        ({"p95_ms": math.nan}, "are no 5th percentile, median and 95th"),
        ({"p5_ms": 0.0}, "are no 5th percentile, median and 95th"),
        ({"batch": 0}, "runtime of imdn: batch is 0, too small"),
        ({"threads": -1}, "threads is -1, too small"),
    ]
    for change, words in wrong:
        with pytest.raises(StoreError, match=words):
            store.record_runtime(runtime(**change))
    with store._writing.connect() as connection:
        row = {**vars(runtime(genotype_id=None)), "created_at": pd.Timestamp("2026-01-01", tz="UTC")}
        for change, _ in wrong:
            value = next(iter(change.values()))
            if value == value:  # PostgreSQL says that NaN is more than everything
                with pytest.raises(IntegrityError):
                    connection.execute(TableBase.metadata.tables["runtime"].insert(), {**row, **change})
                connection.rollback()
        connection.execute(RuntimeRow.__table__.insert(), row)  # type: ignore[attr-defined]
    assert store.runtimes().empty


def test_a_measurement_says_how_its_weights_were_trained_where_their_file_is_known(
    store: Store, make_protocol: Any
) -> None:
    study = store.open_study("demo", **OPENING)
    for name in ("proxy", "full"):
        store.ensure_protocol(make_protocol(name))
    digests = {"search": "1" * 64, "retrain": "2" * 64}
    for stage, plan in (("search", "proxy"), ("retrain", "full")):
        trial = propose(store, study.id, 1, stage=stage, name="ours")
        own = {"protocol_id": make_protocol(plan).id, "checkpoint_sha256": digests[stage]}
        done = record(store, trial.id, 1, **own)
        propose(store, study.id, 1, state="repeated", evaluation_id=done.id)
    genotype = new_trial(1).genotype_id
    store.record_measurement(measurement(network="bicubic", weights="", ssim=0.81))
    for stage, digest in [*digests.items(), ("foreign", "3" * 64), ("unknown", None)]:
        store.record_measurement(
            measurement(network=genotype, genotype_id=genotype, weights=stage, checkpoint_sha256=digest)
        )
    frame = store.benchmarks().set_index("weights")
    assert frame.loc["search", ["stage", "plan"]].tolist() == ["search", "proxy"]
    assert frame.loc["retrain", ["stage", "plan"]].tolist() == ["retrain", "full"]
    for weights in ("", "foreign", "unknown"):
        assert frame.loc[weights, ["stage", "plan", "trained_on"]].tolist() == [None, None, None]
    assert set(frame.loc[["search", "retrain"], "trained_on"]) == {make_protocol("full").data}
    assert frame.loc["search", "params"] == new_trial(1).cost["params"]
    assert frame.loc["search", "name"] == "ours"
    assert math.isnan(frame.loc["", "params"])
    assert math.isnan(frame.loc["search", "ssim"])
    assert store.benchmarks(genotype)["weights"].tolist() == [*digests, "foreign", "unknown"]
    assert len(store.benchmarks("bicubic")) == 1


def test_results_are_opened_for_reading_by_file_folder_or_address(filled: Path) -> None:
    for where in (filled, str(filled), filled.parent, f"sqlite:///{filled}"):
        with leaderboard.open(where) as store:
            assert [study.name for study in store.studies()] == ["x4-300k", "empty"]
            with pytest.raises(StoreError, match="opened for reading only"):
                store.open_study("mine", **OPENING)
    with pytest.raises(StoreError, match="there are no results yet"):
        leaderboard.open(filled.parent / "other.db")


def test_a_record_is_made_of_the_columns_of_its_table() -> None:
    columns = set(TableBase.metadata.tables["runtime"].columns.keys())
    assert set(vars(runtime())) == columns - {"id", "created_at"}
    columns = set(TableBase.metadata.tables["measurement"].columns.keys())
    assert set(vars(replace(measurement(), weights="b"))) == columns - {"id", "created_at"}

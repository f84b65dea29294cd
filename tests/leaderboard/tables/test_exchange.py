from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from new_records import new_trial, propose, record

from leaderboard.errors import LeaderboardError, StoreError, StudyMismatchError, UnknownStudyError
from leaderboard.store import Measurement, Runtime, Store
from leaderboard.tables.exchange import FORMATS, export_results, import_results
from leaderboard.tables.trials import COLUMNS, NESTED, trials_frame

OLD = sorted((Path(__file__).parents[1] / "data").glob("schema-*.sql"))
HALVINGS = [[350, 200, 0.5], [400, 250, 0.25]]
DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def make_source(fill_store: Any) -> Callable[[Store], None]:
    """Fills a store with one of everything: two studies, names and parts, a measurement, a runtime."""

    def fill(store: Store) -> None:
        study = fill_store(store, "Odd.name_1-a", trials=25, retrained=2)
        other = fill_store(store, "x4", trials=4)
        parts = {"copies": 1, "uses": 1, "part": "whole", **new_trial(90).cost}
        named = {"stage": "seeds", "seed": 3, "name": "imdn, the net", "parts": [parts], "rung": 1}
        trial = propose(store, study.id, 90, **named)
        own = {"seed": 3, "checkpoint_sha256": DIGEST, "curve": [(0, 0.1 + 0.2, None)]}
        own |= {"halvings": HALVINGS}
        record(store, trial.id, 90, **own, worker='odd, "name"\'')
        propose(store, study.id, 91)
        propose(store, other.id, 92, state="waiting")
        store.add_event(study.id, "rung", trial_id=trial.id, details={"to": 1})
        genotype = trial.genotype_id
        store.record_measurement(measurement(genotype_id=genotype))
        store.record_runtime(runtime(genotype_id=genotype))

    return fill


def measurement(**changes: Any) -> Measurement:
    values: dict[str, Any] = {
        **{"network": "imdn", "genotype_id": None, "weights": "aa", "scale": 4, "benchmark": "Set5"},
        **{"data_digest": "77aa", "low_resolution": "made", "metric": "y_float", "psnr_db": 31.9},
        **{"ssim": None, "per_image": {"baby": [31.9, None]}, "seconds": 1.0, "device": "cpu"},
        **{"torch_version": "2.9.0", "code_version": "0.1.0", "checkpoint_sha256": DIGEST},
    }
    return Measurement(**values | changes)


def runtime(**changes: Any) -> Runtime:
    values: dict[str, Any] = {
        **{"network": "imdn", "genotype_id": None, "scale": 4, "height": 720, "width": 1280},
        **{"device": "some CPU", "threads": 8, "median_ms": 12.5, "p5_ms": 12.0, "p95_ms": 20.0},
        **{"torch_version": "2.9.0", "code_version": "0.1.0"},
    }
    return Runtime(**values | changes)


def everything(store: Store) -> dict[str, pd.DataFrame]:
    """All that is shown of a store, without what waits or runs."""
    names = sorted(study.name for study in store.studies())
    trials = trials_frame(store, names)
    shown = {"trials": trials[~trials["state"].isin(("waiting", "running"))].reset_index(drop=True)}
    for name in names:
        events = store.events(name).drop(columns=["id", "trial", "seconds"])
        over = events["number"].isna() | events["stage"].map(lambda stage: stage is not None)
        shown[f"events of {name}"] = events[over].reset_index(drop=True)
    return shown | {"runtimes": store.runtimes(), "benchmarks": store.benchmarks()}


def assert_same(one: dict[str, pd.DataFrame], two: dict[str, pd.DataFrame]) -> None:
    assert one.keys() == two.keys()
    for name, frame in one.items():
        pd.testing.assert_frame_equal(frame, two[name], obj=name)


def events_of_unfinished(shown: dict[str, pd.DataFrame], ids: set[str]) -> dict[str, pd.DataFrame]:
    """The same without events of those networks."""
    return {
        name: frame[~frame["genotype"].isin(ids)].reset_index(drop=True) if "events" in name else frame
        for name, frame in shown.items()
    }


def test_a_database_is_taken_into_an_empty_one_whole_and_twice_is_once(
    store: Store, tmp_path: Path, make_source: Any
) -> None:
    path = tmp_path / "there.db"
    with Store.at(path) as source:
        make_source(source)
        there = everything(source)
    before = path.read_bytes()
    first = import_results(store, str(path))
    assert first.unfinished == 2
    assert first.different == [] and first.new["studies"] == 2 and first.new["runtimes"] == 1
    assert first.new["trials"] == len(there["trials"])
    unfinished = {new_trial(index).genotype_id for index in (91, 92)}
    here = everything(store)
    assert_same(here, events_of_unfinished(there, unfinished))
    second = import_results(store, str(path))
    assert second.new == {} and second.different == []
    assert first.same == {} and second.same == first.new
    assert_same(everything(store), here)
    assert path.read_bytes() == before


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.stem)
def test_a_database_of_an_older_version_is_taken_in_and_left_as_it_is(
    store: Store, tmp_path: Path, old: Path
) -> None:
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as raw:
        raw.executescript(old.read_text(encoding="utf-8"))
    raw.close()
    before = path.read_bytes()
    merged = import_results(store, str(path))
    assert path.read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir() if "old" in file.name) == ["old.db"]
    assert merged.new["trials"] >= 21 and merged.unfinished >= 2
    with Store.at(path) as migrated:
        theirs, measured = trials_frame(migrated, ["demo"]), migrated.measurements()
    ours = trials_frame(store, ["demo"])
    kept = theirs[~theirs["state"].isin(("waiting", "running"))].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, kept)
    assert store.measurements() == measured
    assert len(measured) == {"schema-0001": 0, "schema-0002": 1}.get(old.stem, 2)


def test_a_server_of_an_older_version_is_taken_in(
    postgres: Any, tmp_path: Path, fill_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import text

    url = postgres.new_database()
    with Store(url) as store:
        fill_store(store, "demo", trials=8)
        theirs = trials_frame(store, ["demo"])
        with store._writing.begin() as connection:  # as version 0003 of the schema has it
            for statement in (
                *(
                    "DROP TABLE runtime",
                    "DROP TABLE retrain_request",
                    "ALTER TABLE genotype DROP COLUMN name",
                ),
                *("ALTER TABLE cost DROP COLUMN parts", "DROP INDEX ix_measurement_genotype_id"),
                "ALTER TABLE evaluation DROP COLUMN checkpoint_sha256",
                "ALTER TABLE measurement DROP COLUMN checkpoint_sha256",
                "UPDATE alembic_version SET version_num = '0003'",
                "ALTER DATABASE " + url.rpartition("/")[2] + " SET timezone TO 'Asia/Tokyo'",
            ):
                connection.execute(text(statement))
    with Store.at(tmp_path / "here.db") as here:
        import_results(here, url)
        pd.testing.assert_frame_equal(trials_frame(here, ["demo"]), theirs)
    with pytest.raises(StoreError, match="has the older schema '0003'"):
        Store(url, read_only=True)


@pytest.mark.parametrize("format", FORMATS)
def test_trials_go_through_a_file_and_come_back_the_same(
    store: Store, tmp_path: Path, make_source: Any, format: str
) -> None:
    path = tmp_path / f"trials.{format}"
    with Store.at(tmp_path / "there.db") as source:
        make_source(source)
        names = sorted(study.name for study in source.studies())
        theirs = trials_frame(source, names)
        assert export_results(source, None, path, format) == len(theirs)
        frame = source.frame()
    assert sorted(file.name for file in tmp_path.glob("*trials*")) == [path.name]
    merged = import_results(store, str(path))
    assert merged.unfinished == 2 and merged.different == []
    kept = theirs[~theirs["state"].isin(("waiting", "running"))].reset_index(drop=True)
    pd.testing.assert_frame_equal(trials_frame(store, names), kept)
    assert import_results(store, str(path)).new == {}
    done = frame[~frame["state"].isin(("waiting", "running"))]
    ours = store.frame().sort_values(["study", "stage", "number"], ignore_index=True)
    pd.testing.assert_frame_equal(ours, done.sort_values(["study", "stage", "number"], ignore_index=True))
    assert {*frame.columns} - {"folder", "trunk_share"} <= {*COLUMNS}


def test_nested_columns_of_a_file_are_json(filled: Path, tmp_path: Path) -> None:
    with Store.at(filled, read_only=True) as store:
        count = export_results(store, "x4-300k", tmp_path / "a.csv", "csv")
        export_results(store, "x4-300k", tmp_path / "a.jsonl", "jsonl")
    table = pd.read_csv(tmp_path / "a.csv")
    assert len(table) == count
    assert table["choices"].map(json.loads).map(len).min() == 6
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [set(line) == set(COLUMNS) for line in lines] == [True] * count
    assert {name for name in NESTED if isinstance(lines[0][name], str)} >= {"choices", "curve", "recipe"}


def test_results_of_the_same_network_are_kept_once_and_differing_ones_are_told(
    store: Store, tmp_path: Path, make_protocol: Any
) -> None:
    opening = {"recipe": {}, "space_digest": "5d1f", "code_version": "0.1.0"}
    with Store.at(tmp_path / "there.db") as there:
        for here, name, psnr in ((store, "ours", 29.0), (there, "theirs", 30.0)):
            study = here.open_study(name, **opening)
            here.ensure_protocol(make_protocol())
            for index, value in ((1, psnr), (2, 29.5)):
                trial = propose(here, study.id, index)
                record(here, trial.id, index, psnr_db=value)
            here.record_measurement(measurement(psnr_db=psnr))
            here.record_runtime(runtime(median_ms=12.0 + psnr / 30))
    merged = import_results(store, str(tmp_path / "there.db"))
    ids = [new_trial(index).genotype_id for index in (1, 2)]
    assert merged.new["trials"] == 2 and merged.same["evaluations"] == 1
    assert len(merged.different) == 3
    assert f"{ids[0]} under proxy-81c2e0, seed 0: 29.0000 dB" in merged.different[0]
    assert "30.0000 dB" in merged.different[0]
    frame = store.frame("theirs")
    assert frame["state"].tolist() == ["repeated", "finished"]
    assert frame["psnr_db"].tolist() == [29.0, 29.5]
    assert store.benchmarks()["psnr_db"].tolist() == [29.0]


def test_a_run_of_the_same_name_with_another_recipe_is_refused_whole(
    store: Store, tmp_path: Path, fill_store: Any
) -> None:
    path = tmp_path / "there.db"
    with Store.at(path) as there:
        fill_store(there, "alpha", trials=3)
        fill_store(there, "demo", trials=3)
    store.open_study("demo", recipe={"scale": 2}, space_digest="5d1f", code_version="0.1.0")
    with pytest.raises(
        StudyMismatchError, match=r"run 'demo' is here with another recipe: .*scale was 2, now 4"
    ):
        import_results(store, str(path))
    assert [study.name for study in store.studies()] == ["demo"]
    assert store.frame().empty
    import_results(store, str(path), prefix="lab-")
    assert [study.name for study in store.studies()] == ["demo", "lab-alpha", "lab-demo"]
    assert import_results(store, str(path), prefix="lab-").new == {}
    with pytest.raises(LeaderboardError, match=r"holds 2 runs \(alpha, demo\); one name is for one run"):
        import_results(store, str(path), name="mine")


def test_a_name_that_no_search_could_have_is_refused_and_nothing_is_taken_in(
    store: Store, tmp_path: Path, fill_store: Any
) -> None:
    path = tmp_path / "there.db"
    with Store.at(path) as there:
        fill_store(there, "../alpha", trials=3)
    for name in (None, "../x", "/abs", "a\nb", "", "-x", "x" * 101):
        with pytest.raises(StoreError, match="a name is letters, digits") as told:
            import_results(store, str(path), name=name)
        assert "\n" not in str(told.value)
        assert store.studies() == []
    import_results(store, str(path), name="alpha")
    assert [study.name for study in store.studies()] == ["alpha"]


def test_a_run_that_went_on_is_taken_in_again_where_its_recipe_may_change(
    store: Store, tmp_path: Path, make_protocol: Any
) -> None:
    path = tmp_path / "there.db"
    opening = {"space_digest": "5d1f", "code_version": "0.1.0"}
    with Store.at(path) as there:
        study = there.open_study("demo", recipe={"trials": 1, "scale": 4}, **opening)
        there.ensure_protocol(make_protocol())
        first = propose(there, study.id, 1)
        assert import_results(store, str(path), name="mine").unfinished == 1
        record(there, first.id, 1)
        there.open_study(
            "demo", recipe={"trials": 2, "scale": 4}, may_change=frozenset({"trials"}), **opening
        )
        propose(there, study.id, 2, state="rejected", excess={"params": 0.5})
    with pytest.raises(StudyMismatchError, match="trials was 1, now 2"):
        import_results(store, str(path), name="mine")
    merged = import_results(store, str(path), name="mine", may_change=frozenset({"trials"}))
    assert merged.new["trials"] == 2 and merged.unfinished == 0
    assert store.frame("mine")["state"].tolist() == ["finished", "rejected"]


def test_trials_of_two_machines_with_one_name_get_numbers_of_their_own(store: Store, tmp_path: Path) -> None:
    opening = {"recipe": {}, "space_digest": "5d1f", "code_version": "0.1.0"}
    path = tmp_path / "there.db"
    with Store.at(path) as there:
        for here, indices in ((store, (1, 2)), (there, (2, 3, 4))):
            study = here.open_study("demo", **opening)
            for index in indices:
                propose(here, study.id, index, state="rejected", excess={"params": 0.5})
    import_results(store, str(path))
    assert import_results(store, str(path)).new == {}
    frame = store.frame("demo")
    assert frame["number"].tolist() == [0, 1, 2, 3, 4]
    assert sorted(frame["genotype"]) == sorted(new_trial(index).genotype_id for index in (1, 2, 2, 3, 4))


def test_one_id_for_two_networks_or_two_protocols_is_refused(
    store: Store, tmp_path: Path, make_protocol: Any
) -> None:
    opening = {"recipe": {}, "space_digest": "5d1f", "code_version": "0.1.0"}
    over = {"state": "rejected", "excess": {"params": 0.5}}
    for kind in ("network", "protocol"):
        path = tmp_path / f"{kind}.db"
        with Store.at(path) as there:
            study = there.open_study("demo", **opening)
            there.ensure_protocol(make_protocol())
            propose(there, study.id, 1, protocol_id=make_protocol().id, **over)
        if kind == "network":
            study = store.open_study("ours", **opening)
            propose(store, study.id, 1, choices={"width": 7}, **over)
        else:
            with store._writing.begin() as connection:
                connection.exec_driver_sql("DELETE FROM event")
                connection.exec_driver_sql("DELETE FROM trial")
                connection.exec_driver_sql("DELETE FROM cost")
                connection.exec_driver_sql("DELETE FROM genotype")
            store.ensure_protocol(replace(make_protocol(), data_digest="another"))
        with pytest.raises(StoreError, match=f"^{kind} .* is another one here"):
            import_results(store, str(path))
        assert [study.name for study in store.studies()] == ["ours"]


def test_a_file_that_is_no_export_is_one_line_with_its_place(
    store: Store, tmp_path: Path, filled: Path
) -> None:
    good = tmp_path / "good.csv"
    with Store.at(filled, read_only=True) as source:
        export_results(source, "x4-300k", good, "csv")
        with pytest.raises(LeaderboardError, match="unknown format 'xlsx'"):
            export_results(source, None, tmp_path / "a.xlsx", "xlsx")
        with pytest.raises(UnknownStudyError, match="did you mean 'x4-300k'"):
            export_results(source, "x4-30k", tmp_path / "a.csv", "csv")
        with pytest.raises(LeaderboardError, match=r"a\.csv: cannot be written \(there is no folder"):
            export_results(source, None, tmp_path / "nowhere" / "a.csv", "csv")
    table = pd.read_csv(good, dtype=str, keep_default_na=False)
    wrong: list[tuple[str, int, str, str]] = [
        ("psnr_db", 2, "thirty", r"row 3: column 'psnr_db' is 'thirty', not a number"),
        ("psnr_db", 2, "", r"row 3: column 'psnr_db' is empty, and the trial is finished"),
        ("number", 0, "1.5", r"row 1: column 'number' is '1\.5', not a whole number"),
        ("choices", 1, "{", r"row 2: column 'choices' is no JSON"),
        ("created_at", 0, "soon", r"row 1: column 'created_at' is 'soon', not a moment"),
        ("genotype", 0, "", r"row 1: column 'genotype' is empty"),
        ("metric", 0, "", r"row 1: column 'metric' is empty, and the row has a protocol"),
        ("recipe", 5, "{}", r"row 6: run 'x4-300k' has another recipe than in the rows before"),
        ("state", 2, "done", r"row 3: unknown state 'done' \(known: failed, finished"),
        ("stage", 2, "serch", r"row 3: unknown stage 'serch'; did you mean 'search'"),
        ("ssim", 2, "inf", r"row 3: column 'ssim' is 'inf', not a number"),
    ]
    bad = tmp_path / "bad.csv"
    for column, place, value, words in wrong:
        changed = table.copy()
        changed.loc[place, column] = value
        changed.to_csv(bad, index=False)
        with pytest.raises(LeaderboardError, match=words):
            import_results(store, str(bad))
    table.drop(columns="protocol").to_csv(bad, index=False)
    with pytest.raises(LeaderboardError, match=r"bad\.csv: has no column 'protocol'"):
        import_results(store, str(bad))
    for name, words in (("a.parquet", "is no Parquet file"), ("a.jsonl", "line 1 is no JSON")):
        (tmp_path / name).write_text("{nothing of the kind")
        with pytest.raises(LeaderboardError, match=rf"{name}: {words}"):
            import_results(store, str(tmp_path / name))
    with pytest.raises(LeaderboardError, match=r"none\.csv: cannot be read"):
        import_results(store, str(tmp_path / "none.csv"))
    with pytest.raises(StoreError, match=r"none\.db: there are no results yet"):
        import_results(store, str(tmp_path / "none.db"))
    assert store.studies() == [] and store.frame().empty

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from new_records import new_evaluation, new_trial, propose, record
from sqlalchemy import event

from leaderboard.errors import StoreError, StudyMismatchError, UnknownStudyError
from leaderboard.store import Store

OPENING = {"space_digest": "5d1f", "code_version": "0.1.0"}


def test_a_study_is_made_once_and_then_continued(store: Store) -> None:
    first = store.open_study("demo", recipe={"sizes": (1, 2)}, **OPENING)
    again = store.open_study("demo", recipe={"sizes": [1, 2]}, **OPENING)
    assert first == again
    assert store.studies() == [first]
    assert store.study("demo") == first
    assert datetime.now(UTC) - first.created_at < timedelta(minutes=5)
    assert first.created_at.tzinfo is UTC


def test_another_recipe_is_refused_with_every_differing_key(store: Store) -> None:
    store.open_study("demo", recipe={"budget": {"params": 300000}, "scale": 4}, **OPENING)
    with pytest.raises(StudyMismatchError) as refused:
        store.open_study(
            "demo", recipe={"budget": {"params": 200000, "multi_adds": 5}, "scale": 4}, **OPENING
        )
    assert str(refused.value) == (
        "run 'demo' exists with another recipe: budget.multi_adds was not set, now 5; "
        "budget.params was 300000, now 200000; use another --name, or the old values"
    )


def test_keys_that_may_change_are_updated(store: Store) -> None:
    store.open_study("demo", recipe={"search": {"trials": 5, "seed": 1}, "run": {"workers": 1}}, **OPENING)
    new = {"search": {"trials": 9, "seed": 1}, "run": {"workers": 4, "device": "cpu"}}
    study = store.open_study("demo", recipe=new, may_change=frozenset({"search.trials", "run"}), **OPENING)
    assert study.recipe == new
    assert store.study("demo").recipe == new
    with pytest.raises(StudyMismatchError, match=r"search\.seed was 1, now 2"):
        store.open_study(
            "demo",
            recipe={**new, "search": {"trials": 9, "seed": 2}},
            may_change=frozenset({"run"}),
            **OPENING,
        )


def test_a_changed_search_space_is_refused(store: Store) -> None:
    store.open_study("demo", recipe={}, space_digest="old", code_version="1")
    with pytest.raises(StudyMismatchError, match=r"definition changed since .*was old, now new"):
        store.open_study("demo", recipe={}, space_digest="new", code_version="1")


def test_an_unknown_study_is_named_with_the_nearest(store: Store) -> None:
    with pytest.raises(UnknownStudyError, match="known: none yet"):
        store.study("demo")
    store.open_study("x4-300k", recipe={}, **OPENING)
    with pytest.raises(UnknownStudyError, match=r"unknown run 'x4-30k'; did you mean 'x4-300k'\?"):
        store.study("x4-30k")
    with pytest.raises(UnknownStudyError):
        store.frame("x4-30k")


def test_a_trial_goes_from_proposal_to_result(store: Store, make_protocol: Any) -> None:
    study = store.open_study("demo", recipe={}, **OPENING)
    store.ensure_protocol(make_protocol())
    store.ensure_protocol(make_protocol())
    assert store.protocol(make_protocol().id) == make_protocol()
    proposed = propose(store, study.id, 3)
    assert (proposed.number, proposed.state, proposed.evaluation) == (0, "running", None)
    assert (proposed.owner, proposed.attempt, proposed.worker) == ("somewhere:1", 1, None)
    assert proposed.finished_at is None
    key = (proposed.genotype_id, make_protocol().id, 0)
    assert store.known(*key) is None
    done = record(store, proposed.id, 3)
    assert store.known(*key) == done
    assert done.curve == new_evaluation(3).curve
    [trial] = store.trials(study.id)
    assert trial.evaluation == done
    assert trial == replace(
        proposed,
        state="finished",
        evaluation=done,
        finished_at=trial.finished_at,
        lease_until=None,
        worker="somewhere:1",
    )
    assert store.trial(trial.id) == trial
    short = replace(trial, evaluation=replace(done, curve=[], per_image={}))
    assert store.trials(study.id, curves=False) == [short]
    assert trial.finished_at is not None
    assert trial.finished_at >= trial.created_at
    with pytest.raises(FrozenInstanceError):
        trial.state = "running"  # type: ignore[misc]


def test_numbers_count_from_zero_in_each_stage(store: Store) -> None:
    study = store.open_study("demo", recipe={}, **OPENING)
    wanted = {"retrain": 2, "search": 3, "seeds": 1}
    numbers = {
        stage: [propose(store, study.id, i, stage=stage).number for i in range(count)]
        for stage, count in wanted.items()
    }
    assert numbers == {"retrain": [0, 1], "search": [0, 1, 2], "seeds": [0]}
    in_order = ["search"] * 3 + ["seeds"] + ["retrain"] * 2
    assert [t.stage for t in store.trials(study.id)] == in_order
    assert store.frame("demo")["stage"].tolist() == in_order
    assert [t.number for t in store.trials(study.id, "retrain")] == [0, 1]


def test_an_earlier_opening_is_continued(tmp_path: Path, fill_store: Any) -> None:
    path = tmp_path / "deep" / "folder" / "results.db"
    with Store.at(path) as first:
        study = fill_store(first, trials=20)
        before = first.trials(study.id)
    with Store.at(path) as second:
        assert second.trials(study.id) == before
        assert propose(second, study.id, 99).number == len(before)


def test_one_network_under_one_protocol_and_seed_is_recorded_once(store: Store, make_protocol: Any) -> None:
    study = store.open_study("demo", recipe={}, **OPENING)
    store.ensure_protocol(make_protocol())
    first, second, other = (
        propose(store, study.id, seed=0),
        propose(store, study.id, seed=0),
        propose(store, study.id, seed=1),
    )
    done = record(store, first.id)
    assert record(store, second.id, psnr_db=99.0) == done
    assert [(trial.state, trial.evaluation) for trial in store.trials(study.id)[:2]] == [
        ("finished", done),
        ("repeated", done),
    ]
    before = store.trials(study.id)
    with pytest.raises(StoreError, match="is finished, not running"):
        record(store, first.id, psnr_db=99.0)
    with pytest.raises(StoreError, match="with seed 1, not of"):
        record(store, other.id)
    with pytest.raises(StoreError, match="NaN is no result"):
        record(store, other.id, seed=1, psnr_db=float("nan"))
    with pytest.raises(StoreError, match=r"(?i)foreign key"):
        record(store, other.id, seed=1, protocol_id="nowhere")
    assert store.trials(study.id) == before
    record(store, other.id, seed=1)


def test_states_that_make_no_sense_are_refused(store: Store) -> None:
    study = store.open_study("demo", recipe={}, **OPENING)
    with pytest.raises(StoreError, match="evaluation_when_done"):
        propose(store, study.id, state="repeated")
    with pytest.raises(StoreError, match=r"unknown state 'wating'; did you mean 'waiting'\? \(known: rej"):
        propose(store, study.id, state="wating")
    with pytest.raises(StoreError, match="waiting has owner 'me' for 5 s; a running one needs both"):
        store.propose(study.id, new_trial(state="waiting"), owner="me", seconds=5)
    with pytest.raises(StoreError, match="running has owner 'me' for None s"):
        store.propose(study.id, new_trial(), owner="me")
    with pytest.raises(StoreError, match="unknown stage 'serch'; did you mean 'search'"):
        propose(store, study.id, stage="serch")
    with pytest.raises(StoreError, match="no study with id 77"):
        propose(store, 77)
    with pytest.raises(StoreError, match="it needs params, multi_adds"):
        propose(store, study.id, cost={"params": 1})
    with pytest.raises(StoreError, match="no trial with id 5"):
        store.fail(5, "lost", owner="me")
    with pytest.raises(StoreError, match="unknown failure 'eror'; did you mean 'error'"):
        store.fail(5, "lost", owner="me", failure="eror")
    assert store.trials(study.id) == []


def test_rejected_repeated_and_failed_trials_are_over(store: Store, make_protocol: Any) -> None:
    study = store.open_study("demo", recipe={}, **OPENING)
    store.ensure_protocol(make_protocol())
    rejected = propose(store, study.id, 1, state="rejected", excess={"params": 0.25})
    done = record(store, propose(store, study.id).id)
    repeated = propose(store, study.id, state="repeated", evaluation_id=done.id)
    lost = propose(store, study.id, 2)
    store.fail(lost.id, "out of memory", owner=lost.owner, failure="out_of_memory")
    store.fail(lost.id, "out of memory", owner=lost.owner, failure="out_of_memory")  # said twice, kept once
    failed = store.trials(study.id)[-1]
    assert rejected.excess == {"params": 0.25}
    assert repeated.evaluation == done
    assert (failed.state, failed.failure, failed.reason) == ("failed", "out_of_memory", "out of memory")
    assert all(trial.finished_at for trial in (rejected, repeated, failed))


def test_numbers_that_are_not_finite_survive_as_none_in_curves(store: Store, make_protocol: Any) -> None:
    study = store.open_study("demo", recipe={}, **OPENING)
    store.ensure_protocol(make_protocol())
    trial = propose(store, study.id)
    curve, images = [(1, float("nan"), None)], {"flat": (float("inf"), 1.0)}
    done = record(store, trial.id, curve=curve, per_image=images)
    assert done.curve == [[1, None, None]]
    assert done.per_image == {"flat": [None, 1.0]}


def test_a_genotype_is_found_by_the_start_of_its_id(store: Store) -> None:
    study = store.open_study("demo", recipe={}, **OPENING)
    for name in ("abc1", "abc2", "abc", "a%c", "ABC9"):
        propose(store, study.id, genotype_id=name)
    assert [found[0] for found in store.find_genotype("abc")] == ["abc"]
    assert [found[0] for found in store.find_genotype("ab")] == ["abc", "abc1", "abc2"]
    assert [found[0] for found in store.find_genotype("a%")] == ["a%c"]
    assert store.find_genotype("zz") == []
    assert store.find_genotype("abc1")[0][2] == new_trial().choices


def test_all_trials_come_in_one_query(store: Store, fill_store: Any) -> None:
    study = fill_store(store, trials=20)
    queries: list[str] = []
    event.listen(store._engine, "before_cursor_execute", lambda *a: queries.append(a[2]))
    assert len(store.trials(study.id)) > 20
    assert sum("FROM trial" in query for query in queries) == 1


def test_the_frame_has_one_row_a_trial_and_the_documented_columns(filled: Path) -> None:
    with Store.at(filled, read_only=True) as store:
        frame, empty, everything = store.frame("x4-300k"), store.frame("empty"), store.frame()
        trials = store.trials(store.study("x4-300k").id)
    assert Store.frame.__doc__ is not None
    assert all(column in Store.frame.__doc__ for column in frame.columns)
    assert len(frame) == len(everything) == len(trials)
    assert list(frame.columns) == list(empty.columns)
    assert list(frame.dtypes) == list(everything.dtypes)
    assert len(empty) == 0
    row, trial = frame.iloc[-1], trials[-1]
    assert (row["stage"], row["plan"], row["protocol"]) == ("retrain", "full", "full-81c2e0")
    assert row["choices"] == trial.choices
    assert row["created_at"] == pd.Timestamp(trial.created_at)
    rejected = frame[frame["state"] == "rejected"]
    assert rejected["psnr_db"].isna().all()
    assert (rejected["excess"].map(len) > 0).all()


def test_a_reader_sees_results_while_a_writer_holds_a_transaction(url: str, fill_store: Any) -> None:
    with Store(url) as writer:
        fill_store(writer, trials=5)
        with writer._writing.connect() as raw, raw.begin() as change:
            raw.exec_driver_sql("UPDATE study SET code_version = 'in the middle'")
            raw.exec_driver_sql("UPDATE trial SET reason = 'in the middle'")
            with Store(url, read_only=True) as reader:
                frame = reader.frame()
                assert len(frame) == 5
                assert not (frame["reason"] == "in the middle").any()
                with pytest.raises(StoreError, match="reading only"):
                    reader.open_study("other", recipe={}, **OPENING)
            change.rollback()

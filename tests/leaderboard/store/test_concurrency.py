"""Several processes on one database: SQLite as a file, PostgreSQL as a server that is really there."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from typing import Any

import pandas as pd
import pytest
from new_records import OWNER, propose, record

from leaderboard.store import Store, Study

FRESH = multiprocessing.get_context("forkserver")
"""Processes that share nothing with this one, and need not import the store anew."""
FRESH.set_forkserver_preload(["leaderboard.store", "pandas", "psycopg", "pytest"])
OPENING: dict[str, Any] = {"recipe": {}, "space_digest": "5d1f", "code_version": "0.1.0"}
HOUR = 3600.0
PATIENCE = 120.0


def start(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    process = FRESH.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def join(*processes: BaseProcess) -> None:
    """Waits for all; each error of one, a locked database for example, is an exit code."""
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def work(url: str, owner: str, lease: float, together: Barrier | None = None) -> None:
    """Claims and records until all trials are over."""
    with Store(url) as store:
        study = store.study("demo")
        if together is not None:
            together.wait(PATIENCE)
        while True:
            trial = store.claim(study.id, owner, lease)
            if trial is not None:
                record(store, trial.id, genotype_id=trial.genotype_id, seed=trial.seed, owner=owner)
            elif all(each.finished_at for each in store.trials(study.id)):
                return
            else:
                time.sleep(0.05)


def hold(url: str, owner: str, lease: float, count: int) -> None:
    """Claims some, and then neither renews nor records nor gives back."""
    with Store(url) as store:
        study = store.study("demo")
        for _ in range(count):
            assert store.claim(study.id, owner, lease) is not None
        time.sleep(HOUR)


@pytest.fixture
def prepare(url: str, make_protocol: Any) -> Callable[[int], Study]:
    def put(count: int) -> Study:
        with Store(url) as store:
            study = store.open_study("demo", **OPENING)
            store.ensure_protocol(make_protocol())
            for index in range(count):
                propose(store, study.id, index, state="waiting")
            return study

    return put


def events_of(url: str) -> pd.DataFrame:
    with Store(url, read_only=True) as store:
        frame = store.frame("demo")
        assert (frame["state"] == "finished").all()
        assert frame["genotype"].is_unique
        return store.events("demo")


def times(events: pd.DataFrame, kind: str) -> list[int]:
    """How often each trial has an event of that kind."""
    counts = events[events["kind"] == kind]["trial"].value_counts()
    return [int(counts.get(trial, 0)) for trial in sorted(events["trial"].unique())]


@pytest.mark.parametrize(
    ("processes", "jobs"),
    [(4, 100), pytest.param(8, 500, marks=pytest.mark.nightly)],
)
def test_several_processes_take_hundreds_of_jobs_each_exactly_once(
    url: str, prepare: Callable[[int], Study], processes: int, jobs: int
) -> None:
    prepare(jobs)
    together = FRESH.Barrier(processes)
    names = [f"worker {number}" for number in range(processes)]
    join(*(start(work, url, name, HOUR, together) for name in names))
    events = events_of(url)
    assert times(events, "started") == [1] * jobs
    assert times(events, "finished") == [1] * jobs
    assert set(events["kind"]) == {"proposed", "started", "finished"}
    done = events[events["kind"] == "finished"]
    assert sorted(done["worker"].unique()) == names, "all of them had a part in it"


@pytest.mark.thorough
def test_jobs_of_a_killed_process_are_taken_up_again_and_end_exactly_once(
    url: str, prepare: Callable[[int], Study]
) -> None:
    prepare(20)
    victim = start(hold, url, "victim", 3.0, 5)
    with Store(url) as store:
        until = time.monotonic() + PATIENCE
        while (store.frame("demo")["state"] == "running").sum() < 5:
            assert time.monotonic() < until
            assert victim.is_alive()
            time.sleep(0.02)
    assert victim.pid is not None
    os.kill(victim.pid, signal.SIGKILL)
    join(*(start(work, url, f"worker {number}", HOUR) for number in range(3)))
    events = events_of(url)
    assert times(events, "started") == [2] * 5 + [1] * 15
    assert times(events, "taken_over") == [1] * 5 + [0] * 15
    assert times(events, "finished") == [1] * 20
    taken = events[events["kind"] == "taken_over"]
    assert [details["from"] for details in taken["details"]] == ["victim"] * 5
    began = events[(events["kind"] == "started") & (events["worker"] == "victim")]["at"].max()
    assert (taken["at"] - began).dt.total_seconds().min() > 1.5, "not before their leases ran out"


@pytest.mark.thorough
def test_processes_killed_at_any_moment_leave_nothing_half_done(
    url: str, prepare: Callable[[int], Study]
) -> None:
    study = prepare(150)
    draw = random.Random(5)  # noqa: S311
    for number in range(4):
        victims = [start(work, url, f"victim {number}.{each}", 0.3) for each in range(2)]
        with Store(url) as store:
            before = len(store.events("demo"))
            until = time.monotonic() + PATIENCE
            while len(store.events("demo")) < before + 4 and any(each.is_alive() for each in victims):
                assert time.monotonic() < until
        time.sleep(draw.uniform(0, 0.05))
        for victim in victims:
            victim.kill()
            victim.join(PATIENCE)
    # A job can be hit at most twice here and still be done: three times gives it up, as it should.
    with Store(url) as store:
        store.reap(study.id)
    join(start(work, url, "last", HOUR))
    events = events_of(url)
    assert times(events, "finished") == [1] * 150
    started, over = times(events, "started"), times(events, "taken_over")
    assert [a - b for a, b in zip(started, over, strict=True)] == [1] * 150
    with Store(url, read_only=True) as store:
        assert [trial.attempt for trial in store.trials(study.id)] == started


def propose_all(url: str, name: str, indices: list[int]) -> None:
    with Store(url) as store:
        study = store.open_study(name, **OPENING)
        for index in indices:
            trial = propose(store, study.id, index)
            assert store.renew(OWNER, [trial.id], HOUR) == {trial.id}
            record(store, trial.id, genotype_id=trial.genotype_id)


@pytest.mark.thorough
def test_searches_of_the_same_networks_at_once_share_results_and_no_numbers(
    url: str, make_protocol: Any
) -> None:
    with Store(url) as store:
        store.ensure_protocol(make_protocol())
    overlapping = [[first + index % 40 for index in range(50)] for first in (0, 30, 0, 10)]
    names = ["one", "one", "two", "two"]
    both = zip(names, overlapping, strict=True)
    join(*(start(propose_all, url, name, each) for name, each in both))
    with Store(url, read_only=True) as store:
        for name in ("one", "two"):
            assert [trial.number for trial in store.trials(store.study(name).id)] == list(range(100))
        frame = store.frame()
    finished = frame[frame["state"] == "finished"]
    assert len(finished) == 70
    assert finished["genotype"].is_unique
    assert set(frame["state"]) == {"finished", "repeated"}
    assert frame["psnr_db"].notna().all()


@pytest.mark.thorough
def test_reading_goes_on_while_others_write(url: str, prepare: Callable[[int], Study]) -> None:
    prepare(120)
    writers = [start(work, url, f"worker {number}", HOUR) for number in range(2)]
    seen = [0]
    with Store(url, read_only=True) as reader:
        while any(writer.is_alive() for writer in writers):
            frame = reader.frame("demo")
            assert len(frame) == 120
            done = int((frame["state"] == "finished").sum())
            assert frame["psnr_db"].notna().sum() == done, "a result and its trial come together"
            assert len(reader.events("demo")) >= 120 + done
            seen.append(done)
    join(*writers)
    assert seen == sorted(seen)
    assert any(0 < done < 120 for done in seen), "some reading fell between the writing"


def test_several_that_open_a_new_database_at_once_take_turns(tmp_path: Any, postgres: Any) -> None:
    for url in (f"sqlite:///{tmp_path}/new.db", postgres.new_database()):
        join(*(start(propose_all, url, "demo", []) for _ in range(3)))
        with Store(url, read_only=True) as store:
            assert [study.name for study in store.studies()] == ["demo"]

"""Leases are renewed while the main thread computes, and a lost one is noticed."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from pathlib import Path

import pytest
from small_networks import SMALL

from leaderboard.errors import StudyTakenError
from leaderboard.store import Store
from leaderboard.store.records import Protocol
from nas.cost.counting import cost_of
from nas.search.database_recorder import DatabaseRecorder
from nas.search.heartbeat import Heartbeat
from nas.search.requests import Train

PROTOCOL = Protocol(
    id="p",
    scale=2,
    plan_name="short",
    plan={"steps": 2},
    data="photos",
    data_digest="d",
    metric="y_float",
    bicubic_psnr_db=30.0,
    bicubic_ssim=0.9,
)


def test_it_renews_what_runs_at_that_moment_until_it_is_left() -> None:
    renewed: list[Collection[int]] = []
    running, twice = [1], threading.Event()

    def renew(ids: Collection[int]) -> None:
        renewed.append(tuple(ids))
        if len(renewed) == 2:
            twice.set()

    with Heartbeat(renew, lambda: list(running), seconds=0.01):
        assert twice.wait(10)
    count = len(renewed)
    time.sleep(0.05)
    assert renewed == [(1,)] * count


def test_the_error_of_a_renewal_is_raised_where_the_main_thread_asks() -> None:
    called = threading.Event()

    def renew(ids: Collection[int]) -> None:
        called.set()
        raise StudyTakenError("taken")

    with Heartbeat(renew, seconds=0.01) as heartbeat:
        heartbeat.check()
        assert called.wait(10)
        time.sleep(0.05)
        with pytest.raises(StudyTakenError, match="taken"):
            heartbeat.check()


def test_a_computation_longer_than_the_lease_keeps_its_study_and_its_trial(tmp_path: Path) -> None:
    """The main thread does nothing for twice the lease, as in a long validation."""
    with Store.at(tmp_path / "results.db") as store:
        study = store.open_study("long", recipe={"scale": 2}, space_digest="s", code_version="0")
        recorder = DatabaseRecorder(store, study, [PROTOCOL], tmp_path, "lead", lease_seconds=1.0)
        recorder.begin()
        request = Train(genotype=SMALL, cost=cost_of(SMALL, 2), seed=0)
        trial = recorder.enter(request).trial
        assert trial is not None
        with Heartbeat(recorder.renew, lambda: [trial.id], seconds=0.25):
            time.sleep(2)
            assert store.reap(study.id) == []
            with pytest.raises(StudyTakenError):
                store.own_study(study.id, "elsewhere:1:x", 60)
        assert store.trial(trial.id).owner == recorder.owner

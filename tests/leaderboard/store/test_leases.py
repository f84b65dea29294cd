from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from new_records import propose, record

from leaderboard.errors import LeaseLostError, StoreError, StudyTakenError
from leaderboard.store import Store, Study, Trial
from leaderboard.store.owners import is_gone, this_process

HOUR = 3600.0
SHORT = 0.05


@pytest.fixture
def study(store: Store, make_protocol: Callable[..., Any]) -> Study:
    store.ensure_protocol(make_protocol())
    return store.open_study("demo", recipe={}, space_digest="5d1f", code_version="0.1.0")


@pytest.fixture
def wait_for(store: Store, study: Study) -> Any:
    """Puts waiting trials in."""

    def put(count: int = 1, first: int = 0, **changes: Any) -> list[Trial]:
        return [propose(store, study.id, first + index, state="waiting", **changes) for index in range(count)]

    return put


def kinds(store: Store, trial_id: int | None = None) -> list[str]:
    events = store.events("demo")
    return list(events["kind"] if trial_id is None else events[events["trial"] == trial_id]["kind"])


def run_out(store: Store, owner: str, trial_id: int) -> None:
    """Makes a lease one that has run out, by the store's own clock."""
    assert store.renew(owner, [trial_id], SHORT) == {trial_id}
    time.sleep(2 * SHORT)


def test_waiting_trials_are_claimed_oldest_first_and_each_once(
    store: Store, study: Study, wait_for: Any
) -> None:
    put = wait_for(3)
    taken = [store.claim(study.id, f"worker {index}", HOUR) for index in range(4)]
    assert [trial.id if trial else None for trial in taken] == [*(trial.id for trial in put), None]
    first = taken[0]
    assert first is not None
    assert (first.state, first.owner, first.attempt) == ("running", "worker 0", 1)
    assert first == store.trial(first.id)
    assert first.choices == put[0].choices
    assert kinds(store, first.id) == ["proposed", "started"]


def test_a_claim_keeps_to_its_stage_and_study(store: Store, study: Study, wait_for: Any) -> None:
    other = store.open_study("other", recipe={}, space_digest="5d1f", code_version="0.1.0")
    wait_for(2)
    [again] = wait_for(1, first=5, stage="seeds", seed=1)
    assert store.claim(other.id, "me", HOUR) is None
    assert store.claim(study.id, "me", HOUR, stage="retrain") is None
    taken = store.claim(study.id, "me", HOUR, stage="seeds")
    assert taken is not None
    assert taken.id == again.id


def test_a_lease_that_ran_out_is_taken_over_before_younger_trials(
    store: Store, study: Study, wait_for: Any
) -> None:
    old, young = wait_for(2)
    assert store.claim(study.id, "first", SHORT) is not None
    time.sleep(2 * SHORT)
    taken = store.claim(study.id, "second", HOUR)
    assert taken is not None
    assert (taken.id, taken.owner, taken.attempt) == (old.id, "second", 2)
    assert kinds(store, old.id) == ["proposed", "started", "taken_over", "started"]
    events = store.events("demo")
    [details] = events[events["kind"] == "taken_over"]["details"]
    assert details == {"attempt": 1, "from": "first"}
    following = store.claim(study.id, "third", HOUR)
    assert following is not None
    assert following.id == young.id


def test_a_renewed_lease_is_not_taken_over(store: Store, study: Study, wait_for: Any) -> None:
    trial, other = wait_for(2)
    store.claim(study.id, "first", HOUR)
    store.claim(study.id, "second", HOUR)
    assert store.renew("first", [trial.id], SHORT) == {trial.id}
    assert store.renew("first", [trial.id, other.id, 777], HOUR) == {trial.id}
    time.sleep(2 * SHORT)
    assert store.claim(study.id, "third", HOUR) is None
    assert store.reap(study.id) == []
    assert store.trial(trial.id).owner == "first"
    assert store.renew("first", [], HOUR) == set()


def test_a_lease_that_ran_out_and_that_nobody_took_can_still_be_renewed(
    store: Store, study: Study, wait_for: Any
) -> None:
    [trial] = wait_for(1)
    store.claim(study.id, "first", SHORT)
    time.sleep(2 * SHORT)
    assert store.renew("first", [trial.id], HOUR) == {trial.id}
    assert store.claim(study.id, "second", HOUR) is None


def test_the_third_lease_that_runs_out_fails_the_trial_with_its_reason(
    store: Store, study: Study, wait_for: Any
) -> None:
    [trial] = wait_for(1)
    for owner in ("first", "second", "third"):
        taken = store.claim(study.id, owner, SHORT)
        assert taken is not None, owner
        time.sleep(2 * SHORT)
    assert store.claim(study.id, "fourth", HOUR) is None
    failed = store.trial(trial.id)
    assert (failed.state, failed.failure, failed.attempt) == ("failed", "given_up", 3)
    assert failed.reason is not None
    assert failed.reason.startswith(
        "given up after 3 attempts: the last owner, third, let its lease run out at "
    )
    assert failed.finished_at is not None
    assert kinds(store, trial.id) == [
        *("proposed", "started", "taken_over", "started", "taken_over", "started", "failed")
    ]


def test_reaping_needs_no_claim_and_says_what_it_found(store: Store, study: Study, wait_for: Any) -> None:
    first, second, third = wait_for(3)
    for owner in ("a", "b", "c"):
        store.claim(study.id, owner, HOUR)
    for owner, trial in (("a", first), ("b", second)):
        run_out(store, owner, trial.id)
    found = store.reap(study.id, limit_attempts=1)
    assert [(trial.id, trial.failure) for trial in found] == [
        (first.id, "given_up"),
        (second.id, "given_up"),
    ]
    assert "after 1 attempt: " in str(found[0].reason)
    assert store.trial(third.id).state == "running"
    run_out(store, "c", third.id)
    [waiting] = store.reap(study.id)
    assert (waiting.id, waiting.state, waiting.owner, waiting.attempt) == (third.id, "waiting", None, 1)


def test_released_trials_wait_again_and_their_attempt_does_not_count(
    store: Store, study: Study, wait_for: Any
) -> None:
    trial, other = wait_for(2)
    for _ in range(5):
        taken = store.claim(study.id, "me", HOUR)
        assert taken is not None
        assert (taken.id, taken.attempt) == (trial.id, 1)
        assert store.release("you", [trial.id]) == set()
        assert store.release("me", [trial.id, other.id]) == {trial.id}
        assert store.trial(trial.id).attempt == 0
    assert kinds(store, trial.id) == ["proposed", *["started", "released"] * 5]
    assert kinds(store, other.id) == ["proposed"]


def test_one_wanted_trial_is_claimed_when_it_is_free(store: Store, study: Study, wait_for: Any) -> None:
    _, wanted = wait_for(2)
    mine = store.claim_this(wanted.id, "me", SHORT)
    assert mine is not None
    assert (mine.id, mine.attempt) == (wanted.id, 1)
    again = store.claim_this(wanted.id, "me", SHORT)
    assert again is not None
    assert again.attempt == 1
    time.sleep(2 * SHORT)
    yours = store.claim_this(wanted.id, "you", HOUR)
    assert yours is not None
    assert (yours.owner, yours.attempt) == ("you", 2)
    assert store.claim_this(wanted.id, "me", HOUR) is None
    store.fail(wanted.id, "broken", owner="you")
    assert store.claim_this(wanted.id, "me", HOUR) is None
    with pytest.raises(StoreError, match="there is no trial with id 777"):
        store.claim_this(777, "me", HOUR)


def test_a_late_writer_is_refused_and_changes_nothing(
    store: Store, study: Study, wait_for: Any, make_protocol: Any
) -> None:
    [trial] = wait_for(1)
    store.claim(study.id, "late", SHORT)
    time.sleep(2 * SHORT)
    store.reap(study.id)
    with pytest.raises(LeaseLostError, match="waits to be taken up again; nothing more is taken from late"):
        record(store, trial.id, owner="late")
    store.claim(study.id, "prompt", HOUR)
    before, events = store.trial(trial.id), kinds(store)
    with pytest.raises(LeaseLostError, match=r"is leased to prompt by now \(attempt 2\)"):
        record(store, trial.id, owner="late")
    with pytest.raises(LeaseLostError, match="nothing more is taken from late"):
        store.fail(trial.id, "too late", owner="late")
    assert store.renew("late", [trial.id], HOUR) == set()
    assert store.release("late", [trial.id]) == set()
    assert (store.trial(trial.id), kinds(store)) == (before, events)
    assert store.known(trial.genotype_id, make_protocol().id, 0) is None
    done = record(store, trial.id, owner="prompt", worker="prompt's worker")
    with pytest.raises(LeaseLostError, match="is finished, not running"):
        record(store, trial.id, owner="late", psnr_db=1.0)
    kept = store.trial(trial.id)
    assert (kept.evaluation, kept.owner, kept.worker) == (done, "prompt", "prompt's worker")


def test_a_result_said_twice_by_its_owner_is_kept_once(store: Store, study: Study, wait_for: Any) -> None:
    [trial] = wait_for(1)
    store.claim(study.id, "me", HOUR)
    values: dict[str, Any] = {"owner": "me", "curve": [(1, float("nan"), None)]}
    first, kept = record(store, trial.id, **values), store.trial(trial.id)
    assert record(store, trial.id, **values) == first
    assert store.trial(trial.id) == kept
    assert kinds(store, trial.id) == ["proposed", "started", "finished"]
    with pytest.raises(LeaseLostError):
        record(store, trial.id, **values, psnr_db=1.0)
    with pytest.raises(LeaseLostError):
        record(store, trial.id, **{**values, "owner": "you"})


def test_a_result_under_another_protocol_than_proposed_is_refused(
    store: Store, study: Study, wait_for: Any, make_protocol: Any
) -> None:
    store.ensure_protocol(make_protocol("full"))
    [trial] = wait_for(1, protocol_id=make_protocol("full").id, rung=2)
    assert (trial.protocol_id, trial.rung) == ("full-81c2e0", 2)
    store.claim(study.id, "me", HOUR)
    with pytest.raises(StoreError, match="under protocol 'full-81c2e0', not 'proxy-81c2e0'"):
        record(store, trial.id, owner="me")
    record(store, trial.id, owner="me", protocol_id="full-81c2e0")
    row = store.frame("demo").iloc[0]
    assert (row["rung"], row["attempt"], row["plan"], row["worker"]) == (2, 1, "full", "me")


def test_a_study_has_one_owner_at_a_time(store: Store, study: Study) -> None:
    mine = store.own_study(study.id, "me", HOUR)
    assert mine.owner == "me"
    assert mine.lease_until is not None
    renewed = store.own_study(study.id, "me", 2 * HOUR)
    assert renewed.lease_until is not None
    assert renewed.lease_until > mine.lease_until
    with pytest.raises(StudyTakenError) as refused:
        store.own_study(study.id, "you", HOUR)
    began = store.events("demo")["at"].iloc[0]
    assert f"run 'demo' is being searched by me since {began:%Y-%m-%d %H:%M:%S} UTC" in str(refused.value)
    assert "\n" not in str(refused.value)
    store.release_study(study.id, "you")
    assert store.study("demo").owner == "me"
    store.release_study(study.id, "me", "200 candidates")
    assert (store.study("demo").owner, store.study("demo").lease_until) == (None, None)
    store.own_study(study.id, "you", SHORT)
    time.sleep(2 * SHORT)
    store.own_study(study.id, "me", HOUR)
    with pytest.raises(StudyTakenError, match="searched by me since"):
        store.own_study(study.id, "you", HOUR)
    events = store.events("demo")
    assert list(zip(events["kind"], events["worker"], events["details"], strict=True)) == [
        ("search_started", "me", {}),
        ("search_ended", "me", {"reason": "200 candidates"}),
        ("search_started", "you", {}),
        ("search_started", "me", {"instead_of": "you"}),
    ]
    with pytest.raises(StoreError, match="no study with id 77"):
        store.own_study(77, "me", HOUR)


def test_what_a_process_that_is_gone_held_is_free_at_once(store: Store, study: Study, wait_for: Any) -> None:
    [trial] = wait_for(1)
    code = "import leaderboard.store.owners as o; print(o.this_process())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    owner = done.stdout.strip()
    store.own_study(study.id, owner, HOUR)
    store.claim(study.id, owner, HOUR)
    assert store.own_study(study.id, this_process(), HOUR).owner == this_process()
    taken = store.claim(study.id, this_process(), HOUR, limit_attempts=2)
    assert taken is not None
    assert (taken.id, taken.attempt) == (trial.id, 2)
    assert store.reap(study.id) == []  # we are not gone


def test_a_process_is_gone_when_it_ended_and_unknown_elsewhere() -> None:
    code = "import leaderboard.store.owners as o; print(o.this_process(), flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    owner = child.stdout.readline().strip()
    host, pid, rest = owner.split(":")
    assert int(pid) == child.pid
    assert not is_gone(owner)
    child.kill()
    deadline = time.monotonic() + 30
    while not is_gone(owner):  # before anybody asked for its exit status, too
        assert time.monotonic() < deadline
    child.communicate()
    assert is_gone(owner)
    machine, start = rest.split("-")
    elsewhere = [f"other{host}:{pid}:{rest}", f"{host}:{pid}:{machine}f-{start}", f"{host}:{pid}", "me", ""]
    assert not any(is_gone(name) for name in elsewhere)
    assert not is_gone(this_process())
    mine = this_process()
    assert is_gone(f"{mine}0"), "a number that now belongs to a younger process"


def test_events_tell_the_whole_story_in_order(store: Store, study: Study, wait_for: Any) -> None:
    assert store.events("demo").empty
    store.own_study(study.id, "me", HOUR)
    [trial, lost] = wait_for(2, rung=1)
    propose(store, study.id, 7, state="rejected", excess={"params": 0.25})
    store.claim(study.id, "me", HOUR)
    store.claim(study.id, "me", HOUR)
    done = record(store, trial.id, owner="me", worker="gpu 1")
    propose(store, study.id, state="repeated", evaluation_id=done.id)
    store.fail(lost.id, "no memory", owner="me", failure="out_of_memory", worker="gpu 2", device="H200")
    store.add_event(study.id, "rung", trial_id=trial.id, details={"promoted": True, "to": 2})
    with pytest.raises(StoreError, match="unknown event 'rungs'; did you mean 'rung'"):
        store.add_event(study.id, "rungs")
    store.release_study(study.id, "me")
    events = store.events("demo")
    assert list(events["kind"]) == [
        *("search_started", "proposed", "proposed", "rejected", "started", "started"),
        *("finished", "repeated", "failed", "rung", "search_ended"),
    ]
    assert events["at"].is_monotonic_increasing
    assert events["seconds"].iloc[0] == 0
    assert events["id"].is_unique
    assert Store.events.__doc__ is not None
    assert all(column in Store.events.__doc__ for column in events.columns)
    by_kind = events.drop_duplicates("kind").set_index("kind")
    assert by_kind.loc["rejected", "details"] == {"excess": {"params": 0.25}}
    finished = by_kind.loc["finished"]
    assert (finished["worker"], finished["device"], finished["rung"]) == ("gpu 1", "NVIDIA H200", 1)
    assert finished["psnr_db"] == done.psnr_db
    assert finished["multi_adds"] == trial.cost["multi_adds"]
    assert by_kind.loc["repeated", "psnr_db"] == done.psnr_db
    assert events[events["kind"] == "started"]["psnr_db"].isna().all()
    failed = by_kind.loc["failed"]
    assert (failed["worker"], failed["device"]) == ("gpu 2", "H200")
    assert failed["details"] == {"attempt": 1, "failure": "out_of_memory", "reason": "no memory"}
    later = store.events("demo", after=int(events["id"].iloc[-3]))
    assert list(later["kind"]) == ["rung", "search_ended"]
    assert list(later["seconds"]) == list(events["seconds"].iloc[-2:])
    assert list(later.dtypes) == list(events.dtypes)

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from leaderboard.errors import LeaseLostError, StoreError, UnknownStudyError
from leaderboard.store import Store
from leaderboard.store.owners import this_process
from leaderboard.store.schema import REQUESTS, RequestRow


@pytest.fixture
def genotypes(store: Store, fill_store: Any) -> list[str]:
    """Of two studies, `demo` and `other`, the networks of the first one."""
    fill_store(store, "demo", trials=6)
    fill_store(store, "other", trials=7)
    return sorted(set(store.frame("demo")["genotype"]))


def states(store: Store, study: str | None = None) -> list[str]:
    return store.requests(study)["state"].tolist()


def test_what_is_asked_for_waits_once_until_it_is_over(store: Store, genotypes: list[str]) -> None:
    first = store.request_retraining("demo", genotypes[:2])
    assert store.request_retraining("demo", [genotypes[1], genotypes[0]]) == first[::-1]
    other_plan = store.request_retraining("demo", genotypes[:1], plan="full")
    other_study = store.request_retraining("other", genotypes[:1])
    frame = store.requests("demo")
    assert frame["id"].tolist() == [*first, *other_plan]
    assert frame["genotype"].tolist() == [*genotypes[:2], genotypes[0]]
    assert frame["plan"].tolist() == [None, None, "full"]
    assert frame["study"].tolist() == ["demo"] * 3
    assert store.requests()["id"].tolist() == sorted([*first, *other_plan, *other_study])
    taken = store.take_request("demo", "me")
    assert taken is not None
    assert (taken.id, taken.genotype_id, taken.plan) == (first[0], genotypes[0], None)
    assert store.request_retraining("demo", genotypes[:1]) == first[:1]  # in work is not over
    store.end_request(taken.id, "me")
    assert store.request_retraining("demo", genotypes[:1]) not in ([], first[:1])


def test_a_request_for_an_unknown_network_or_study_keeps_nothing(store: Store, genotypes: list[str]) -> None:
    wrong = genotypes[0][:-1] + "x"
    with pytest.raises(
        StoreError, match=f"^run 'demo' has no network '{wrong}'; did you mean {genotypes[0]}.*it has 6"
    ):
        store.request_retraining("demo", [genotypes[0], wrong])
    with pytest.raises(UnknownStudyError, match="did you mean 'demo'"):
        store.request_retraining("dem", genotypes[:1])
    assert store.requests().empty


def test_requests_are_taken_in_their_order_and_end_done_failed_or_given_back(
    store: Store, genotypes: list[str]
) -> None:
    store.request_retraining("demo", genotypes[:3])
    one, two, three = (store.take_request("demo", "me") for _ in range(3))
    assert store.take_request("demo", "me") is None
    assert one is not None and two is not None and three is not None
    assert [one.genotype_id, two.genotype_id, three.genotype_id] == genotypes[:3]
    with pytest.raises(LeaseLostError, match="is taken by me; it is not somebody's"):
        store.end_request(one.id, "somebody")
    store.end_request(one.id, "me")
    store.end_request(two.id, "me", "out of memory\0")
    store.give_back_request(three.id, "me")
    frame = store.requests("demo")
    assert frame["state"].tolist() == ["done", "failed", "waiting"]
    assert frame["reason"].tolist() == [None, "out of memory", None]
    assert frame["finished_at"].notna().tolist() == [True, True, False]
    assert frame["taken_at"].notna().tolist() == [True, True, False]
    with pytest.raises(LeaseLostError, match="is done; it is not me's"):
        store.end_request(one.id, "me")
    again = store.take_request("demo", "you")
    assert again is not None and again.id == three.id


def test_an_open_request_can_be_withdrawn_and_stays_so(store: Store, genotypes: list[str]) -> None:
    first, second = store.request_retraining("demo", genotypes[:2])
    taken = store.take_request("demo", "me")
    assert taken is not None
    store.withdraw_request(second)
    store.withdraw_request(second)
    store.withdraw_request(first)
    store.end_request(first, "me")  # the training it began has ended
    store.give_back_request(first, "me")
    assert states(store) == ["withdrawn", "withdrawn"]
    assert store.take_request("demo", "me") is None
    third = store.request_retraining("demo", genotypes[:1])[0]
    taken = store.take_request("demo", "me")
    assert taken is not None and taken.id == third
    store.end_request(third, "me")
    with pytest.raises(StoreError, match=f"request {third} is done; only an open one can be withdrawn"):
        store.withdraw_request(third)
    with pytest.raises(StoreError, match="there is no request with id 99"):
        store.withdraw_request(99)


def test_what_a_dead_process_took_is_taken_again_and_a_live_ones_is_not(
    store: Store, genotypes: list[str]
) -> None:
    [wish] = store.request_retraining("demo", genotypes[:1])
    code = "from leaderboard.store.owners import this_process; print(this_process())"
    gone = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for owner, free in ((this_process(), False), ("elsewhere:1:ab-1", False), (gone.stdout.strip(), True)):
        taken = store.take_request("demo", owner)
        assert taken is not None and taken.id == wish
        found = store.take_request("demo", "next")
        assert (found is not None) is free
        store.give_back_request(wish, "next" if free else owner)


def test_the_tables_refuse_requests_that_make_no_sense(store: Store, genotypes: list[str]) -> None:
    now = datetime.now(UTC)
    row: dict[str, Any] = {
        **{"study_id": 1, "genotype_id": genotypes[0], "plan": "", "state": "waiting", "created_at": now},
        **dict.fromkeys(("owner", "reason", "taken_at", "finished_at")),
    }
    wrong: list[dict[str, Any]] = [
        {"state": "wating"},
        {"finished_at": now},
        {"state": "done", "finished_at": now},
        {"state": "taken", "taken_at": now},
        {"owner": "me"},
        {"state": "failed", "taken_at": now, "finished_at": now},
        {"reason": "none"},
    ]
    right: dict[str, dict[str, Any]] = {
        "waiting": {},
        "taken": {"owner": "me", "taken_at": now},
        "done": {"taken_at": now, "finished_at": now},
        "withdrawn": {"finished_at": now},
        "failed": {"taken_at": now, "finished_at": now, "reason": "none"},
    }
    assert tuple(right) == REQUESTS
    with store._writing.connect() as connection:
        for change in wrong:
            with pytest.raises(IntegrityError):
                connection.execute(insert(RequestRow), {**row, **change})
            connection.rollback()
        for state, change in right.items():
            connection.execute(insert(RequestRow), {**row, "state": state, **change})
            if state in ("waiting", "taken"):
                with pytest.raises(IntegrityError):
                    connection.execute(insert(RequestRow), {**row, "state": state, **change})
            connection.rollback()

"""A fixed set of trainings: in order, after those that they continue from, each once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_networks import SMALL, TINY

from nas.cost.counting import cost_of
from nas.errors import RunError
from nas.search.fixed_set import FixedSet
from nas.search.requests import Observation, Pause, Train
from search_spaces import Genotype


def request(genotype: Genotype, rung: int = 0, continues: int | None = None) -> Train:
    return Train(genotype=genotype, cost=cost_of(genotype, 2), seed=0, rung=rung, continues=continues)


SHORT, LONG = request(SMALL), request(SMALL, rung=1, continues=0)
OTHER, OTHER_LONG = request(TINY), request(TINY, rung=1, continues=0)


def finished(of: Train) -> Observation:
    return Observation(request=of, state="finished")


def failed(of: Train) -> Observation:
    return Observation(request=of, state="failed", reason="it broke")


def test_a_training_waits_for_the_one_it_continues_and_others_are_started_before_it() -> None:
    scheduler = FixedSet([SHORT, LONG, OTHER])
    assert [scheduler.next(0), scheduler.next(0), scheduler.next(0)] == [SHORT, OTHER, Pause.WAIT]
    scheduler.on_result(finished(SHORT))
    assert scheduler.next(0) == LONG
    scheduler.on_result(finished(OTHER))
    scheduler.on_result(finished(LONG))
    assert scheduler.next(0) is Pause.OVER


def test_three_rungs_are_started_one_after_another() -> None:
    longest = request(SMALL, rung=2, continues=1)
    scheduler = FixedSet([SHORT, LONG, longest])
    for each in (SHORT, LONG, longest):
        assert scheduler.next(0) == each
        assert scheduler.next(0) is Pause.WAIT
        scheduler.on_result(finished(each))
    assert scheduler.next(0) is Pause.OVER


def test_what_continues_a_failed_training_fails_with_its_reason_and_is_not_started() -> None:
    scheduler = FixedSet([SHORT, LONG, OTHER])
    assert scheduler.next(0) == SHORT
    scheduler.on_failure(failed(SHORT))
    assert scheduler.next(0) == OTHER
    assert scheduler.failed == {(SMALL.id, 0, 0): "it broke", (SMALL.id, 1, 0): "it broke"}


def test_a_restored_set_leaves_out_what_has_ended_and_starts_what_continues_it() -> None:
    scheduler = FixedSet([SHORT, OTHER, LONG, OTHER_LONG])
    scheduler.restore([finished(SHORT), failed(OTHER)], [])
    assert scheduler.next(0) == LONG
    assert scheduler.next(0) is Pause.WAIT
    assert set(scheduler.failed) == {(TINY.id, 0, 0), (TINY.id, 1, 0)}


def test_a_training_elsewhere_is_not_awaited_and_what_continues_it_is_started() -> None:
    scheduler = FixedSet([SHORT, LONG])
    assert scheduler.next(0) == SHORT
    scheduler.on_elsewhere(SHORT)
    assert scheduler.next(0) == LONG
    scheduler.on_elsewhere(LONG)
    assert scheduler.next(0) is Pause.OVER


def test_a_request_is_identified_without_its_token() -> None:
    assert replace(SHORT, token=object()) == SHORT


def diverged(of: Train) -> Observation:
    return Observation(request=of, state="failed", reason="the loss grew", failure="diverged")


def test_a_set_whose_trainings_nearly_all_diverge_is_given_up() -> None:
    requests = [replace(OTHER, seed=seed) for seed in range(30)]
    scheduler = FixedSet(requests)
    for each in requests[:9]:
        assert scheduler.next(0) == each
        scheduler.on_failure(diverged(each))
    assert scheduler.next(0) == requests[9]
    scheduler.on_result(finished(requests[9]))
    assert scheduler.next(0) == requests[10]
    scheduler.on_failure(diverged(requests[10]))
    with pytest.raises(RunError, match="10 of 11 candidates diverged; lower lr, or set clip_norm") as caught:
        scheduler.next(0)
    assert "the last one: the loss grew" in str(caught.value)
    resumed = FixedSet(requests)
    resumed.restore([diverged(each) for each in requests[:20]], [])
    assert resumed.next(0) == requests[20]
    resumed.on_failure(diverged(requests[20]))
    with pytest.raises(RunError, match="every candidate, 21 so far, diverged"):
        resumed.next(0)
    few = FixedSet(requests[:10])
    for each in requests[:10]:
        assert few.next(0) == each
        few.on_failure(diverged(each))
    assert few.next(0) is Pause.OVER  # nothing is left that could be spared

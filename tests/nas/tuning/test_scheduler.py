"""The scheduler of a tuning, with results from a formula: what it requests, promotes and takes in again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from leaderboard.store.records import Evaluation
from nas.cost.budget import Cost
from nas.recipes.tuning_fields import SETTING_SAMPLERS, domains_of
from nas.search.requests import Observation, Pause, Train
from nas.training.plan import named_plan
from nas.tuning.networks import TunedNetwork
from nas.tuning.proposer import MAKERS, SettingProposer
from nas.tuning.scheduler import TuningAims, TuningScheduler
from search_spaces.lightweight import Lightweight

BICUBIC = 25.0
PLAN = named_plan("longer")
FIELDS = {"lr": {"low": 1e-4, "high": 1e-1, "log": True}, "clip_norm": [0.0, 0.5, 1.0]}
COST = Cost(params=1, multi_adds=1, conv_multi_adds=1, activations=1)
NETWORKS = [
    TunedNetwork(name=f"net-{width}", genotype=Lightweight(width=width, blocks=1), cost=COST)
    for width in (16, 24)
]


def gain(request: Train) -> float | None:
    """A formula with its best rate at 1e-2 and clip_norm 0.5; None where it diverges."""
    lr, clip = request.changes.get("lr", PLAN.lr), request.changes.get("clip_norm", PLAN.clip_norm)
    if lr > 5e-2 and clip == 0:
        return None
    return 1.0 - abs(lr - 1e-2) * 10 - 0.1 * (clip != 0.5) + request.rung + 0.01 * request.seed


def observation(request: Train, result: float | None) -> Observation:
    if result is None:
        return Observation(request=request, state="failed", reason="the loss became nan by step 3")
    evaluation = Evaluation(
        id=1,
        genotype_id=request.genotype.id,
        protocol_id="p",
        seed=request.seed,
        psnr_db=BICUBIC + result,
        ssim=0.9,
        train_seconds=1.0,
        device="cpu",
        torch_version="",
        code_version="",
        checkpoint=None,
        curve=[],
        per_image={},
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return Observation(request=request, state="finished", evaluation=evaluation)


def scheduler(
    has_diverged: Callable[[Observation], bool] = lambda observation: True, **changes: Any
) -> TuningScheduler:
    values: dict[str, Any] = {
        "networks": NETWORKS,
        "rungs": 2,
        "seeds": range(1),
        "trials": 12,
        "queue": [{}, {"clip_norm": 0.5}],
        "plan": {name: getattr(PLAN, name) for name in FIELDS},
        "bicubic_psnr_db": BICUBIC,
    }
    sampler = changes.pop("sampler", "random")
    aims = TuningAims(**{**values, **changes})

    def proposer(recorded: int) -> SettingProposer:
        fields = {name: domain for name, domain in FIELDS.items() if name in aims.plan}
        return SettingProposer(domains_of(fields, PLAN), sampler, seed=recorded, trials=aims.trials)

    made = TuningScheduler(aims, proposer, has_diverged=has_diverged)
    made.restore([], [])
    return made


def drive(
    made: TuningScheduler,
    result: Callable[[Train], float | None] = gain,
    most: int = 10**6,
    workers: int = 1,
) -> list[Observation]:
    """Train what is requested, so many at once, until it is over or ``most`` have ended."""
    running: list[Train] = []
    done: list[Observation] = []
    while len(done) < most:
        action = made.next(0.0) if len(running) < workers else Pause.WAIT
        if action is Pause.SKIPPED:
            continue
        if isinstance(action, Train):
            running.append(action)
            continue
        if action is Pause.OVER:
            assert not running
            break
        each = observation(running[0], result(running.pop(0)))
        (made.on_failure if each.state == "failed" else made.on_result)(each)
        done.append(each)
    return done


def settings(done: list[Observation], rung: int) -> list[Mapping[str, Any]]:
    """The settings of a rung, in the order in which they were trained."""
    found: list[Mapping[str, Any]] = []
    for each in done:
        if each.request.rung == rung and each.request.changes not in found:
            found.append(each.request.changes)
    return found


@pytest.mark.parametrize("workers", [1, 3])
def test_every_setting_trains_every_network_and_the_best_third_trains_longer(workers: int) -> None:
    done = drive(scheduler(), workers=workers)
    first, second = settings(done, 0), settings(done, 1)
    assert first[:2] == [{}, {"clip_norm": 0.5}]
    assert len(first) == 12
    trained = Counter(each.request.key for each in done)
    assert set(trained.values()) == {1}
    for rung, count in ((0, 12), (1, 4)):
        assert sum(key[2] == rung for key in trained) == count * len(NETWORKS)

    def mean(changes: Mapping[str, Any]) -> float:
        [one, _] = [each for each in done if each.request.changes == changes and each.request.rung == 0]
        return gain(one.request) or 0.0

    best = sorted((each for each in first if each), key=mean, reverse=True)
    assert second[0] == {}
    assert sorted(map(str, second[1:])) == sorted(map(str, best[:3]))


def test_no_setting_is_promoted_before_its_rung_has_ended() -> None:
    done = drive(scheduler(), workers=4)
    rungs = [each.request.rung for each in done]
    assert rungs == sorted(rungs)


def test_seeds_belong_to_the_longest_rung() -> None:
    done = drive(scheduler(seeds=range(7, 10), trials=4))
    seeds = {rung: {each.request.seed for each in done if each.request.rung == rung} for rung in (0, 1)}
    assert seeds == {0: {7}, 1: {7, 8, 9}}
    stages = {(each.request.seed, each.request.stage) for each in done}
    assert stages == {(7, "search"), (8, "seeds"), (9, "seeds")}


def test_a_longer_training_continues_where_the_plan_allows_it() -> None:
    done = drive(scheduler(can_continue=lambda changes: "lr" in changes, seeds=range(2)))
    for request in (each.request for each in done):
        goes_on = "lr" in request.changes and request.seed == 0
        assert request.continues == (0 if request.rung and goes_on else None)
        assert request.keep_state == (goes_on and request.rung == 0)


def test_a_divergence_is_a_result_that_is_never_better_than_another() -> None:
    made = scheduler(queue=[{}, {"lr": 0.09}, {"lr": 0.01}], trials=3)
    done = drive(made, lambda request: None if request.changes.get("lr") == 0.09 else -2.0)
    lost = [each for each in done if each.state == "failed"]
    assert len(lost) == len(NETWORKS)
    assert settings(done, 1) == [{}, {"lr": 0.01}]
    [setting] = [each for each in made._settings.values() if each.changes == {"lr": 0.09}]
    assert made.gain_db(setting, 0) == -2.0


def test_one_network_that_diverges_leaves_the_setting_its_mean() -> None:
    def result(request: Train) -> float | None:
        bad = request.changes.get("lr") == 0.01 and request.genotype == NETWORKS[0].genotype
        return None if bad else 0.5 + len(request.changes)

    made = scheduler(queue=[{}, {"lr": 0.01}], trials=2)
    done = drive(made, result)
    [setting] = [each for each in made._settings.values() if each.changes]
    assert made.gain_db(setting, 0) == pytest.approx((0.0 + 1.5) / 2)
    assert settings(done, 1) == [{}, {"lr": 0.01}]


def test_another_failure_ends_its_setting_alone() -> None:
    made = scheduler(lambda observation: False, queue=[{}, {"lr": 0.01}], trials=5)
    done = drive(made, lambda request: None if request.changes == {"lr": 0.01} else 0.1)
    failed = [each for each in done if each.request.changes == {"lr": 0.01}]
    assert len(failed) == 1
    assert {"lr": 0.01} not in settings(done, 1)
    assert len(settings(done, 0)) == 5


@pytest.mark.parametrize("sampler", SETTING_SAMPLERS)
@pytest.mark.parametrize("stop", [1, 5, 17, 26])
def test_a_resumed_tuning_trains_nothing_twice_and_all_that_is_left(sampler: str, stop: int) -> None:
    first = scheduler(sampler=sampler)
    past = drive(first, most=stop, workers=2)
    pending = list(first._pending.values())
    again = TuningScheduler(first.aims, first._make_proposer, has_diverged=lambda each: True)
    # What the database gives back is equal to what was asked for, and not the same.
    again.restore(
        [replace(each, request=replace(each.request, changes=dict(each.request.changes))) for each in past],
        pending,
    )
    for request in pending:
        each = observation(request, gain(request))
        (again.on_failure if each.state == "failed" else again.on_result)(each)
        past.append(each)
    rest = drive(again)
    trained = Counter(each.request.key for each in [*past, *rest])
    assert set(trained.values()) == {1}
    assert len(settings([*past, *rest], 0)) == 12
    assert len(trained) == (12 + 4) * len(NETWORKS)


def test_more_trials_of_a_finished_tuning_are_more_settings() -> None:
    past = drive(scheduler(trials=6))
    more = scheduler(trials=9)
    again = TuningScheduler(more.aims, more._make_proposer, has_diverged=lambda each: True)
    again.restore(past, [])
    rest = drive(again)
    assert len(settings(rest, 0)) == 3
    assert not {each.request.key for each in rest} & {each.request.key for each in past}


def test_a_tried_setting_is_added_to_a_finished_tuning() -> None:
    past = drive(scheduler(trials=6))
    more = scheduler(trials=6, queue=[{}, {"weight_decay": 0.1}])
    again = TuningScheduler(more.aims, more._make_proposer, has_diverged=lambda each: True)
    again.restore(past, [])
    assert settings(drive(again), 0) == [{"weight_decay": 0.1}]


def test_a_tuning_ends_when_no_setting_is_new() -> None:
    notes: list[str] = []
    made = scheduler(plan={"clip_norm": 0.0}, queue=[{}], trials=12)
    made._note = notes.append
    done = drive(made)
    assert sorted(map(str, settings(done, 0))) == ["{'clip_norm': 0.5}", "{'clip_norm': 1.0}", "{}"]
    assert "there is no new setting" in notes[0]


def test_an_impossible_combination_is_never_trained() -> None:
    done = drive(scheduler(is_possible=lambda changes: changes.get("clip_norm") != 1.0))
    assert not any(changes.get("clip_norm") == 1.0 for changes in settings(done, 0))
    assert len(settings(done, 0)) == 12


def test_nothing_starts_after_the_time_limit() -> None:
    made = scheduler(seconds=60.0)
    assert isinstance(made.next(59.0), Train)
    assert made.next(61.0) is Pause.WAIT


def test_tpe_finds_better_settings_than_chance() -> None:
    def best(sampler: str) -> float:
        done = drive(scheduler(sampler=sampler, trials=40, rungs=1, queue=[{}]))
        gains = sorted((gain(each.request) or 0.0 for each in done), reverse=True)
        return sum(gains[: len(gains) // 2])

    assert best("tpe") > best("random")


def test_the_samplers_of_a_recipe_are_those_of_the_proposer() -> None:
    assert tuple(MAKERS) == SETTING_SAMPLERS

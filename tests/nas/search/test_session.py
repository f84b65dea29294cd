from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from troubled import MARKS

from leaderboard.errors import StudyMismatchError, StudyTakenError, UnknownStudyError
from leaderboard.store import Store
from nas.cost.budget import Budget, Cost
from nas.cost.counting import cost_of, measure
from nas.cost.measured_limits import Measured
from nas.cost.memory import peak_memory
from nas.errors import BudgetError, DiskError, Interrupted, RecipeError, RunError
from nas.executors import EXECUTORS
from nas.recipes.jobs import make_job
from nas.recipes.recipe import Recipe
from nas.retraining.retraining import RetrainingSession
from nas.retraining.selection import choose
from nas.samplers import SAMPLERS
from nas.search.baselines import made_to_fit
from nas.search.loop import ATTEMPTS
from nas.search.progress import Event, SearchProgress
from nas.search.session import SearchSession
from nas.training import train
from search_spaces import load_space
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED

Make = Callable[..., Recipe]

QUICK = {"block": ["residual", "rlfb"], "transformers": [0]}
"""Networks whose cost is soon counted."""


class Watcher:
    """Remembers events, and asks to stop where it is told to."""

    def __init__(self, stop: Callable[[Event], bool] = lambda event: False) -> None:
        self.events: list[Event] = []
        self.stop = stop

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if self.stop(event):
            raise Interrupted("enough")


def run(recipe: Recipe, runs: Path, watcher: Watcher | None = None) -> SearchProgress:
    with Store.at(runs / "results.db") as store:
        search = SearchSession(recipe, store, runs, "cpu", watcher or Watcher())
        search.prepare()
        return search.run()


def rows(runs: Path, name: str = "small") -> list[Any]:
    with Store.at(runs / "results.db", read_only=True) as store:
        return store.trials(store.study(name).id, "search")


def assert_sound(runs: Path, recipe: Recipe) -> None:
    """What must hold of every database: nothing over budget was trained, and nothing twice."""
    trials = rows(runs, recipe.name)
    budget = recipe.limits()
    for trial in trials:
        cost = Cost(**trial.cost)
        assert bool(budget.excess(cost)) == (trial.state == "rejected")
        assert budget.excess(cost) == trial.excess
        genotype = load_space(trial.space).from_dict(trial.choices)
        assert genotype.id == trial.genotype_id
        assert measure(lambda g=genotype: g.build(recipe.scale), recipe.scale) == cost
    trained = Counter((trial.genotype_id, trial.rung) for trial in trials if trial.state == "finished")
    assert set(trained.values()) == {1}
    assert [trial.number for trial in trials] == list(range(len(trials)))


@pytest.mark.parametrize(
    "sampler",
    [
        name if name in ("surrogate", "tpe") else pytest.param(name, marks=pytest.mark.thorough)
        for name in SAMPLERS
    ],
)
def test_a_search_trains_what_it_should_and_nothing_over_budget(
    small_recipe: Make, tmp_path: Path, sampler: str
) -> None:
    recipe = small_recipe(sampler=sampler)
    watcher = Watcher()
    tally = run(recipe, tmp_path, watcher)
    assert len(tally.results) == 5
    assert_sound(tmp_path, recipe)
    kinds = Counter(event.kind for event in watcher.events)
    assert kinds["finished"] == kinds["started"] == 5
    assert kinds["rejected"] == tally.rejected
    assert kinds["progress"] >= 5 * 3
    for trial in rows(tmp_path):
        if trial.evaluation is not None:
            assert (tmp_path / trial.evaluation.checkpoint).is_file()


def test_a_tight_budget_rejects_before_training(small_recipe: Make, tmp_path: Path) -> None:
    recipe = small_recipe(budget={"params": "9k"}, trials=4, sampler="random")
    tally = run(recipe, tmp_path)
    assert tally.rejected > 0
    assert tally.rejected_by == {"params": tally.rejected}
    assert_sound(tmp_path, recipe)


@pytest.mark.thorough
def test_one_worker_and_one_seed_give_the_same_trials(small_recipe: Make, tmp_path: Path) -> None:
    def outcome(folder: str, seed: int) -> list[tuple[str, str, float | None]]:
        run(small_recipe(seed=seed), tmp_path / folder)
        return [
            (t.genotype_id, t.state, t.evaluation and t.evaluation.psnr_db) for t in rows(tmp_path / folder)
        ]

    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir(), (tmp_path / "c").mkdir()
    assert outcome("a", 0) == outcome("b", 0) != outcome("c", 1)


@pytest.mark.parametrize(
    "when",
    ["progress", *(pytest.param(when, marks=pytest.mark.thorough) for when in ("started", "finished"))],
)
def test_a_stopped_search_goes_on_and_keeps_every_result(
    small_recipe: Make, tmp_path: Path, when: str
) -> None:
    recipe = small_recipe()
    seen = Counter[str]()

    def third(event: Event) -> bool:
        seen[event.kind] += 1
        return event.kind == when and seen[when] == (3 if when != "progress" else 7)

    with pytest.raises(Interrupted):
        run(recipe, tmp_path, Watcher(third))
    before = {t.genotype_id: t.evaluation for t in rows(tmp_path) if t.evaluation is not None}
    assert 0 < len(before) < 5
    tally = run(recipe, tmp_path)
    assert len(tally.results) == 5
    after = {t.genotype_id: t.evaluation for t in rows(tmp_path) if t.evaluation is not None}
    assert {key: after[key] for key in before} == before
    assert not [t for t in rows(tmp_path) if t.state == "running"]
    assert_sound(tmp_path, recipe)


def test_the_same_recipe_again_trains_nothing_and_more_trials_add_to_it(
    small_recipe: Make, tmp_path: Path
) -> None:
    run(small_recipe(trials=3), tmp_path)
    watcher = Watcher()
    run(small_recipe(trials=3), tmp_path, watcher)
    assert not [event for event in watcher.events if event.kind == "started"]
    tally = run(small_recipe(trials=4), tmp_path)
    assert len(tally.results) == 4
    assert_sound(tmp_path, small_recipe())


def test_another_run_with_the_same_protocol_reuses_what_is_known(small_recipe: Make, tmp_path: Path) -> None:
    run(small_recipe(), tmp_path)
    watcher = Watcher()
    run(small_recipe(name="second"), tmp_path, watcher)
    assert {t.state for t in rows(tmp_path, "second")} <= {"repeated", "rejected"}
    assert not [event for event in watcher.events if event.kind == "started"]


def test_another_recipe_under_the_same_name_is_refused_with_what_differs(
    small_recipe: Make, tmp_path: Path
) -> None:
    run(small_recipe(trials=1), tmp_path)
    with pytest.raises(StudyMismatchError, match=r"budget\.params was 30000, now 20000"):
        run(small_recipe(budget={"params": "20k", "multi_adds": "8G"}), tmp_path)


def test_an_impossible_budget_leaves_no_run_behind(small_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match=r"params cannot be met \(smallest reachable: params"):
        run(small_recipe(budget={"params": 10}), tmp_path)
    with Store.at(tmp_path / "results.db", read_only=True) as store:
        assert store.studies() == []


@pytest.mark.thorough
def test_a_space_that_is_used_up_ends_the_search(
    small_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.search.pareto_search.PATIENCE", 100)
    only = {axis.name: [axis.options[0]] for axis in Lightweight.axes()}
    only |= {"block": ["residual"], "attention": ["none", "cca"]}
    watcher = Watcher()
    tally = run(small_recipe(space={"only": only}, trials=9), tmp_path, watcher)
    assert len(tally.results) == 2
    assert "nothing new fits" in next(event.text for event in watcher.events if event.kind == "note")


def troubled(small_recipe: Make, *kinds: str, **changes: Any) -> Recipe:
    """A recipe over small networks of which some go wrong."""
    only = {"trouble": list(kinds), **changes.pop("only", {})}
    space = {"name": "troubled", "only": only}
    return small_recipe(**{"space": space, "budget": {}, "sampler": "random", **changes})


def failures(runs: Path) -> set[tuple[str | None, str | None]]:
    return {(trial.failure, trial.reason) for trial in rows(runs) if trial.state == "failed"}


@pytest.mark.parametrize(
    ("trouble", "failure", "reason"),
    [
        ("nan", "diverged", "the loss became nan by step 3; a lower learning rate may help"),
        ("error", "error", "ValueError: this network never works"),
        pytest.param(
            *("memory", "out_of_memory", r".*can't allocate memory.*at half the batch as well\)"),
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_a_candidate_that_fails_is_a_row_with_its_reason_and_the_search_goes_on(
    small_recipe: Make, tmp_path: Path, trouble: str, failure: str, reason: str
) -> None:
    recipe = troubled(small_recipe, trouble, trials=8)
    tally = run(recipe, tmp_path)
    assert len(tally.results) == 8
    assert sum(trial.state == "failed" for trial in rows(tmp_path)) == tally.failed + tally.diverged > 0
    assert (tally.diverged > 0) == (failure == "diverged")
    [(kind, words)] = failures(tmp_path)
    assert kind == failure
    assert re.fullmatch(reason, str(words))


def test_when_everything_fails_the_search_stops_and_says_why(small_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"5 candidates failed one after another.*never works"):
        run(troubled(small_recipe, "error", only={"luck": [0]}), tmp_path)


def test_a_search_whose_candidates_all_diverge_stops_and_says_what_to_change(
    small_recipe: Make, tmp_path: Path
) -> None:
    recipe = troubled(small_recipe, "nan", trials=30, only={"luck": [0]})
    with pytest.raises(RunError) as caught:
        run(recipe, tmp_path)
    lr = recipe.rung_plans()[0].lr
    begin = (
        f"every candidate, 10 so far, diverged at lr = {lr:g}; lower it, or set clip_norm or warmup_steps ("
    )
    assert str(caught.value).startswith(begin)
    assert [trial.failure for trial in rows(tmp_path)] == ["diverged"] * 10
    with pytest.raises(RunError, match="every candidate, 11 so far"):
        run(recipe, tmp_path)  # what is recorded counts, too, once one more diverges


def test_divergences_are_results_and_no_failures_of_the_run(
    small_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.search.loop.FAILURES_IN_A_ROW", 1)
    recipe = troubled(small_recipe, "none", "nan", trials=6, only={"luck": [0]})
    tally = run(recipe, tmp_path)
    assert len(tally.results) == 6
    assert (tally.failed, tally.diverged) == (0, len(tally.failed_ids))
    assert tally.diverged > 0


@pytest.mark.thorough
def test_a_candidate_that_was_rescued_is_noted_and_recorded(small_recipe: Make, tmp_path: Path) -> None:
    plan = {"steps": 200, "lr": 0.3, "warmup_steps": 600, "schedule": "constant", "halvings": 4}
    watcher = Watcher()
    changes = {"space": {"only": {"width": [16], "blocks": [2], "block": ["residual"]}}, "trials": 1}
    run(small_recipe(**changes, proxy={**small_recipe().proxy, **plan}), tmp_path, watcher)
    [done] = [trial for trial in rows(tmp_path) if trial.state == "finished"]
    assert done.evaluation is not None
    assert done.evaluation.halvings
    step, resumed, factor = done.evaluation.halvings[0]
    assert (step > resumed, factor) == (True, 0.5)
    notes = [event.text for event in watcher.events if event.kind == "note"]
    said = f"trial {done.number}: rate halved at step {step} (resumed from {resumed}, rate x 0.5)"
    assert sum(note.startswith(said) for note in notes) == 1


@pytest.mark.thorough
def test_a_search_of_which_most_fail_stops_though_some_succeed(
    small_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.search.loop.FAILURES_IN_A_ROW", 1000)
    recipe = troubled(small_recipe, "none", "error", "nan", "memory", trials=40, only={"luck": [0]})
    with pytest.raises(RunError, match=r"\d+ of 1\d candidates failed; the last one: "):
        run(recipe, tmp_path)
    states = Counter(trial.state for trial in rows(tmp_path))
    assert states["finished"] > 0
    assert states["failed"] > states["finished"]


def test_a_full_disk_stops_the_search_and_costs_no_candidate(small_recipe: Make, tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="No space left on device"):
        run(troubled(small_recipe, "disk", only={"luck": [0]}), tmp_path)
    assert [trial.state for trial in rows(tmp_path)] == ["waiting"]
    assert rows(tmp_path)[0].attempt == 0


@pytest.mark.thorough
def test_hung_and_dying_workers_cost_their_candidate_and_no_other(
    small_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARKS, str(tmp_path))
    recipe = troubled(
        small_recipe,
        *("hang", "kill"),
        executor="processes",
        workers=2,
        time_limit_seconds=5,
        trials=10,
        seed=1,
    )
    tally = run(recipe, tmp_path)
    assert len(tally.results) == 10
    assert {kind for kind, _ in failures(tmp_path)} == {"timed_out", "worker_lost"}
    assert any("over the time limit of 5 s" in str(reason) for _, reason in failures(tmp_path))
    killed = [t for t in rows(tmp_path) if t.failure == "worker_lost"]
    for trial in killed:
        assert len(list(tmp_path.glob(f"kill-{trial.choices['width']}-*"))) == ATTEMPTS


@pytest.mark.thorough
def test_a_worker_that_dies_once_does_not_cost_the_candidate(
    small_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MARKS, str(tmp_path))
    watcher = Watcher()
    recipe = troubled(small_recipe, "kill once", executor="processes", trials=2, only={"luck": [0]})
    tally = run(recipe, tmp_path, watcher)
    assert len(tally.results) == 2
    assert tally.failed == 0
    assert sum("once more" in event.text for event in watcher.events) == 2


@pytest.mark.thorough
def test_processes_give_what_one_process_gives(small_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir(), (tmp_path / "two").mkdir()
    run(small_recipe(sampler="random", trials=4), tmp_path / "one")
    recipe = small_recipe(sampler="random", trials=4, executor="processes", workers=2)
    tally = run(recipe, tmp_path / "two")
    assert len(tally.results) == 4
    assert_sound(tmp_path / "two", recipe)
    alone = {t.genotype_id: t.evaluation for t in rows(tmp_path / "one") if t.evaluation}
    both = {t.genotype_id: t.evaluation for t in rows(tmp_path / "two") if t.evaluation}
    assert set(alone) == set(both)
    for key, evaluation in alone.items():
        # The number of threads may change the last digits of a sum.
        assert both[key].psnr_db == pytest.approx(evaluation.psnr_db, abs=1e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("executor", EXECUTORS)
def test_every_executor_with_one_worker_gives_the_same_trials_in_the_same_order(
    small_recipe: Make, tmp_path: Path, executor: str
) -> None:
    changes = {"trials": 4, "rungs": [2, 4], "proxy": {**STEADY, "ema": 0.5}}
    found = []
    for folder, name in (("expected", "inline"), ("found", executor)):
        (tmp_path / folder).mkdir()
        recipe = small_recipe(executor=name, **changes)
        run(recipe, tmp_path / folder)
        assert_sound(tmp_path / folder, recipe)
        trials = rows(tmp_path / folder)
        found.append(
            [(t.genotype_id, t.rung, t.state, t.evaluation and t.evaluation.psnr_db) for t in trials]
        )
    assert found[0] == found[1]


STEADY = {"plan": "steady", "batch": 2, "lr_patch": 12}


@pytest.mark.thorough
def test_rungs_train_ever_fewer_for_ever_longer_as_if_they_had_never_stopped(
    small_recipe: Make, tmp_path: Path
) -> None:
    recipe = small_recipe(trials=9, rungs=[25, 50, 100], proxy=STEADY, sampler="random")
    tally = run(recipe, tmp_path)
    first, second, third = (len(results) for results in tally.rungs)
    assert first == 9
    assert 3 <= second <= 5  # who led for a while was promoted, too
    assert third >= 1
    assert_sound(tmp_path, recipe)
    trials = rows(tmp_path)
    assert len({trial.protocol_id for trial in trials if trial.rung == 0}) == 1
    assert len({trial.protocol_id for trial in trials if trial.state == "finished"}) == 3
    longest = next(trial for trial in trials if trial.rung == 2)
    assert longest.genotype_id in tally.rungs[2]
    genotype = load_space(longest.space).from_dict(longest.choices)
    plan = recipe.rung_plans()[2]
    whole = train(make_job(recipe, plan, genotype, tmp_path / "whole", seed=0, device="cpu", threads=1))
    assert longest.evaluation.psnr_db == whole.psnr_db
    assert whole.curve == [tuple(entry) for entry in longest.evaluation.curve]
    with Store.at(tmp_path / "results.db", read_only=True) as store:
        chosen = choose(store, recipe, top=9)
    assert {one.genotype.id for one in chosen} == set(tally.front()) <= set(tally.rungs[2])


@pytest.mark.thorough
@pytest.mark.parametrize("sampler", ["surrogate", "tpe"])
def test_rungs_that_are_stopped_go_on_and_train_nothing_twice(
    small_recipe: Make, tmp_path: Path, sampler: str
) -> None:
    recipe = small_recipe(trials=6, rungs=[3, 6], proxy=STEADY, sampler=sampler)
    for stop in (2, 5, 7):
        finished = Counter[str]()

        def enough(event: Event, stop: int = stop, finished: Counter[str] = finished) -> bool:
            finished[event.kind] += 1
            return event.kind == "started" and len(rows(tmp_path)) > stop

        with pytest.raises(Interrupted):
            run(recipe, tmp_path, Watcher(enough))
    tally = run(recipe, tmp_path)
    assert len(tally.rungs[0]) == 6
    assert 2 <= len(tally.rungs[1]) <= 4
    assert_sound(tmp_path, recipe)


def test_a_plan_that_cannot_be_gone_on_with_has_no_rungs(small_recipe: Make) -> None:
    with pytest.raises(RecipeError, match="rungs need a proxy plan whose training a longer one can continue"):
        small_recipe(rungs=[2, 4])
    with pytest.raises(RecipeError, match=r"rungs = \[4, 2\]: growing"):
        small_recipe(rungs=[4, 2], proxy=STEADY)


def test_the_front_is_trained_with_further_seeds(small_recipe: Make, tmp_path: Path) -> None:
    recipe = small_recipe(trials=4, seeds_for_front=3)
    with Store.at(tmp_path / "results.db") as store:
        search = SearchSession(recipe, store, tmp_path, "cpu", Watcher())
        search.prepare()
        tally = search.run()
        spread = search.seed_results()
        seeds = store.trials(store.study("small").id, "seeds")
    assert [one.genotype_id for one in spread] == tally.front()
    assert all(len(one.psnr_db) == 3 and one.deviation_db > 0 for one in spread)
    assert len(seeds) == 2 * len(spread)
    assert {trial.seed for trial in seeds} == {1, 2}
    assert len(tally.results) == 4
    again = Watcher()
    run(recipe, tmp_path, again)
    assert not [event for event in again.events if event.kind == "started"]


@pytest.mark.thorough
def test_time_and_hypervolume_end_a_search(small_recipe: Make, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    assert len(run(small_recipe(hours=1e-9), tmp_path / "a").results) == 0
    recipe = small_recipe(
        target_hypervolume=1e-9,
        trials=9,
        space={"only": {**QUICK, "skip": ["bicubic"], "width": [16]}},
    )
    tally = run(recipe, tmp_path / "b")
    assert 0 < len(tally.results) < 9 or tally.hypervolume(8e9) < 1e-9
    assert len(run(small_recipe(hours=1, trials=2), tmp_path / "a").results) == 2


@pytest.mark.thorough
def test_published_networks_come_first_where_they_are_wanted(small_recipe: Make, tmp_path: Path) -> None:
    recipe = small_recipe(
        seed_published=True, trials=1, budget={"params": "300k"}, space={}, proxy={**STEADY, "steps": 1}
    )
    run(recipe, tmp_path)
    inside = {
        p.genotype.id for p in PUBLISHED.values() if p.genotype and cost_of(p.genotype, 2).params <= 3e5
    }
    assert rows(tmp_path)[0].genotype_id in inside


@pytest.mark.thorough
def test_published_networks_that_are_over_the_budget_come_narrower(
    small_recipe: Make, tmp_path: Path
) -> None:
    """In a space whose only skip is bicubic, which no paper's network but GPDN has."""
    space = {"only": {"skip": ["bicubic"], "transformers": [0]}}
    budget = {"params": "40k", "min_params": "20k"}
    recipe = small_recipe(
        seed_published=True,
        trials=4,
        budget=budget,
        space=space,
        sampler="random",
        proxy={**STEADY, "steps": 1},
    )
    run(recipe, tmp_path)
    with Store.at(tmp_path / "results.db", read_only=True) as store:
        frame = store.frame("small")
    trained = frame[frame["state"] == "finished"]
    assert list(trained["name"]) == ["imdn-like", "rfdn-like", "bsrn-like", "rlfn-like"]
    assert trained["params"].between(20_000, 40_000).all()
    assert all(choices["skip"] == "bicubic" for choices in trained["choices"])
    made = made_to_fit(recipe.search_space(), 2, recipe.limits())
    assert [made[name].id for name in trained["name"]] == list(trained["genotype"])
    assert made_to_fit(small_recipe(budget={"params": 1500}).search_space(), 2, Budget(params=1500)) == {}


def test_another_runs_results_teach_the_sampler_and_are_not_trained_again(
    small_recipe: Make, tmp_path: Path
) -> None:
    run(small_recipe(trials=4), tmp_path)
    watcher = Watcher()
    recipe = small_recipe(name="warm", warm_start="small", trials=2, sampler="evolution", seed=0)
    tally = run(recipe, tmp_path, watcher)
    assert len(tally.results) == 2
    assert any("begins with 4 results of run 'small'" in event.text for event in watcher.events)
    earlier = {trial.genotype_id for trial in rows(tmp_path) if trial.state == "finished"}
    fresh = {trial.genotype_id for trial in rows(tmp_path, "warm") if trial.state == "finished"}
    assert not earlier & fresh
    with pytest.raises(UnknownStudyError, match="nobody"):
        run(small_recipe(name="lost", warm_start="nobody"), tmp_path)


@pytest.mark.thorough
def test_memory_and_latency_are_limits_too(
    small_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.search.pareto_search.PATIENCE", 100)
    genotype = Lightweight(width=16, blocks=1, block="residual", attention="none", transformers=0)
    memory = peak_memory(lambda: genotype.build(2), 2)
    only = {axis.name: [axis.options[0]] for axis in Lightweight.axes()}
    only |= {"width": [16, 32], "block": ["residual", "rfdb"], "attention": ["none", "cca"]}
    recipe = small_recipe(budget={"memory": memory}, trials=2, sampler="random", space={"only": only})
    tally = run(recipe, tmp_path)
    assert tally.rejected_by == {"memory": tally.rejected}
    for trial in rows(tmp_path):
        network = load_space(trial.space).from_dict(trial.choices)
        needed = peak_memory(lambda g=network: g.build(2), 2)
        assert (needed > memory) == (trial.state == "rejected")
        assert trial.excess == ({"memory": pytest.approx(needed / memory - 1)} if needed > memory else {})
    slow = small_recipe(
        name="slow", budget={"latency_ms": 1e-3}, space={"only": {**QUICK, "width": [16], "blocks": [1]}}
    )
    measured = Measured(slow.limits(), 2, "cpu")
    assert slow.limits().excess(cost_of(genotype, 2), measured.of(genotype))["latency_ms"] > 10


@pytest.mark.thorough
def test_latency_and_memory_are_objectives_that_a_resumed_search_does_not_measure_again(
    small_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"only": {**QUICK, "width": [16, 24], "blocks": [1], "shallow_tail": [False]}}
    wanted: dict[str, Any] = {
        "objectives": ["psnr_db", "latency_ms", "memory"],
        "space": space,
        "rungs": [2, 4],
    }
    wanted |= {"sampler": "nsga2", "proxy": {"plan": "steady", "batch": 2, "lr_patch": 12}}
    tally = run(small_recipe(trials=3, **wanted), tmp_path)
    assert (tally.cost, tally.unit) == ("latency_ms", "ms")
    done = [trial for trial in rows(tmp_path) if trial.state == "finished"]
    assert {trial.rung for trial in done} == {0, 1}
    first = {trial.genotype_id: trial.measured for trial in done if trial.rung == 0}
    with Store.at(tmp_path / "results.db", read_only=True) as store:
        kept = store.runtimes().set_index("genotype")
    for trial in done:
        assert trial.measured == first[trial.genotype_id]  # the same on every rung
        network = load_space(trial.space).from_dict(trial.choices)
        assert trial.measured is not None
        assert trial.measured["memory"] == peak_memory(lambda g=network: g.build(2), 2)
        assert trial.measured["latency_ms"] == kept.loc[trial.genotype_id, "median_ms"]
    assert {cost for cost, _ in tally.results.values()} == {
        trial.measured["latency_ms"] for trial in done if trial.measured
    }
    monkeypatch.setattr("nas.cost.measured_limits.measure_latency", None)  # nothing may be measured again
    again = run(small_recipe(trials=3, **wanted), tmp_path)
    assert again.rungs == tally.rungs
    with pytest.raises(RecipeError, match="latency_ms takes time to find; tpe, nsga2"):
        small_recipe(objectives=["psnr_db", "latency_ms"], sampler="surrogate")


def test_names_and_parts_of_networks_are_kept(small_recipe: Make, tmp_path: Path) -> None:
    recipe = small_recipe(
        space={}, budget={"params": "800k"}, seed_published=True, trials=1, sampler="random", scale=4
    )
    run(recipe, tmp_path)
    with Store.at(tmp_path / "results.db", read_only=True) as store:
        frame = store.frame("small")
        [row] = frame[frame["state"] == "finished"].to_dict("records")
        parts = store.parts(row["genotype"], 4)
    assert PUBLISHED[row["name"]].genotype is not None
    assert parts["part"].iloc[0].startswith("stem")
    assert parts["multi_adds"].sum() == row["multi_adds"]


def test_three_objectives_and_other_costs(small_recipe: Make, tmp_path: Path) -> None:
    recipe = small_recipe(objectives=["psnr_db", "params", "activations"], trials=6)
    tally = run(recipe, tmp_path)
    assert {cost for cost, _ in tally.results.values()} == {
        trial.cost["params"] for trial in rows(tmp_path) if trial.state == "finished"
    }
    both = small_recipe(name="both", objectives=["ssim", "psnr_db", "multi_adds"], sampler="tpe")
    assert len(run(both, tmp_path).results) == 5
    for objectives, words in (
        (["psnr_db"], "two or three"),
        (["multi_adds", "psnr_db"], "first a quality"),
        (["psnr_db", "ssim"], "at least one cost"),
        (["psnr_db", "multiadds"], "did you mean 'multi_adds'"),
        (["ssim", "psnr_db", "params"], "'surrogate' knows one quality"),
    ):
        with pytest.raises(RecipeError, match=words):
            small_recipe(objectives=objectives, sampler="surrogate")


@pytest.mark.thorough
def test_what_another_process_took_over_is_not_recorded_twice(small_recipe: Make, tmp_path: Path) -> None:
    """Somebody who believes this search dead claims its candidate, and dies: the search takes it up again."""
    recipe = small_recipe(trials=2)
    with Store.at(tmp_path / "results.db") as store:
        taken: list[int] = []

        def steal(event: Event) -> bool:
            if event.kind == "progress" and not taken:
                [trial] = store.trials(store.study("small").id, "search")
                store.release(search.owner, [trial.id])
                assert store.claim_this(trial.id, "elsewhere:1:x", 3) is not None
                taken.append(trial.id)
            return False

        watcher = Watcher(steal)
        search = SearchSession(recipe, store, tmp_path, "cpu", watcher)
        search.prepare()
        tally = search.run()
        assert len(tally.results) == 2
        assert any("this result is not kept" in event.text for event in watcher.events)
        trial = store.trial(taken[0])
        assert (trial.state, trial.owner) == ("finished", search.owner)
        assert sum(each.state == "finished" for each in store.trials(search.study.id)) == 2


def test_two_searches_of_one_name_at_once_are_refused(small_recipe: Make, tmp_path: Path) -> None:
    recipe = small_recipe(trials=1)
    with Store.at(tmp_path / "results.db") as store:
        search = SearchSession(recipe, store, tmp_path, "cpu", Watcher())
        search.prepare()
        other = SearchSession(recipe, store, tmp_path, "cpu", Watcher())
        other.owner = "elsewhere:1:x"
        with pytest.raises(StudyTakenError, match=r"'small'"):
            other.prepare()
        search.run()
        other.prepare()


def test_the_front_and_its_hypervolume_are_those_of_the_results() -> None:
    results = {"a": (1e9, 30.0), "b": (2e9, 29.5), "c": (3e9, 31.0)}
    tally = SearchProgress(wanted=3, bicubic_psnr_db=29.0, rungs=[results, {}])
    assert tally.front() == ["a", "c"]
    assert tally.best_psnr_db == 31.0
    assert tally.hypervolume() == pytest.approx((3 - 1) * 1.0)
    assert tally.hypervolume(4e9) == pytest.approx((3 - 1) * 1.0 + (4 - 3) * 2.0)


def test_the_best_of_the_front_is_retrained_once(small_recipe: Make, tmp_path: Path) -> None:
    recipe = small_recipe()
    tally = run(recipe, tmp_path)
    with Store.at(tmp_path / "results.db") as store:
        chosen = choose(store, recipe, top=2)
        assert chosen[0].proxy_psnr_db == tally.best_psnr_db
        assert all(one.genotype.id in tally.front() for one in chosen)

        def stop(event: Event) -> None:
            if event.progress is not None and event.progress.step == 4:
                raise Interrupted("enough")

        with pytest.raises(Interrupted):
            RetrainingSession(recipe, store, tmp_path, "cpu", stop).run(chosen[:1])
        retraining = RetrainingSession(recipe, store, tmp_path, "cpu")
        [first], [again] = retraining.run(chosen[:1]), retraining.run(chosen[:1])
        assert (first.known, again.known) == (False, True)
        assert first.evaluation == again.evaluation
        assert first.evaluation.protocol_id != rows(tmp_path)[0].evaluation
        retrained = store.trials(store.study("small").id, "retrain")
        assert [trial.state for trial in retrained] == ["finished"]
        assert retrained[0].evaluation.protocol_id == retraining.protocol.id


def test_what_one_plan_left_unfinished_is_not_finished_under_another(
    small_recipe: Make, tmp_path: Path
) -> None:
    recipe = small_recipe(trials=2)
    run(recipe, tmp_path)

    def stop(event: Event) -> None:
        if event.kind == "progress":
            raise Interrupted("enough")

    with Store.at(tmp_path / "results.db") as store:
        chosen = choose(store, recipe, top=1)
        with pytest.raises(Interrupted):
            RetrainingSession(recipe, store, tmp_path, "cpu", stop).run(chosen)
        first = RetrainingSession(recipe, store, tmp_path, "cpu")
        longer = small_recipe(trials=2, retrain={"plan": "longer", "steps": 9, "batch": 2, "lr_patch": 12})
        second = RetrainingSession(longer, store, tmp_path, "cpu")
        [done] = second.run(chosen)
        assert done.evaluation.protocol_id == second.protocol.id != first.protocol.id
        assert done.evaluation.curve[-1][0] == 9
        trials = store.trials(store.study("small").id, "retrain")
        assert [trial.state for trial in trials] == ["waiting", "finished"]
        [again] = first.run(chosen)
        assert again.evaluation.protocol_id == first.protocol.id
        assert len(store.trials(store.study("small").id, "retrain")) == 2


def test_nothing_can_be_retrained_before_a_search(small_recipe: Make, tmp_path: Path) -> None:
    recipe = small_recipe()
    with Store.at(tmp_path / "results.db") as store:
        SearchSession(recipe, store, tmp_path, "cpu", Watcher()).prepare()
        with pytest.raises(RunError, match="no results yet"):
            choose(store, recipe, top=1)

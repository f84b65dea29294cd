from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leaderboard.errors import StudyMismatchError
from leaderboard.store import Store
from nas.cost import Cost, measure
from nas.errors import BudgetError, Interrupted, RunError
from nas.recipe import Recipe
from nas.retrain import Retraining, choose
from nas.samplers import SAMPLERS
from nas.search import Event, Search, Tally
from search_spaces import load_space
from search_spaces.lightweight import Lightweight

Make = Callable[..., Recipe]


class Watcher:
    """Remembers events, and asks to stop where it is told to."""

    def __init__(self, stop: Callable[[Event], bool] = lambda event: False) -> None:
        self.events: list[Event] = []
        self.stop = stop

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if self.stop(event):
            raise Interrupted("enough")


def run(recipe: Recipe, runs: Path, watcher: Watcher | None = None) -> Tally:
    with Store.at(runs / "results.db") as store:
        search = Search(recipe, store, runs, "cpu", watcher or Watcher())
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
    trained = Counter(trial.genotype_id for trial in trials if trial.state == "finished")
    assert set(trained.values()) == {1}
    assert [trial.number for trial in trials] == list(range(len(trials)))


@pytest.mark.parametrize("sampler", SAMPLERS)
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
    recipe = small_recipe(budget={"params": "9k"}, trials=4)
    tally = run(recipe, tmp_path)
    assert tally.rejected > 0
    assert tally.rejected_by == {"params": tally.rejected}
    assert_sound(tmp_path, recipe)


def test_one_worker_and_one_seed_give_the_same_trials(small_recipe: Make, tmp_path: Path) -> None:
    def outcome(folder: str, seed: int) -> list[tuple[str, str, float | None]]:
        run(small_recipe(seed=seed), tmp_path / folder)
        return [
            (t.genotype_id, t.state, t.evaluation and t.evaluation.psnr_db) for t in rows(tmp_path / folder)
        ]

    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir(), (tmp_path / "c").mkdir()
    assert outcome("a", 0) == outcome("b", 0) != outcome("c", 1)


@pytest.mark.parametrize("when", ["started", "progress", "finished"])
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


def test_a_space_that_is_used_up_ends_the_search(small_recipe: Make, tmp_path: Path) -> None:
    only = {axis.name: [axis.options[0]] for axis in Lightweight.axes()}
    only |= {"block": ["residual"], "attention": ["none", "cca"]}
    watcher = Watcher()
    tally = run(small_recipe(space={"only": only}, trials=9), tmp_path, watcher)
    assert len(tally.results) == 2
    assert "nothing new fits" in next(event.text for event in watcher.events if event.kind == "note")


SPACE_THAT_FAILS = """
from dataclasses import dataclass
from torch import nn
from search_spaces import Genotype, choice

class Broken(nn.Conv2d):
    def forward(self, x):
        if x.device.type != "meta":
            raise ValueError("this layer never works")
        return super().forward(x)

@dataclass(frozen=True, kw_only=True)
class Fragile(Genotype):
    hidden: int = choice(*range(1, 40))
    works: bool = choice({works})
    def build(self, scale):
        first = nn.Conv2d if self.works else Broken
        tail = nn.Conv2d(self.hidden, 3 * scale**2, 1)
        return nn.Sequential(first(3, self.hidden, 1), tail, nn.PixelShuffle(scale))
"""


def test_a_candidate_that_fails_is_a_row_with_its_reason_and_the_search_goes_on(
    small_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fragile_lab.py").write_text(SPACE_THAT_FAILS.format(works="True, False"))
    recipe = small_recipe(space={"name": "fragile_lab"}, budget={}, trials=6)
    tally = run(recipe, tmp_path)
    assert len(tally.results) == 6
    failed = [trial for trial in rows(tmp_path) if trial.state == "failed"]
    assert len(failed) == tally.failed > 0
    assert {trial.reason for trial in failed} == {"ValueError: this layer never works"}


def test_when_everything_fails_the_search_stops_and_says_why(
    small_recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_lab.py").write_text(SPACE_THAT_FAILS.format(works="False"))
    with pytest.raises(RunError, match=r"5 candidates failed one after another.*never works"):
        run(small_recipe(space={"name": "broken_lab"}, budget={}), tmp_path)


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


def test_the_front_and_its_hypervolume_are_those_of_the_results() -> None:
    results = {"a": (1_000_000_000, 30.0), "b": (2_000_000_000, 29.5), "c": (3_000_000_000, 31.0)}
    tally = Tally(wanted=3, bicubic_psnr_db=29.0, results=results)
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
        retraining = Retraining(recipe, store, tmp_path, "cpu")

        def stop(progress: Any) -> None:
            if progress.step == 4:
                raise Interrupted("enough")

        with pytest.raises(Interrupted):
            retraining.run(chosen[0], stop)
        first = retraining.run(chosen[0], lambda progress: None)
        again = retraining.run(chosen[0], lambda progress: None)
        assert (first.known, again.known) == (False, True)
        assert first.evaluation == again.evaluation
        assert first.evaluation.protocol_id != rows(tmp_path)[0].evaluation
        retrained = store.trials(store.study("small").id, "retrain")
        assert [trial.state for trial in retrained] == ["finished"]
        assert retrained[0].evaluation.protocol_id == retraining.protocol.id


def test_nothing_can_be_retrained_before_a_search(small_recipe: Make, tmp_path: Path) -> None:
    recipe = small_recipe()
    with Store.at(tmp_path / "results.db") as store:
        Search(recipe, store, tmp_path, "cpu", Watcher()).prepare()
        with pytest.raises(RunError, match="no results yet"):
            choose(store, recipe, top=1)

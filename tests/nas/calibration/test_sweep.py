"""Everybody climbs: the same architectures at several lengths and seeds, each trained once."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from forked import Forker
from sweeps import train_sweep

from leaderboard.errors import StudyMismatchError
from leaderboard.store import Store
from nas.calibration.design import spread
from nas.calibration.sweep import SweepSession, make_fidelities, read_sweep
from nas.errors import Interrupted, RecipeError, RunError
from nas.recipes.recipe import Recipe, make_recipe
from nas.search.progress import Event
from nas.search.session import SearchSession
from nas.training import Plan
from nas.training.checkpoint import STATE
from search_spaces import Genotype

STEADY = {"plan": "steady", "steps": 3, "batch": 2, "lr_patch": 12}
REFERENCE = Plan(steps=8, batch=3, lr_patch=12, lr=1e-3)

SPACE = {
    "only": {"width": [16, 24], "blocks": [1, 2], "block": ["imdb", "gpdb"], "attention": ["none"]}
    | {"kernel": ["3x3", "blueprint"], "activation": ["relu"], "transformers": [0]}
}

Make = Callable[..., Recipe]


@pytest.fixture
def recipe(small_recipe: Make) -> Recipe:
    """A recipe whose plan a longer training goes on from."""
    return small_recipe(name="climb", proxy=STEADY, space=SPACE)


def sample(recipe: Recipe, count: int = 3) -> list[Genotype]:
    return spread(recipe.search_space(), recipe.scale, count, budget=recipe.limits(), seed=0)


def hear(events: list[Event]) -> Callable[[Event], None]:
    return lambda event: events.append(event)


def test_every_architecture_climbs_every_rung_with_every_seed(recipe: Recipe, tmp_path: Path) -> None:
    genotypes = sample(recipe)
    with Store.at(tmp_path / "results.db") as store:
        train_sweep(recipe, genotypes, [2, 5], {2: 3, 5: 1}, REFERENCE, store=store, runs=tmp_path)
        frame = read_sweep(store, "climb", per_image=True)
    assert len(frame) == 3 * (3 + 1 + 1)
    assert set(frame["genotype_id"]) == {one.id for one in genotypes}
    per = frame.groupby(["steps", "reference"])["seed"].agg(lambda seeds: sorted(set(seeds)))
    assert per.to_dict() == {(2, False): [0, 1, 2], (5, False): [0], (8, True): [0]}
    assert frame["psnr_db"].notna().all() and (frame["train_seconds"] > 0).all()
    assert frame["protocol"].nunique() == 3
    assert all(len(images) >= 1 for images in frame["per_image"])
    assert [str(kind) for kind in read_columns(frame)] == ["int64", "float64", "bool"]


def read_columns(frame: object) -> list[object]:
    return [frame[name].dtype for name in ("multi_adds", "psnr_db", "reference")]  # type: ignore[index]


def test_a_longer_rung_goes_on_and_finds_what_it_finds_alone(recipe: Recipe, tmp_path: Path) -> None:
    """And the states that nobody goes on from any more are gone."""
    [genotype] = sample(recipe, 1)
    began: list[int] = []

    def listen(event: Event) -> None:
        if event.kind == "progress" and event.progress is not None:
            began.append(event.progress.step)

    with Store.at(tmp_path / "a.db") as store:
        train_sweep(recipe, [genotype], [2, 5], store=store, runs=tmp_path / "a", listen=listen)
        both = read_sweep(store, "climb")
    assert began == [1, 2, 3, 4, 5]  # and not 1, 2, 1, 2, 3, 4, 5
    with Store.at(tmp_path / "b.db") as store:
        train_sweep(recipe, [genotype], [5], store=store, runs=tmp_path / "b")
        alone = read_sweep(store, "climb")
    assert both.set_index("steps").loc[5, "psnr_db"] == alone["psnr_db"].item()
    assert not list((tmp_path / "a").rglob(STATE))


@pytest.mark.thorough
def test_a_plan_that_ends_trains_each_rung_from_the_start(small_recipe: Make, tmp_path: Path) -> None:
    recipe = small_recipe(name="climb", space=SPACE)
    steps: list[int] = []

    def listen(event: Event) -> None:
        if event.kind == "progress" and event.progress is not None:
            steps.append(event.progress.step)

    with Store.at(tmp_path / "results.db") as store:
        train_sweep(recipe, sample(recipe, 1), [2, 4], store=store, runs=tmp_path, listen=listen)
    assert steps == [1, 2, 1, 2, 3, 4]


def test_a_reference_in_steps_goes_on_from_the_longest_rung(recipe: Recipe, tmp_path: Path) -> None:
    levels = make_fidelities(recipe, [2, 4], {2: 2, 4: 1}, 6)
    with Store.at(tmp_path / "results.db") as store:
        ladder = SweepSession(recipe, levels, store, tmp_path, "cpu")
        assert ladder.steps == 6 + 2  # one seed climbs to 6, the other stays at 2
        ladder.prepare()
        ladder.run(sample(recipe, 2))
        frame = read_sweep(store, "climb")
    assert frame.groupby("steps")["reference"].all().to_dict() == {2: False, 4: False, 6: True}


def test_nothing_is_trained_twice_and_more_can_be_asked_for(recipe: Recipe, tmp_path: Path) -> None:
    genotypes, events = sample(recipe), list[Event]()
    with Store.at(tmp_path / "results.db") as store:
        train_sweep(recipe, genotypes[:2], [2], store=store, runs=tmp_path)
        before = read_sweep(store, "climb")
        again = train_sweep(recipe, genotypes[:2], [2], store=store, runs=tmp_path, listen=hear(events))
        assert not events and not again.failed
        train_sweep(recipe, genotypes, [2, 4], 2, REFERENCE, store=store, runs=tmp_path)
        after = read_sweep(store, "climb")
        trained = store.events("climb")["kind"].value_counts()
    assert len(after) == 3 * 5 == trained["finished"]
    kept = after.merge(before, on=["genotype_id", "protocol", "seed"])
    assert (kept["psnr_db_x"] == kept["psnr_db_y"]).all() and len(kept) == 2


def test_what_another_study_found_under_the_protocol_is_taken(recipe: Recipe, tmp_path: Path) -> None:
    genotypes, events = sample(recipe, 2), list[Event]()
    with Store.at(tmp_path / "results.db") as store:
        train_sweep(recipe, genotypes, [2], store=store, runs=tmp_path)
        other = recipe.model_copy(update={"name": "other"})
        train_sweep(other, genotypes, [2], store=store, runs=tmp_path, listen=hear(events))
        assert [event.kind for event in events] == ["repeated"] * 2
        mine, theirs = (read_sweep(store, name) for name in ("other", "climb"))
    assert list(mine["psnr_db"]) == list(theirs["psnr_db"])


def test_a_search_finds_the_results_of_a_ladder(recipe: Recipe, tmp_path: Path) -> None:
    with Store.at(tmp_path / "results.db") as store:
        ladder = train_sweep(recipe, sample(recipe, 2), [3], store=store, runs=tmp_path)
        search = SearchSession(
            recipe.model_copy(update={"name": "s"}), store, tmp_path, "cpu", lambda event: None
        )
        assert search.protocols[0].id == ladder.protocols[0].id


@pytest.mark.thorough
def test_an_interruption_leaves_states_and_the_same_call_goes_on(recipe: Recipe, tmp_path: Path) -> None:
    genotypes = sample(recipe, 2)

    def stop(event: Event) -> None:
        if event.kind == "progress" and event.progress is not None and event.progress.step == 3:
            raise Interrupted("stop")

    with Store.at(tmp_path / "results.db") as store:
        with pytest.raises(Interrupted):
            train_sweep(recipe, genotypes, [2, 5], store=store, runs=tmp_path, listen=stop)
        assert sorted(read_sweep(store, "climb")["steps"]) == [2, 2]
        assert store.study("climb").owner is None
        steps: list[int] = []

        def listen(event: Event) -> None:
            if event.kind == "progress" and event.progress is not None:
                steps.append(event.progress.step)

        train_sweep(recipe, genotypes, [2, 5], store=store, runs=tmp_path, listen=listen)
        stopped = read_sweep(store, "climb")
    assert steps == [4, 5, 3, 4, 5]
    with Store.at(tmp_path / "whole.db") as store:
        train_sweep(recipe, genotypes, [2, 5], store=store, runs=tmp_path / "whole")
        whole = read_sweep(store, "climb")
    assert list(stopped["psnr_db"]) == list(whole["psnr_db"])


@pytest.mark.thorough
def test_several_workers_find_what_one_finds(small_recipe: Make, recipe: Recipe, tmp_path: Path) -> None:
    genotypes = sample(recipe)
    with Store.at(tmp_path / "one.db") as store:
        train_sweep(recipe, genotypes, [2, 4], 2, store=store, runs=tmp_path / "one")
        alone = read_sweep(store, "climb")
    several = small_recipe(name="climb", proxy=STEADY, space=SPACE, executor="processes", workers=2)
    with Store.at(tmp_path / "two.db") as store:
        train_sweep(several, genotypes, [2, 4], 2, store=store, runs=tmp_path / "two")
        together = read_sweep(store, "climb")
    assert list(alone["psnr_db"]) == list(together["psnr_db"])


KILLED = """
import os, signal, sys
from pathlib import Path
from leaderboard.store import Store
from nas.calibration.sweep import SweepSession, make_fidelities
from nas.recipes.recipe import load_recipe
from nas.calibration.design import spread

runs, recipe = Path(sys.argv[1]), load_recipe(Path(sys.argv[2]))
genotypes = spread(recipe.search_space(), recipe.scale, 3, budget=recipe.limits(), seed=0)
seen = []

def listen(event):
    if event.kind == "progress":
        seen.append(event)
        if len(seen) == 11:
            os.kill(os.getpid(), signal.SIGKILL)

with Store.at(runs / "results.db") as store:
    session = SweepSession(recipe, make_fidelities(recipe, [2, 5]), store, runs, "cpu", listen)
    session.prepare()
    session.run(genotypes)
"""


@pytest.mark.thorough
def test_a_killed_ladder_goes_on_and_trains_nothing_that_ended_again(
    recipe: Recipe, forker: Forker, tmp_path: Path
) -> None:
    file = tmp_path / "climb.toml"
    file.write_text(recipe.to_toml())
    process = forker.python(KILLED, str(tmp_path), str(file))
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    with Store.at(tmp_path / "results.db") as store:
        before = read_sweep(store, "climb")
        assert len(before) == 4  # three of 2 steps, one of 5; the next died on its way
        train_sweep(recipe, sample(recipe), [2, 5], store=store, runs=tmp_path)
        after = read_sweep(store, "climb")
        events = store.events("climb")["kind"].value_counts()
    assert len(after) == 6 and events["finished"] == 6 and events["taken_over"] == 1


def test_one_process_at_a_time(recipe: Recipe, tmp_path: Path) -> None:
    with Store.at(tmp_path / "results.db") as store:
        ladder = SweepSession(recipe, make_fidelities(recipe, [2]), store, tmp_path, "cpu")
        ladder.prepare()
        other = subprocess.Popen(["sleep", "60"])
        try:
            store.own_study(ladder.study.id, f"elsewhere:{other.pid}:-", 60)
            with pytest.raises(Exception, match="is being searched by elsewhere"):
                ladder.run(sample(recipe, 1))
        finally:
            other.kill()
            other.wait()


def test_a_failure_is_told_and_not_tried_again_on_the_rungs_above(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genotypes, events = sample(recipe, 2), list[Event]()
    bad = type(genotypes[0])
    real = bad.build

    def build(self: Genotype, scale: int) -> object:
        if self.id == genotypes[0].id:
            raise ValueError("this one cannot be built")
        return real(self, scale)

    with Store.at(tmp_path / "results.db") as store:
        levels = make_fidelities(recipe, [2, 4], 1, REFERENCE)
        ladder = SweepSession(recipe, levels, store, tmp_path, "cpu", hear(events))
        ladder.prepare()
        monkeypatch.setattr(bad, "build", build)
        ladder.run(genotypes)
        assert set(read_sweep(store, "climb")["genotype_id"]) == {genotypes[1].id}
        again = train_sweep(recipe, genotypes, [2, 4], 1, REFERENCE, store=store, runs=tmp_path)
    failed = {(genotypes[0].id, level, 0) for level in range(3)}
    assert set(ladder.failed) == failed == set(again.failed)
    assert "cannot be built" in ladder.failed[genotypes[0].id, 0, 0]
    assert [event.kind for event in events].count("failed") == 2  # the rung, and the reference


@pytest.mark.thorough
def test_ladders_and_searches_do_not_take_each_other_s_names(recipe: Recipe, tmp_path: Path) -> None:
    with Store.at(tmp_path / "results.db") as store:
        train_sweep(recipe, sample(recipe, 1), [2], store=store, runs=tmp_path)
        search = SearchSession(recipe, store, tmp_path, "cpu", lambda event: None)
        with pytest.raises(StudyMismatchError, match="ladder was True"):
            search.prepare()
        table = {k: v for k, v in store.study("climb").recipe.items() if v is not None}
        with pytest.raises(RecipeError, match="no search"):
            make_recipe(table)
        own = recipe.model_copy(update={"name": "searched"})
        SearchSession(own, store, tmp_path, "cpu", lambda event: None).prepare()
        with pytest.raises(StudyMismatchError, match="ladder"):
            train_sweep(own, sample(recipe, 1), [2], store=store, runs=tmp_path)
        with pytest.raises(RunError, match="no sweep"):
            read_sweep(store, "searched")


@pytest.mark.parametrize(
    ("rungs", "seeds", "reference", "message"),
    [
        ([], 1, None, "rungs = none: growing"),
        ([5, 2], 1, None, "rungs = 5, 2: growing"),
        ([2, 2], 1, None, "growing"),
        ([0], 1, None, "growing"),
        ([2], 0, None, "at least 1"),
        ([2], {3: 1}, None, "seeds of rung 3: there is none"),
        ([2, 5], 1, 5, "more than the longest rung's 5"),
    ],
)
def test_levels_that_cannot_be_meant_are_refused(
    recipe: Recipe, rungs: list[int], seeds: int | dict[int, int], reference: int | None, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        make_fidelities(recipe, rungs, seeds, reference)


def test_a_reference_that_is_a_rung_is_refused(recipe: Recipe) -> None:
    with pytest.raises(RecipeError, match="judge itself"):
        make_fidelities(recipe, [2, 5], 1, replace(recipe.plan("proxy"), steps=5))

"""A real search by a version that counted networks as trained: refused, counted again, resumed, finished.

``tests/traces/before_folding.sql`` is the database of 83a0b87 after three interruptions of the search
`before-folding`, whose space has the asymmetric kernel and the block acdm; `plain` has neither.
"""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from wave_images import write_images

from leaderboard.errors import OldCostsError
from leaderboard.store import Store
from leaderboard.store.records import NewTrial
from leaderboard.store.recounting import excess_again
from leaderboard.tables.exchange import import_results
from leaderboard.tables.front import front_frame
from nas.calibration.sweep import SweepSession
from nas.cost.budget import Budget, Cost
from nas.cost.counting import cost_of, measure
from nas.errors import Interrupted
from nas.recipes.recipe import Recipe, make_recipe
from nas.retraining.retraining import RetrainingSession
from nas.search.database_recorder import parts_of
from nas.search.join import JoinedSearch
from nas.search.progress import Event
from nas.search.proposer import Proposer, export
from nas.search.recount import recount
from nas.search.session import SearchSession, search
from search_spaces import load_space
from search_spaces.compressed import Compressed

OLD = Path(__file__).parents[2] / "traces/before_folding.sql"
RUN = "before-folding"
FITS, OVER, WAITS, DONE = "858405d74668", "886783000281", "21b9d78ee8ee", "e0f3f4faa7a1"
"""Networks that fold: rejected and inside the budget since, rejected still, waiting, finished."""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs as the older version left it."""
    folder = tmp_path / "runs"
    folder.mkdir()
    connection = sqlite3.connect(folder / "results.db")
    connection.executescript(OLD.read_text(encoding="utf-8"))
    connection.close()
    write_images(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def store(runs: Path) -> Iterator[Store]:
    with Store.at(runs.relative_to(Path.cwd()) / "results.db") as opened:
        yield opened


def recipe_of(store: Store) -> Recipe:
    return make_recipe({**store.study(RUN).recipe, "name": RUN})


BEGUN: dict[str, Callable[[Store, Recipe], Any]] = {
    "search": lambda store, recipe: SearchSession(recipe, store, Path("runs"), "cpu", print),
    "warm start": lambda store, recipe: SearchSession(
        recipe.model_copy(update={"name": "new", "warm_start": RUN}), store, Path("runs"), "cpu", print
    ),
    "join": lambda store, recipe: JoinedSearch(recipe, store, Path("runs"), "cpu", print).prepare(),
    "retrain": lambda store, recipe: RetrainingSession(recipe, store, Path("runs"), "cpu", print),
    "calibrate": lambda store, recipe: SweepSession(recipe, [], store, Path("runs"), "cpu"),
    "export-study": lambda store, recipe: store.trials(store.study(RUN).id, "search", curves=False),
}


@pytest.mark.parametrize("command", BEGUN)
def test_what_would_resume_an_older_run_says_what_to_do_before_anything(store: Store, command: str) -> None:
    recipe, study, last = recipe_of(store), store.study(RUN), store.last_event(RUN)
    with pytest.raises(OldCostsError) as refused:
        BEGUN[command](store, recipe)
    assert str(refused.value).endswith("count again with: nas recount --runs runs")
    assert "4 costs of run 'before-folding'" in str(refused.value)
    assert store.study(RUN) == study and store.last_event(RUN) == last
    assert store.study_names() == [RUN, "plain"]


def costs(store: Store) -> dict[str, dict[str, Any]]:
    trials = store.trials(store.study(RUN).id)
    return {trial.genotype_id: trial.cost for trial in trials}


def test_every_cost_equals_a_fresh_count_of_the_network_as_used(store: Store) -> None:
    before = {old.genotype_id: old for old in store.costs_to_recount()}
    assert set(before) == {FITS, OVER, WAITS, DONE}
    found = recount(store)
    assert {old.genotype_id for old, _ in found.changed} == set(before)
    assert (list(found.impossible), found.inside) == ([], {RUN: 1})
    space = load_space("lightweight")
    for trial in store.trials(store.study(RUN).id):
        genotype = space.from_dict(trial.choices)
        assert trial.cost == cost_of(genotype, 2).to_dict()
        assert trial.cost == measure(lambda built=genotype: built.build(2), 2).to_dict()  # type: ignore[misc]
        stored = store.parts(trial.genotype_id, 2).to_dict("records")
        assert stored == ([] if trial.state == "rejected" else parts_of(genotype, 2))
        if trial.genotype_id in before:
            assert trial.cost["params"] < before[trial.genotype_id].cost["params"]


def test_the_front_is_that_of_the_new_costs(store: Store) -> None:
    with pytest.raises(OldCostsError):
        store.frame(RUN)
    plain = store.frame("plain")
    recount(store)
    front = front_frame(store.frame(RUN), RUN)
    assert front["multi_adds"].tolist() == [costs(store)[name]["multi_adds"] for name in front["genotype"]]
    assert store.frame("plain").equals(plain)


def resumed(runs: Path, recipe: Recipe, until: Callable[[Event], bool] = lambda event: False) -> list[Event]:
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if until(event):
            raise Interrupted("enough")

    with suppress(Interrupted):
        search(recipe, runs, listen=listen)
    return events


def test_the_search_is_resumed_and_finished_with_each_training_once(runs: Path, store: Store) -> None:
    recount(store)
    recipe = recipe_of(store)
    events = resumed(runs, recipe)
    trials = store.trials(store.study(RUN).id)
    trained = [trial for trial in trials if trial.stage == "search" and trial.state == "finished"]
    assert len(trained) == recipe.trials
    assert len({(trial.genotype_id, trial.rung, trial.seed) for trial in trained}) == len(trained)
    assert next(event.genotype.id for event in events if event.kind == "started" and event.genotype) == WAITS
    assert not any(trial.state in ("waiting", "running") for trial in trials)
    budget = recipe.limits()
    for trial in trials:
        assert trial.excess == (budget.excess(Cost(**trial.cost)) if trial.state == "rejected" else {})


def test_a_network_that_fits_since_is_not_told_as_rejected_and_may_be_proposed(
    runs: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    recount(store)
    recipe = recipe_of(store)
    seen: list[SearchSession] = []
    whole = SearchSession.run
    monkeypatch.setattr(SearchSession, "run", lambda self: [seen.append(self), whole(self)][1])
    fits = load_space("lightweight").from_dict(
        next(trial.choices for trial in store.trials(store.study(RUN).id) if trial.genotype_id == FITS)
    )
    told: list[str] = []
    tell = Proposer.tell
    monkeypatch.setattr(
        Proposer, "tell", lambda self, seen: [told.append(seen.request.genotype.id), tell(self, seen)][1]
    )

    def propose_it(self: Proposer) -> tuple[Any, Any]:
        token = self.study.ask()
        self.space.suggest(token)
        return fits, token

    monkeypatch.setattr(Proposer, "ask", propose_it)
    resumed(runs, recipe, lambda event: event.kind == "finished" and event.genotype == fits)
    restored = told[: told.index(WAITS)]
    assert FITS not in restored and OVER in restored
    progress = seen[0].progress
    assert progress.rejected == 3 and FITS in progress.results
    rows = [trial for trial in store.trials(store.study(RUN).id) if trial.genotype_id == FITS]
    assert [(trial.state, trial.excess) for trial in rows] == [("rejected", {}), ("finished", {})]


def test_a_study_for_optuna_leaves_out_rejections_that_no_longer_hold(store: Store, tmp_path: Path) -> None:
    recount(store)
    trials = store.trials(store.study(RUN).id, "search", curves=False)
    count = export(recipe_of(store), trials, str(tmp_path / "study.log"))
    assert count == sum(trial.state in ("finished", "rejected") for trial in trials) - 1


def test_a_stopped_recount_changes_nothing(store: Store) -> None:
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        recount(store, stop)
    assert len(store.costs_to_recount()) == 4
    assert len(recount(store).changed) == 4


def test_a_network_whose_space_is_not_to_be_had_stays_and_keeps_no_other_waiting(store: Store) -> None:
    with store._engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE genotype SET space = 'their_lab.space' WHERE id = '{DONE}'"  # noqa: S608
        )
        connection.exec_driver_sql(
            f"UPDATE genotype SET choices = '{{\"block\": \"gone\"}}' WHERE id = '{OVER}'"  # noqa: S608
        )
    found = recount(store)
    assert [old.genotype_id for old, _ in found.changed] == [WAITS, FITS]
    reasons = {old.genotype_id: reason for old, reason in found.impossible}
    assert "--space their_lab.space, or nas trust-space their_lab.space" in reasons[DONE]
    assert "gone" in reasons[OVER]
    with pytest.raises(OldCostsError, match="2 costs of run"):
        store.frame(RUN)


def test_compressed_networks_are_counted_as_they_are_used(store: Store) -> None:
    """A plain one costs what it did, one with branches less; both are marked."""
    choices = {old.genotype_id: old.choices for old in store.costs_to_recount()}
    pruned = Compressed(of="lightweight", choices=choices[DONE])
    study = store.open_study("small", recipe={"compress": {}}, space_digest="compressed", code_version="0")
    store.propose(
        study.id,
        NewTrial(
            stage="retrain",
            state="waiting",
            genotype_id=pruned.id,
            space=pruned.space,
            choices=pruned.to_dict(),
            scale=2,
            cost=measure(lambda: pruned.build(2), 2, in_training=True).to_dict(),
            seed=0,
        ),
    )
    with store._engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE cost SET form = 'training' WHERE genotype_id = '{pruned.id}'"  # noqa: S608
        )
    found = recount(store)
    new = {old.genotype_id: counted.cost for old, counted in found.changed}
    assert new[pruned.id] == new[DONE]


@pytest.mark.parametrize(
    "budget",
    [
        {"params": 1000, "multi_adds": 5_000_000, "min_params": 200},
        {"conv_multi_adds": 2_000_000, "min_multi_adds": 4_000_000},
        {"params": 9000, "memory": 10**6, "latency_ms": 12.5},
    ],
)
def test_the_store_judges_as_the_budget_does(budget: dict[str, Any]) -> None:
    limits = Budget(**budget)
    for params, multi_adds in ((100, 10**6), (1500, 4 * 10**6), (8000, 9 * 10**6)):
        cost = Cost(params=params, multi_adds=multi_adds, conv_multi_adds=multi_adds // 2, activations=1)
        measured = {"memory": 2e6, "latency_ms": 10.0}
        expected = limits.excess(cost, measured)
        before = {name: over for name, over in expected.items() if name in measured}
        assert excess_again(vars(limits), cost.to_dict(), before) == expected


def test_a_server_takes_in_an_older_file_and_counts_it_again(postgres: Any, runs: Path) -> None:
    with Store(postgres.new_database()) as server:
        import_results(server, str(runs / "results.db"))
        with pytest.raises(OldCostsError, match="3 costs of run"):  # the waiting trial is left out
            server.frame(RUN)
        assert len(recount(server).changed) == 4
        assert recount(server).counted == []
        with Store.at(runs / "results.db") as file:
            recount(file)
            mine, theirs = file.frame(RUN), server.frame(RUN)
        kept = ["genotype", "state", "params", "multi_adds", "conv_multi_adds", "activations", "excess"]
        ended = mine[mine["state"] != "waiting"].sort_values("number")
        assert theirs.sort_values("number")[kept].to_dict("list") == ended[kept].to_dict("list")


def test_the_command_says_what_changed(
    runs: Path, nas: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert "older schema '0004'" in nas("front", RUN).stderr
    Store.at(runs / "results.db").close()
    refused = nas("front", RUN)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "nas: runs/results.db: 4 costs of run 'before-folding': counted on networks as they are trained, not "
        "as they are used; count again with: nas recount --runs runs\n"
    )
    assert nas("front", "plain").returncode == 0
    done = nas("recount")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{WAITS}  -  x2  params 12.4K -> 8.94K  Multi-Adds 2.837G -> 2.04G"
    assert lines[4] == "4 counted again, 0 of them unchanged."
    assert lines[5] == (
        "run 'before-folding': 1 rejected candidate is inside the budget now, and may be proposed and "
        "trained when the search is resumed"
    )
    again = nas("recount")
    assert again.stdout == "Every cost is that of the network as used: nothing to count again.\n"
    assert nas("front", RUN).returncode == 0


def test_the_command_names_a_run_that_is_being_searched(
    store: Store, nas: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    store.own_study(store.study(RUN).id, "elsewhere:1:-", 60)
    refused = nas("recount")
    assert refused.returncode == 2
    assert "run 'before-folding' is being searched by elsewhere:1:-" in refused.stderr
    assert len(store.costs_to_recount()) == 4


def test_the_command_fails_where_a_space_is_not_trusted(
    store: Store, nas: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with store._engine.begin() as connection:
        connection.exec_driver_sql(
            f"UPDATE genotype SET space = 'their_lab.space' WHERE id = '{DONE}'"  # noqa: S608
        )
    done = nas("recount")
    assert done.returncode == 1
    assert f"  {DONE}: space 'their_lab.space' is code outside ParetoSR" in done.stdout
    assert "1 could not be counted again" in done.stdout

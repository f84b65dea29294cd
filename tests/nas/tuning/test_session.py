"""Real tunings of small networks: complete, killed and resumed, divergences, known results, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forked import Forker, Process

from leaderboard.errors import StudyMismatchError
from leaderboard.sources import draw
from leaderboard.store import Store
from leaderboard.store.records import Trial
from leaderboard.tables.tuning import BASELINE, ranked_settings, tuning_trainings
from leaderboard.views import VIEWS, Show
from nas.errors import Interrupted, RecipeError, RunError
from nas.recipes.recipe import Recipe
from nas.search.progress import Event
from nas.search.requests import Train
from nas.search.session import SearchSession
from nas.search.training_setup import TrainingSetup
from nas.training import Job
from nas.training.checkpoint import STATE
from nas.tuning.networks import tuned_networks
from nas.tuning.session import TuningSession, tune
from search_spaces.lightweight import Lightweight

Make = Callable[..., Recipe]
Nas = Callable[..., subprocess.CompletedProcess[str]]

NETWORKS: dict[str, dict[str, Any]] = {
    "plain": Lightweight(block="residual", width=16, blocks=1).to_dict(),
    "split": Lightweight(block="rlfb", width=16, blocks=1).to_dict(),
}
PLAN = {"plan": "longer", "batch": 2, "lr_patch": 12}
FIELDS: dict[str, Any] = {"lr": {"low": 1e-4, "high": 1e-2, "log": True}, "clip_norm": [0.0, 0.5]}


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Files of two small networks."""
    for name, choices in NETWORKS.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(choices))
    return [str(tmp_path / f"{name}.json") for name in NETWORKS]


@pytest.fixture
def recipe(small_recipe: Make, words: list[str]) -> Make:
    """A tuning of two networks at two lengths of a few steps; keywords change its section."""

    def make(name: str = "tuned", retrain: dict[str, Any] | None = None, **changes: Any) -> Recipe:
        section = {"networks": words, "fields": FIELDS, "steps": [4, 8], "trials": 4, **changes}
        return small_recipe(name=name, budget={}, retrain=PLAN | (retrain or {}), tune=section)

    return make


def trials_of(runs: Path, name: str = "tuned") -> list[Trial]:
    with Store.at(runs / "results.db", read_only=True) as store:
        return store.trials(store.study(name).id, curves=False)


def table(runs: Path, name: str = "tuned") -> list[dict[Any, Any]]:
    with Store.at(runs / "results.db", read_only=True) as store:
        return ranked_settings(tuning_trainings(store, name)).to_dict("records")


def assert_each_once(runs: Path, settings: int, promoted: int, name: str = "tuned") -> None:
    """Every setting of each rung has trained every network once, and nothing is left."""
    trials = trials_of(runs, name)
    assert {trial.state for trial in trials} <= {"finished", "failed"}
    trained = Counter((trial.genotype_id, trial.protocol_id, trial.seed) for trial in trials)
    assert set(trained.values()) == {1}
    rungs = Counter(trial.rung for trial in trials)
    assert rungs == {0: settings * len(NETWORKS), 1: promoted * len(NETWORKS)}


def test_a_tuning_trains_its_settings_and_ranks_them(recipe: Make, tmp_path: Path) -> None:
    events: list[Event] = []
    settings = tune(recipe(), tmp_path, listen=events.append)
    assert_each_once(tmp_path, settings=4, promoted=2)
    assert list(settings["rank"]) == [1, 2, 3, 4]
    assert list(settings["steps"]) == [8, 8, 4, 4]
    assert BASELINE in set(settings["setting"][:2])
    for row in settings.to_dict("records"):
        assert set(row["gains"]) == set(NETWORKS)
        assert row["gain_db"] == pytest.approx(sum(row["gains"].values()) / 2)
    [base] = [row for row in settings.to_dict("records") if not row["changes"]]
    assert base["over_baseline_db"] == 0
    top = settings.iloc[0]
    assert top["over_baseline_db"] == pytest.approx(top["gain_db"] - base["gain_db"])
    kinds = Counter(event.kind for event in events)
    assert kinds["finished"] == kinds["started"] == 12
    # Each number is that of a training under the protocol of the setting's plan.
    with Store.at(tmp_path / "results.db", read_only=True) as store:
        frame = tuning_trainings(store, "tuned")
        for trial in trials_of(tmp_path):
            assert trial.evaluation is not None
            protocol = store.protocol(str(trial.protocol_id))
            mine = frame[(frame["psnr_db"] == trial.evaluation.psnr_db) & (frame["rung"] == trial.rung)]
            changes = mine["changes"].iloc[0]
            assert {name: protocol.plan[name] for name in changes} == changes
            assert protocol.plan["steps"] == (4, 8)[trial.rung]
            gain = trial.evaluation.psnr_db - protocol.bicubic_psnr_db
            assert mine["gain_db"].iloc[0] == pytest.approx(gain)
    assert len(tune(recipe(), tmp_path)) == 4
    assert_each_once(tmp_path, settings=4, promoted=2)


FAST = {"lr": 1.0, "warmup_steps": 200}
"""A rate that both networks diverge at, some time after the first losses are known."""


def test_a_divergence_is_a_result_with_its_step(recipe: Make, tmp_path: Path) -> None:
    fast = recipe(enqueue=[FAST], trials=2, steps=[60])
    settings = tune(fast, tmp_path)
    assert list(settings["setting"]) == [BASELINE, "lr=1 warmup_steps=200"]
    [base, lost] = settings.to_dict("records")
    assert (base["diverged"], set(lost["diverged"])) == ({}, set(NETWORKS))
    assert all(0 < step <= 60 for step in lost["diverged"].values())
    assert lost["gain_db"] == min(base["gain_db"], 0.0)
    failed = [trial for trial in trials_of(tmp_path) if trial.state == "failed"]
    assert [trial.failure for trial in failed] == ["diverged"] * 2
    assert all(
        f"by step {lost['diverged'][name]:.0f};" in str(trial.reason)
        for name, trial in zip(NETWORKS, failed, strict=True)
    )
    tune(fast, tmp_path)
    assert len(trials_of(tmp_path)) == 4


def test_a_plan_that_can_continue_does_and_leaves_no_state(
    recipe: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins: dict[tuple[int, str], set[bool]] = {}
    make_job = TrainingSetup.job

    def job(self: TrainingSetup, request: Train) -> Job:
        made = make_job(self, request)
        begins.setdefault((request.rung, made.plan.schedule), set()).add(made.begin is not None)
        return made

    monkeypatch.setattr(TrainingSetup, "job", job)
    tune(recipe(fields={"schedule": ["constant", "cosine"]}, trials=2), tmp_path)
    assert begins == {
        (0, "cosine"): {False},
        (0, "constant"): {False},
        (1, "cosine"): {False},
        (1, "constant"): {True},
    }
    assert not list((tmp_path / "tuned").rglob(STATE))


def test_a_stopped_tuning_is_resumed_where_it_stopped(recipe: Make, tmp_path: Path) -> None:
    seen = Counter[str]()

    def listen(event: Event) -> None:
        seen[event.kind] += 1
        if event.kind == "progress" and seen["finished"] == 5:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        tune(recipe(), tmp_path, listen=listen)
    before = {trial.id: trial.evaluation for trial in trials_of(tmp_path) if trial.evaluation is not None}
    assert 5 <= len(before) < 12
    tune(recipe(), tmp_path)
    assert_each_once(tmp_path, settings=4, promoted=2)
    after = {trial.id: trial.evaluation for trial in trials_of(tmp_path)}
    assert before == {id: after[id] for id in before}


@pytest.mark.thorough
def test_results_of_another_run_are_known(recipe: Make, tmp_path: Path) -> None:
    tune(recipe(), tmp_path)
    events: list[Event] = []
    tune(recipe("again"), tmp_path, listen=events.append)
    assert Counter(event.kind for event in events)["started"] == 0
    assert {trial.state for trial in trials_of(tmp_path, "again")} == {"repeated"}
    assert [row["gain_db"] for row in table(tmp_path, "again")] == [row["gain_db"] for row in table(tmp_path)]


@pytest.mark.thorough
def test_every_view_and_the_site_take_a_tuning(recipe: Make, tmp_path: Path) -> None:
    from leaderboard.site import write_site

    tune(recipe(enqueue=[FAST], steps=[60, 70], trials=3), tmp_path)
    with Store.at(tmp_path / "results.db", read_only=True) as store:
        for name in VIEWS:
            assert draw(store, Show(study="tuned"), name).layout.title.text, name
        figure = draw(store, Show(study="tuned"), "tuning")
        page = write_site(store, tmp_path / "site", ["tuned"]).read_text(encoding="utf-8")
    assert figure.layout.xaxis.type == "log"
    assert {trace.name for trace in figure.data if trace.type == "scatter"} == {*NETWORKS, "mean"}
    assert "nas tune tuned --show" in page and "Tuning of a plan" in page


def test_a_second_seed_is_trained_on_the_longest_rung(recipe: Make, tmp_path: Path) -> None:
    tune(recipe(seeds=2, trials=2), tmp_path)
    seeds = Counter((trial.rung, trial.seed, trial.stage) for trial in trials_of(tmp_path))
    assert seeds == {(0, 0, "search"): 4, (1, 0, "search"): 4, (1, 1, "seeds"): 4}
    assert [row["seeds"] for row in table(tmp_path)] == [2, 2]


# Networks


def test_networks_are_named_by_words(small_recipe: Make, tmp_path: Path, words: list[str]) -> None:
    with Store.at(tmp_path / "results.db") as store:

        def named(*networks: str, **changes: Any) -> list[tuple[str, str]]:
            section = {"networks": list(networks), "fields": FIELDS}
            found = tuned_networks(small_recipe(tune=section, **changes), store)
            return [(each.name, each.genotype.id) for each in found]

        plain = Lightweight.from_dict(NETWORKS["plain"])
        assert named(words[0]) == [("plain", plain.id)]
        names = [name for name, _ in named("imdn", "imdn-filling", "rfdn-like", budget={"params": "60k"})]
        assert names == ["imdn", "imdn-filling", "rfdn-like"]
        with pytest.raises(RecipeError, match="is the network of"):
            named(words[0], words[0])
        with pytest.raises(RecipeError, match="there is none: give --max-params"):
            named("imdn-filling", budget={})
        with pytest.raises(RecipeError, match="no width and no number of its blocks keeps params <= 5"):
            named("imdn-filling", budget={"params": 5})
        with pytest.raises(RecipeError, match="did you mean 'imdn'"):
            named("imdm-filling", budget={"params": "60k"})
        with pytest.raises(RecipeError, match="unknown architecture 'imdm'; did you mean 'imdn'"):
            named("imdm")
        with pytest.raises(RecipeError, match="there is no such file"):
            named("nowhere.safetensors")
        with pytest.raises(RecipeError, match="has no genotype"):
            named("torch.nn:Identity")


def test_a_recorded_network_is_named_by_its_id_and_by_its_weights(
    recipe: Make, small_recipe: Make, tmp_path: Path
) -> None:
    tune(recipe(trials=1), tmp_path)
    trial = trials_of(tmp_path)[0]
    assert trial.evaluation is not None and trial.evaluation.checkpoint is not None
    weights = str(tmp_path / trial.evaluation.checkpoint)
    with Store.at(tmp_path / "results.db", read_only=True) as store:
        for word in (trial.genotype_id[:8], weights):
            section = {"networks": [word], "fields": FIELDS}
            [network] = tuned_networks(small_recipe(tune=section), store)
            assert network.genotype.id == trial.genotype_id
        with pytest.raises(RecipeError, match="is for x2, and this tuning for x3"):
            tuned_networks(small_recipe(scale=3, tune={"networks": [weights], "fields": FIELDS}), store)


def test_a_file_that_changed_cannot_go_on(recipe: Make, tmp_path: Path) -> None:
    tune(recipe(trials=1), tmp_path)
    (tmp_path / "plain.json").write_text(json.dumps(NETWORKS["plain"] | {"width": 24}))
    with pytest.raises(RunError, match=r"one of .*plain.json.* was another network when the run began"):
        tune(recipe(trials=1), tmp_path)


def test_another_recipe_under_the_same_name_is_refused(recipe: Make, tmp_path: Path) -> None:
    tune(recipe(trials=1), tmp_path)
    with pytest.raises(StudyMismatchError, match=r"tune.fields.lr.high was 0.01, now 0.1"):
        tune(recipe(fields={**FIELDS, "lr": {"low": 1e-4, "high": 0.1, "log": True}}), tmp_path)
    with pytest.raises(StudyMismatchError, match=r"retrain.batch was 2, now 4"):
        tune(recipe(retrain={"batch": 4}), tmp_path)


def test_a_search_and_a_tuning_do_not_take_each_others_names(
    recipe: Make, small_recipe: Make, tmp_path: Path
) -> None:
    with Store.at(tmp_path / "results.db") as store:

        def quiet(event: Event) -> None:
            pass

        def begin(kind: type[SearchSession] | type[TuningSession], made: Recipe) -> None:
            kind(made, store, tmp_path, "cpu", quiet).prepare()

        begin(TuningSession, recipe("a"))
        with pytest.raises(RunError, match=r"run 'a' is a tuning.*: nas tune a continues it"):
            begin(SearchSession, small_recipe(name="a"))
        with pytest.raises(RecipeError, match=r"has a section \[tune\]: nas tune runs it"):
            begin(SearchSession, recipe("b"))
        begin(SearchSession, small_recipe(name="c"))
        with pytest.raises(RunError, match="run 'c' is no tuning: its own nas search command continues it"):
            begin(TuningSession, recipe("c"))
        with pytest.raises(RecipeError, match=r"has no section \[tune\]"):
            begin(TuningSession, small_recipe(name="d"))


# The command


def wait_until(ready: Callable[[], bool], process: Process) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < deadline, "it did not come"
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def count_finished(runs: Path) -> int:
    try:
        return sum(trial.state == "finished" for trial in trials_of(runs))
    except Exception:
        return 0


def command(images: Path, words: list[str]) -> list[str]:
    return [
        *("tuned", "--networks", ",".join(words), "--scale", "2", "--data", f"folder:{images}"),
        *("--plan", "longer", "--set", "batch=2", "--set", "lr_patch=12", "--device", "cpu"),
        *("--field", "lr=1e-4..1e-2:log", "--field", "clip_norm=0,0.5", "--trials", "4"),
        *("--try", "lr=4e-3 clip_norm=0.5"),
    ]


@pytest.mark.thorough
def test_a_killed_tuning_with_two_workers_is_resumed_by_its_name(
    tmp_path: Path, images: Path, words: list[str], forker: Forker, nas: Nas
) -> None:
    arguments = [*command(images, words), "--steps", "60,90", "--workers", "2"]
    process = forker.nas("tune", *arguments, cwd=tmp_path)
    wait_until(lambda: count_finished(tmp_path / "runs") >= 3, process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = {t.id: t.evaluation for t in trials_of(tmp_path / "runs") if t.evaluation is not None}
    assert len(before) < 12
    done = nas("tune", "tuned")
    assert done.returncode == 0, done.stderr
    assert_each_once(tmp_path / "runs", settings=4, promoted=2)
    trials = trials_of(tmp_path / "runs")
    assert before == {trial.id: trial.evaluation for trial in trials if trial.id in before}
    with Store.at(tmp_path / "runs" / "results.db", read_only=True) as store:
        recorded = store.events("tuned")
        ended = recorded[recorded["kind"] == "finished"]
        assert not ended["trial"].duplicated().any()
        assert store.study("tuned").recipe["workers"] == 2
    assert "lr=0.004 clip_norm=0.5" in done.stdout
    again = nas("tune", *arguments)
    assert again.returncode == 0, again.stderr
    assert len(trials_of(tmp_path / "runs")) == 12


@pytest.mark.thorough
def test_the_command_prints_the_settings_and_the_next_step(
    nas: Nas, tmp_path: Path, images: Path, words: list[str]
) -> None:
    done = nas("tune", *command(images, words), "--steps", "2,4")
    assert done.returncode == 0, done.stderr
    assert "Tuning 'tuned': x2, plan longer" in done.stdout
    assert "[12/12]" in done.stdout
    shown = nas("tune", "tuned", "--show")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[1].split() == [
        "#",
        "gain",
        "(dB)",
        "to",
        "the",
        "plan",
        *NETWORKS,
        "steps",
        "setting",
        "remarks",
    ]
    assert [line.split()[0] for line in lines[2:6]] == ["1", "2", "3", "4"]
    assert done.stdout.endswith(shown.stdout)
    best = table(tmp_path / "runs")[0]
    if best["changes"]:
        words_of_best = "".join(f" --set {word}" for word in best["setting"].split())
        longer = f"--plan longer --set batch=2 --set lr_patch=12{words_of_best}"
        assert f"nas retrain RUN --top 1 {longer}" in shown.stdout
    read = nas("tune", "tuned", "--show", "--json")
    assert [row["setting"] for row in json.loads(read.stdout)] == [
        row["setting"] for row in table(tmp_path / "runs")
    ]
    for arguments, message in [
        (["search", "--name", "tuned"], "run 'tuned' is a tuning"),
        (["search", "--name", "tuned", "--join"], "run 'tuned' is a tuning"),
        (["retrain", "tuned"], "run 'tuned' is a tuning"),
        (["tune", "tund"], "there is no tuning 'tund' to resume"),
        (["tune", "tund", "--show"], "did you mean 'tuned'"),
        (["tune", "tuned", "--field", "lrr=0,1"], "did you mean 'lr'"),
        (["tune", "tuned", "--trials", "0"], "trials = 0"),
    ]:
        refused = nas(*arguments)
        assert (refused.returncode, refused.stdout) == (2, ""), arguments
        assert message in refused.stderr and refused.stderr.count("\n") == 1, refused.stderr


def test_a_recipe_file_is_a_tuning(nas: Nas, tmp_path: Path, images: Path, words: list[str]) -> None:
    (tmp_path / "mine.toml").write_text(
        f"""
scale = 2
data = "folder:{images}"
device = "cpu"
[retrain]
plan = "longer"
batch = 2
lr_patch = 12
[tune]
networks = {json.dumps(words)}
steps = [2]
trials = 2
enqueue = [{{ clip_norm = 0.5 }}]
[tune.fields]
lr = {{ low = 1e-4, high = 1e-2, log = true }}
"""
    )
    done = nas("tune", "mine.toml")
    assert done.returncode == 0, done.stderr
    assert "clip_norm=0.5" in done.stdout
    assert nas("tune", "runs/mine/recipe.toml", "--name", "mine").returncode == 2
    more = nas("tune", "mine.toml", "--trials", "3")
    assert more.returncode == 0, more.stderr
    assert len({trial.protocol_id for trial in trials_of(tmp_path / "runs", "mine")}) == 3

"""A run as an Optuna study: what Optuna's own views and its dashboard make of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from werkzeug.test import Client

from leaderboard.store import Store
from nas.recipes.recipe import Recipe
from nas.search.session import SearchSession
from search_spaces.lightweight import Lightweight

Nas = Callable[..., subprocess.CompletedProcess[str]]
Make = Callable[..., Recipe]


@pytest.fixture(scope="module")
def finished(small_recipe: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folder of a finished search."""
    recipe = small_recipe(sampler="random", budget={"params": "12k", "multi_adds": "8G"})
    runs = tmp_path_factory.mktemp("finished") / "runs"
    with Store.at(runs / "results.db") as store:
        search = SearchSession(recipe, store, runs, "cpu", lambda event: None)
        search.prepare()
        search.run()
    return runs


@pytest.fixture
def searched(finished: Path, tmp_path: Path) -> list[Any]:
    """The trials of a finished search whose runs folder is ``tmp_path / 'runs'``."""
    runs = shutil.copytree(finished, tmp_path / "runs")
    with Store.at(runs / "results.db") as store:
        return store.trials(store.study("small").id, "search")


@pytest.mark.parametrize("storage", ["sqlite:///study.db", "study.log"])
def test_values_parameters_and_constraints_arrive(
    nas: Nas, tmp_path: Path, searched: list[Any], storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = nas("export-study", "small", "--storage", storage)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    where: Any = storage
    if "://" not in storage:
        backend = optuna.storages.journal.JournalFileBackend(storage)
        where = optuna.storages.JournalStorage(backend)
    study = optuna.load_study(study_name="small", storage=where)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["psnr_db", "multi_adds"]
    finished = {t.genotype_id: t for t in searched if t.state == "finished"}
    rejected = {t.genotype_id: t for t in searched if t.state == "rejected"}
    assert rejected
    found = {(t.user_attrs["genotype"], t.state.name): t for t in study.trials}
    assert set(found) == {(g, "COMPLETE") for g in finished} | {(g, "PRUNED") for g in rejected}
    for (genotype, state), trial in found.items():
        row = (finished if state == "COMPLETE" else rejected)[genotype]
        if state == "COMPLETE":
            assert trial.values == [row.evaluation.psnr_db, row.cost["multi_adds"]]
        choices = Lightweight.from_dict(row.choices).all_choices()
        assert all(choices[name] == value for name, value in trial.params.items())
        over = {name: value for name, value in trial.constraints.items() if value > 0}
        assert over == pytest.approx(row.excess)
    best = {trial.user_attrs["genotype"] for trial in study.best_trials}
    assert best <= set(finished)
    figure = optuna.visualization.plot_pareto_front(study)
    assert len(figure.data) > 0


@pytest.mark.thorough
def test_the_dashboard_shows_it(
    nas: Nas, tmp_path: Path, searched: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from optuna_dashboard import wsgi

    assert nas("export-study", "small", "--storage", "sqlite:///study.db").returncode == 0
    client = Client(wsgi(optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")))
    [summary] = client.get("/api/studies").json["study_summaries"]
    assert summary["study_name"] == "small"
    told = client.get(f"/api/studies/{summary['study_id']}").json
    assert len(told["trials"]) == len({(t.genotype_id, t.state) for t in searched})


def test_an_export_overwrites_nothing_and_says_what_is_wrong(
    nas: Nas, tmp_path: Path, searched: list[Any]
) -> None:
    assert nas("export-study", "small", "--storage", "sqlite:///study.db").returncode == 0
    for arguments, words in (
        (("small", "--storage", "sqlite:///study.db"), "a study called 'small' is there already"),
        (("nobody", "--storage", "sqlite:///study.db"), "unknown run 'nobody'"),
        (("small", "--storage", "sqlite:////nowhere/study.db"), "sqlite:////nowhere/study.db"),
        (("small", "--storage", "nonsense://x"), "nonsense://x"),
        (("small", "--storage", "nowhere/study.log"), "nowhere/study.log"),
    ):
        refused = nas("export-study", *arguments)
        assert refused.returncode == 2, arguments
        assert words in refused.stderr
        assert refused.stderr.count("\n") == 1, refused.stderr

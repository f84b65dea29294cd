"""Re-training what was asked for by id or on the leaderboard's page."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from new_records import propose

from leaderboard.store import Store
from nas.cli import main
from nas.errors import RunError
from nas.recipes.recipe import Recipe
from nas.retraining.selection import choose, choose_ids
from nas.search.session import SearchSession
from nas.training import Progress

Nas = Callable[..., tuple[int, str]]


@pytest.fixture
def recipe(small_recipe: Callable[..., Recipe], tmp_path: Path) -> Recipe:
    """A searched run `small` in `tmp_path`."""
    made = small_recipe(trials=3)
    with Store.at(tmp_path / "results.db") as store:
        search = SearchSession(made, store, tmp_path, "cpu", lambda event: None)
        search.prepare()
        search.run()
    return made


@pytest.fixture
def nas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Nas:
    """Runs the command in this process: its exit status, and all that it said."""

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["nas", *words, "--runs", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return run


def retrained(tmp_path: Path) -> list[tuple[str, str]]:
    with Store.at(tmp_path / "results.db", read_only=True) as store:
        trials = store.trials(store.study("small").id, "retrain")
        return [(trial.genotype_id, trial.state) for trial in trials]


def test_networks_are_chosen_by_their_ids_or_how_they_begin(recipe: Recipe, tmp_path: Path) -> None:
    with Store.at(tmp_path / "results.db") as store:
        trained = [t for t in store.trials(store.study("small").id) if t.evaluation is not None]
        ids = sorted({trial.genotype_id for trial in trained})
        short = next(ids[1][:end] for end in range(1, 13) if not ids[0].startswith(ids[1][:end]))
        found = choose_ids(store, recipe, [short, ids[0], ids[0]])
        assert [chosen.genotype.id for chosen in found] == [ids[1], ids[0]]
        best = choose(store, recipe, 1)[0]
        assert choose_ids(store, recipe, [best.genotype.id]) == [best]
        with pytest.raises(RunError) as refused:
            choose_ids(store, recipe, [ids[0], ids[0][:-1] + "zz"])
        assert str(refused.value).startswith(
            f"run 'small' has no network '{ids[0][:-1]}zz'; did you mean {ids[0]}?"
        )
        same = store.study("small")
        propose(
            store,
            same.id,
            **{"genotype_id": ids[0][:4] + "0000", "space": "lightweight", "scale": 2},
            **{"choices": trained[0].choices, "cost": trained[0].cost},
            **{"state": "rejected", "excess": {"params": 0.5}},
        )
        with pytest.raises(RunError, match=f"'{ids[0][:4]}' is the beginning of 2 networks of run 'small': "):
            choose_ids(store, recipe, [ids[0][:4]])
        with pytest.raises(RunError, match="has no network ''"):
            choose_ids(store, recipe, [""])


def test_the_command_retrains_the_named_networks_and_no_other(
    recipe: Recipe, tmp_path: Path, nas: Nas
) -> None:
    with Store.at(tmp_path / "results.db") as store:
        ids = sorted({t.genotype_id for t in store.trials(store.study("small").id) if t.evaluation})
    status, said = nas("retrain", "small", "--ids", f"{ids[1]}, {ids[0]}")
    assert status == 0 and "Re-training 2 of run 'small'" in said
    assert retrained(tmp_path) == [(ids[1], "finished"), (ids[0], "finished")]
    status, said = nas("retrain", "small", "--ids", "nonesuch")
    assert (status, said.count("\n")) == (2, 1) and said.startswith(
        "nas: run 'small' has no network 'nonesuch'"
    )
    for words in (("--ids", ids[0], "--queued"), ("--top", "2", "--queued"), ("--ids", ids[0], "--top", "1")):
        said = "nas: --top, --knee, --ids, --best-under, --init-from and --queued: one of them\n"
        assert nas("retrain", "small", *words) == (2, said)
    assert nas("retrain", "small", "--ids", " ,") == (2, "nas: --ids ' ,' names no network\n")


def test_the_queue_is_worked_off_and_a_failure_stops_nothing(
    recipe: Recipe, tmp_path: Path, nas: Nas
) -> None:
    assert nas("retrain", "small", "--queued")[1].startswith("Nothing waits.\n")
    with Store.at(tmp_path / "results.db") as store:
        ids = sorted({t.genotype_id for t in store.trials(store.study("small").id) if t.evaluation})
        store.request_retraining("small", ids[:1], plan="nosuchplan")
        store.request_retraining("small", ids[:2])
        withdrawn = store.request_retraining("small", ids[:1], plan="longer")
        store.withdraw_request(withdrawn[0])
    status, said = nas("retrain", "small", "--queued", "--steps", "4")
    assert status == 1
    assert "2 done, 1 failed of what was asked for" in said
    assert retrained(tmp_path) == [(id, "finished") for id in ids[:2]]
    with Store.at(tmp_path / "results.db") as store:
        frame = store.requests("small")
        assert frame["state"].tolist() == ["failed", "done", "done", "withdrawn"]
        assert "unknown plan 'nosuchplan'" in frame["reason"][0]
        store.request_retraining("small", ids[:1])
    status, said = nas("retrain", "small", "--queued", "--steps", "4")
    assert status == 0 and "known already" in said and "1 done, 0 failed" in said


def test_what_is_interrupted_waits_again(
    recipe: Recipe, tmp_path: Path, nas: Nas, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.at(tmp_path / "results.db") as store:
        best = choose(store, recipe, 1)[0].genotype.id
        store.request_retraining("small", [best])
    from nas.cli.display import TrainingDisplay

    show = TrainingDisplay.show

    def ask_to_stop(display: TrainingDisplay, progress: Progress, name: str | None = None) -> None:
        show(display, progress, name)
        if progress.step == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingDisplay, "show", ask_to_stop)
        assert nas("retrain", "small", "--queued")[0] == 130
    with Store.at(tmp_path / "results.db") as store:
        assert store.requests()["state"].tolist() == ["waiting"]
    assert nas("retrain", "small", "--queued")[0] == 0
    assert retrained(tmp_path) == [(best, "finished")]


def test_what_a_killed_process_had_taken_is_done_by_the_next(
    recipe: Recipe, tmp_path: Path, nas: Nas
) -> None:
    path = tmp_path / "results.db"
    with Store.at(path) as store:
        best = choose(store, recipe, 1)[0].genotype.id
        store.request_retraining("small", [best])
    code = (
        "import os, sys\n"
        "from leaderboard.store import Store\n"
        "from leaderboard.store.owners import this_process\n"
        "assert Store.at(sys.argv[1]).take_request('small', this_process()); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    with Store.at(path) as store:
        assert store.requests()["state"].tolist() == ["taken"]
    assert nas("retrain", "small", "--queued")[0] == 0
    with Store.at(path) as store:
        row: Any = store.requests().iloc[0]
    assert (row["genotype"], row["state"], row["owner"]) == (best, "done", None)

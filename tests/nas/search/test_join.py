"""Several processes on one study: the real commands, killed at bad moments."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from forked import Forker, Process
from postgres_server import PostgresServer

from leaderboard.errors import StudyMismatchError
from leaderboard.store import Store, sqlite_url
from nas.errors import RunError
from nas.recipes.recipe import Recipe
from nas.search.join import JoinedSearch
from nas.search.session import SearchSession

RECIPE = """
name = "shared"
scale = 2
data = "folder:{images}"
trials = {trials}
device = "cpu"
sampler = "random"
seeds_for_front = {seeds}
[space.only]
width = [16, 24]
blocks = [1, 2]
block = ["residual", "rlfb", "imdb"]
transformers = [0]
[budget]
params = "30k"
[proxy]
plan = "quick"
steps = {steps}
batch = 2
lr_patch = 12
"""

Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path, forker: Forker) -> Iterator[Start]:
    """Start a `nas search` of the recipe; whatever still runs at the end of the test is ended."""
    running: list[Process] = []

    def begin(*arguments: str) -> Process:
        process = forker.nas("search", *arguments, cwd=tmp_path)
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def write(tmp_path: Path, images: Path, **values: int) -> str:
    path = tmp_path / "shared.toml"
    path.write_text(RECIPE.format(**{"images": images, "trials": 6, "steps": 80, "seeds": 1} | values))
    return path.name


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, images: Path, forker: Forker) -> Path:
    """The folder of a search that has ended."""
    folder = tmp_path_factory.mktemp("finished")
    ended_well(forker.nas("search", write(folder, images, trials=1, steps=2), cwd=folder))
    return folder


def seen(tmp_path: Path, url: str = "") -> pd.DataFrame:
    try:
        with Store(url or sqlite_url(tmp_path / "runs" / "results.db"), read_only=True) as store:
            return store.frame("shared")
    except Exception:
        return pd.DataFrame({"state": [], "owner": []})


def wait_until(ready: Callable[[], bool], *processes: Process) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < deadline, "it did not come"
        for process in processes:
            assert process.poll() is None, process.communicate()
        time.sleep(0.1)


def ended_well(process: Process) -> str:
    told, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return told


def pid_of(owner: str) -> int:
    return int(owner.split(":")[1])


def running_by(tmp_path: Path, process: Process) -> bool:
    frame = seen(tmp_path)
    owners = frame[frame["state"] == "running"]["owner"]
    return any(pid_of(owner) == process.pid for owner in owners)


def assert_each_once(tmp_path: Path, trials: int, url: str = "") -> pd.DataFrame:
    frame = seen(tmp_path, url)
    finished = frame[(frame["state"] == "finished") & (frame["stage"] == "search")]
    assert len(finished) == trials
    assert finished["genotype"].is_unique
    assert not frame["state"].isin(["running", "waiting"]).any()
    return frame


@pytest.mark.parametrize("kind", ["postgresql", pytest.param("sqlite", marks=pytest.mark.thorough)])
def test_a_process_that_joins_trains_a_part_and_nothing_twice(
    tmp_path: Path, images: Path, start: Start, request: pytest.FixtureRequest, kind: str
) -> None:
    url = sqlite_url(tmp_path / "runs" / "results.db")
    if kind == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new_database()
    leader = start(write(tmp_path, images, trials=6, seeds=2, steps=60), "--db", url)
    wait_until(lambda: (seen(tmp_path, url)["state"] == "finished").any(), leader)
    helper = start("--name", "shared", "--join", "--db", url)
    assert "[6/6]" in ended_well(leader)
    assert "The search of 'shared' ended" in ended_well(helper)
    frame = assert_each_once(tmp_path, 6, url)
    done = frame[frame["state"] == "finished"]
    assert {pid_of(owner) for owner in done["owner"]} == {leader.pid, helper.pid}
    front = done[done["stage"] == "seeds"]
    assert len(front) and not front.duplicated(["genotype", "seed"]).any()
    with Store(url, read_only=True) as store:
        events = store.events("shared")
    assert list(events[events["kind"].isin(["joined", "left"])]["kind"]) == ["joined", "left"]
    # Every trial was begun exactly once, whoever began it.
    assert not events[events["kind"] == "started"]["trial"].duplicated().any()


@pytest.mark.thorough
def test_what_a_killed_partner_had_is_trained_by_the_search(
    tmp_path: Path, images: Path, start: Start
) -> None:
    leader = start(write(tmp_path, images, trials=4, steps=150))
    wait_until(lambda: (seen(tmp_path)["state"] == "running").any(), leader)
    helper = start("shared.toml", "--join")
    wait_until(lambda: running_by(tmp_path, helper), leader, helper)
    os.kill(helper.pid, signal.SIGKILL)
    ended_well(leader)
    frame = assert_each_once(tmp_path, 4)
    assert frame["attempt"].max() == 2


@pytest.mark.thorough
def test_who_joined_ends_when_the_search_is_killed_and_the_search_goes_on_later(
    tmp_path: Path, images: Path, start: Start
) -> None:
    recipe = write(tmp_path, images, trials=4, steps=150)
    leader = start(recipe)
    wait_until(lambda: (seen(tmp_path)["state"] == "running").any(), leader)
    helper = start("--name", "shared", "--join")
    wait_until(lambda: running_by(tmp_path, helper), leader, helper)
    os.kill(leader.pid, signal.SIGKILL)
    ended_well(helper)
    trained = seen(tmp_path)
    mine = trained[trained["state"] == "finished"]
    assert any(pid_of(owner) == helper.pid for owner in mine["owner"])
    ended_well(start(recipe))
    frame = assert_each_once(tmp_path, 4)
    assert set(mine["genotype"]) <= set(frame[frame["state"] == "finished"]["genotype"])


@pytest.mark.thorough
def test_ctrl_c_on_who_joined_gives_its_candidate_back(tmp_path: Path, images: Path, start: Start) -> None:
    leader = start(write(tmp_path, images, trials=4, steps=150))
    wait_until(lambda: (seen(tmp_path)["state"] == "running").any(), leader)
    helper = start("--name", "shared", "--join")
    wait_until(lambda: running_by(tmp_path, helper), leader, helper)
    os.kill(helper.pid, signal.SIGINT)
    told, errors = helper.communicate(timeout=60)
    assert (helper.returncode, errors) == (130, "")
    assert "the search goes on" in told
    ended_well(leader)
    assert_each_once(tmp_path, 4)


def test_who_joins_inline_is_one_worker_whatever_the_recipe_says(
    small_recipe: Callable[..., Recipe], tmp_path: Path, start: Start
) -> None:
    recipe, runs = small_recipe(executor="processes", workers=2), tmp_path / "runs"
    with Store.at(runs / "results.db") as store:
        leader = SearchSession(recipe, store, runs, "cpu", lambda event: None)
        leader.prepare()
        helper = start("--name", "small", "--join", "--executor", "inline")
        wait_until(lambda: bool(store.remote_workers(leader.study.id, 0)), helper)
        store.release_study(leader.study.id, leader.owner)
        assert "The search of 'small' ended" in ended_well(helper)
        assert store.remote_workers(leader.study.id, 0)[0].details == {"workers": 1}


def test_a_search_with_several_workers_goes_on_inline_with_one(
    finished: Path, tmp_path: Path, images: Path, start: Start
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    recipe = tmp_path / write(tmp_path, images, trials=2, steps=2)
    recipe.write_text(f'executor = "processes"\nworkers = 2\n{recipe.read_text()}')
    told, errors = (process := start(recipe.name, "--executor", "inline", "--workers", "2")).communicate(60)
    assert (process.returncode, told) == (2, "")
    assert "workers = 2 needs executor = 'processes' or 'ray'" in errors
    ended_well(start(recipe.name, "--executor", "inline"))
    assert_each_once(tmp_path, 2)
    with Store.at(tmp_path / "runs" / "results.db", read_only=True) as store:
        stored = store.study("shared").recipe
    assert (stored["executor"], stored["workers"]) == ("inline", 1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--name", "shared", "--join"], "not being searched by anybody"),
        (["--name", "shared", "--join", "--scale", "3"], "scale cannot be given with it"),
        (["--name", "shred", "--join"], "did you mean 'shared'"),
    ],
)
def test_what_cannot_be_joined_is_one_line(
    finished: Path, tmp_path: Path, start: Start, arguments: list[str], words: str
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    told, errors = (process := start(*arguments)).communicate(timeout=60)
    assert (process.returncode, told) == (2, "")
    assert words in errors
    assert errors.count("\n") == 1


def test_other_images_or_another_space_cannot_join(
    small_recipe: Callable[..., Recipe], tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quiet(event: Any) -> None:
        pass

    with Store.at(tmp_path / "results.db") as store:
        SearchSession(small_recipe(trials=1), store, tmp_path, "cpu", quiet).prepare()
        JoinedSearch(small_recipe(trials=1), store, tmp_path, "cpu", quiet).prepare()
        with pytest.raises(StudyMismatchError, match="needs the same images"):
            JoinedSearch(small_recipe(data="photos"), store, tmp_path, "cpu", quiet).prepare()
        with pytest.raises(StudyMismatchError, match="another search space"):
            JoinedSearch(
                small_recipe(space={"only": {"width": [16]}}), store, tmp_path, "cpu", quiet
            ).prepare()
        monkeypatch.setattr("leaderboard.store.remote_workers.is_gone", lambda owner: True)
        with pytest.raises(RunError, match="not being searched"):
            JoinedSearch(small_recipe(trials=1), store, tmp_path, "cpu", quiet).prepare()

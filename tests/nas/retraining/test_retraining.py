"""Long trainings of a run's networks: several at once, killed and gone on with, and measured at the end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import Forker
from new_records import propose
from PIL import Image
from troubled import Troubled

from leaderboard.store import Store
from leaderboard.store.records import Trial
from nas.cli import main
from nas.core.files import sha256_of
from nas.cost.counting import cost_of
from nas.errors import RunError
from nas.recipes.recipe import Recipe
from nas.retraining.reproduce import find_result
from nas.retraining.retraining import RetrainingSession
from nas.retraining.selection import Chosen
from nas.search.progress import Event
from nas.search.session import SearchSession
from nas.training.checkpoint import save_described
from search_spaces.published import PUBLISHED

Nas = Callable[..., tuple[int, str]]


@pytest.fixture
def ids(small_recipe: Callable[..., Recipe], tmp_path: Path) -> list[str]:
    """The networks of a searched run `small` in `tmp_path`."""
    recipe = small_recipe(trials=3, sampler="random")
    with Store.at(tmp_path / "results.db") as store:
        search = SearchSession(recipe, store, tmp_path, "cpu", print_no)
        search.prepare()
        search.run()
        return sorted({trial.genotype_id for trial in store.trials(search.study.id) if trial.evaluation})


def print_no(event: Event) -> None:
    """Listens to nothing."""


@pytest.fixture
def retrain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Nas:
    """Runs `nas retrain small` in this process: its exit status, and all that it said."""
    monkeypatch.delenv("NAS_DATA", raising=False)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["nas", "retrain", "small", *words, "--runs", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return run


def write_images(folder: Path, count: int, side: int = 48) -> None:
    """Images of noise that was made smooth."""
    folder.mkdir(parents=True)
    for index in range(count):
        small = np.random.default_rng(index).integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(folder / f"{index}.png")


def rows(tmp_path: Path) -> list[Trial]:
    with Store.at(tmp_path / "results.db", read_only=True) as store:
        return store.trials(store.study("small").id, "retrain")


def numbers(tmp_path: Path) -> dict[str, float]:
    return {row.genotype_id: row.evaluation.psnr_db for row in rows(tmp_path) if row.evaluation is not None}


@pytest.mark.thorough
def test_several_at_once_find_what_one_after_another_finds(
    ids: list[str], retrain: Nas, tmp_path: Path
) -> None:
    status, said = retrain("--ids", ",".join(ids), "--workers", "2")
    assert status == 0 and "2 at once (processes)" in said
    assert {row.worker for row in rows(tmp_path)} - {row.owner for row in rows(tmp_path)}
    at_once = numbers(tmp_path)
    assert sorted(at_once) == ids
    with Store.at(tmp_path / "results.db") as store:
        again = retrain("--ids", ",".join(ids))
        assert again[1].count("known already") == len(ids)
        assert len(store.trials(store.study("small").id, "retrain")) == len(ids)
    for row in rows(tmp_path):
        [found] = _alone(tmp_path, row)
        assert found == at_once[row.genotype_id]


def _alone(tmp_path: Path, row: Trial) -> list[float]:
    """The same training once more, in this process and a database of its own."""
    from nas.recipes.recipe import make_recipe

    (tmp_path / "alone").mkdir(exist_ok=True)
    with Store.at(tmp_path / "results.db") as store:
        recipe = make_recipe({**_given(store.study("small").recipe), "name": "small"})
    with Store.at(tmp_path / "alone" / f"{row.genotype_id}.db") as store:
        store.open_study("small", recipe=recipe.to_dict(), space_digest="s", code_version="0")
        chosen = _chosen(recipe, row.choices)
        done = RetrainingSession(recipe, store, tmp_path / "alone", "cpu").run([chosen])
    return [one.evaluation.psnr_db for one in done]


def _given(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}


def _chosen(recipe: Recipe, choices: dict[str, Any]) -> Chosen:
    genotype = recipe.search_space().genotype.from_dict(choices)
    return Chosen(genotype=genotype, cost=cost_of(genotype, recipe.scale), proxy_psnr_db=None)


@pytest.mark.thorough
def test_a_killed_command_goes_on_and_trains_nothing_twice(
    ids: list[str], retrain: Nas, forker: Forker, tmp_path: Path
) -> None:
    words = ["--ids", ",".join(ids), "--workers", "2", "--set", "steps=120"]
    killed = forker.nas("retrain", "small", *words, "--runs", str(tmp_path))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not numbers(tmp_path):
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    before = {row.id: (row.state, row.evaluation) for row in rows(tmp_path)}
    done = {id: evaluation for id, (state, evaluation) in before.items() if state == "finished"}
    assert done and "running" in {state for state, _ in before.values()}
    status, said = retrain(*words)
    assert status == 0 and said.count("known already") == len(done)
    after = {row.id: row for row in rows(tmp_path)}
    assert [row.state for row in after.values()] == ["finished"] * len(ids)
    assert {id: after[id].evaluation for id in done} == done
    assert {after[id].attempt for id, (state, _) in before.items() if state == "running"} == {2}


def test_what_another_machine_trains_is_left_to_it(ids: list[str], retrain: Nas, tmp_path: Path) -> None:
    assert retrain("--ids", ids[0])[0] == 0
    [row] = rows(tmp_path)
    with Store.at(tmp_path / "results.db") as store:
        trials, other = store.trials(store.study("small").id, "search"), ids[1]
        choices = next(trial.choices for trial in trials if trial.genotype_id == other)
        propose(
            store,
            store.study("small").id,
            **{"stage": "retrain", "genotype_id": other, "space": row.space, "choices": choices},
            **{"scale": 2, "cost": row.cost, "protocol_id": row.protocol_id, "owner": "elsewhere:7:0"},
        )
    status, said = retrain("--ids", other)
    assert status == 0 and f"{other} is trained by elsewhere:7:0 already, and left to it" in said
    assert [(row.genotype_id, row.state) for row in rows(tmp_path)] == [
        (ids[0], "finished"),
        (other, "running"),
    ]


def test_one_that_fails_is_a_row_with_its_reason_and_the_others_go_on(
    small_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = small_recipe(space={"name": "troubled"}, budget={})
    genotypes = [Troubled(trouble="error", luck=luck, width=4) for luck in (0, 1)]
    chosen = [_chosen(recipe, genotype.to_dict()) for genotype in genotypes]
    with Store.at(tmp_path / "results.db") as store:
        store.open_study("small", recipe=recipe.to_dict(), space_digest="s", code_version="0")
        retraining = RetrainingSession(recipe, store, tmp_path, "cpu")
        [done] = retraining.run(chosen)
        assert done.chosen == chosen[1]
        assert retraining.failed == {genotypes[0].id: "ValueError: this network never works"}
        RetrainingSession(recipe, store, tmp_path, "cpu").run(chosen)  # a failure is tried again
    assert [row.state for row in rows(tmp_path)] == ["failed", "finished", "failed"]


def test_each_result_is_measured_on_the_benchmark_sets_and_a_known_one_later(
    ids: list[str], retrain: Nas, tmp_path: Path
) -> None:
    sets = tmp_path / "sets"
    write_images(sets / "Set5", count=2, side=48)
    status, said = retrain("--ids", ids[0])
    assert status == 0 and said.count("Not measured on benchmark sets (no data folder: give --data-dir") == 1
    status, said = retrain("--ids", ids[0], "--no-evaluate")
    assert status == 0 and "benchmark" not in said
    status, said = retrain("--ids", ",".join(ids[:2]), "--data-dir", str(sets))
    assert status == 0 and said.count("  Set5      ") == 2 and said.count("known already") == 1
    with Store.at(tmp_path / "results.db") as store:
        frame = store.benchmarks()
        assert sorted(frame["genotype"]) == sorted(ids[:2])
        assert set(frame["stage"]) == {"retrain"} and set(frame["metric"]) == {"y_float"}
        assert retrain("--ids", ids[0], "--data-dir", str(sets))[1].count("  Set5      ") == 1
        assert store.benchmarks()["created_at"].tolist() == frame["created_at"].tolist()  # not once more
    write_images(sets / "Set14", count=1)
    (sets / "Set14" / "torn.png").write_bytes(b"torn")
    status, said = retrain("--ids", ids[2], "--data-dir", str(sets))
    assert status == 1 and "  not measured: " in said and "torn.png: is no image" in said
    assert rows(tmp_path)[-1].state == "finished"


def test_any_field_of_the_plan_can_be_set(ids: list[str], retrain: Nas, tmp_path: Path) -> None:
    words = ("--plan", "steady", "--set", "ema=0", "--set", "lr=1e-4", "--set", "steps=2", "--set", "batch=2")
    assert retrain("--ids", ids[0], *words, "--set", "lr_patch=12")[0] == 0
    with Store.at(tmp_path / "results.db") as store:
        protocol = store.protocol(str(rows(tmp_path)[0].protocol_id))
    assert protocol.plan_name == "steady"
    wanted = {"steps": 2, "lr": 1e-4, "ema": 0.0, "schedule": "constant"}
    assert {key: protocol.plan[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "lrr=1"), "unknown plan field 'lrr'; did you mean 'lr'?"),
        (("--set", "steps=fast"), "plan: steps = 'fast'; a whole number is needed"),
        (("--set", "lr"), "plan field 'lr': write NAME=VALUE, as lr=1e-4"),
        (("--set", "ema=2"), "plan: ema = 2.0; a number from 0 to 0.999999 is needed"),
        (("--steps", "4", "--set", "steps=4"), "--steps and --set steps: one of them"),
        (("--plan", "efrdn-ful"), "did you mean 'efrdn-full'?"),
        (("--best-under", "parms=3k"), "unknown cost 'parms'; did you mean 'params'?"),
        (
            ("--best-under", "params=3"),
            "no trained network of run 'small' is within params = 3; the cheapest",
        ),
        (
            ("--knee", "--top", "2"),
            "--top, --knee, --ids, --best-under, --init-from and --queued: one of them",
        ),
        (("--executor", "inline", "--workers", "2"), "workers = 2 needs executor = 'processes' or 'ray'"),
        (("--data-dir", "nowhere"), "data folder 'nowhere' (--data-dir) is no folder"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    searched: Path, retrain: Nas, words: tuple[str, ...], message: str
) -> None:
    status, said = retrain(*words)
    assert status == 2 and message in said
    assert said.startswith("nas: ") and said.count("\n") == 1


@pytest.fixture
def searched(small_recipe: Callable[..., Recipe], tmp_path: Path) -> Path:
    """A run `small` with a single result, that costs as little time as may be."""
    recipe = small_recipe(trials=1, sampler="random", proxy={"plan": "quick", "steps": 1, "batch": 1})
    with Store.at(tmp_path / "results.db") as store:
        search = SearchSession(recipe, store, tmp_path, "cpu", print_no)
        search.prepare()
        search.run()
    return tmp_path


def test_a_run_with_several_workers_is_retrained_inline_by_one(
    small_recipe: Callable[..., Recipe], searched: Path, retrain: Nas, tmp_path: Path
) -> None:
    run = {"trials": 1, "sampler": "random", "proxy": {"plan": "quick", "steps": 1, "batch": 1}}
    recipe = small_recipe(**run, executor="processes", workers=2)
    with Store.at(tmp_path / "results.db") as store:
        SearchSession(recipe, store, tmp_path, "cpu", print_no).prepare()
        assert store.study("small").recipe["workers"] == 2
    status, said = retrain("--executor", "inline", "--steps", "1", "--no-evaluate")
    assert status == 0, said


def test_the_knee_and_the_best_within_limits_are_trained(searched: Path, retrain: Nas) -> None:
    for words in (("--knee",), ("--best-under", "params=1M,multi_adds=1T")):
        status, said = retrain(*words)
        assert status == 0 and "over bicubic" in said
    assert "known already" in said and len(rows(searched)) == 1


def test_a_training_from_a_files_weights_is_another_result_than_one_from_random_weights(
    ids: list[str], retrain: Nas, tmp_path: Path
) -> None:
    assert retrain("--ids", ids[0], "--no-evaluate")[0] == 0
    [first] = rows(tmp_path)
    assert first.evaluation is not None and first.evaluation.checkpoint is not None
    weights = tmp_path / first.evaluation.checkpoint
    status, said = retrain("--init-from", str(weights), "--no-evaluate")
    assert status == 0 and f"; from the weights of {weights}" in said
    [_, second] = rows(tmp_path)
    assert second.genotype_id == ids[0] and second.evaluation is not None
    assert second.evaluation.psnr_db > first.evaluation.psnr_db, "12 steps are no better than 6"
    with Store.at(tmp_path / "results.db", read_only=True) as store:
        before, after = (
            store.protocol(row.evaluation.protocol_id) for row in (first, second) if row.evaluation
        )
    assert before.id != after.id and before.plan == after.plan
    digest = sha256_of(weights)
    assert after.plan_name == f"{before.plan_name}, from weights {digest[:12]}"
    assert "known already" in retrain("--init-from", str(weights), "--no-evaluate")[1]
    with (
        Store.at(tmp_path / "results.db", read_only=True) as store,
        pytest.raises(RunError, match=rf"started from weights \(SHA-256 {digest[:12]}"),
    ):
        find_result(store, "small", ids[0], protocol=after.id)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--init-from", "x.pth"), "a .safetensors file is needed; nas import-weights makes one of a .pth"),
        (("--init-from", "x.safetensors"), "no readable weights"),
        (("--init-from", "x.safetensors", "--knee"), "--init-from and --queued: one of them"),
        (("--init-from", "x.safetensors", "--controls", "imdn"), "--init-from and --controls: one of them"),
    ],
)
def test_weights_to_start_from_that_are_of_no_use_are_one_line(
    words: tuple[str, ...], reason: str, ids: list[str], retrain: Nas
) -> None:
    status, said = retrain(*words, "--no-evaluate")
    assert status == 2 and reason in said and len(said.strip().splitlines()) == 1


def test_weights_for_another_scale_or_space_are_refused(ids: list[str], retrain: Nas, tmp_path: Path) -> None:
    four, other = PUBLISHED["safmn"].genotype, PUBLISHED["spanv2"].genotype
    assert four is not None and other is not None
    save_described(tmp_path / "four.safetensors", four, 4, four.build(4))
    save_described(tmp_path / "other.safetensors", other, 2, other.build(2))
    status, said = retrain("--init-from", str(tmp_path / "four.safetensors"), "--no-evaluate")
    assert status == 2 and "its network is for x4, and run 'small' for x2" in said
    status, said = retrain("--init-from", str(tmp_path / "other.safetensors"), "--no-evaluate")
    assert status == 2 and "spanv2" in said and "of 'lightweight'" in said

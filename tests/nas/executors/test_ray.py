"""A real Ray cluster of two machines (on this one), of which one is killed."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import Forker
from misbehaving import Misbehaving, Slow, job_of, wait_for_workers

from leaderboard.store import Store
from nas.errors import (
    CandidateError,
    Interrupted,
    RecipeError,
    RunError,
    TimedOutError,
    WorkerLostError,
)
from nas.executors import Done, Pool
from nas.executors.pool import WORKER_BYTES
from nas.executors.ray import Ray, most_workers
from nas.recipes.recipe import Recipe
from nas.search.session import SearchSession
from nas.training import Job, Outcome, Progress, train
from nas.training.checkpoint import STATE, WEIGHTS, load_weights
from search_spaces import load_space, trusted

# Ray reads it when it is imported; without it a cluster listens on an address that others can reach.
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two machines of one CPU each."""
    from ray.cluster_utils import Cluster

    here: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    # A machine that is gone refuses at once, and counts as dead after four refusals instead of 15 seconds.
    quick = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
    head = {**here, "include_dashboard": False, "_system_config": quick}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.add_node(**here)
    made.wait_for_nodes()
    yield made
    ray.shutdown()
    made.shutdown()


Join = Callable[..., Ray]


@pytest.fixture
def join(cluster: Any) -> Iterator[Join]:
    """Makes executors on the cluster, and closes what a test leaves open."""
    made: list[Ray] = []

    def make(**settings: Any) -> Ray:
        made.append(Ray(Pool(threads=1, ray_address=cluster.address, **settings)))
        return made[-1]

    yield make
    for executor in made:
        executor.close(save=False)


def results_of(
    executor: Ray, jobs: list[Job], watch: Callable[[Any], None] = lambda seen: None
) -> list[Done]:
    for key, job in enumerate(jobs):
        executor.submit(key, job)
    done = [executor.next_result(watch) for _ in jobs]
    assert sorted(one.key for one in done) == list(range(len(jobs)))
    return sorted(done, key=lambda one: one.key)


def assert_equal(result: object, wanted: Outcome) -> None:
    assert isinstance(result, Outcome), result
    assert (result.psnr_db, result.ssim, result.curve) == (wanted.psnr_db, wanted.ssim, wanted.curve)


@pytest.mark.thorough
def test_jobs_give_the_numbers_of_one_process_and_failures_their_reasons(join: Join, images: Path) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    executor = join(workers=2, time_limit_seconds=20)
    names = wait_for_workers(executor, 2, images)
    assert signal.getsignal(signal.SIGTERM) is handler
    good = [replace(job_of(Slow(width=width), images), seed=width) for width in (4, 8)]
    bad = [job_of(Misbehaving(how=how), images) for how in ("unpicklable", "exit", "threads")]
    seen: list[tuple[int, Progress] | None] = []
    done = results_of(executor, [*good, *bad, job_of(Slow(milliseconds=50), images)], seen.append)
    executor.close(save=False)
    assert not ray.is_initialized()
    for one, job in zip(done, good, strict=False):
        assert_equal(one.result, train(job))
    assert [(type(one.result), str(one.result)) for one in done[2:5]] == [
        (CandidateError, "UnpicklableError: a reason"),
        (CandidateError, "SystemExit: no more"),
        (CandidateError, "RuntimeError: OMP 1, torch 1"),
    ]
    steps = [now[1].step for now in seen if now is not None and now[0] == 5]
    assert steps[0] == 1
    assert steps == sorted(steps)
    assert {one.worker for one in done} <= names


@pytest.mark.nightly
def test_a_hung_candidate_is_ended_and_a_deadly_one_fails_after_three_attempts(
    join: Join, images: Path
) -> None:
    executor = join(workers=2, time_limit_seconds=8)
    jobs = [job_of(Misbehaving(how="hang"), images), job_of(Misbehaving(how="kill"), images)]
    hung, deadly, good = results_of(executor, [*jobs, job_of(Slow(), images)])
    executor.close(save=False)
    assert isinstance(hung.result, TimedOutError)
    assert isinstance(deadly.result, WorkerLostError)
    assert str(deadly.result).startswith(f"the worker {deadly.worker} was lost (attempt 3 of 3): ")
    assert "\n" not in str(deadly.result)
    assert isinstance(good.result, Outcome)


def stopped_at(step: int, job: Job) -> Job:
    """``job`` after an attempt that was interrupted there."""

    def stop(progress: Progress) -> None:
        if progress.step == step:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        train(job, stop)
    return job


@pytest.mark.thorough
def test_stopped_jobs_save_their_state_and_end_as_if_they_had_not_been_stopped(
    cluster: Any, join: Join, images: Path, tmp_path: Path
) -> None:
    job = job_of(Slow(milliseconds=50), images, tmp_path / "cut", steps=20)
    executor = join()
    executor.submit(0, job)

    def watch(seen: tuple[int, Progress] | None) -> None:
        if seen is not None and seen[1].step > 1:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        executor.next_result(watch)
    assert executor.close(save=True) == []
    assert (tmp_path / "cut" / STATE).exists()
    whole = train(replace(job, genotype=Slow(), folder=tmp_path / "whole"))  # the same, without sleep
    assert_equal(train(job), whole)
    a, b = (load_weights(tmp_path / name / WEIGHTS)[0] for name in ("cut", "whole"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.thorough
def test_a_search_on_one_worker_makes_the_same_trials_as_inline(
    cluster: Any, small_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    ray.init(
        cluster.address, log_to_driver=False
    )  # an executor uses the cluster that is there, and leaves it

    def trials(executor: str) -> list[tuple[str, str, float | None]]:
        recipe = small_recipe(name=executor, executor=executor, trials=3)
        runs = tmp_path / executor
        runs.mkdir()
        with Store.at(runs / "results.db") as store:
            search = SearchSession(recipe, store, runs, "cpu", lambda event: None)
            search.prepare()
            search.run()
            made = store.trials(store.study(executor).id, "search")
        return [(t.genotype_id, t.state, t.evaluation and t.evaluation.psnr_db) for t in made]

    assert trials("ray") == trials("inline")
    assert ray.is_initialized()
    ray.shutdown()


MY_LAB = re.findall(
    r"```python\n(.*?)```",
    (Path(__file__).parents[3] / "docs" / "extending.md").read_text(encoding="utf-8"),
    flags=re.DOTALL,
)[0]
"""A block from one's own file."""


@pytest.mark.thorough
def test_a_block_from_a_file_of_the_current_folder_is_trained(
    join: Join, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_ray_lab.py").write_text(MY_LAB, encoding="utf-8")
    monkeypatch.setattr(trusted, "_trusted", {})
    monkeypatch.setattr(trusted, "_folders", {})
    with monkeypatch.context() as there:
        there.chdir(tmp_path)
        space = load_space("my_ray_lab", trust=True)
    assert str(tmp_path) not in sys.path
    genotypes = [space(width=width, blocks=1, block="twice", attention="esa") for width in (16, 18)]  # type: ignore[call-arg]
    executor = join(workers=2)
    jobs = [replace(job_of(genotype, images), seed=seed) for seed, genotype in enumerate(genotypes)]
    for done in results_of(executor, jobs):
        assert isinstance(done.result, Outcome), done.result
        assert_equal(done.result, train(jobs[done.key]))
    sys.modules.pop("my_ray_lab")


@pytest.mark.thorough
def test_what_a_killed_machine_trained_goes_on_elsewhere_from_its_last_state(
    cluster: Any, join: Join, images: Path, tmp_path: Path
) -> None:
    jobs = [
        replace(job_of(Slow(milliseconds=50), images, tmp_path / f"{seed}", steps=60), seed=seed)
        for seed in range(3)
    ]
    for job in jobs[:2]:
        stopped_at(4, job)
    executor = join(workers=2)
    wait_for_workers(executor, 2, images)
    steps: dict[int, list[int]] = defaultdict(list)
    machines = list(cluster.worker_nodes)

    def watch(seen: tuple[int, Progress] | None) -> None:
        if seen is not None:
            steps[seen[0]].append(seen[1].step)
        if machines and all(steps[key] and steps[key][-1] > 6 for key in (0, 1)):
            cluster.remove_node(machines.pop(), allow_graceful=False)

    done = results_of(executor, jobs, watch)
    executor.close(save=False)
    assert not machines
    again = [key for key in (0, 1) if steps[key] != sorted(steps[key])]
    assert len(again) == 1, steps
    assert min(steps[0] + steps[1]) == 5
    for one, job in zip(done, jobs, strict=True):
        assert_equal(one.result, train(replace(job, genotype=Slow(), folder=None)))  # the same, without sleep


@pytest.mark.thorough
def test_no_room_for_a_worker_is_said_at_once(join: Join) -> None:
    with pytest.raises(RunError, match=r"a worker needs 1 CPU and 1 GPU, which no machine .*1 CPU, 0 GPU"):
        join(gpus_per_worker=1)
    assert not ray.is_initialized()


GIBIBYTE = 2**30


@pytest.mark.parametrize(
    ("rooms", "gpus", "most", "reason"),
    [
        ([{"CPU": 1, "memory": 8 * GIBIBYTE}], 0, 4, "1 CPU"),
        ([{"CPU": 1}], 0, 4, "1 CPU"),
        ([{"CPU": 2, "memory": 64 * GIBIBYTE}, {"CPU": 16, "memory": 64 * GIBIBYTE}], 0, 72, "18 CPU"),
        ([{"CPU": 8, "memory": GIBIBYTE}, {"CPU": 8, "memory": GIBIBYTE / 2}], 0, 4, "1.5 GiB of memory, of"),
        ([{"CPU": 1, "memory": 1e6}], 0, 1, "0.00093 GiB of memory"),
        ([{"CPU": 32, "GPU": 4}, {"CPU": 32}], 1, 4, "4 GPU, of which each worker takes 1"),
        ([{"CPU": 32, "GPU": 4}], 0.5, 8, "4 GPU, of which each worker takes 0.5"),
        ([{"CPU": 32, "GPU": 1}], 0.1, 10, "1 GPU, of which each worker takes 0.1"),
        ([{"CPU": 32, "GPU": 4}], 0.4, 8, "4 GPU, of which each worker takes 0.4"),
        ([{"CPU": 32, "GPU": 3}, {"CPU": 32, "GPU": 3}], 2, 2, "6 GPU, of which each worker takes 2"),
    ],
)
def test_the_most_workers_of_a_cluster_are_those_that_its_machines_hold(
    rooms: list[dict[str, float]], gpus: float, most: int, reason: str
) -> None:
    count, words = most_workers(rooms, gpus)
    assert count == most
    assert words.startswith(reason)


@pytest.mark.thorough
def test_more_workers_than_the_cluster_has_room_for_are_refused(cluster: Any, join: Join) -> None:
    """Machines of one CPU each hold four workers each."""
    machines = 1 + len(cluster.worker_nodes)  # another test may have killed one
    with pytest.raises(RecipeError) as refused:
        join(workers=4 * machines + 1)
    assert str(refused.value) == (
        f"workers = {4 * machines + 1}: allowed are 1 to {4 * machines} on this Ray cluster, "
        f"whose machines have {machines} CPU"
    )
    assert not ray.is_initialized()
    join(workers=4 * machines)


@pytest.mark.thorough
def test_more_workers_than_gpus_or_memory_are_refused() -> None:
    """A cluster of one machine that is said to have two GPUs, and memory for three workers."""
    ray.init("local", num_cpus=4, num_gpus=2, _memory=3 * WORKER_BYTES, include_dashboard=False)
    three, gpus = "workers = 3: allowed are 1 to 2 on", "have 2 GPU, of which each worker takes 1$"
    four, memory = "workers = 4: allowed are 1 to 3 on", r"have 0\.88 GiB of memory, of which each"
    try:
        with pytest.raises(RecipeError, match=rf"{three} .* {gpus}"):
            Ray(Pool(workers=3, threads=1, gpus_per_worker=1))
        with pytest.raises(RecipeError, match=rf"{four} .* {memory}"):
            Ray(Pool(workers=4, threads=1))
        assert ray.available_resources()["CPU"] == 4  # no worker was started
    finally:
        ray.shutdown()


def test_no_cluster_at_the_address_is_said_in_one_line() -> None:
    with pytest.raises(RunError, match=r"no Ray cluster at '127\.0\.0\.1:1': ") as caught:
        Ray(Pool(ray_address="127.0.0.1:1"))
    assert "\n" not in str(caught.value)


def test_without_ray_one_line_says_what_to_install(forker: Forker) -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from nas.executors import EXECUTORS, Pool\n"
        "from nas.errors import RunError\n"
        "EXECUTORS['processes'](Pool()).close(save=False)\n"
        "try: EXECUTORS['ray'](Pool())\n"
        "except RunError as error: print(error)\n"
    )
    said, errors = forker.python(code).communicate(timeout=120)
    assert errors == ""
    assert said == "executor 'ray' needs Ray: pip install 'paretosr[ray]'\n"

"""What all executors have in common, and the one that trains in this process."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from misbehaving import Misbehaving, Slow, instantly, job_of, many

from nas.core.device import cpu_threads, usable_cores
from nas.errors import CandidateError, DiskError, Interrupted, OutOfMemoryError, RecipeError, TimedOutError
from nas.executors import EXECUTORS, Done, Executor, Pool, pool
from nas.executors.inline import Inline
from nas.executors.pool import WORKER_BYTES, places, worker_name
from nas.executors.processes import Processes
from nas.training import Job, Outcome, Progress, train
from nas.training.checkpoint import STATE


def results_of(executor: Executor, jobs: list[Job]) -> list[Done]:
    """All jobs' results, in the order of their keys; the executor is closed."""
    try:
        for key, job in enumerate(jobs):
            executor.submit(key, job)
        done = [executor.next_result(lambda seen: None) for _ in jobs]
    finally:
        assert executor.close(save=False) == []
    assert sorted(one.key for one in done) == list(range(len(jobs)))
    return sorted(done, key=lambda one: one.key)


def numbers(outcome: object) -> tuple[float, float, list[tuple[int, float]]]:
    assert isinstance(outcome, Outcome), outcome
    return outcome.psnr_db, outcome.ssim, outcome.curve


@pytest.mark.parametrize(
    ("name", "workers"),
    [
        ("inline", 1),
        *(pytest.param("processes", workers, marks=pytest.mark.thorough) for workers in (1, 2)),
    ],
)
def test_the_same_jobs_give_the_same_numbers_everywhere(images: Path, name: str, workers: int) -> None:
    jobs = [
        replace(job, seed=seed) for seed, job in enumerate([job_of(Slow(width=w), images) for w in (4, 8, 4)])
    ]
    done = results_of(EXECUTORS[name](Pool(workers=workers, threads=1)), jobs)
    assert [numbers(one.result) for one in done] == [numbers(train(job)) for job in jobs]
    assert len({one.worker for one in done}) <= workers


def test_the_executors_are_the_ones_that_are_tested() -> None:
    assert set(EXECUTORS) == {"inline", "processes", "ray"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"workers": 0}, "workers = 0: allowed are 1 and more"),
        ({"threads": -1}, "threads = -1: allowed are 0 and more"),
        ({"ahead": -1}, "ahead = -1: allowed are 0 and more"),
        ({"time_limit_seconds": 0}, "time_limit_seconds = 0: allowed is more than 0"),
        ({"memory_share": 1.5}, "memory_share = 1.5: allowed is more than 0 and at most 1"),
        (
            {"gpus_per_worker": 1.5},
            "gpus_per_worker = 1.5: allowed are a fraction up to 1, or a whole number",
        ),
    ],
)
def test_a_pool_refuses_what_it_cannot_be(settings: dict[str, float], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Pool(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("workers", "ahead", "capacity"), [(1, None, 1), (2, None, 3), (8, None, 12), (8, 0, 8), (1, 2, 3)]
)
def test_some_jobs_wait_ready_unless_there_is_one_worker(
    workers: int, ahead: int | None, capacity: int
) -> None:
    assert Pool(workers=workers, ahead=ahead).capacity == capacity


def test_places_share_out_the_threads_and_leave_jobs_their_device(images: Path) -> None:
    job = job_of(Slow(), images)
    first, second = places(Pool(workers=2))
    assert first == second
    assert first.put(job) == replace(job, threads=cpu_threads(2))
    assert [place.device for place in places(Pool(workers=2, devices=("cpu",)))] == ["cpu", "cpu"]
    assert [place.threads for place in places(Pool(workers=2, threads=7))] == [7, 7]


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"device 'cuda:99': this machine has \d+ CUDA device"):
        places(Pool(devices=("cuda:99",)))
    with pytest.raises(RecipeError, match="device 'gpu' is not known"):
        places(Pool(devices=("gpu",)))


@pytest.mark.gpu
def test_gpus_are_dealt_out_in_turn_with_a_share_of_their_memory() -> None:
    count = torch.cuda.device_count()
    dealt = places(Pool(workers=2 * count, devices=("cuda",)))
    assert [place.device for place in dealt] == [f"cuda:{index}" for index in range(count)] * 2
    assert {place.memory_share for place in dealt} == {0.95 / 2}
    assert places(Pool(devices=("cuda:0",)))[0].memory_share is None
    with pytest.raises(RecipeError, match=r"memory_share = 0.6: 2 workers share one GPU, so at most 0.5"):
        places(Pool(workers=2, devices=("cuda:0",), memory_share=0.6))


@pytest.mark.gpu
def test_workers_that_share_a_gpu_train_there_and_one_that_wants_too_much_fails_alone(images: Path) -> None:
    jobs = [job_of(Misbehaving(how="gpu"), images), *many(job_of(Slow(), images), 4)]
    greedy, *modest = results_of(Processes(Pool(workers=2, devices=("cuda:0",), memory_share=0.2)), jobs)
    assert isinstance(greedy.result, OutOfMemoryError)
    assert all(isinstance(one.result, Outcome) and not one.result.device.startswith("cpu") for one in modest)


@pytest.mark.gpu
def test_candidates_that_share_a_gpu_reach_what_each_reaches_alone(images: Path) -> None:
    """But for the order in which a GPU adds up, which is not the same twice."""
    jobs = [replace(job_of(Slow(width=8), images), seed=seed, device="cuda:0") for seed in range(4)]
    alone = [train(job) for job in jobs]
    together = results_of(Processes(Pool(workers=4, devices=("cuda:0",))), jobs)
    for one, done in zip(alone, together, strict=True):
        assert isinstance(done.result, Outcome) and done.result.engine == one.engine
        assert done.result.psnr_db == pytest.approx(one.psnr_db, abs=0.05)
    assert len({done.worker for done in together}) > 1


def test_inline_is_one_worker() -> None:
    with pytest.raises(RecipeError, match="workers = 2: inline is one worker; processes and ray take more"):
        Inline(Pool(workers=2))


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("unpicklable", CandidateError, "UnpicklableError: a reason"),
        ("exit", CandidateError, "SystemExit: no more"),
        ("disk", DiskError, r"OSError: \[Errno 28\] No space left on device: 'state.pt'"),
        ("tensors", OutOfMemoryError, ".*can't allocate memory"),
        ("bytes", OutOfMemoryError, "MemoryError"),
    ],
)
def test_a_failure_inline_is_a_result_in_the_words_that_processes_use(
    images: Path, how: str, kind: type[Exception], message: str
) -> None:
    bad, good = results_of(Inline(Pool()), [job_of(Misbehaving(how=how), images), job_of(Slow(), images)])
    assert type(bad.result) is kind
    assert re.match(message, str(bad.result)), bad.result
    assert "\n" not in str(bad.result)
    assert isinstance(good.result, Outcome)
    assert bad.worker == good.worker == worker_name()


def test_inline_reports_every_step_and_saves_where_the_watch_interrupts(images: Path, tmp_path: Path) -> None:
    executor = Inline(Pool())
    executor.submit(7, job_of(Slow(), images, tmp_path))
    seen: list[tuple[int, Progress]] = []

    def watch(now: tuple[int, Progress] | None) -> None:
        assert now is not None
        seen.append(now)
        if now[1].step == 5:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        executor.next_result(watch)
    assert [(key, progress.step) for key, progress in seen] == [(7, step) for step in range(1, 6)]
    assert (tmp_path / STATE).exists()
    assert executor.close(save=True) == []


def test_a_mistake_of_whoever_watches_is_not_the_candidates(images: Path) -> None:
    executor = Inline(Pool())
    executor.submit(0, job_of(Slow(), images))

    def watch(now: tuple[int, Progress] | None) -> None:
        raise RuntimeError("the page is full")

    with pytest.raises(RuntimeError, match="the page is full"):
        executor.next_result(watch)


def test_inline_notices_the_time_limit_between_two_steps(images: Path) -> None:
    (done,) = results_of(Inline(Pool(time_limit_seconds=0.3)), [job_of(Slow(milliseconds=200), images)])
    assert isinstance(done.result, TimedOutError)
    assert str(done.result) == "over the time limit of 0.3 s at step 2 of 8"


def test_another_work_than_training_can_be_put_in(images: Path, tmp_path: Path) -> None:
    done = results_of(Inline(Pool(), instantly), many(job_of(Slow(), images, tmp_path), 3))
    assert [one.result.psnr_db for one in done if isinstance(one.result, Outcome)] == [0.0, 1.0, 2.0]


def test_more_workers_than_the_cores_allow_are_refused() -> None:
    most = max(4, 4 * usable_cores())
    for workers in (most + 1, 100_000):
        with pytest.raises(
            RecipeError, match=rf"workers = {workers}: allowed are 1 to {most} on the"
        ) as told:
            places(Pool(workers=workers))
        assert "\n" not in str(told.value)


def test_more_workers_than_the_memory_allows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "free_memory", lambda: 2 * WORKER_BYTES + 1)
    assert len(places(Pool(workers=2))) == 2
    with pytest.raises(RecipeError, match=r"workers = 3: each needs 0.29 GiB .* allowed are 1 to 2"):
        places(Pool(workers=3))
    monkeypatch.setattr(pool, "free_memory", lambda: 0)
    assert len(places(Pool(workers=1))) == 1, "one worker takes what is there"

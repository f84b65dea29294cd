"""Processes that crash, hang, are stopped or lose their parent."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from misbehaving import (
    Misbehaving,
    Slow,
    break_the_gpu,
    instantly,
    job_of,
    many,
    only_at_home,
    wait_for_workers,
)

from nas.errors import (
    CandidateError,
    DiskError,
    Interrupted,
    OutOfMemoryError,
    RunError,
    TimedOutError,
    TrainingError,
    WorkerLostError,
)
from nas.executors import Done, Pool
from nas.executors.processes import Processes
from nas.training import Outcome, Progress, train
from nas.training.checkpoint import STATE, WEIGHTS, load_weights
from search_spaces import Genotype, choice

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def pair() -> Iterator[Processes]:
    """Two workers for tests that leave none of their jobs behind."""
    executor = Processes(Pool(workers=2, threads=1))
    yield executor
    executor.close(save=False)


def ignore(seen: tuple[int, Progress] | None) -> None:
    """Watch nothing."""


def pid_of(done: Done) -> int:
    return int(done.worker.split(":")[1])


def lives(pid: int) -> bool:
    """Whether a process runs; one that waits for its parent to take note of its end does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)


FAILURES: dict[str, tuple[type[Exception], str]] = {
    "kill": (WorkerLostError, r"lost: it was ended by signal 9 \(SIGKILL\); .* too much memory"),
    "crash": (WorkerLostError, r"lost: it was ended by signal 11 \(SIGSEGV\)$"),
    "vanish": (WorkerLostError, "lost: it ended with exit status 3$"),
    "exit": (CandidateError, "^SystemExit: no more$"),
    "unpicklable": (CandidateError, "^UnpicklableError: a reason$"),
    "ours": (TrainingError, "^ours$"),
    "disk": (DiskError, r"^OSError: \[Errno 28\] No space left on device: 'state.pt'$"),
    "tensors": (OutOfMemoryError, "can't allocate memory.*at half the batch as well"),
    "bytes": (OutOfMemoryError, "^MemoryError .at half the batch as well.$"),
    "threads": (CandidateError, "^RuntimeError: OMP 1, torch 1$"),
    "stop": (CandidateError, "^it stopped without a request to stop$"),
}


def test_every_failure_is_one_result_with_its_reason_and_the_others_go_on(
    pair: Processes, images: Path
) -> None:
    good = job_of(Slow(), images)
    wanted = train(good)
    for index, how in enumerate(FAILURES):
        pair.submit(2 * index, job_of(Misbehaving(how=how), images))
        pair.submit(2 * index + 1, good)
    done = {one.key: one.result for one in (pair.next_result(ignore) for _ in range(2 * len(FAILURES)))}
    for index, (kind, message) in enumerate(FAILURES.values()):
        bad, well = done[2 * index], done[2 * index + 1]
        assert isinstance(well, Outcome)
        assert (well.psnr_db, well.curve) == (wanted.psnr_db, wanted.curve)
        assert type(bad) is kind
        assert re.search(message, str(bad)), bad
    assert "in _raise_unpicklable" in done[2 * list(FAILURES).index("unpicklable")].__notes__[0]


@dataclass(frozen=True, kw_only=True)
class Here(Genotype):
    """A genotype that no worker can import: this module is none to them."""

    width: int = choice(1)


def test_a_job_that_cannot_travel_fails_and_says_so(pair: Processes, images: Path) -> None:
    class Local(Here):
        pass

    pair.submit(0, job_of(Local(), images))
    done = pair.next_result(ignore)
    assert isinstance(done.result, CandidateError)
    assert str(done.result).startswith("Local cannot be sent to a worker: ")


@pytest.mark.thorough
def test_progress_of_every_worker_arrives_under_its_jobs_key(pair: Processes, images: Path) -> None:
    for key in (3, 5):
        pair.submit(key, job_of(Slow(milliseconds=50), images, steps=20))
    seen: list[tuple[int, Progress] | None] = []
    keys = {pair.next_result(seen.append).key for _ in range(2)}
    assert keys == {3, 5}
    for key in keys:
        steps = [now[1].step for now in seen if now is not None and now[0] == key]
        assert len(steps) >= 3
        assert steps == sorted(steps)
        assert steps[0] == 1


@pytest.mark.thorough
def test_workers_are_deaf_to_signals_that_mean_their_parent(pair: Processes, images: Path) -> None:
    names = wait_for_workers(pair, 2, images)
    for job in many(job_of(Slow(milliseconds=50), images), 2):
        pair.submit(job.seed, job)
    for name in names:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(int(name.split(":")[1]), number)
    done = [pair.next_result(ignore) for _ in range(2)]
    assert all(isinstance(one.result, Outcome) for one in done)
    assert {one.worker for one in done} <= names


@pytest.mark.thorough
def test_a_worker_that_is_killed_while_it_has_no_job_is_replaced(pair: Processes, images: Path) -> None:
    pids = [int(name.split(":")[1]) for name in wait_for_workers(pair, 2, images)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(lives(pid) for pid in pids))
    for job in many(job_of(Slow(), images), 2):
        pair.submit(job.seed, job)
    done = [pair.next_result(ignore) for _ in range(2)]
    assert [one.result for one in done if not isinstance(one.result, Outcome)] == []
    assert not {pid_of(one) for one in done} & set(pids)


@pytest.mark.thorough
def test_a_job_sent_to_a_worker_that_dies_before_it_receives_it_is_done_by_another(
    pair: Processes, images: Path
) -> None:
    pids = [int(name.split(":")[1]) for name in wait_for_workers(pair, 2, images)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for job in many(job_of(Slow(), images), 2):
        pair.submit(job.seed, job)
    time.sleep(0.5)  # the jobs are in the pipes of workers that do not read
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    done = [pair.next_result(ignore) for _ in range(2)]
    assert [one.result for one in done if not isinstance(one.result, Outcome)] == []
    assert not {pid_of(one) for one in done} & set(pids)


@pytest.mark.thorough
def test_a_hung_candidate_is_ended_and_a_slow_one_stops_by_itself(images: Path) -> None:
    executor = Processes(Pool(workers=2, threads=1, time_limit_seconds=4))
    executor.submit(0, job_of(Misbehaving(how="hang"), images))
    executor.submit(1, job_of(Slow(milliseconds=200), images, steps=1000))
    executor.submit(2, job_of(Slow(), images))
    done = {one.key: one for one in (executor.next_result(ignore) for _ in range(3))}
    assert executor.close(save=False) == []
    hung, slow, good = (done[key].result for key in range(3))
    assert isinstance(hung, TimedOutError)
    assert str(hung) == "over the time limit of 4 s and did not stop; its worker was ended"
    assert isinstance(slow, TimedOutError)
    assert str(slow).startswith("over the time limit of 4 s at step ")
    assert isinstance(good, Outcome)
    assert not lives(pid_of(done[0]))


@pytest.mark.thorough
def test_stopped_jobs_save_their_state_and_end_as_if_they_had_not_been_stopped(
    images: Path, tmp_path: Path
) -> None:
    jobs = [
        replace(job_of(Slow(milliseconds=50), images, tmp_path / f"{seed}", steps=20), seed=seed)
        for seed in (0, 1)
    ]
    executor = Processes(Pool(workers=2, threads=1))
    wait_for_workers(executor, 2, images)
    for job in jobs:
        executor.submit(job.seed, job)
    running: set[int] = set()

    def watch(seen: tuple[int, Progress] | None) -> None:
        if seen is not None and seen[1].step > 1:
            running.add(seen[0])
        if len(running) == 2:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        executor.next_result(watch)
    assert executor.close(save=True) == []
    assert all((tmp_path / f"{job.seed}" / STATE).exists() for job in jobs)
    with_pauses = Processes(Pool(workers=2, threads=1))
    for job in jobs:
        with_pauses.submit(job.seed, job)
    first: dict[int, int] = {}

    def note(seen: tuple[int, Progress] | None) -> None:
        if seen is not None:
            first.setdefault(seen[0], seen[1].step)

    done = {one.key: one.result for one in (with_pauses.next_result(note) for _ in jobs)}
    with_pauses.close(save=False)
    assert all(step > 1 for step in first.values())
    for job in jobs:
        # The same network without its sleep.
        whole = train(replace(job, genotype=Slow(), folder=tmp_path / f"whole{job.seed}"))
        result = done[job.seed]
        assert isinstance(result, Outcome)
        assert (result.psnr_db, result.curve) == (whole.psnr_db, whole.curve)
        a, b = (
            load_weights(folder / WEIGHTS)[0] for folder in (tmp_path / f"{job.seed}", whole.weights.parent)
        )
        assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.thorough
def test_a_worker_that_dies_while_others_save_does_not_keep_them_from_it(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = tmp_path / "die"
    monkeypatch.setenv("MISBEHAVING_SIGN", str(sign))
    executor = Processes(Pool(workers=2, threads=1))
    executor.submit(0, job_of(Misbehaving(how="sign"), images))
    executor.submit(1, job_of(Slow(milliseconds=3000), images, tmp_path / "job"))

    def watch(seen: tuple[int, Progress] | None) -> None:
        if seen is not None and seen[0] == 1 and sign.with_suffix(".waiting").exists():
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        executor.next_result(watch)
    threading.Timer(0.5, sign.touch).start()  # long before the other has ended its step
    assert executor.close(save=True) == []
    assert (tmp_path / "job" / STATE).exists()


@pytest.mark.thorough
def test_a_job_that_does_not_stop_within_the_grace_is_ended(images: Path) -> None:
    executor = Processes(Pool(threads=1, grace_seconds=0.5))
    executor.submit(0, job_of(Slow(), images))
    pid = pid_of(executor.next_result(ignore))
    executor.submit(1, job_of(Misbehaving(how="hang"), images))
    time.sleep(0.5)
    assert executor.close(save=True) == []
    assert not lives(pid)


@pytest.mark.thorough
def test_close_gives_back_what_ended_and_nobody_took(images: Path, tmp_path: Path) -> None:
    executor = Processes(Pool(threads=1, ahead=1), instantly)
    for job in many(job_of(Slow(), images, tmp_path), 3):
        executor.submit(job.seed, job)
    # The second and the third were handed over while nobody asked for the first.
    wait_until(lambda: (tmp_path / "2").exists())
    assert executor.next_result(ignore).key == 0
    assert [one.key for one in executor.close(save=True)] == [1, 2]
    assert executor.close(save=True) == []


@pytest.mark.thorough
def test_a_worker_whose_gpu_answers_no_more_is_replaced(images: Path) -> None:
    executor = Processes(Pool(threads=1), break_the_gpu)
    for job in many(job_of(Slow(), images), 3):
        executor.submit(job.seed, job)
    first, broken, after = (executor.next_result(ignore) for _ in range(3))
    executor.close(save=False)
    assert str(broken.result) == "RuntimeError: CUDA error: device-side assert triggered"
    assert first.worker == broken.worker != after.worker
    assert isinstance(after.result, Outcome)


@pytest.mark.thorough
def test_workers_that_cannot_start_end_the_search_with_one_line(
    images: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    executor = Processes(Pool(threads=1), only_at_home)
    executor.submit(0, job_of(Slow(), images))
    for _ in range(2):
        with pytest.raises(RunError, match=r"no worker could be started in 3 attempts; .* exit status 1"):
            executor.next_result(ignore)
    executor.submit(1, job_of(Slow(), images))
    executor.close(save=True)
    assert "not here" in capfd.readouterr().err


@pytest.mark.thorough
def test_threads_are_divided_before_torch_is_there_and_the_parents_are_left_alone(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    executor = Processes(Pool(threads=3))
    executor.submit(0, job_of(Misbehaving(how="threads"), images))
    done = executor.next_result(ignore)
    executor.close(save=False)
    assert str(done.result) == "RuntimeError: OMP 3, torch 3"
    assert "OMP_NUM_THREADS" not in os.environ


PARENT = """
import os, signal, sys, time
from pathlib import Path
from misbehaving import Misbehaving, Slow, job_of
from nas.executors import Pool
from nas.executors.processes import Processes

if __name__ == "__main__":
    images, how = Path(sys.argv[1]), sys.argv[2]
    asked = []
    signal.signal(signal.SIGINT, lambda *_: asked.append(1))
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    executor = Processes(Pool(workers=2, threads=1))
    if how == "starting":  # the whole group is told while workers start
        for number in (signal.SIGINT, signal.SIGTERM) * 20:
            os.killpg(0, number)
            time.sleep(0.05)
    for key in range(2):
        executor.submit(key, job_of(Slow(milliseconds=50), images))
    pids = [executor.next_result(lambda seen: None).worker.split(":")[1] for _ in range(2)]
    print(*pids, len(asked), flush=True)
    if how == "hanging":
        executor.submit(2, job_of(Misbehaving(how="hang"), images))
        time.sleep(600)
    if how == "raising":
        raise RuntimeError("and no close")
"""


def start(script: Path, images: Path, how: str) -> subprocess.Popen[str]:
    script.write_text(PARENT)
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "importable")])
    return subprocess.Popen(
        [sys.executable, str(script), str(images), how],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.thorough
def test_no_worker_outlives_a_parent_that_was_killed(images: Path, tmp_path: Path) -> None:
    with start(tmp_path / "parent.py", images, "hanging") as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()[:2]]
        time.sleep(0.5)
        assert all(lives(pid) for pid in pids)
        parent.kill()
        wait_until(lambda: not any(lives(pid) for pid in pids), seconds=20)


@pytest.mark.thorough
def test_signals_to_the_whole_group_do_not_harm_workers_that_are_starting(
    images: Path, tmp_path: Path
) -> None:
    with start(tmp_path / "parent.py", images, "starting") as parent:
        out, err = parent.communicate(timeout=120)
    assert parent.returncode == 0, err
    assert int(out.split()[2]) >= 2
    assert "Traceback" not in err


@pytest.mark.thorough
def test_a_program_that_forgets_to_close_ends_all_the_same(images: Path, tmp_path: Path) -> None:
    with start(tmp_path / "parent.py", images, "raising") as parent:
        out, err = parent.communicate(timeout=120)
    assert parent.returncode == 1
    assert "and no close" in err
    wait_until(lambda: not any(lives(int(pid)) for pid in out.split()[:2]), seconds=20)


@pytest.mark.nightly
def test_however_often_workers_are_killed_every_job_has_exactly_one_result(images: Path) -> None:
    dice = random.Random(0)  # noqa: S311
    executor = Processes(Pool(workers=3, threads=1))
    keys: list[int] = []
    lost = submitted = kills = 0
    while len(keys) < 400:
        while submitted < min(400, len(keys) + executor.capacity):
            executor.submit(submitted, job_of(Slow(), images))
            submitted += 1
        done = executor.next_result(ignore)
        keys.append(done.key)
        lost += isinstance(done.result, WorkerLostError)
        assert isinstance(done.result, Outcome | WorkerLostError), done
        if kills < 20 and dice.random() < 0.1:
            with contextlib.suppress(ProcessLookupError):  # it may have been killed before
                os.kill(pid_of(done), signal.SIGKILL)
            kills += 1
    assert executor.close(save=False) == []
    assert sorted(keys) == list(range(400))
    assert 0 < lost <= kills == 20

"""Executor on a Ray cluster: Ray places the workers, and jobs of lost machines are started again.

Ray is an extra (``pip install 'paretosr[ray]'``), imported by the constructor. Workers are actors and not
tasks: a running task cannot be asked to save its state or to report progress.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from nas.errors import CandidateError, NasError, RecipeError, RunError
from nas.executors.pool import (
    LEAST_WORKERS,
    SHARED_OUT,
    WORKER_BYTES,
    WORKERS_PER_CORE,
    Done,
    Place,
    Pool,
    Work,
    worker_name,
)
from nas.executors.supervisor import Supervisor, WorkerHandle
from nas.executors.worker import Ended, Lost, Message, ProgressReport, Ready, Reporter, Stopped, do_job
from nas.training import Progress, train
from search_spaces import trusted_spaces

GLANCE_SECONDS = 0.1
"""Longest delay in seconds of a submitted job: ``ray.wait`` cannot be interrupted."""

CONNECT_SECONDS = 5.0
"""Seconds in which a cluster's address must answer."""

POLL_SECONDS = 10.0
"""Seconds after which a worker answers a request for progress with None."""


class Ray(Supervisor):
    """A Ray actor for each worker, with its CPU threads and its part of a GPU set aside by Ray.

    A worker that is lost, with its machine or alone, is replaced, and its job begins again wherever there is
    room: from its last saved state where the job's folder is on a file system that all machines share. After
    three attempts the job has failed. A cluster that this process is connected to already is used and left
    running. Raises RunError where Ray is not installed, cannot be reached, or has no room for a worker, and
    RecipeError for more workers than the machines that it has now have room for.
    """

    attempts = 3

    def __init__(self, pool: Pool, work: Work = train) -> None:
        if pool.ray_address is None:
            # Read when Ray is imported: a cluster for this machine alone listens to this machine alone.
            os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        self._ray = _import_ray()
        self._owner = not self._ray.is_initialized()
        if self._owner:
            _connect(self._ray, pool.ray_address)
        gpus = pool.gpus_each
        self._needs = {"CPU": float(pool.threads_each), "GPU": gpus}
        try:
            self._require_room(pool)
        except NasError:
            self._disconnect()
            raise
        share = pool.memory_share or (SHARED_OUT * gpus if 0 < gpus < 1 else None)
        # Ray shows a worker no other GPU than its own, which is therefore always the first.
        place = Place(
            device="cuda:0" if gpus else None,
            threads=pool.threads_each,
            memory_share=share,
            spaces=trusted_spaces(),
        )
        super().__init__(pool, [place] * pool.workers, work)

    def close(self, save: bool) -> list[Done]:
        """Stop every worker, and Ray itself where it was started or joined here."""
        left = super().close(save)
        self._disconnect()
        return left

    def _disconnect(self) -> None:
        if self._owner:
            self._owner = False
            self._ray.shutdown()

    def _require_room(self, pool: Pool) -> None:
        rooms = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(all(room.get(kind, 0) >= need for kind, need in self._needs.items()) for room in rooms):
            need = " and ".join(f"{need:g} {kind}" for kind, need in self._needs.items() if need)
            there = "; ".join(f"{room.get('CPU', 0):g} CPU, {room.get('GPU', 0):g} GPU" for room in rooms)
            raise RunError(f"a worker needs {need}, which no machine of the Ray cluster has (there: {there})")
        most, reason = most_workers(rooms, self._needs["GPU"])
        if pool.workers > most:
            raise RecipeError(
                f"workers = {pool.workers}: allowed are 1 to {most} on this Ray cluster, "
                f"whose machines have {reason}"
            )

    def _start_worker(self, place: Place) -> WorkerHandle:
        options = {"num_cpus": self._needs["CPU"], "num_gpus": self._needs["GPU"], "max_restarts": 0}
        actor_class = self._ray.remote(concurrency_groups={"talk": 2}, **options)(RemoteWorker)
        made = actor_class.remote(sys.path, pickle.dumps(self.work), place, self.pool.time_limit_seconds)
        return _Actor(self._ray, made)

    def _receive(self, workers: list[WorkerHandle], seconds: float) -> list[tuple[WorkerHandle, Message]]:
        actors = [worker for worker in workers if isinstance(worker, _Actor)]
        pending = [ref for actor in actors for ref in actor.pending]
        if not pending:
            time.sleep(min(seconds, GLANCE_SECONDS))
            return []
        try:
            self._ray.wait(pending, timeout=min(seconds, GLANCE_SECONDS))
            ready, _ = self._ray.wait(pending, num_returns=len(pending), timeout=0)
        except SystemExit:  # what Ray does to a thread that waits while the connection ends
            raise RunError("the connection to the Ray cluster has ended") from None
        arrived = set(ready)
        return [(actor, message) for actor in actors for message in actor.messages(arrived)]

    def _wake(self) -> None:
        """Do nothing: :meth:`_receive` returns within GLANCE_SECONDS."""


def most_workers(rooms: Sequence[Mapping[str, float]], gpus_each: float) -> tuple[int, str]:
    """The most workers that a cluster has room for, and what there is too little of for more.

    Args:
        rooms: For each machine ``CPU``, ``GPU`` and ``memory`` (bytes), as Ray names them. CPUs and GPUs that
            are not named are 0, memory is without a bound.
        gpus_each: GPUs of one worker; those of one worker are in one machine, a fraction is of one GPU.
    """
    cpus, gpus = (sum(room.get(kind, 0) for room in rooms) for kind in ("CPU", "GPU"))
    limits = [(max(LEAST_WORKERS, int(WORKERS_PER_CORE * cpus)), f"{cpus:g} CPU")]
    if gpus_each > 0:
        on_gpus = sum(_workers_on(room.get("GPU", 0), gpus_each) for room in rooms)
        limits.append((on_gpus, f"{gpus:g} GPU, of which each worker takes {gpus_each:g}"))
    if all("memory" in room for room in rooms):
        memory = sum(room["memory"] for room in rooms)
        in_memory = sum(int(room["memory"] // WORKER_BYTES) for room in rooms)
        words = f"{memory / 2**30:.2g} GiB of memory, of which each worker takes {WORKER_BYTES / 2**30:.2g}"
        limits.append((max(1, in_memory), words))
    return min(limits)


def _workers_on(gpus: float, each: float) -> int:
    """Workers that share the GPUs of one machine."""
    small = 1e-9  # 1 / 0.1 is no less than 10
    return int(gpus) * int(1 / each + small) if each < 1 else int(gpus // each)


class RemoteWorker:
    """The worker inside an actor: one job at a time, and calls that are answered while it runs."""

    def __init__(self, paths: list[str], work: bytes, place: Place, limit: float | None) -> None:
        # Ray passes on the current folder alone; a space of one's own may lie anywhere on the parent's path.
        sys.path += [path for path in paths if path not in sys.path]
        self._place, self._limit = place, limit
        self._work: Work = pickle.loads(work)  # noqa: S301  (from our own parent)
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._told: tuple[int, Progress] | None = None
        place.settle()

    def name(self) -> str:
        """host:pid."""
        return worker_name()

    def do(self, turn: int, payload: bytes) -> Ended | Stopped:
        """Do a pickled job, the worker's ``turn``-th."""

        def tell(progress: Progress) -> None:
            with self._news:
                self._told = (turn, progress)
                self._news.notify()

        return do_job(payload, self._place, self._work, Reporter(tell, self._limit, self._stop.is_set))

    def progress(self) -> tuple[int, Progress] | None:
        """The next thing to tell, with its job's turn; None after a while without."""
        with self._news:
            self._news.wait_for(lambda: self._told is not None, timeout=POLL_SECONDS)
            told, self._told = self._told, None
            return told

    def stop(self) -> None:
        """Let the running job stop at its next report."""
        self._stop.set()


class _Actor:
    """One actor and its calls that are not answered yet."""

    def __init__(self, ray: Any, handle: Any) -> None:
        self._ray, self._handle = ray, handle
        self._turn = 0
        self._name = handle.name.remote()
        self._job: Any = None
        self._progress: Any = None

    @property
    def pending(self) -> list[Any]:
        return [ref for ref in (self._name, self._job, self._progress) if ref is not None]

    def send(self, payload: bytes) -> bool:
        self._turn += 1
        self._job = self._handle.do.remote(self._turn, payload)
        if self._progress is None:
            self._ask()
        return True

    def _ask(self) -> None:
        self._progress = self._handle.progress.options(concurrency_group="talk").remote()

    def ask_to_stop(self) -> None:
        self._handle.stop.options(concurrency_group="talk").remote()

    def end(self) -> None:
        with contextlib.suppress(Exception):  # it may be gone, and so may Ray
            self._ray.kill(self._handle, no_restart=True)

    def messages(self, arrived: set[Any]) -> list[Message]:
        """Messages in the answers among ``arrived``."""
        messages: list[Message] = []
        try:
            if self._progress in arrived:
                told, self._progress = self._ray.get(self._progress), None
                if told is not None and told[0] == self._turn and self._job is not None:
                    messages.append(ProgressReport(told[1]))
                self._ask()
            if self._name in arrived:
                name, self._name = self._ray.get(self._name), None
                messages.append(Ready(name))
            if self._job in arrived:
                ref, self._job = self._job, None
                messages.append(self._ray.get(ref))
        except self._ray.exceptions.RayTaskError as error:  # our own side of the worker, not the candidate
            messages.append(Ended(CandidateError(str(error).splitlines()[-1])))
        except self._ray.exceptions.RayError as error:
            self._name = self._job = self._progress = None
            messages.append(Lost(" ".join(str(error).split())))
        return messages


def _import_ray() -> Any:
    try:
        import ray
    except ImportError:
        raise RunError("executor 'ray' needs Ray: pip install 'paretosr[ray]'") from None
    return ray


def _require_listener(address: str | None) -> None:
    """Raise RunError where nobody listens at host:port, for which Ray itself would wait for minutes."""
    host, colon, port = (address or "").rpartition(":")
    if not colon or not port.isdigit() or "/" in host:
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise RunError(f"no Ray cluster at {address!r}: {error.strerror or error}") from error


def _connect(ray: Any, address: str | None) -> None:
    """Join the cluster at ``address``, or start one on this machine that nobody else can reach."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a search tells nobody about itself unasked
    _require_listener(address)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address or "local", include_dashboard=None if address else False, log_to_driver=False,
                 logging_level=logging.ERROR)  # fmt: skip
    except (ConnectionError, ValueError, RuntimeError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise RunError(f"no Ray cluster at {address or 'local'!r}: {first}") from error
    finally:
        # Ray puts in a handler of its own that exits; what SIGTERM means here is decided elsewhere.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)

"""A search that is killed again and again, by the parent's signal or a worker's death, and goes on each time.

``make soak`` does it a hundred times; ``make thorough`` a few.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from leaderboard.errors import LeaderboardError
from leaderboard.store import Store
from leaderboard.store.records import Trial

KILLS = int(os.environ.get("PARETOSR_SOAK", "6"))

RECIPE = """
scale = 2
data = "folder:{images}"
device = "cpu"
sampler = "random"
executor = "processes"
workers = 2
trials = 1000000
rungs = [40, 120]
[space.only]
width = [16, 20, 24, 28, 32]
blocks = [1, 2, 3]
transformers = [0]
[proxy]
plan = "steady"
batch = 2
lr_patch = 12
"""


def trials_of(runs: Path) -> list[Trial]:
    with suppress(LeaderboardError), Store.at(runs / "results.db", read_only=True) as store:
        return store.trials(store.study("soak").id, "search")
    return []


def children(pid: int) -> Iterator[int]:
    """Processes that ``pid`` has started and that train."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and b"spawn_main" in (path.parent / "cmdline").read_bytes():
                yield int(path.parent.name)


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "nas", "search", "soak.toml", *options]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.thorough
def test_whatever_is_killed_every_candidate_is_finished_exactly_once(tmp_path: Path, images: Path) -> None:
    (tmp_path / "soak.toml").write_text(RECIPE.format(images=images))
    runs, moments = tmp_path / "runs", random.Random(0)  # noqa: S311
    kept: dict[int, tuple[object, ...]] = {}
    stops = 0
    for _ in range(KILLS):
        search = start(tmp_path)
        how = moments.choice(("kill", "term", "worker"))
        time.sleep(moments.uniform(1, 12))
        if how == "worker":
            for worker in list(children(search.pid))[:1]:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            time.sleep(moments.uniform(0, 4))
        workers = list(children(search.pid))
        assert search.poll() is None, search.stderr and search.stderr.read()
        search.send_signal(signal.SIGTERM if how == "term" else signal.SIGKILL)
        _, said = search.communicate(timeout=90)
        stops += 1
        if how == "term":
            # Before it listens, the signal ends it as it ends any program.
            assert search.returncode in (128 + signal.SIGTERM, -signal.SIGTERM), said
        until = time.monotonic() + 20
        while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < until:
            time.sleep(0.1)
        assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
        finished = {
            t.id: (t.genotype_id, t.rung, t.evaluation) for t in trials_of(runs) if t.state == "finished"
        }
        assert kept.items() <= finished.items(), "a result was lost or changed"
        kept = finished  # type: ignore[assignment]
    wanted = sum(rung == 0 for _, rung, _ in kept.values()) + 3
    last = start(tmp_path, "--trials", str(wanted))
    _, said = last.communicate(timeout=300)
    assert last.returncode == 0, said
    trials = trials_of(runs)
    assert kept.items() <= {t.id: (t.genotype_id, t.rung, t.evaluation) for t in trials}.items()
    assert not [trial for trial in trials if trial.state in ("running", "waiting")]
    done = Counter((trial.genotype_id, trial.rung) for trial in trials if trial.state == "finished")
    assert set(done.values()) == {1}
    assert sum(rung == 0 for _, rung in done) >= wanted
    with Store.at(runs / "results.db", read_only=True) as store:
        events = store.events("soak")
    told = Counter(zip(events["trial"], events["kind"], strict=True))
    for trial in trials:
        if trial.state == "finished":
            assert told[trial.id, "finished"] == 1
            assert told[trial.id, "started"] <= 1 + stops
            again = told[trial.id, "released"] + told[trial.id, "taken_over"]
            assert told[trial.id, "started"] == 1 + again

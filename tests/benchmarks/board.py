"""The leaderboard's speed: a database of many searches, one study of it, and fronts of many points.

By default 100,000 evaluations of 50 studies in an SQLite file of its own: how long 10,000 take to put in,
what `nas front` takes as a whole command, `Store.frame` of one study and of all with the memory that it
takes, and how long a front of 100,000 points takes, against comparing all pairs of fewer. Where other
programs keep the machine busy, a processor's seconds say more than those of the clock.

python tests/benchmarks/board.py [--evaluations 100000] [--studies 50] [--points 100000] [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import leaderboard
from leaderboard.fronts import pareto
from leaderboard.fronts.pareto import pareto_mask
from leaderboard.store import Store

sys.path.insert(0, str(Path(__file__).parents[1] / "importable"))
from board_database import make_board_database

PAIRS = 5_000
"""Points of which all pairs are compared, for the other side of the ratio."""


def timed(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Seconds, the least of the repeats: by the clock, and of a processor (of children, too)."""
    walls, processors = [], []
    for _ in range(repeats):
        start, before = time.perf_counter(), os.times()
        call()
        walls.append(time.perf_counter() - start)
        processors.append(sum(os.times()[:4]) - sum(before[:4]))
    return min(walls), min(processors)


def said(what: str, seconds: tuple[float, float], more: str = "") -> None:
    print(
        f"{what:<52} {seconds[0]:7.3f} s by the clock, {seconds[1]:5.2f} s of a processor{more}", flush=True
    )


def in_a_process(code: str, *arguments: str) -> str:
    """What a fresh process prints: its memory is its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


MEMORY = """
import sys, leaderboard
from pathlib import Path
with leaderboard.open(sys.argv[1]) as store:
    frame = store.frame(sys.argv[2] or None) if len(sys.argv) > 2 else None
lines = Path("/proc/self/status").read_text().splitlines()  # ru_maxrss is the parent's, too
print(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


def measure_database(folder: Path, evaluations: int, studies: int, repeats: int) -> None:
    path = folder / "results.db"
    start = time.perf_counter()
    names = make_board_database(path, evaluations, studies)
    made = time.perf_counter() - start
    size = path.stat().st_size / 2**20
    print(f"made {evaluations:,} evaluations of {studies} studies in {made:.1f} s, {size:.0f} MiB")
    said("a database of 10,000 evaluations, in bulk", timed(lambda: _bulk(folder), repeats))
    said("the same, taken in by import", timed(lambda: _merge(folder), min(repeats, 3)))
    name = names[len(names) // 2]
    command = [sys.executable, "-m", "nas", "front", name, "--runs", str(folder)]
    front = timed(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), repeats)
    said("nas front NAME, the whole command", front)
    bare = [sys.executable, "-c", "import pandas, sqlalchemy.orm, typer"]
    said(
        "  of it: Python with pandas, SQLAlchemy and typer",
        timed(lambda: subprocess.run(bare, check=True), repeats),
    )
    with leaderboard.open(path) as store:
        said("Store.frame of one study", timed(lambda: store.frame(name), repeats))
        said("Store.frame of all", timed(lambda: store.frame(), min(repeats, 3)))
        some = ("study", "genotype", "psnr_db", "multi_adds")
        said("Store.frame of all, four columns", timed(lambda: store.frame(columns=some), min(repeats, 3)))
        said("Store.curves of one study", timed(lambda: store.curves(name), repeats))
        said("Store.events of one study", timed(lambda: store.events(name), repeats))
    for words, arguments in (("nothing", []), ("one study", [name]), ("all", [""])):
        kilobytes = int(in_a_process(MEMORY, str(path), *arguments))
        print(f"memory with a frame of {words:<29} {kilobytes // 1024} MiB")


def _bulk(folder: Path) -> None:
    made = folder / "bulk.db"
    for end in ("", "-wal", "-shm"):
        made.with_name(made.name + end).unlink(missing_ok=True)
    make_board_database(made, 10_000, 1)


def _merge(folder: Path) -> None:
    from leaderboard.tables.exchange import import_results

    target = folder / "merged.db"
    target.unlink(missing_ok=True)
    with Store.at(target) as store:
        import_results(store, str(folder / "bulk.db"))


def crowds(count: int, axes: int) -> dict[str, Any]:
    """Points to minimise, (count, axes): an easy case, and two hard ones."""
    draw = np.random.default_rng(0)
    flat = draw.random((count, axes))
    flat[:, -1] = -flat[:, :-1].sum(axis=1)
    noisy = flat + draw.normal(0, 0.05, (count, axes))
    return {"random": draw.random((count, axes)), "all on the front": flat, "noisy front": noisy}


def measure_fronts(count: int, repeats: int) -> None:
    for axes in (2, 3, 4):
        for name, points in crowds(count, axes).items():
            cost, quality = points[:, :-1], -points[:, -1]
            members = int(pareto_mask(cost, quality).sum())
            taken = timed(lambda cost=cost, quality=quality: pareto_mask(cost, quality), repeats)
            said(f"front of {count:,} points, {axes} axes, {name}", taken, f", {members:,} on it")
        few = min(count, PAIRS)
        cost, quality = points[:few, :-1], -points[:few, -1]
        ours = timed(lambda cost=cost, quality=quality: pareto_mask(cost, quality), repeats)
        pairs = timed(lambda cost=cost, quality=quality: pareto._blockwise(cost, quality), min(repeats, 3))
        said(f"  of {few:,}: all pairs", pairs, f"; halving {ours[0]:.4f} s: {pairs[0] / ours[0]:.0f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=int, default=100_000)
    parser.add_argument("--studies", type=int, default=50)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    busy = ", ".join(f"{load:.1f}" for load in os.getloadavg())
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {busy}, Python {platform.python_version()}")
    measure_fronts(chosen.points, chosen.repeats)
    with tempfile.TemporaryDirectory() as folder:
        measure_database(Path(folder), chosen.evaluations, chosen.studies, chosen.repeats)
    print(f"memory of this process at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")


if __name__ == "__main__":
    main()

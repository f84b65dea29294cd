"""Small real searches whose every event is compared with files in ``tests/traces``: running and reading them.

``python tests/importable/golden.py FOLDER`` writes one JSON file per scenario. The files of
``tests/traces/real`` were written by commit 78e810e.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from wave_images import write_images

Event = Any
HERE = Path(__file__).parent
TRACES = HERE.parent / "traces"
TROUBLED = "troubled:Troubled"


def recipe(**changes: Any) -> dict[str, Any]:
    """A recipe over 60 or so small networks, a third of them over the budget."""
    table: dict[str, Any] = {
        "name": "golden",
        "scale": 2,
        "data": "folder:images",
        "trials": 8,
        "device": "cpu",
        "sampler": "random",
        "space": {
            "only": {
                **{"width": [16, 24], "blocks": [1, 2], "block": ["residual", "rlfb"]},
                **{"attention": ["none", "esa"], "kernel": ["3x3"], "sharing": ["none"]},
                **{"branches": ["none"], "tail": ["pixel_shuffle"]},  # what came later is left out
                **{"aggregation": ["plain", "dense"], "transformers": [0], "skip": ["bicubic"]},
            }
        },
        "budget": {"params": "20k", "multi_adds": "4G"},
        "proxy": {"plan": "short", "steps": 3, "batch": 2, "lr_patch": 12},
        "retrain": {"plan": "longer", "steps": 4, "batch": 2, "lr_patch": 12},
    }
    return {**table, **changes}


RUNGS = [2, 4, 8]
HALF = recipe(sampler="surrogate", rungs=RUNGS, trials=10, seed=14, seeds_for_front=2)
for later in ("branches", "tail"):  # as the run that 78e810e left half-finished was begun
    del HALF["space"]["only"][later]


def search(folder: Path, table: dict[str, Any], stop: Callable[[Event], bool] = lambda event: False) -> None:
    """One call of the search; it is interrupted where ``stop`` says so."""
    from nas.errors import Interrupted
    from nas.search.session import search as run

    def listen(event: Event) -> None:
        if stop(event):
            raise Interrupted("enough")

    with suppress(Interrupted):
        run(table, folder / "runs", listen=listen)


def nth(kind: str, number: int) -> Callable[[Event], bool]:
    """Whether an event is the ``number``-th of its kind."""
    seen = 0

    def is_it(event: Event) -> bool:
        nonlocal seen
        seen += event.kind == kind
        return bool(event.kind == kind and seen == number)

    return is_it


def killed(folder: Path, table: dict[str, Any], kind: str, number: int) -> None:
    """A search in a process of its own, which is killed at the ``number``-th event of a kind."""
    command = [sys.executable, __file__, "--kill", json.dumps(table), kind, str(number)]
    assert subprocess.run(command, cwd=folder, check=False).returncode == -signal.SIGKILL


def command(folder: Path, *arguments: str) -> None:
    """The real command in ``folder``."""
    done = subprocess.run(
        [sys.executable, "-m", "nas", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


# One worker


def random_with_repeats(folder: Path) -> None:
    """So small a space that proposals repeat."""
    search(folder, recipe(trials=14, seed=1))


def surrogate_with_rungs(folder: Path) -> None:
    """Promotions, and a second seed for the front."""
    search(folder, recipe(sampler="surrogate", rungs=RUNGS, trials=9, seeds_for_front=2))


def tpe_with_rungs(folder: Path) -> None:
    """Promotions that the sampler does not know of."""
    search(folder, recipe(sampler="tpe", rungs=RUNGS, trials=9, seed=2))


def killed_and_resumed(folder: Path) -> None:
    """SIGKILL after the fifth result, and again while the seventh is trained."""
    table = recipe(sampler="surrogate", rungs=RUNGS, trials=9, seed=3)
    killed(folder, table, "finished", 5)
    killed(folder, table, "progress", 4)
    search(folder, table)


def interrupted_and_resumed(folder: Path) -> None:
    """Stopped between two steps, resumed with more candidates."""
    table = recipe(sampler="tpe", rungs=RUNGS, trials=6, seed=4)
    search(folder, table, nth("progress", 13))
    search(folder, {**table, "trials": 8})


def failures(folder: Path) -> None:
    """Networks that fail in training."""
    search(
        folder,
        recipe(
            trials=6,
            seed=5,
            space={"name": TROUBLED, "only": {"trouble": ["none", "nan", "error"], "luck": [0, 1]}},
            budget={"params": "1k"},
        ),
    )


def warm_started(folder: Path) -> None:
    """A second run that is initialised from the first, and meets what that has trained."""
    search(folder, recipe(trials=6, seed=6))
    search(folder, recipe(name="second", trials=6, seed=7, sampler="surrogate", warm_start="golden"))


def published_first(folder: Path) -> None:
    """Published networks made to fit the budget come first."""
    budget = {"params": "60k", "multi_adds": "20G"}
    space = {"only": {"skip": ["bicubic"]}}
    search(folder, recipe(trials=7, seed=8, seed_published=True, budget=budget, space=space))


def retrained(folder: Path) -> None:
    """The best of a search and a control are trained for longer, one of them twice."""
    search(folder, recipe(trials=6, seed=9))
    command(folder, "retrain", "golden", "--top", "2", "--device", "cpu", "--no-evaluate")
    command(folder, "retrain", "golden", "--top", "3", "--device", "cpu", "--no-evaluate")


def calibrated(folder: Path) -> None:
    """Every architecture at every fidelity."""
    from nas.recipes.recipe import make_recipe

    (folder / "calibration.toml").write_text(
        make_recipe(recipe(name="calibration", seed=10)).to_toml(), encoding="utf-8"
    )
    options = ["--architectures", "5", "--rungs", "2,4", "--seeds", "2", "--reference", "6"]
    command(folder, "calibrate", "calibration.toml", *options)


def half_finished(folder: Path) -> None:
    """The first half of a search with rungs: ``half_finished.sql`` is its database."""
    search(folder, HALF, nth("progress", 20))


def finished_from_half(folder: Path) -> None:
    """Finish a search with rungs that 78e810e left half-finished; no state of a training is left."""
    (folder / "runs").mkdir()
    connection = sqlite3.connect(folder / "runs/results.db")
    connection.executescript((TRACES / "half_finished.sql").read_text(encoding="utf-8"))
    connection.close()
    search(folder, HALF)


# Several workers


def two_workers(folder: Path) -> None:
    """Rejections and promotions while two networks are trained at a time and one waits."""
    search(folder, recipe(trials=9, seed=11, rungs=RUNGS, executor="processes", workers=2))


def two_workers_surrogate(folder: Path) -> None:
    """The same with a sampler that knows what is in training."""
    table = recipe(trials=9, seed=12, rungs=RUNGS, sampler="surrogate", executor="processes", workers=2)
    search(folder, table)


def joined(folder: Path) -> None:
    """A second process trains for the search."""
    from nas.recipes.recipe import make_recipe

    table = recipe(trials=10, seed=13, proxy={"plan": "short", "steps": 60, "batch": 2, "lr_patch": 12})
    (folder / "golden.toml").write_text(make_recipe(table).to_toml(), encoding="utf-8")
    lead = [sys.executable, "-m", "nas", "search"]
    first = subprocess.Popen([*lead, "golden.toml"], cwd=folder, stdout=subprocess.DEVNULL)
    while not (folder / "runs/results.db").exists() or not _started(folder):
        assert first.poll() is None
    second = subprocess.run([*lead, "--name", "golden", "--join"], cwd=folder, stdout=subprocess.DEVNULL)
    assert first.wait() == 0
    assert second.returncode == 0


def _started(folder: Path) -> bool:
    try:
        return any(row[1] == "started" for row in _events(folder))
    except sqlite3.OperationalError:
        return False


ONE_WORKER = (
    *(random_with_repeats, surrogate_with_rungs, tpe_with_rungs, killed_and_resumed),
    *(interrupted_and_resumed, failures, warm_started, published_first),
)
LONG = (retrained, calibrated, finished_from_half)
SEVERAL_WORKERS = (two_workers, two_workers_surrogate)
SCENARIOS = {each.__name__: each for each in (*ONE_WORKER, *LONG, *SEVERAL_WORKERS, joined)}

_QUERY = """
SELECT study.name, event.kind, trial.stage, trial.number, trial.rung, trial.seed, trial.genotype_id,
       protocol.plan, event.details
FROM event LEFT JOIN trial ON trial.id = event.trial_id LEFT JOIN study ON study.id = event.study_id
LEFT JOIN protocol ON protocol.id = trial.protocol_id
ORDER BY event.id
"""


def _events(folder: Path) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(folder / "runs/results.db")
    try:
        return connection.execute(_QUERY).fetchall()
    finally:
        connection.close()


def read_trace(folder: Path) -> list[list[Any]]:
    """Every event of a results database, in order: [run, kind, trial, genotype, details].

    A trial is written as ``stage number/rung/seed/steps``. Details are the limits that were exceeded, the
    PSNR in dB, the kind of a failure, the reason of an end.
    """
    trace: list[list[Any]] = []
    shown = ("excess", "psnr_db", "failure", "attempt", "reason")
    for run, kind, stage, number, rung, seed, genotype, plan, details in _events(folder):
        told = json.loads(details) if details else {}
        kept = {key: told[key] for key in shown if key in told}
        steps = json.loads(plan).get("steps", "default") if plan else None
        trial = None if stage is None else f"{stage} {number}/{rung}/{seed}/{steps}"
        trace.append([run, kind, trial, genotype, kept])
    return trace


def record(name: str) -> list[list[Any]]:
    """Run a scenario in a folder of its own; its trace."""
    with tempfile.TemporaryDirectory() as root:
        folder, before = Path(root), Path.cwd()
        write_images(folder / "images", count=4, side=48, seed=7)
        os.chdir(folder)
        try:
            SCENARIOS[name](folder)
        finally:
            os.chdir(before)
        return read_trace(folder)


def write_trace(path: Path, trace: list[list[Any]]) -> None:
    """An event a line."""
    lines = ",\n".join(json.dumps(event, sort_keys=True) for event in trace)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _main(arguments: list[str]) -> None:
    if arguments[0] == "--kill":
        is_it = nth(arguments[2], int(arguments[3]))

        def stop(event: Event) -> bool:
            if is_it(event):
                os.kill(os.getpid(), signal.SIGKILL)
            return False

        search(Path.cwd(), json.loads(arguments[1]), stop)
        return
    for name in arguments[1:] or SCENARIOS:
        write_trace(Path(arguments[0]) / f"{name}.json", record(name))
        print(name, flush=True)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    sys.path.insert(0, str(HERE))
    _main(sys.argv[1:])

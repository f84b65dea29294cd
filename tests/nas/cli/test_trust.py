"""No data chooses code: a space outside ParetoSR is imported only if a person named it."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from levels import mostly_thorough
from misbehaving import job_of, many
from new_records import propose, protocol, record
from PIL import Image
from small_networks import TINY

import search_spaces
from leaderboard.store import Measurement, Store
from leaderboard.store.imported import network_id
from nas.cli import main
from nas.compression.stages import STAGE, load_stage
from nas.errors import CheckpointError
from nas.executors import Pool
from nas.executors.processes import Processes
from nas.networks.loading import checkpoint_path
from nas.recipes.recipe import Recipe
from nas.simulation.replays import shipped_tables
from nas.simulation.table import METADATA
from nas.training import Outcome
from nas.training.checkpoint import save_weights
from search_spaces import UntrustedSpaceError, trust_space, trusted
from search_spaces.compressed import Compressed

Make = Callable[..., Recipe]
Command = Callable[..., tuple[int, str, str]]

MODULE = """
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from search_spaces import Genotype, choice

Path(__file__).with_name("imported").touch()


@dataclass(frozen=True, kw_only=True)
class Own(Genotype):
    width: int = choice(8, 12, 16, 20)

    def build(self, scale):
        layers = nn.Conv2d(3, self.width, 3, padding=1), nn.Conv2d(self.width, 3 * scale**2, 3, padding=1)
        return nn.Sequential(*layers, nn.PixelShuffle(scale))


def main(scale):
    return Own().build(scale)
"""
OWN = {"space": "evilmod", "choices": {"width": 8}}
WRAPPED = {"space": "compressed", "choices": {"of": "evilmod", "choices": {"width": 8}}}
ROW = network_id(**OWN)  # type: ignore[arg-type]
COST = {"params": 1000, "multi_adds": 10**8, "conv_multi_adds": 10**8, "activations": 10**6}


@pytest.fixture
def folder(tmp_path: Path, small_recipe: Make, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with evilmod.py, and with files and a database that name it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NAS_DATA", raising=False)
    (tmp_path / "evilmod.py").write_text(MODULE, encoding="utf-8")
    for name, about in (("own", OWN), ("wrapped", WRAPPED)):
        plain = {"space": about["space"], **about["choices"]}  # type: ignore[dict-item]
        (tmp_path / f"{name}.json").write_text(json.dumps(plain), encoding="utf-8")
        save_weights(tmp_path / f"{name}.safetensors", TINY.build(2).state_dict(), {**about, "scale": 2})
    (tmp_path / "own.toml").write_text('space = "evilmod"\nwidth = 8\n', encoding="utf-8")
    table = pq.read_table(shipped_tables()["nas-bench-sr"])
    card = {**json.loads(table.schema.metadata[METADATA]), "space": "evilmod"}
    pq.write_table(table.replace_schema_metadata({METADATA: json.dumps(card)}), tmp_path / "own.parquet")
    Image.new("RGB", (48, 48)).save(tmp_path / "x.png")
    (tmp_path / "sets" / "Set5").mkdir(parents=True)
    shutil.copy("x.png", tmp_path / "sets" / "Set5")
    _fill(tmp_path / "runs", small_recipe())
    return tmp_path


def _fill(runs: Path, recipe: Recipe) -> None:
    """A database of a stranger: a run in evilmod, and one whose network has an id that could be code."""
    stored = recipe.to_dict() | {"space": {"name": "evilmod", "only": {}}}
    like_code = {"compress": {"source": "evilmod:main"}}
    with Store.at(runs / "results.db") as store:
        store.ensure_protocol(replace(protocol(), plan={"steps": 3}))
        for name, id, stage, written in (
            ("evil", ROW, "search", stored),
            ("pressed", "evilmod:main", "retrain", like_code),
        ):
            study = store.open_study(name, recipe=written, space_digest="5d", code_version="1")
            where = {"genotype_id": id, **OWN, "stage": stage, "scale": 2, "cost": COST}
            trial = propose(store, study.id, **where)
            (runs / name).mkdir()
            shutil.copy("own.safetensors", runs / name)
            record(store, trial.id, genotype_id=id, checkpoint=f"{name}/own.safetensors")
        store.record_measurement(
            Measurement(
                **{"network": "evilmod:main", "genotype_id": None, "weights": "5d", "scale": 2},
                **{"benchmark": "Set5", "data_digest": "5d", "low_resolution": "made", "metric": "y_float"},
                **{"psnr_db": 30.0, "ssim": 0.9, "per_image": {}, "seconds": 1.0, "device": "cpu"},
                **{"torch_version": "2", "code_version": "1"},
            )
        )


@pytest.fixture
def command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Runs the command in this process: status, standard output, standard error."""
    monkeypatch.setattr(trusted, "_trusted", {})
    monkeypatch.setattr(trusted, "_folders", {})
    monkeypatch.syspath_prepend(folder)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["nas", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    yield run
    sys.modules.pop("evilmod", None)


REFUSED = {
    "header of weights": "export own.safetensors",
    "header of weights of a compressed network": "measure wrapped.safetensors",
    "header of a teacher": "compress imdn --distil-from own.safetensors --scale 2",
    "genotype in JSON": "cost own.json",
    "genotype in TOML": "measure own.toml",
    "genotype of a compressed network": "cost wrapped.json",
    "row, cost": f"cost {ROW}",
    "row, measure": f"measure {ROW[:4]}",
    "row, retrain": "retrain evil --device cpu",
    "row, rerun": f"rerun evil {ROW}",
    "row, export": "export evil",
    "row, evaluate": "evaluate evil --data-dir sets",
    "row, the papers' table": "evaluate evil --table --data-dir sets",
    "row, upscale": "upscale x.png --model evil",
    "row, compress": "compress evil --quantise int8",
    "row, join": "search --join --name evil",
    "row, export-study": "export-study evil --storage study.log",
    "table, simulate": "simulate --table own.parquet",
    "table, compare-samplers": "compare-samplers --table own.parquet",
    "table, merge": "tabulate --merge own.parquet own.parquet --out both.parquet",
    "id like code, compress": "compress pressed --quantise int8",
    "id like code, the papers' table": "evaluate pressed --table --data-dir sets",
}
QUICK = ("header of weights", "genotype of a compressed network", "row, retrain", "table, simulate")


@pytest.mark.parametrize("entry", mostly_thorough(REFUSED, QUICK))
def test_data_that_names_a_module_imports_nothing(entry: str, command: Command, folder: Path) -> None:
    status, _, error = command(*REFUSED[entry].split())
    assert (status, error.count("\n")) == (2, 1), error
    assert "space 'evilmod' is code outside ParetoSR" in error
    assert "--space evilmod, or nas trust-space evilmod" in error
    assert not (folder / "imported").exists()


@pytest.mark.parametrize(
    "words",
    mostly_thorough(
        (
            "front evil",
            "board --site page",
            "evaluate --table",
        ),
        ("front evil",),
    ),
)
def test_what_needs_no_space_goes_without_it(words: str, command: Command, folder: Path) -> None:
    status, _, error = command(*words.split())
    assert status == 0, error
    assert not (folder / "imported").exists()


def test_results_in_a_space_of_somebody_are_taken_in_without_it(command: Command, folder: Path) -> None:
    take_in = ("import-results", "runs/results.db", "--runs", "other")
    status, _, error = command(*take_in)
    assert (status, error.count("\n")) == (2, 1) and "id = 'evilmod:main'" in error
    with sqlite3.connect(folder / "runs/results.db") as raw:
        raw.execute("PRAGMA foreign_keys = OFF")
        for table, column in (("genotype", "id"), ("cost", "genotype_id"), ("evaluation", "genotype_id")):
            raw.execute(f"UPDATE {table} SET {column} = 'evil' WHERE {column} = 'evilmod:main'")  # noqa: S608
        raw.execute("UPDATE trial SET genotype_id = 'evil' WHERE genotype_id = 'evilmod:main'")
    raw.close()
    status, _, error = command(*take_in)
    assert status == 0, error
    assert not (folder / "imported").exists()


@pytest.mark.parametrize("words", ["cost own.json --space nobody --space evilmod", "cost evilmod:main"])
def test_what_a_person_names_is_imported(words: str, command: Command, folder: Path) -> None:
    status, text, error = command(*words.split())
    assert status == 0, error
    assert "parameters" in text and (folder / "imported").exists()


@pytest.mark.thorough
def test_a_function_is_imported_for_the_table_only_if_a_person_writes_it(
    command: Command, folder: Path
) -> None:
    assert command("evaluate", "evilmod:main", "--table")[0] == 0
    assert (folder / "imported").exists()


def test_a_list_keeps_what_a_person_trusts(command: Command, folder: Path) -> None:
    assert command("trust-space")[1].startswith("No space is trusted")
    assert command("trust-space", "evilmod:Own")[0] == 0
    assert not (folder / "imported").exists()
    assert command("trust-space")[1] == f"evilmod  {folder}\n"
    assert command("trust-space", "--remove", "evilmod")[0] == 0
    assert command("cost", "wrapped.json")[0] == 2
    assert command("trust-space", "evilmod")[0] == 0
    assert command("cost", "wrapped.json")[0] == 0
    assert not list((folder / "runs").rglob("trusted*"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("trust-space lightweight", "ParetoSR's own"),
        ("trust-space ../evilmod", "a module is needed"),
        ("trust-space --remove evilmod", "unknown trusted space 'evilmod'"),
        ("trust-space evilmod --remove evilmod", "one of them"),
        ("cost own.json --space .evilmod", "space '.evilmod': lightweight"),
    ],
)
def test_a_name_that_cannot_be_trusted_is_one_line(words: str, told: str, command: Command) -> None:
    status, _, error = command(*words.split())
    assert (status, error.count("\n")) == (2, 1)
    assert told in error


def test_without_a_cache_nothing_is_kept(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_CACHE", "off")
    for words in (("trust-space", "evilmod"), ("trust-space",)):
        status, _, error = command(*words)
        assert (status, error.count("\n")) == (2, 1) and "NAS_CACHE is off" in error


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_list_that_others_may_write_counts_for_nothing(command: Command, folder: Path) -> None:
    (folder / "cache").mkdir(exist_ok=True)
    listed = folder / "cache" / "trusted-spaces.txt"
    listed.write_text(f"evilmod\t{folder}\n", encoding="utf-8")
    listed.chmod(0o666)
    assert command("cost", "own.json")[0] == 2
    listed.chmod(0o600)
    assert command("cost", "own.json")[0] == 0


def test_a_stage_of_a_compression_imports_nothing(command: Command, folder: Path) -> None:
    stage = {"genotype": OWN, "latency_ms": None}
    (folder / STAGE).write_text(json.dumps(stage), encoding="utf-8")
    with pytest.raises(UntrustedSpaceError, match=f"named by {folder / STAGE}"):
        load_stage(folder)
    assert not (folder / "imported").exists()


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd.safetensors", "../own.safetensors", "evil/../../own.safetensors", "C:\\own.safetensors"],
)
def test_a_checkpoint_outside_the_runs_folder_is_refused(path: str) -> None:
    with pytest.raises(CheckpointError, match="outside the runs folder"):
        checkpoint_path(Path("runs"), path)


def test_a_checkpoint_of_the_database_is_a_file_of_weights_in_the_runs_folder(
    command: Command, folder: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"no \.safetensors file"):
        checkpoint_path(Path("runs"), "evilmod:main")
    assert checkpoint_path(Path("runs"), "a/b.safetensors") == Path("runs/a/b.safetensors")
    with Store.at(folder / "runs" / "results.db") as store:
        trial = propose(store, store.study("evil").id, 1, genotype_id="0123", scale=2, cost=COST)
        record(store, trial.id, 1, genotype_id="0123", checkpoint="../own.safetensors")
    status, _, error = command("export", "0123")
    assert (status, error.count("\n")) == (2, 1) and "outside the runs folder" in error


# Real processes


def _python_m_nas(*words: str) -> subprocess.CompletedProcess[str]:
    """``python -m nas`` in the working folder, as a person runs it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(search_spaces.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "nas", *words], capture_output=True, text=True, env=environment, timeout=240
    )
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.thorough
@pytest.mark.parametrize("entry", ["genotype in JSON", "header of weights", "row, rerun", "row, join"])
def test_the_real_command_imports_nothing_that_data_names(entry: str, folder: Path) -> None:
    done = _python_m_nas(*REFUSED[entry].split())
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "space 'evilmod' is code outside ParetoSR" in done.stderr
    assert not (folder / "imported").exists()


OWN_RUN = """
name = "mine"
scale = 2
data = "folder:{images}"
trials = 2
device = "cpu"
executor = "processes"
workers = 2
sampler = "random"
[space]
name = "evilmod"
[proxy]
plan = "quick"
steps = 3
batch = 2
lr_patch = 12
[retrain]
plan = "longer"
steps = 3
batch = 2
lr_patch = 12
"""


@pytest.mark.thorough
def test_spawned_workers_trust_what_their_parent_trusts(command: Command, images: Path) -> None:
    trust_space("evilmod")
    pruned = Compressed(**WRAPPED["choices"])
    executor = Processes(Pool(workers=2))
    try:
        for key, job in enumerate(many(job_of(pruned, images), 2)):
            executor.submit(key, job)
        results = [executor.next_result(lambda seen: None).result for _ in range(2)]
    finally:
        executor.close(save=False)
    assert [type(result) for result in results] == [Outcome, Outcome]


def test_who_joins_names_the_space_of_the_search(command: Command, folder: Path) -> None:
    status, _, error = command("search", "--join", "--name", "evil", "--space", "lightweight")
    assert status == 2 and "is code outside ParetoSR" in error
    status, _, error = command("search", "--join", "--name", "evil", "--space", "evilmod")
    assert status == 2 and "is code outside ParetoSR" not in error
    assert (folder / "imported").exists()
    status, _, error = command("search", "--join", "--name", "evil", "--space", "lightweight")
    assert status == 2 and "--space lightweight: the search of 'evil' is in space evilmod" in error


@pytest.mark.thorough
def test_a_run_in_a_space_of_ones_own_is_resumed_re_trained_and_exported(
    folder: Path, images: Path, nas: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    (folder / "mine.toml").write_text(OWN_RUN.format(images=images), encoding="utf-8")
    for trials in ("2", "3"):  # the second resumes the first
        done = nas("search", "mine.toml", "--trials", trials)
        assert done.returncode == 0, done.stderr
    (folder / "imported").unlink()
    retrain = ("retrain", "mine", "--top", "2", "--workers", "2", "--executor", "processes")
    done = nas(*retrain)
    assert done.returncode == 2 and "run mine: space 'evilmod' is code outside ParetoSR" in done.stderr
    assert not (folder / "imported").exists()
    done = nas(*retrain, "--space", "evilmod")
    assert done.returncode == 0, done.stderr
    assert nas("trust-space", "evilmod").returncode == 0
    done = nas("export", "mine", "--format", "safetensors", "--force")
    assert done.returncode == 0, done.stderr

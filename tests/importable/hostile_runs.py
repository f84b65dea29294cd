"""Hostile files and values against the program: what came of each, in this process and in others."""

from __future__ import annotations

import inspect
import io
import json
import resource
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random as Draw
from typing import Any

from forked import Forker
from hostile_entries import ENTRIES, Entry, database_agrees, small, small_results
from hostile_values import BYTES, DAMAGES, REPLACEMENTS, Raw, damaged

from leaderboard.errors import LeaderboardError
from leaderboard.store import Store
from leaderboard.store.schema import TableBase
from leaderboard.tables.exchange import import_results
from nas.cli.failures import message_of

MOST_SECONDS = 5.0
MOST_MIB = 1024.0
"""Of a process, above what importing the program takes."""

ALWAYS_REFUSED = ("feature network",)
"""Entries whose right file is too large for a test."""

GOOD = ("refused", "accepted")


def draw_of(seed: object) -> Draw:
    return Draw(str(seed))  # noqa: S311  (no secret)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def outcome(entry: Entry, path: Path) -> str:
    """``refused``, ``accepted`` or what is wrong."""
    began, before = time.perf_counter(), peak_mib()
    try:
        result = entry.read(path)
    except Exception as error:
        message = message_of(error)
        said = "refused" if message and "\n" not in message else f"{type(error).__name__}: {error!s:.200}"
    else:
        try:
            said = "accepted" if entry.agrees(result, path) else "accepted with another meaning"
        except Exception as error:
            said = f"accepted, and an independent reading fails: {type(error).__name__}: {error!s:.200}"
    seconds, grown = time.perf_counter() - began, peak_mib() - before
    if seconds > MOST_SECONDS:
        said += f", after {seconds:.1f} s"
    return said if grown < MOST_MIB else f"{said}, with {grown:.0f} MiB"


def damaged_files(name: str, folder: Path, examples: int) -> Iterator[tuple[str, int, str]]:
    """Kind of damage, number of the example, and what came of it, for all kinds that an entry can meet."""
    entry = ENTRIES[name]
    path = folder / f"file{entry.suffix}"
    path.write_bytes(entry.encode(entry.value()))
    if name not in ALWAYS_REFUSED:
        yield "none", 0, outcome(entry, path)
    for kind in DAMAGES:
        for example in range(examples):
            data = damaged(entry.value(), entry.encode, kind, draw_of(f"{name}/{kind}/{example}"))[1]
            path.write_bytes(data)
            yield kind, example, outcome(entry, path)


# Databases


def mutated_databases(folder: Path, numbers: range) -> Iterator[tuple[int, str]]:
    """Imports of a damaged database into a new one, each ``refused`` whole, ``accepted`` or wrong."""
    cells = [
        (table.name, name)
        for table in TableBase.metadata.sorted_tables
        for name in table.columns.keys()  # noqa: SIM118
    ]
    here, there = folder / "here.db", folder / "there.db"
    for number in numbers:
        draw = draw_of(number)
        for old in folder.glob("*.db*"):
            old.unlink()
        shutil.copyfile(small_results(), there)
        if draw.random() < 0.4:
            _damage_bytes(there, draw)
        else:
            _damage_cells(there, cells, draw)
        began = time.perf_counter()
        with Store.at(here) as store:
            try:
                import_results(store, str(there))
            except LeaderboardError as error:
                left = store.studies() or len(store.frame())
                said = "refused" if "\n" not in str(error) and not left else f"{left} left by {error}"
            except Exception as error:
                said = f"{type(error).__name__}: {error!s:.200}"
            else:
                said = "accepted" if database_agrees(here, there) else "accepted with another meaning"
        seconds = time.perf_counter() - began
        yield number, said if seconds < MOST_SECONDS else f"{said}, after {seconds:.1f} s"


def _damage_bytes(path: Path, draw: Draw) -> None:
    data = bytearray(path.read_bytes())
    for _ in range(draw.choice((1, 4, 30))):
        data[draw.randrange(len(data))] = draw.randrange(256)
    path.write_bytes(data[: draw.randrange(1, len(data))] if draw.random() < 0.2 else data)


def _damage_cells(path: Path, cells: list[tuple[str, str]], draw: Draw) -> None:
    values = [value for kind in REPLACEMENTS.values() for value in kind]
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA ignore_check_constraints = ON")
        for _ in range(draw.choice((1, 1, 3))):
            table, column = draw.choice(cells)
            value = draw.choice(values)
            if isinstance(value, Raw):
                value = value.text
            elif isinstance(value, list | dict):
                value = json.dumps(value)
            elif isinstance(value, int) and not -(2**63) <= value < 2**63:
                value = str(value)
            with suppress(sqlite3.IntegrityError):  # the file keeps its own rules
                raw.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = 1", (value,))  # noqa: S608
    raw.close()


# Real processes

_MEASURED = """
import resource, sys
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from nas.cli import main
sys.argv[0] = "nas"
try:
    main()
finally:
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"grown by {grown} KiB", file=sys.stderr)
"""


@dataclass(frozen=True)
class Run:
    """A command that ended."""

    status: int
    said: str
    seconds: float
    grown_mib: float

    @property
    def problem(self) -> str:
        """What is wrong with a refusal; empty where nothing is."""
        if self.status != 2:
            return f"exit status {self.status}: {self.said}"
        return self.trouble

    @property
    def trouble(self) -> str:
        """What is wrong, refused or not: a traceback, several lines, too long or too large."""
        if "Traceback" in self.said or "unexpected error" in self.said:
            return self.said
        if "\n" in self.said and "Usage:" not in self.said:
            return f"several lines: {self.said}"
        if self.seconds > MOST_SECONDS or self.grown_mib > MOST_MIB:
            return f"{self.seconds:.1f} s and {self.grown_mib:.0f} MiB"
        return ""


def run(forker: Forker, folder: Path, *arguments: str) -> Run:
    """``nas`` in a process of its own."""
    began = time.perf_counter()
    process = forker.python(_MEASURED, *arguments, cwd=folder)
    _, stderr = process.communicate(60)
    seconds = time.perf_counter() - began
    said, _, grown = stderr.strip().rpartition("\n")
    assert grown.startswith("grown by "), stderr
    return Run(process.wait(), said, seconds, float(grown.split()[2]) / 1024)


def corpus(folder: Path) -> dict[str, tuple[str, ...]]:
    """Files that once hung, exploded, were taken for something else or gave a traceback: what reads them."""
    import torch
    from safetensors.torch import save_file

    weights = ENTRIES["weights in safetensors"]
    right = weights.encode(weights.value())
    (folder / "i32.safetensors").write_bytes(right.replace(b'"F32"', b'"I32"'))
    (folder / "u32.safetensors").write_bytes(right.replace(b'"F32"', b'"U32"', 1))
    for name, kind in (("int32", torch.int32), ("complex", torch.complex64), ("half", torch.float16)):
        torch.save(
            {key: value.to(kind) for key, value in small().build(2).state_dict().items()},
            folder / f"{name}.pth",
        )
    nan = {key: torch.full_like(value, torch.nan) for key, value in small().build(2).state_dict().items()}
    about = {"choices": small().to_dict(), "scale": 2}
    save_file(nan, folder / "nan.safetensors", metadata={"paretosr": json.dumps(about)})
    for name, text in {"three": "3", "null": "null", "text": '"x"', "deep": "[" * 50_000}.items():
        value = {"x": torch.zeros(1)}
        save_file(value, folder / f"about-{name}.safetensors", metadata={"paretosr": text})
    (folder / "dotted.toml").write_text("a" + ".a" * 50_000 + "=1")
    (folder / "short-dotted.toml").write_text("a" + ".a" * 30_000 + "=1")
    (folder / "columns.csv").write_text("a," * 100_000)
    (folder / "wide.csv").write_text("a,b\n" + "1," * 1_000_000)
    (folder / "deep.json").write_text('{"a":' * 10_000)
    (folder / "deep.jsonl").write_text("[" * 100_000 + "\n")
    (folder / "one.jsonl").write_bytes(b"a" * 40_000_000)
    (folder / "plan.toml").write_text("[proxy]\nplan = ['a']\n")
    (folder / "photo.png").write_bytes(_photo())
    exported = ("export", "hostile_entries:network", "--scale", "2", "--format", "safetensors")
    upscaled = ("i32", "u32", "nan", "about-three", "about-null", "about-text", "about-deep")
    return {
        **{name: ("upscale", "photo.png", "--model", f"{name}.safetensors") for name in upscaled},
        **{name: (*exported, "--weights", f"{name}.pth") for name in ("int32", "complex", "half")},
        **{name: ("search", name) for name in ("dotted.toml", "short-dotted.toml", "plan.toml")},
        **{name: ("import-results", name) for name in ("columns.csv", "wide.csv", "deep.jsonl", "one.jsonl")},
        "deep.json": ("cost", "deep.json"),
        "name": ("search", "--name", "x" * 5000),
        "line": ("front", "a\nb"),
        "workers": ("search", "--executor", "processes", "--workers", "100000"),
        "runs in /proc": ("search", "--runs", "/proc/x"),
        "out in /proc": ("simulate", "--out", "/proc/x", "--table", "nas-bench-sr"),
        "long path": ("cost", "x" * 5000 + ".json"),
        "long runs": ("front", "mine", "--runs", "x" * 5000),
        "long address": ("front", "mine", "--db", "sqlite:///" + "x" * 5000),
        "as a path": ("import-results", str(small_results()), "--as", "../x"),
        "as an absolute path": ("import-results", str(small_results()), "--as", "/abs"),
        "as two lines": ("import-results", str(small_results()), "--as", "a\nb"),
        "a space with a dot": ("space", ".x"),
    }


def _photo() -> bytes:
    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", (24, 20), (90, 120, 30)).save(data, "PNG")
    return data.getvalue()


NEEDED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("front", "board", "retrain", "export-study", "export-results"), ("mine",)),
    **{"rerun": ("mine", "00000000"), "evaluate": ("bicubic",), "cost": ("imdn",), "compress": ("imdn",)},
    **{"measure": ("imdn",), "export": ("paretosr-1",), "upscale": ("photo.png",)},
    **{"simulate": ("--surface", "landscape"), "compare-samplers": ("--surface", "landscape")},
    "import-results": ("results.db",),
}
"""What commands need besides the option in question."""

WRONG_NUMBERS = {int: ("9" * 30, "9" * 400, "1e3", "x"), float: ("nan", "inf", "1e400", "x")}


def wrong_options() -> Iterator[tuple[str, ...]]:
    """Commands with a number that no option can mean, for every option of every command that takes one."""
    from nas import cli
    from nas.cli.model_options import with_options

    for function in cli.FUNCTIONS:
        command = cli.LateCommand(function)
        parameters: Any = inspect.signature(with_options(function)).parameters
        for option in command.with_options().params:
            kinds = str(parameters[option.name].annotation).partition(", <")[0]
            kind = int if "int" in kinds else float if "float" in kinds else None
            if option.param_type_name != "option" or kind is None:
                continue
            for value in WRONG_NUMBERS[kind]:
                yield (str(command.name), *NEEDED.get(str(command.name), ()), option.opts[0], value)


TEXT_OPTIONS: tuple[tuple[str, ...], ...] = (
    ("fit", "TEXT", "--max-params", "300k"),
    ("fit", "imdn", "--max-params", "TEXT"),
    ("fit", "imdn", "--max-multi-adds", "TEXT"),
    ("import-weights", "TEXT", "--out", "out.safetensors"),
    ("import-weights", "TEXT.pth", "--out", "out.safetensors"),
    ("import-weights", "released.pth", "--out", "TEXT"),
    ("retrain", "mine", "--controls", "TEXT"),
    ("retrain", "mine", "--controls", "imdn,TEXT"),
    ("retrain", "mine", "--init-from", "TEXT"),
    ("retrain", "mine", "--init-from", "TEXT.safetensors"),
    ("evaluate", "TEXT.pth", "--data-dir", "sets"),
    ("evaluate", "imdn", "--weights", "TEXT.pth", "--data-dir", "sets"),
)
"""Commands with a text, TEXT standing for it, that no damaged text can be right for."""

COUNTS = ("--max-params", "--max-multi-adds")
TEXT_KINDS = ("text", "long text", "control characters", "markup", "path", "code")
COUNT_KINDS = (*TEXT_KINDS, "number that is not finite", "number beyond 64 bits")
MOST_ARGUMENT = 100_000
"""Characters; the system allows 128 KiB."""


def wrong_texts() -> Iterator[tuple[str, ...]]:
    """The commands of `TEXT_OPTIONS` with every text of the kinds of damage."""
    for words in TEXT_OPTIONS:
        count = words[-1] == "TEXT" and words[-2] in COUNTS
        for kind in COUNT_KINDS if count else TEXT_KINDS:
            for value in REPLACEMENTS[kind]:
                text = value.text if isinstance(value, Raw) else str(value)
                if len(text) > MOST_ARGUMENT or (words[0] == "retrain" and not text.strip(" ")):
                    continue  # an empty list of controls asks for none
                yield tuple(word.replace("TEXT", text) for word in words)


def damaged_commands(folder: Path, examples: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each command of `ENTRIES` with a file whose bytes are damaged; the file is made as it is asked for."""
    for name, entry in ENTRIES.items():
        for kind in BYTES if entry.command else ():
            for example in range(examples):
                path = folder / f"damaged{entry.suffix}"
                draw = draw_of(f"command/{name}/{kind}/{example}")
                path.write_bytes(damaged(entry.value(), entry.encode, kind, draw)[1])
                yield f"{name}, {kind}", tuple(word.replace("FILE", path.name) for word in entry.command)


def prepared(folder: Path) -> Path:
    """A folder with an image, a benchmark set and a run, for the commands of `wrong_options` and others."""
    (folder / "runs").mkdir(parents=True)
    (folder / "sets/Set5").mkdir(parents=True)
    (folder / "sets/Set5/photo.png").write_bytes(_photo())
    released = ENTRIES["released weights"]
    (folder / "released.pth").write_bytes(released.encode(released.value()))
    shutil.copy(small_results(), folder / "runs/results.db")
    shutil.copy(small_results(), folder / "results.db")
    (folder / "photo.png").write_bytes(_photo())

    return folder

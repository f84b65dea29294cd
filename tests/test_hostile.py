"""Hostile files and values: each is refused in one line, or read as an independent reading does."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from pathlib import Path
from random import Random as Draw

import pytest
from forked import Forker
from hostile_entries import ENTRIES, Entry, database_agrees, small, small_results
from hostile_values import DAMAGES, REPLACEMENTS, Raw, damaged
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import mostly_thorough

from leaderboard.errors import LeaderboardError
from leaderboard.store import Store
from leaderboard.store.schema import TableBase
from leaderboard.tables.exchange import import_results
from leaderboard.untrusted import MOST_DOCUMENT_BYTES, UntrustedError, parse_json, parse_toml
from nas.cli.failures import message_of

MOST_SECONDS = 5.0
EXAMPLES = 5
ALWAYS_REFUSED = ("feature network",)
"""Entries whose right file is too large for a test."""


def one_line(error: Exception) -> None:
    assert 0 < len(str(error)) < 2000 and "\n" not in str(error), error


def draw_of(seed: object) -> Draw:
    return Draw(str(seed))  # noqa: S311  (no secret)


def outcome(entry: Entry, path: Path) -> str:
    """``refused``, ``accepted`` or what is wrong."""
    began = time.perf_counter()
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
    seconds = time.perf_counter() - began
    return said if seconds < MOST_SECONDS else f"{said}, after {seconds:.1f} s"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", mostly_thorough(ENTRIES, {"recipe", "genotype in JSON", "genotype in TOML"}))
def test_every_entry_takes_every_kind_of_damage(name: str, tmp_path: Path) -> None:
    entry = ENTRIES[name]
    right = entry.encode(entry.value())
    path = tmp_path / f"file{entry.suffix}"
    path.write_bytes(right)
    if name not in ALWAYS_REFUSED:
        assert outcome(entry, path) == "accepted"
    wrong = {}
    for kind in DAMAGES:
        for example in range(EXAMPLES):
            _, data = damaged(entry.value(), entry.encode, kind, draw_of(f"{name}/{kind}/{example}"))
            path.write_bytes(data)
            said = outcome(entry, path)
            if said not in ("refused", "accepted"):
                wrong[kind, example] = said
    assert wrong == {}


@pytest.mark.thorough
def test_the_kinds_of_damage_are_damage() -> None:
    """No cell of the matrix is empty: some example of each kind differs from the right file."""
    for name, entry in ENTRIES.items():
        if name == "ONNX file":
            continue  # seconds to write; its kinds are the same
        right = entry.encode(entry.value())
        for kind in DAMAGES:
            files = (
                damaged(entry.value(), entry.encode, kind, draw_of(f"{name}/{kind}/{example}"))[1]
                for example in range(EXAMPLES)
            )
            assert any(data != right for data in files), f"{name}: {kind}"


@pytest.mark.thorough
def test_of_a_thousand_mutated_databases_each_is_taken_in_as_it_is_or_refused_whole(tmp_path: Path) -> None:
    source, target = small_results(), tmp_path / "here.db"
    counts = {"taken in": 0, "refused": 0}
    cells = [
        (table.name, column.name) for table in TableBase.metadata.sorted_tables for column in table.columns
    ]
    for number in range(1000):
        draw = draw_of(number)
        path = tmp_path / "there.db"
        shutil.copyfile(source, path)
        if draw.random() < 0.4:
            _damage_bytes(path, draw)
        else:
            _damage_cells(path, cells, draw)
        for old in tmp_path.glob("*.db*"):
            if old != path:
                old.unlink()
        with Store.at(target) as store:
            began = time.perf_counter()
            try:
                import_results(store, str(path))
            except LeaderboardError as error:
                one_line(error)
                assert store.studies() == [] and len(store.frame()) == 0, number
                counts["refused"] += 1
            else:
                assert database_agrees(target, path), number
                counts["taken in"] += 1
            assert time.perf_counter() - began < MOST_SECONDS, number
    assert min(counts.values()) >= 100, counts


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
            try:
                raw.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = 1", (value,))  # noqa: S608
            except sqlite3.IntegrityError:
                continue  # the file keeps its own rules
    raw.close()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200) | _JSON.map(json.dumps))
def test_a_json_text_is_a_plain_value_or_one_line(text: str | bytes) -> None:
    try:
        value = parse_json(text)
    except UntrustedError as error:
        one_line(error)
    else:
        assert json.dumps(value) == json.dumps(json.loads(text))


_TOML = st.text(alphabet="ab.\"'=[]{},#\\\n 1-_", max_size=400)


@settings(derandomize=True, max_examples=500, deadline=None)
@given(_TOML | st.text(max_size=100))
def test_a_toml_text_is_a_plain_table_or_one_line(text: str) -> None:
    import tomllib

    try:
        value = parse_toml(text)
    except UntrustedError as error:
        one_line(error)
    else:
        assert value == tomllib.loads(text)


TOML_BOMBS = (
    "a" + ".a" * 32_000 + "=1",
    "[" + "a." * 32_000 + "a]",
    '"a"' + ".'b'" * 15_000 + "=1",
    "a = " + "[" * 60_000,
    "a = " + "{a=" * 20_000,
    "x" * 65_000,
    '"\\' * 30_000,
    "'" * 65_001,
    '"""\\' * 16_000,
    "a . " * 16_000,
    'q = {x = """a"""", ' + "a." * 100 + "a = 1}",
    "x = {" + ", ".join(f"{'a.' * 30}b{n} = 1" for n in range(900)) + "}",
    "[[a]]\n" * 10_000,
)


@pytest.mark.parametrize("text", TOML_BOMBS, ids=lambda text: text[:12])
def test_no_toml_below_the_bound_takes_long(text: str) -> None:
    began = time.perf_counter()
    assert len(text) <= MOST_DOCUMENT_BYTES
    try:
        parse_toml(text)
    except UntrustedError as error:
        one_line(error)
    assert time.perf_counter() - began < 1.0


def test_keys_in_texts_and_comments_of_toml_are_no_keys() -> None:
    long = ".".join("a" * 40)
    text = f'a = "{long}"\nb = """{long}"""\nc = \'{long}\' # {long}\n[d.e]\nf = [["{long}"]]\n'
    table = parse_toml(text)
    assert table["a"] == table["b"] == table["c"] == long and table["d"]["e"]["f"] == [[long]]


# Real processes


MEASURED = """
import atexit, resource, sys
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from nas.cli import main
sys.argv[0] = "nas"
try:
    main()
finally:
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"grown by {grown} KiB", file=sys.stderr)
"""


def run(forker: Forker, folder: Path, *arguments: str) -> tuple[int, str, float]:
    """Exit status, what it wrote on standard error, and the growth of its memory in MiB."""
    process = forker.python(MEASURED, *arguments, cwd=folder)
    _, stderr = process.communicate(60)
    said, _, grown = stderr.strip().rpartition("\n")
    assert grown.startswith("grown by "), stderr
    return process.wait(), said, float(grown.split()[2]) / 1024


def refused(forker: Forker, folder: Path, *arguments: str) -> str:
    """The one line that refuses a command, which takes no more than seconds and a gigabyte."""
    began = time.perf_counter()
    status, said, grown = run(forker, folder, *arguments)
    assert status == 2, (status, said)
    assert "Traceback" not in said and "unexpected error" not in said, said
    assert said.count("\n") == 0 or "Usage:" in said, said
    assert time.perf_counter() - began < MOST_SECONDS
    assert grown < 1024
    return said


def corpus(folder: Path) -> dict[str, tuple[str, ...]]:
    """Files that once hung, exploded, were taken for something else or gave a traceback: what reads them."""
    import torch
    from safetensors.torch import save_file

    weights = ENTRIES["weights in safetensors"]
    right = weights.encode(weights.value())
    (folder / "i32.safetensors").write_bytes(right.replace(b'"F32"', b'"I32"'))
    (folder / "u32.safetensors").write_bytes(right.replace(b'"F32"', b'"U32"', 1))
    for name, kind in (("int32", torch.int32), ("complex", torch.complex64), ("half", torch.float16)):
        state = {key: value.to(kind) for key, value in small().build(2).state_dict().items()}
        torch.save(state, folder / f"{name}.pth")
    nan = {key: torch.full_like(value, torch.nan) for key, value in small().build(2).state_dict().items()}
    save_file(nan, folder / "nan.safetensors")
    for name, about in {"three": "3", "null": "null", "text": '"x"', "deep": "[" * 50_000}.items():
        value = {"x": torch.zeros(1)}
        save_file(value, folder / f"about-{name}.safetensors", metadata={"paretosr": about})
    (folder / "dotted.toml").write_text("a" + ".a" * 50_000 + "=1")
    (folder / "columns.csv").write_text("a," * 100_000)
    (folder / "wide.csv").write_text("a,b\n" + "1," * 1_000_000)
    (folder / "deep.json").write_text('{"a":' * 50_000)
    (folder / "deep.jsonl").write_text("[" * 100_000 + "\n")
    (folder / "one.jsonl").write_bytes(b"a" * 40_000_000)
    (folder / "empty.toml").write_text("[proxy]\nplan = ['a']\n")
    (folder / "photo.png").write_bytes(_photo())
    model = {"upscale": lambda file: ("upscale", "photo.png", "--model", file)}["upscale"]
    small_file = ("export", "hostile_entries:network", "--scale", "2", "--format", "safetensors")
    return {
        **{name: model(f"{name}.safetensors") for name in ("i32", "u32", "nan", "about-three", "about-null")},
        **{name: model(f"{name}.safetensors") for name in ("about-text", "about-deep")},
        **{name: (*small_file, "--weights", f"{name}.pth") for name in ("int32", "complex", "half")},
        "dotted": ("search", "dotted.toml"),
        "plan": ("search", "empty.toml"),
        **{name: ("import-results", name) for name in ("columns.csv", "wide.csv", "deep.jsonl", "one.jsonl")},
        "deep": ("cost", "deep.json"),
        "seed": ("search", "--seed", "9" * 30, "--trials", "1"),
        "params": ("search", "--max-params", "9" * 400),
        "latency": ("search", "--max-latency-ms", "inf"),
        "hours": ("search", "--hours", "nan"),
        "name": ("search", "--name", "x" * 5000),
        "line": ("front", "a\nb"),
        "workers": ("search", "--executor", "processes", "--workers", "100000"),
        "proc": ("search", "--runs", "/proc/x"),
        "simulate": ("simulate", "--out", "/proc/x", "--table", "nas-bench-sr"),
        "long path": ("cost", "x" * 5000 + ".json"),
        "long runs": ("front", "mine", "--runs", "x" * 5000),
        "address": ("front", "mine", "--db", "sqlite:///" + "x" * 5000),
        "as": ("import-results", str(small_results()), "--as", "../x"),
        "as absolute": ("import-results", str(small_results()), "--as", "/abs"),
        "as lines": ("import-results", str(small_results()), "--as", "a\nb"),
        "dot": ("space", ".x"),
        "scale": ("cost", "imdn", "--scale", "9" * 30),
    }


def _photo() -> bytes:
    import io

    from PIL import Image

    data = io.BytesIO()
    Image.new("RGB", (24, 20), (90, 120, 30)).save(data, "PNG")
    return data.getvalue()


@pytest.mark.thorough
def test_the_corpus_is_refused_in_one_line_each(
    forker: Forker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "importable"))
    for name, arguments in corpus(tmp_path).items():
        line = refused(forker, tmp_path, *arguments)
        assert len(line) < 2500, name


def test_an_argument_that_is_no_text_is_refused(forker: Forker, tmp_path: Path) -> None:
    code = "import sys; sys.argv = ['nas', 'front', b'\\xff\\xfe'.decode('utf-8', 'surrogateescape')]\n"
    process = forker.python(code + "from nas.cli import main; main()", cwd=tmp_path)
    _, stderr = process.communicate(60)
    assert process.wait() == 2 and stderr == "nas: argument '\\udcff\\udcfe' is no text in UTF-8\n"


def test_an_unexpected_error_is_one_line_and_a_file(forker: Forker, tmp_path: Path) -> None:
    code = (
        "import sys, nas.cli.space; sys.argv = ['nas', 'space']\n"
        "import search_spaces; search_spaces.load_space = None\n"
        "from nas.cli import main; main()"
    )
    environment = os.environ["NAS_CACHE"]
    try:
        os.environ["NAS_CACHE"] = str(tmp_path / "cache")
        process = forker.python(code, cwd=tmp_path)
    finally:
        os.environ["NAS_CACHE"] = environment
    _, stderr = process.communicate(60)
    assert process.wait() == 2 and stderr.count("\n") == 1
    assert stderr.startswith("nas: an unexpected error, TypeError: ")
    (kept,) = (tmp_path / "cache/errors").iterdir()
    assert str(kept) in stderr and "Traceback" in kept.read_text()

"""Hostile files and values: each is refused in one line, or read as an independent reading does."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest
from forked import Forker
from hostile_entries import ENTRIES
from hostile_runs import (
    corpus,
    damaged_commands,
    damaged_files,
    draw_of,
    mutated_databases,
    prepared,
    run,
    wrong_options,
    wrong_texts,
)
from hostile_values import DAMAGES, damaged
from hypothesis import given, settings
from hypothesis import strategies as st
from levels import mostly_thorough

from leaderboard.untrusted import MOST_DOCUMENT_BYTES, UntrustedError, parse_json, parse_toml

EXAMPLES = 5


def one_line(error: Exception) -> None:
    assert 0 < len(str(error)) < 2000 and "\n" not in str(error), error


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", mostly_thorough(ENTRIES, {"recipe", "genotype in JSON", "genotype in TOML"}))
def test_every_entry_takes_every_kind_of_damage(name: str, tmp_path: Path) -> None:
    found = list(damaged_files(name, tmp_path, EXAMPLES))
    assert [each for each in found if each[2] not in ("refused", "accepted")] == []
    assert {kind for kind, _, _ in found} >= set(DAMAGES)
    assert all(said == "accepted" for kind, _, said in found if kind == "none")


@pytest.mark.thorough
def test_the_kinds_of_damage_are_damage() -> None:
    """No cell of the matrix is empty: some example of each kind differs from the right file."""
    for name, entry in ENTRIES.items():
        right = entry.encode(entry.value())
        for kind in DAMAGES:
            files = (
                damaged(entry.value(), entry.encode, kind, draw_of(f"{name}/{kind}/{example}"))[1]
                for example in range(EXAMPLES)
            )
            assert any(data != right for data in files), f"{name}: {kind}"


@pytest.mark.thorough
def test_of_a_thousand_mutated_databases_each_is_taken_in_as_it_is_or_refused_whole(tmp_path: Path) -> None:
    found = list(mutated_databases(tmp_path, range(1000)))
    assert [each for each in found if each[1] not in ("refused", "accepted")] == []
    assert min(Counter(said for _, said in found).values()) > 200


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)


@settings(derandomize=True, max_examples=40, deadline=None)
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


@pytest.mark.thorough
def test_the_corpus_is_refused_in_one_line_each(
    forker: Forker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = prepared(tmp_path / "work")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "importable"))
    problems = {name: run(forker, folder, *words).problem for name, words in corpus(folder).items()}
    assert {name: problem for name, problem in problems.items() if problem} == {}


@pytest.mark.thorough
def test_numbers_that_no_option_can_mean_are_refused(forker: Forker, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "work")
    problems = {words: run(forker, folder, *words).problem for words in wrong_options()}
    assert {words: problem for words, problem in problems.items() if problem} == {}
    assert len(problems) > 150


@pytest.mark.thorough
def test_texts_that_no_option_can_mean_are_refused(forker: Forker, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "work")
    problems = {words: run(forker, folder, *words).problem for words in wrong_texts()}
    assert {words: problem for words, problem in problems.items() if problem} == {}
    assert len(problems) > 200
    assert not (folder / "out.safetensors").exists()


@pytest.mark.thorough
def test_the_commands_refuse_damaged_files_in_one_line(
    forker: Forker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file may be right still (a mark in front of a text, another bit of a number): then it is read."""
    folder = prepared(tmp_path / "work")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "importable"))
    runs = {what: run(forker, folder, *words) for what, words in damaged_commands(folder, 1)}
    troubles = {what: ended.trouble for what, ended in runs.items() if ended.status == 2}
    assert {what: trouble for what, trouble in troubles.items() if trouble} == {}
    assert {what: ended.said for what, ended in runs.items() if ended.status not in (0, 2)} == {}
    assert len(troubles) > 100


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

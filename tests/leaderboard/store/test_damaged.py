"""Files that are damaged or forged: each is one line, nothing in them runs, and none makes a reader wait."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from leaderboard.errors import StoreError
from leaderboard.store import Store
from leaderboard.store.untrusted_sqlite import VALUE_BYTES
from leaderboard.tables.exchange import import_results
from leaderboard.untrusted import MOST_LEVELS, is_deeper

OLDEST = Path(__file__).parents[1] / "data" / "schema-0001.sql"

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id FROM n"


@pytest.fixture(scope="session")
def right(tmp_path_factory: pytest.TempPathFactory, fill_store: Any) -> Path:
    """A database with five trials, to be copied."""
    path = tmp_path_factory.mktemp("right") / "results.db"
    with Store.at(path) as store:
        fill_store(store, "demo", trials=5)
    return path


@pytest.fixture
def path(tmp_path: Path, right: Path) -> Path:
    """A database with five trials."""
    return Path(shutil.copy(right, tmp_path))


def change(path: Path, *statements: str, values: tuple[Any, ...] = ()) -> None:
    with closing(sqlite3.connect(path)) as raw:
        raw.text_factory = bytes
        for statement in statements:
            raw.execute(statement, values)
        raw.commit()


def said_to(read: Callable[[], object]) -> str:
    """The one line that reading ends with."""
    with pytest.raises(StoreError) as refused:
        read()
    line = str(refused.value)
    assert "\n" not in line and len(line) < 400
    return line


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        (["ALTER TABLE event RENAME TO was", f"CREATE VIEW event AS {ENDLESS}"], "view 'event'"),
        (["CREATE TRIGGER spy AFTER INSERT ON study BEGIN DELETE FROM event; END"], "trigger 'spy'"),
        (["CREATE VIRTUAL TABLE words USING fts5(text)"], "virtual table 'words'"),
        (
            [
                "PRAGMA writable_schema = ON",
                f"UPDATE sqlite_master SET sql = 'CREATE VIEW runtime AS {ENDLESS}' WHERE name = 'runtime'",  # noqa: S608
            ],
            "'runtime'",
        ),
    ],
    ids=["view", "trigger", "virtual table", "a view that calls itself a table"],
)
@pytest.mark.parametrize("read_only", [True, False], ids=["read", "written"])
def test_a_file_that_could_run_something_is_not_opened(
    path: Path, statements: list[str], what: str, read_only: bool
) -> None:
    change(path, *statements)
    before = path.read_bytes()
    line = said_to(lambda: Store.at(path, read_only=read_only))
    assert line.startswith(f"{path}: ")
    assert what in line or "damaged" in line
    assert path.read_bytes() == before


def test_a_view_is_refused_in_an_older_database_and_by_an_import(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as raw:
        raw.executescript(OLDEST.read_text(encoding="utf-8"))
    change(old, "ALTER TABLE trial RENAME TO was", f"CREATE VIEW trial AS {ENDLESS}")
    assert "view 'trial'" in said_to(lambda: Store.at(old))
    with Store.at(tmp_path / "mine.db") as mine:
        assert "view 'trial'" in said_to(lambda: import_results(mine, str(old)))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine.db", "old.db"]


def test_connections_have_their_bounds(path: Path) -> None:
    for read_only in (True, False):
        with Store.at(path, read_only=read_only) as store, store._engine.connect() as connection:
            raw = connection.connection.dbapi_connection
            assert isinstance(raw, sqlite3.Connection)
            assert raw.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) == VALUE_BYTES
            assert raw.execute("PRAGMA trusted_schema").fetchone() == (0,)
            assert raw.execute("PRAGMA cell_size_check").fetchone() == (1,)


NESTED = "[" * (MOST_LEVELS + 1) + "]" * (MOST_LEVELS + 1)


@pytest.mark.parametrize(
    ("column", "stored", "words"),
    [
        ("trial.created_at", "yesterday", "'yesterday' stands where a moment is expected"),
        ("trial.created_at", 5, "5 stands where a moment is expected"),
        ("genotype.choices", '{"width": ', "'{\"width\": ' stands where a JSON object is expected"),
        ("genotype.choices", "[]", "'[]' stands where a JSON object is expected"),
        ("genotype.choices", "null", "'null' stands where a JSON object is expected"),
        ("genotype.choices", b"\xff\xfe", "stands where a JSON object is expected"),
        ("genotype.choices", f'{{"a": {"9" * 5000}}}', "stands where a JSON object is expected"),
        ("genotype.choices", f'{{"a": {NESTED}}}', "a JSON object is nested more than 32 levels deep"),
        ("evaluation.curve", "7", "7 stands where a JSON list is expected"),
        ("evaluation.curve", NESTED, "a JSON list is nested more than 32 levels deep"),
        ("evaluation.curve", "[" * 50_000 + "]" * 50_000, "a JSON list is nested more than 32 levels deep"),
    ],
)
def test_a_value_that_is_none_of_its_column_is_one_line(
    path: Path, column: str, stored: object, words: str
) -> None:
    table, _, name = column.partition(".")
    change(path, f"UPDATE {table} SET {name} = ?", values=(stored,))  # noqa: S608
    with Store.at(path, read_only=True) as store:
        line = said_to(lambda: store.trials(store.study("demo").id))
    assert line.startswith(f"{path}: is damaged: ")
    assert words in line


def test_a_text_that_is_not_utf_8_is_one_line(path: Path) -> None:
    change(path, "UPDATE evaluation SET device = CAST(x'63ff75' AS TEXT)")
    with Store.at(path, read_only=True) as store:
        line = said_to(lambda: store.trials(store.study("demo").id))
    assert line == f"{path}: is damaged: a text of evaluation_device is not UTF-8"


def test_a_damaged_value_in_an_older_database_that_is_imported_is_one_line(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    with closing(sqlite3.connect(old)) as raw:
        raw.executescript(OLDEST.read_text(encoding="utf-8"))
    for column, stored in (("choices", "{"), ("choices", NESTED)):
        change(old, f"UPDATE genotype SET {column} = ?", values=(stored,))  # noqa: S608
        with Store.at(tmp_path / "mine.db") as mine:
            assert "old.db: is damaged: " in said_to(partial(import_results, mine, str(old)))


@pytest.mark.thorough
def test_a_value_beyond_the_bound_is_one_line_for_readers_and_writers(path: Path) -> None:
    limit = f"a value of more than {VALUE_BYTES // 2**20} MiB can be neither read nor written"
    with Store.at(path) as store:
        huge = {"text": "x" * VALUE_BYTES}
        line = said_to(lambda: store.open_study("big", recipe=huge, space_digest="", code_version=""))
        assert line == f"{path}: {limit}"
        assert [study.name for study in store.studies()] == ["demo"]
    change(path, f"UPDATE study SET code_version = printf('%*d', {VALUE_BYTES + 1}, 7)")  # noqa: S608
    with Store.at(path, read_only=True) as store:
        assert said_to(store.studies) == f"{path}: {limit}"


def test_what_could_not_be_read_again_is_not_written(store: Store) -> None:
    deep: dict[str, Any] = {}
    for _ in range(MOST_LEVELS - 1):
        deep = {"in": deep}
    store.open_study("deep", recipe=deep, space_digest="5d1f", code_version="0.1.0")
    assert store.study("deep").recipe == deep
    with pytest.raises(StoreError, match="nested more than 32 levels deep"):
        store.open_study("deeper", recipe={"in": deep}, space_digest="5d1f", code_version="0.1.0")


@pytest.mark.parametrize(
    ("value", "depth"), [(1, 0), ([], 1), ([1, 2], 1), ({"a": []}, 2), ([[1], {"b": (1, {})}], 4)]
)
def test_levels_are_counted(value: object, depth: int) -> None:
    assert not is_deeper(value, depth)
    assert depth == 0 or is_deeper(value, depth - 1)

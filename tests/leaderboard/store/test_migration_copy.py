"""The copy beside an SQLite file that is migrated: real files, and real processes that are killed."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from forked import Forker, Process
from levels import mostly_thorough
from small_disk import mounted

from leaderboard.errors import StoreError
from leaderboard.store import Store, database, migration_copy
from leaderboard.store.schema import SCHEMA_VERSION

OLDEST = Path(__file__).parents[1] / "data" / "schema-0001.sql"
COPY = f"results.db.before-{SCHEMA_VERSION}"

TABLES = ("study", "genotype", "cost", "protocol", "evaluation", "trial")

STOPS = {
    "before the copy": """
        stop_before(database, "keep_copy")
    """,
    "during the copy": """
        class Slow(sqlite3.Connection):
            def backup(self, target):
                super().backup(target, pages=1, progress=self.look)
            def look(self, status, left, pages):
                if left < pages // 2:
                    stop()
        connect = sqlite3.connect
        migration_copy.sqlite3.connect = lambda *all, **named: connect(*all, factory=Slow, **named)
    """,
    "before the copy has its name": """
        stop_before(Path, "replace")
    """,
    "before the first step": """
        stop_before(database, "_migrate")
    """,
    "in the middle of a step": """
        stop_at("INSERT INTO _alembic_tmp_trial")
    """,
    "between two steps": """
        stop_at("UPDATE alembic_version SET version_num='0003'")
    """,
    "before the commit": """
        event.listen(Engine, "commit", lambda connection: stop())
    """,
    "after the commit": """
        stop_before(database, "remove_copy")
    """,
}
"""Where the child stops -> how its own script makes it stop there."""

CHILD = """
import sqlite3, sys, time
from pathlib import Path
from sqlalchemy import Engine, event
from leaderboard.store import Store, database, migration_copy

def stop(*arguments, **named):
    print("here", flush=True)
    time.sleep(600)

def stop_before(place, name):
    setattr(place, name, stop)

def stop_at(beginning):
    def look(connection, cursor, statement, *others):
        if " ".join(statement.split()).startswith(beginning):
            stop()
    event.listen(Engine, "before_cursor_execute", look)

{where}
Store.at(sys.argv[1]).close()
print("not stopped")
"""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database of the first schema in a folder of its own, a tenth of a megabyte more than it needs."""
    path = tmp_path / "runs" / "results.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(OLDEST.read_text(encoding="utf-8"))
        for number in range(100):
            raw.execute(
                "INSERT INTO genotype (id, space, choices) VALUES (?, 'lightweight', ?)",
                (f"more-{number}", f'{{"text": "{"x" * 1000}"}}'),
            )
        raw.commit()
    return path


def counts(path: Path) -> dict[str, int]:
    """The rows of the tables that every schema has, and that the file is whole."""
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        return {name: raw.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES}  # noqa: S608


def schema_of(path: Path) -> str:
    with closing(sqlite3.connect(path)) as raw:
        return str(raw.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def stopped(forker: Forker, path: Path, where: str) -> Process:
    """A process that opens the database and has come to the place `where`."""
    child = forker.python(CHILD.format(where=textwrap.dedent(STOPS[where])), str(path))
    assert child.stdout.readline() == "here\n", child.communicate(timeout=60)
    return child


def killed(child: Process) -> None:
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL
    child.communicate()


@pytest.mark.parametrize(
    "where", mostly_thorough(STOPS, quick=("during the copy", "in the middle of a step", "after the commit"))
)
def test_a_migration_that_is_killed_loses_nothing(old: Path, forker: Forker, where: str) -> None:
    before = counts(old)
    killed(stopped(forker, old, where))
    left = names(old)
    assert (COPY in left) == (list(STOPS).index(where) >= list(STOPS).index("before the first step"))
    if COPY in left:
        assert counts(old.with_name(COPY)) == before
        assert schema_of(old.with_name(COPY)) == "0001"
    assert counts(old) == before
    assert schema_of(old) == (SCHEMA_VERSION if where == "after the commit" else "0001")
    with Store.at(old) as store:
        assert len(store.frame("demo")) == before["trial"]
    assert schema_of(old) == SCHEMA_VERSION
    assert counts(old) == before
    assert names(old) == ["results.db"]


def test_a_migration_without_an_accident_leaves_no_copy(old: Path) -> None:
    before = counts(old)
    Store.at(old).close()
    assert counts(old) == before
    assert names(old) == ["results.db"]


def test_two_that_open_an_old_database_at_once_take_turns(old: Path, forker: Forker) -> None:
    before = counts(old)
    opening = "import sys; from leaderboard.store import Store; Store.at(sys.argv[1]).close()"
    both = [forker.python(opening, str(old)) for _ in range(2)]
    for each in both:
        assert each.communicate(timeout=120) == ("", "")
        assert each.returncode == 0
    assert (schema_of(old), counts(old), names(old)) == (SCHEMA_VERSION, before, ["results.db"])


def test_who_comes_second_waits_and_then_finds_it_done(
    old: Path, forker: Forker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    first = stopped(forker, old, "before the commit")
    with pytest.raises(StoreError, match=r"results\.db: is locked by another program"):
        Store.at(old)
    assert COPY in names(old), "the copy of the process that migrates was removed"
    killed(first)
    Store.at(old).close()
    assert names(old) == ["results.db"]


def test_the_copy_holds_what_is_only_in_the_log_and_is_as_private_as_the_file(old: Path) -> None:
    old.chmod(0o640)
    with closing(sqlite3.connect(old)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("INSERT INTO genotype (id, space, choices) VALUES ('late', 'lightweight', '{}')")
        writer.commit()
        writer.execute("BEGIN IMMEDIATE")
        migration_copy.keep_copy(old, SCHEMA_VERSION)
        kept = old.with_name(COPY)
        assert names(old) == ["results.db", "results.db-shm", "results.db-wal", COPY]
        assert kept.stat().st_mode & 0o777 == 0o640
        with closing(sqlite3.connect(kept)) as raw:
            assert raw.execute("SELECT count(*) FROM genotype WHERE id = 'late'").fetchone() == (1,)


def test_a_stale_copy_is_replaced_and_a_damaged_file_keeps_it(old: Path) -> None:
    kept = old.with_name(COPY)
    kept.write_text("stale")
    migration_copy.keep_copy(old, SCHEMA_VERSION)
    assert counts(kept) == counts(old)
    data = bytearray(old.read_bytes())
    data[4096 * 3 : 4096 * 6] = b"\xa5" * (4096 * 3)
    old.write_bytes(data)
    with pytest.raises(StoreError, match=rf"is damaged.*{COPY} is a copy from an earlier attempt") as refused:
        Store.at(old)
    assert "\n" not in str(refused.value)
    assert old.read_bytes()[4096:] == data[4096:]
    assert schema_of(kept) == "0001"


@pytest.fixture
def small_disk(old: Path, tmp_path: Path) -> Iterator[Path]:
    """The database on a file system in memory that has room for it and half of a copy."""
    with mounted(tmp_path / "disk", str(old.stat().st_size * 3 // 2)) as place:
        (place / old.name).write_bytes(old.read_bytes())
        yield place / old.name


@pytest.mark.parametrize("looked_at", [True, False])
def test_no_room_for_the_copy_is_one_line_and_changes_nothing(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch, looked_at: bool
) -> None:
    if not looked_at:  # the disk fills while the copy is written
        monkeypatch.setattr(migration_copy, "_require_room", lambda *all: None)
    before = counts(small_disk)
    with pytest.raises(StoreError, match=r"no copy can be kept beside it .*is full.*as it was") as refused:
        Store.at(small_disk)
    assert "\n" not in str(refused.value)
    assert (schema_of(small_disk), counts(small_disk), names(small_disk)) == ("0001", before, ["results.db"])


def test_a_place_where_no_file_can_be_made_is_one_line(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = old.with_name(f".{COPY}.part")
    taken.mkdir()
    with pytest.raises(StoreError, match=r"no copy can be kept beside it .*as it was"):
        Store.at(old)
    taken.rmdir()
    with contextlib.closing(Store.at(old)):
        pass
    assert names(old) == ["results.db"]

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from new_records import propose, record
from sqlalchemy import event

from leaderboard.errors import NewerSchemaError, StoreError
from leaderboard.store import Store, database

OPENING = {"recipe": {}, "space_digest": "5d1f", "code_version": "0.1.0"}


def test_a_missing_file_is_named_to_readers(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"results\.db: there are no results yet; run `nas search` first"):
        Store.at(tmp_path / "results.db", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_another_kind_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("these are my notes, and they are longer than a header")
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"notes\.db: is not a results database"):
            Store.at(path, read_only=read_only)
    assert path.read_text().startswith("these are my notes")


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
    with pytest.raises(StoreError, match=r"results\.db") as refused:
        Store.at(path)
    assert "\n" not in str(refused.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        Store.at(tmp_path)


def test_a_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"results\.db: cannot be opened"):
        Store.at(tmp_path / "file" / "results.db")


@pytest.mark.unprivileged
def test_a_folder_that_is_not_ours_to_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match=r"results\.db: cannot be opened"):
        Store.at(tmp_path / "results.db")


def test_a_read_only_database_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    Store.at(path).close()
    with (
        Store(f"sqlite:///file:{path}?mode=ro&uri=true") as store,
        pytest.raises(
            StoreError, match=r"results\.db: cannot be written: the file or its folder is read-only"
        ),
    ):
        store.open_study("demo", **OPENING)


@pytest.fixture
def locked_folder() -> Iterator[Callable[[], AbstractContextManager[Path]]]:
    """A folder of ours, and a way to be somebody, for a while, who may only read it."""
    folder = Path(tempfile.mkdtemp(prefix="paretosr-"))  # pytest's own is closed to other users
    as_root = os.geteuid() == 0

    @contextmanager
    def locked() -> Iterator[Path]:
        for file in folder.iterdir():
            file.chmod(0o444)
        folder.chmod(0o555)
        if as_root:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if as_root:
                os.seteuid(0)
            folder.chmod(0o755)

    yield locked
    shutil.rmtree(folder)


@pytest.mark.parametrize("left", ["nothing", "an empty log", "a stale index"])
def test_results_are_read_where_nothing_may_be_written(
    locked_folder: Any, left: str, fill_store: Any
) -> None:
    with locked_folder() as folder:
        pass
    with Store.at(folder / "results.db") as store:
        fill_store(store, trials=5)
        expected = store.frame()
    names = {"nothing": [], "an empty log": ["results.db-wal"], "a stale index": ["results.db-shm"]}
    for name in names[left]:
        (folder / name).touch()
    before = sorted(path.name for path in folder.iterdir())
    assert before == sorted(["results.db", *names[left]])
    with locked_folder() as folder, Store.at(folder / "results.db", read_only=True) as store:
        pd.testing.assert_frame_equal(store.frame(), expected)
        with pytest.raises(OSError, match="Permission denied"):
            (folder / "something").touch()
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_reader_without_rights_sees_what_a_running_search_has_just_written(
    locked_folder: Any, fill_store: Any
) -> None:
    with locked_folder() as folder:
        pass
    with Store.at(folder / "results.db") as writer:
        fill_store(writer, trials=5)
        with locked_folder() as folder, Store.at(folder / "results.db", read_only=True) as reader:
            assert len(reader.frame()) == 5


def test_a_log_that_cannot_be_read_in_its_place_is_one_line_and_never_left_out(
    locked_folder: Any, fill_store: Any
) -> None:
    with locked_folder() as folder:
        pass
    with Store.at(folder / "results.db") as store:
        fill_store(store, trials=5)
        for end in ("", "-wal"):
            shutil.copy(folder / f"results.db{end}", folder / f"copy.db{end}")
    with (
        locked_folder() as folder,
        pytest.raises(StoreError, match=r"its newest results are still in copy\.db-wal.*copy both files"),
    ):
        Store.at(folder / "copy.db", read_only=True)
    with Store.at(folder / "copy.db", read_only=True) as store:
        assert len(store.frame()) == 5


def test_a_writer_writes_while_a_reader_is_in_the_middle_of_a_frame(
    url: str, fill_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.0)  # whoever is kept waiting fails
    with Store(url) as writer, Store(url, read_only=True) as reader:
        study = fill_store(writer, trials=5)
        written: list[int] = []

        def write(*arguments: Any) -> None:
            if "trial" in arguments[2] and not written:
                trial = propose(writer, study.id, 77)
                record(writer, trial.id, 77)
                written.append(trial.id)

        event.listen(reader._engine, "after_cursor_execute", write)
        during = reader.frame()
        assert written
        assert len(during) == 5
        assert len(reader.frame()) == 6
        assert len(writer.frame()) == 6


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    with Store.at(tmp_path / "results.db") as store:
        first = store.open_study("demo", **OPENING)
        with store._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
        with pytest.raises(StoreError, match=r"results\.db: cannot be written: the disk is full"):
            store.open_study("big", recipe={"text": "x" * 100_000}, space_digest="5d1f", code_version="0.1.0")
        assert store.studies() == [first]


def test_a_writer_waits_for_another_a_bounded_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.db"
    with Store.at(path) as store:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        later = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        later.start()
        store.open_study("demo", **OPENING)
        later.join()
        other.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
        with pytest.raises(
            StoreError, match=r"results\.db: is locked by another program for more than 0\.2 s$"
        ):
            store.open_study("late", **OPENING)
        other.close()
        assert [study.name for study in store.studies()] == ["demo"]


def test_a_newer_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    Store.at(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'zzz'")
    connection.close()
    for read_only in (False, True):
        with pytest.raises(NewerSchemaError) as refused:
            Store.at(path, read_only=read_only)
        assert str(refused.value) == (
            f"{path} was written by a newer ParetoSR (schema 'zzz'; this version knows up to '0006'); "
            "upgrade with: pip install -U paretosr"
        )


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "music.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE album (id INTEGER)")
    connection.close()
    with pytest.raises(StoreError, match=r"database of something else \(tables album\)"):
        Store.at(path)


def test_an_empty_file_is_filled_by_a_writer_and_refused_by_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    path.touch()
    with pytest.raises(StoreError, match="holds no results yet"):
        Store.at(path, read_only=True)
    with Store.at(path) as store:
        assert store.studies() == []


def test_an_odd_path_is_only_a_path(tmp_path: Path) -> None:
    path = tmp_path / "50% off?" / "a#b é.db"
    with Store.at(path) as store:
        store.open_study("demo", **OPENING)
    with Store.at(path, read_only=True) as store:
        assert [study.name for study in store.studies()] == ["demo"]
    assert path.is_file()


def test_a_database_in_memory_works() -> None:
    with Store("sqlite://") as store:
        store.open_study("demo", **OPENING)
        assert [study.name for study in store.studies()] == ["demo"]


def test_an_address_that_is_none_is_explained() -> None:
    with pytest.raises(StoreError, match="no database address"):
        Store("results")
    with pytest.raises(StoreError, match="nosuchdatabase"):
        Store("nosuchdatabase://somewhere/x")


def test_sqlite_is_set_up_for_one_writer_and_many_readers(tmp_path: Path) -> None:
    with Store.at(tmp_path / "results.db") as store, store._engine.connect() as connection:
        said = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert said == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1, "busy_timeout": 30000}

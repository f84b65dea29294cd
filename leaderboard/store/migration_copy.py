"""The copy of an SQLite file that is kept while its schema is migrated.

`results.db.before-0004` lies beside `results.db` from before the first change until the migration to 0004 is
committed. It holds what was committed, the part in the `-wal` file included. A process that creates or
removes a copy under its final name holds the database's write lock, or has seen the migration committed.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from leaderboard.errors import StoreError
from leaderboard.store.untrusted_sqlite import distrust

SPARE_BYTES = 2**20
"""Bytes that stay free beside the copy, for SQLite's own files."""


def copy_path(path: Path, schema: str) -> Path:
    """Where the copy of `path` lies while it is migrated to `schema`."""
    real = path.resolve()
    return real.with_name(f"{real.name}.before-{schema}")


def keep_copy(path: Path, schema: str) -> None:
    """Copy the SQLite file `path` before its migration to `schema`; the caller holds its write lock.

    A copy that a killed process left is replaced, once the file itself is found to be whole. Raises
    `StoreError`, with the database as it was, where the file is damaged and where the copy does not fit.
    """
    real, copy = path.resolve(), copy_path(path, schema)
    part = _part(copy)
    try:
        with closing(_reading(real)) as source:
            damage = source.execute("PRAGMA quick_check(1)").fetchone()[0]
            if damage != "ok":
                raise StoreError(_damaged(path, copy, " ".join(str(damage).split())))
            _remove(copy, part)
            _require_room(path, source, schema)
            _write_copy(source, part, real.stat().st_mode & 0o777)
        part.replace(copy)
        _sync(copy.parent)
    except OSError as error:
        raise _not_copied(path, schema, error.strerror or str(error)) from error
    except sqlite3.Error as error:
        raise _not_copied(path, schema, str(error)) from error
    finally:
        with suppress(OSError):
            _remove(part)


def remove_copy(path: Path, schema: str) -> None:
    """Remove the copy, and what a killed process left of one; the migration to `schema` is committed."""
    copy = copy_path(path, schema)
    with suppress(OSError):  # another process has removed it, or it is not ours to remove
        _remove(copy, _part(copy))


def _part(copy: Path) -> Path:
    return copy.with_name(f".{copy.name}.part")


def _remove(*files: Path) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _reading(path: Path) -> sqlite3.Connection:
    """A connection of its own: one in a write transaction cannot be copied from."""
    source = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        distrust(source, path)
    except BaseException:
        source.close()
        raise
    return source


def _require_room(path: Path, source: sqlite3.Connection, schema: str) -> None:
    pages, page_bytes = (
        source.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
    )
    needed, free = pages * page_bytes + SPARE_BYTES, shutil.disk_usage(path.resolve().parent).free
    if needed > free:
        mebibytes = f"{needed / 2**20:,.0f} MiB are needed, and {free / 2**20:,.0f} MiB are free"
        raise _not_copied(path, schema, f"the disk is full: {mebibytes}")


def _write_copy(source: sqlite3.Connection, part: Path, mode: int) -> None:
    """All pages of `source` as one file that is on the disk, to be read by whom the database may be read."""
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    with closing(sqlite3.connect(part, isolation_level=None)) as target:
        target.execute("PRAGMA journal_mode = OFF")  # a copy that is not whole is thrown away
        source.backup(target)
    part.chmod(mode)  # whatever the umask says
    _sync(part)


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_copied(path: Path, schema: str, reason: str) -> StoreError:
    return StoreError(
        f"{path}: no copy can be kept beside it while its schema becomes {schema} ({reason}); "
        "the database is as it was"
    )


def _damaged(path: Path, copy: Path, damage: str) -> str:
    hint = f"{copy.name} is a copy from an earlier attempt" if copy.exists() else "restore a backup"
    return f"{path}: is damaged and was not migrated ({damage[:120]}); {hint}"

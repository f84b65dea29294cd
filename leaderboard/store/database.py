"""Opens the results database: connections, the schema's version, and errors that are one line.

SQLite for one machine, PostgreSQL for several. A further kind goes into `BACKENDS` when its clock, its row
locks and its fate of a lost transaction (`store/transactions.py`) are known.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import (
    JSON,
    Connection,
    DateTime,
    Engine,
    MetaData,
    Table,
    create_engine,
    event,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool, StaticPool

from leaderboard.errors import (
    DamagedValueError,
    LeaderboardError,
    NewerSchemaError,
    OlderSchemaError,
    StoreError,
)
from leaderboard.store.column_types import StoredJson, UtcDateTime
from leaderboard.store.cost_forms import recount_command
from leaderboard.store.migration_copy import keep_copy, remove_copy
from leaderboard.store.schema import SCHEMA_VERSION, TableBase
from leaderboard.store.untrusted_sqlite import VALUE_BYTES, distrust

Result = TypeVar("Result")

BACKENDS = ("sqlite", "postgresql")
BUSY_SECONDS = 30.0
CONNECT_SECONDS = 10
REFUSED_SECONDS = 10.0
OPENING_LOCK = 0x5EA2C4  # any number that all versions agree on
MIGRATIONS = Path(__file__).parents[1] / "migrations"


def sqlite_url(path: str | Path) -> str:
    """The address of the SQLite file `path`, whatever characters it holds."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def open_engine(url: str, *, read_only: bool, retry_seconds: float) -> tuple[Engine, str]:
    """An engine on an up-to-date database, and how to name the database in a message.

    A server that says that it starts or stops is waited for, `retry_seconds` at most, and one that refuses
    connections `REFUSED_SECONDS`, since its address may be wrong. Work that writes runs under the execution
    option `writing=True`. Raises `StoreError`.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError(f"{url!r} is no database address; an example: sqlite:///runs/results.db") from None
    path = _sqlite_path(parsed)
    where = str(path or parsed.render_as_string(hide_password=True))
    if parsed.get_backend_name() not in BACKENDS:
        raise StoreError(f"{where}: results are kept in {' or '.join(BACKENDS)}, not in {parsed.drivername}")
    if path is not None:
        _check_file(path, read_only=read_only)
    with said(where):
        engine = _engine(parsed, path, read_only=read_only)
        try:
            waiting_for_server(
                lambda: _bring_up_to_date(engine, path, where, read_only=read_only),
                lambda error: _opening_patience(error, retry_seconds),
            )
        except BaseException:
            engine.dispose()
            raise
    return engine, where


def waiting_for_server(work: Callable[[], Result], patience: Callable[[DBAPIError], float]) -> Result:
    """The result of `work`, which is called again as long as its error is worth waiting, in seconds."""
    began, pause = time.monotonic(), 0.05
    while True:
        try:
            return work()
        except DBAPIError as error:
            if time.monotonic() + pause - began > patience(error):
                raise
        time.sleep(pause)
        pause = min(2 * pause, 1.0)


def _opening_patience(error: DBAPIError, retry_seconds: float) -> float:
    reason = str(error.orig)
    if any(sign in reason for sign in _RESTARTING):
        return retry_seconds
    return min(retry_seconds, REFUSED_SECONDS) if "refused" in reason else 0.0


_RESTARTING = ("starting up", "shutting down", "not yet accepting", "closed the connection unexpectedly")
"""What PostgreSQL and its driver say of a server that will be there in a moment."""


@contextmanager
def said(where: str) -> Iterator[None]:
    """Turns what a database driver raises into one line that names the database."""
    try:
        yield
    except DamagedValueError as error:
        raise StoreError(f"{where}: is damaged: {error}") from error
    except LeaderboardError:
        raise
    except ImportError as error:
        raise StoreError(
            f"{where}: the driver {error.name!r} is missing; "
            "install it with: pip install 'paretosr[postgres]'"
        ) from error
    except UnicodeDecodeError as error:  # in the name of a table or column
        raise StoreError(f"{where}: is damaged: a name in it is no text in UTF-8") from error
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(f"{where}: {_full_disk(where, error) or one_line(error)}") from error


def _full_disk(where: str, error: Exception) -> str | None:
    """What SQLite's `disk I/O error` means on a disk with less than a mebibyte left; None elsewhere."""
    folder = Path(where).parent
    if "disk I/O error" not in str(error) or not folder.is_dir() or shutil.disk_usage(folder).free >= 2**20:
        return None
    return "cannot be opened: the disk is full, and SQLite writes beside the file also to read it"


def is_passing(error: DBAPIError) -> bool:
    """Whether an error is no verdict on the work: the server is away, or two were in each other's way.

    SQLite waits by itself, so that what it still says is final.
    """
    if isinstance(error.orig, sqlite3.Error):
        return False
    code = getattr(error.orig, "sqlstate", None)
    if code is None:  # said by the driver and not by the server: no connection, or no more
        return error.connection_invalidated or isinstance(error, OperationalError)
    return error.connection_invalidated or code[:2] == "08" or code in _PASSING


_PASSING = {
    *("57P01", "57P02", "57P03"),  # the server stops, has crashed, or starts
    *("40001", "40P01", "53300"),  # two in each other's way; too many connections
}


def _sqlite_path(url: URL) -> Path | None:
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    assert url.database is not None
    if url.database.startswith("file:"):
        return Path(url.database.removeprefix("file:").partition("?")[0])
    return Path(url.database)


def _check_file(path: Path, *, read_only: bool) -> None:
    """What the driver would say badly: a missing file, a folder, a file of another kind."""
    try:
        if read_only and not path.exists():
            raise StoreError(f"{path}: there are no results yet; run `nas search` first")
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise StoreError(f"{path}: is a folder, not a results database")
        if path.exists():
            with path.open("rb") as file:
                head = file.read(16)
            if head and head != b"SQLite format 3\x00":
                raise StoreError(f"{path}: is not a results database (no SQLite file)")
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened ({error.strerror or error})") from error


def _engine(url: URL, path: Path | None, *, read_only: bool) -> Engine:
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url if "+" in url.drivername else url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            connect_args={} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_SECONDS},
            execution_options={"postgresql_readonly": read_only},
        )
    if path is None:
        engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    elif read_only:
        engine = create_engine("sqlite://", creator=lambda: _read_only_connection(path), poolclass=NullPool)
    else:
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves: the driver's own comes too late
        distrust(connection, path)
        connection.execute("PRAGMA foreign_keys = ON")
        if not read_only:
            _write_ahead(connection)
            connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("writing", False):
            _take_turn(connection.connection.dbapi_connection)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _take_turn(raw: Any) -> None:
    """Begins to write as soon as nobody else does.

    SQLite's own waiting asks ever more rarely, up to 100 ms apart, so that one of eight busy writers can ask
    in vain for more than 30 s. All of ours ask equally often.
    """
    until = time.monotonic() + BUSY_SECONDS
    raw.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                raw.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
            time.sleep(random.uniform(0.001, 0.004))  # noqa: S311  (no secret)
    finally:
        raw.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")


def _read_only_connection(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, also where nothing may be written.

    A reader of a write-ahead database shares the `-shm` file with whoever writes, and makes it when it is not
    there. Where it may not, and nothing waits in the `-wal` file, nobody writes: the file is all there is.
    """
    log, shared = (path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm"))
    alone = False
    if not os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        waiting = log.exists() and log.stat().st_size > 0
        if waiting and not shared.exists():
            raise StoreError(
                f"{path}: its newest results are still in {log.name}, and to read them SQLite has to write "
                "beside it; copy both files into a folder of your own"
            )
        alone = not waiting and not (log.exists() and shared.exists())
    address = f"{path.absolute().as_uri()}?mode=ro{'&immutable=1' if alone else ''}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Lets readers read while one writes; SQLite does not wait for this lock by itself."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.05)


def _bring_up_to_date(engine: Engine, path: Path | None, where: str, *, read_only: bool) -> None:
    """Makes or migrates the tables; two that open the same new database at once take turns.

    While the SQLite file `path` is migrated, a copy of it lies beside it.
    """
    with engine.connect() as connection:
        up_to_date = _revision(connection) == SCHEMA_VERSION
    if not up_to_date:
        _make_or_migrate(engine, path, where, read_only=read_only)
    if path is not None and not read_only:
        remove_copy(path, SCHEMA_VERSION)


def _make_or_migrate(engine: Engine, path: Path | None, where: str, *, read_only: bool) -> None:
    with engine.execution_options(writing=not read_only).begin() as connection:
        if engine.dialect.name == "postgresql" and not read_only:
            connection.execute(select(func.pg_advisory_xact_lock(OPENING_LOCK)))
        revision = _revision(connection)
        if revision == SCHEMA_VERSION:
            return
        if revision is None:
            strangers = inspect(connection).get_table_names()
            if strangers:
                raise StoreError(f"{where}: is a database of something else (tables {', '.join(strangers)})")
        elif revision not in _revisions():
            raise NewerSchemaError(
                f"{where} was written by a newer ParetoSR (schema {revision!r}; this version knows up to "
                f"{SCHEMA_VERSION!r}); upgrade with: pip install -U paretosr"
            )
        if read_only:
            if revision is None:
                raise StoreError(f"{where}: holds no results yet; run `nas search` first")
            raise OlderSchemaError(
                f"{where}: has the older schema {revision!r}, and reading cannot change it; "
                f"bring it up to date with: {recount_command(where)}"
            )
        if revision is None:
            _create(connection)
            return
        if path is not None:
            keep_copy(path, SCHEMA_VERSION)
        _migrate(connection)


def copy_database(url: str, path: Path) -> None:
    """Copies an older database into the new SQLite file `path`, with the schema it has; it is only read.

    Opening the copy for writing brings it up to date. Raises `StoreError`.
    """
    parsed = make_url(url)
    where = str(_sqlite_path(parsed) or parsed.render_as_string(hide_password=True))
    with said(where):
        source = _engine(parsed, _sqlite_path(parsed), read_only=True)
        target = _engine(make_url(sqlite_url(path)), path, read_only=False)
        try:
            with source.connect() as reading, target.execution_options(writing=True).begin() as writing:
                _migrate(writing, str(_revision(reading)))
                there, here = MetaData(), MetaData()
                event.listen(there, "column_reflect", _read_with_care)
                there.reflect(reading)
                here.reflect(writing)
                for table in here.sorted_tables:
                    if table.name != "alembic_version":
                        _copy_rows(reading, there.tables[table.name], writing, table)
        finally:
            source.dispose()
            target.dispose()


def _read_with_care(inspector: Any, table: Table, column: Any) -> None:
    """Gives a reflected column the type of ours that refuses a damaged value."""
    if isinstance(column["type"], JSON):
        column["type"] = StoredJson(optional=True)
    elif isinstance(column["type"], DateTime):
        column["type"] = UtcDateTime()


def _copy_rows(reading: Connection, source: Table, writing: Connection, target: Table) -> None:
    for some in reading.execute(select(source)).mappings().partitions(1000):
        rows = [
            {name: value.astimezone(UTC) if _is_aware(value) else value for name, value in row.items()}
            for row in some
        ]
        writing.execute(target.insert(), rows)


def _is_aware(value: Any) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None


def _revision(connection: Connection) -> str | None:
    """The schema that the database says it has, or None when it says nothing."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}


def _create(connection: Connection) -> None:
    """Makes the tables of a new database from the schema: the same as by all migrations, and faster."""
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    TableBase.metadata.create_all(connection)
    MigrationContext.configure(connection).stamp(ScriptDirectory(str(MIGRATIONS)), SCHEMA_VERSION)


def _migrate(connection: Connection, revision: str = "head") -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def one_line(error: Exception) -> str:
    """What a driver said, on one line and in plain words where we have them."""
    origin = getattr(error, "orig", None) or error
    said = " ".join(str(origin).split()) or type(origin).__name__
    plain = {
        "unable to open": "cannot be opened: does the folder exist, and may you write to it?",
        "readonly database": "cannot be written: the file or its folder is read-only",
        "is full": "cannot be written: the disk is full",
        "No space left": "cannot be written: the server's disk is full",
        "not a database": "is not a results database (no SQLite file)",
        "malformed": "is damaged (the file is no longer a whole SQLite database)",
        "is locked": f"is locked by another program for more than {BUSY_SECONDS:g} s",
        "too big": f"a value of more than {VALUE_BYTES / 2**20:g} MiB can be neither read nor written",
    }
    if undecodable := re.match(r"Could not decode to UTF-8 column '(\w*)'", said):
        return f"is damaged: a text of {undecodable[1]} is not UTF-8"
    for sign, words in plain.items():
        if sign in said:
            return words
    return said[:300]

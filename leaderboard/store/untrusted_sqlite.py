"""Opening an SQLite file that anybody may have written: nothing in it runs, and no value is without end."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from leaderboard.errors import StoreError

VALUE_BYTES = 32 * 2**20
"""Most bytes of one value or row; the longest that a search writes, a curve, have some hundred kilobytes."""

# All that a results database consists of. What decides is the text: SQLite runs that, whatever `type` says.
_RUNS_SOMETHING = """
SELECT type, name FROM sqlite_master WHERE (
    type = 'table' AND rootpage > 0 AND sql LIKE 'CREATE TABLE %'
    OR type = 'index' AND (sql IS NULL OR sql LIKE 'CREATE INDEX %' OR sql LIKE 'CREATE UNIQUE INDEX %')
) IS NOT TRUE LIMIT 1
"""


def distrust(connection: sqlite3.Connection, path: Path | None) -> None:
    """Set the bounds of a new connection, and refuse a file that would run something when it is read.

    Views, triggers and virtual tables are refused: a view in a table's place may be a query that never ends.
    Functions with side effects are closed to the expressions of tables and indexes, and the sizes of a page's
    cells are checked before they are used. Raises `StoreError`.
    """
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    strange = connection.execute(_RUNS_SOMETHING).fetchone()
    if strange is not None:
        kind, name = (str(word)[:60] for word in strange)
        kind = "virtual table" if kind == "table" else kind
        raise StoreError(
            f"{path or 'the database'}: holds the {kind} {name!r}, which no results database has and which "
            "could run anything; it is not opened"
        )

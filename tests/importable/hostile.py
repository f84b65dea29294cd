"""A results database with hostile text in every text column, and a probe for text that took effect."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich_results import STUDY, make
from sqlalchemy import CheckConstraint, Column, String, Table

from leaderboard.store import Store
from leaderboard.store.column_types import StoredJson
from leaderboard.store.schema import TableBase

RUN = "window.ran=(window.ran||0)+1,document.title='RAN'"
PAYLOADS = (
    f"<script>{RUN}</script>",
    f'"><img src=x onerror="{RUN}">',
    f'\'><svg onload="{RUN}"><x-pwned>',
    f'a":(document.title="RAN",{RUN},{{}}),"b',
    f"</script></title></style></textarea><script>{RUN}</script>",
    f'<a href="javascript:{RUN}">click</a>',
    f"javascript:{RUN}",
    f"'+({RUN})+'${{{RUN}}}`\\",
    "{{7*7}} %{x} {0} [x](javascript:alert(1)) ![x](x) *x* <em>x</em> `x`",
    "\u2028\u2029\x01\x08\x1b[31m\x7f\x85",
    "\u202e\u200f\u2066 right to left",
    "constructor toString &lt;x-pwned&gt; &#60;x-pwned&#62; <b>bold</b><br>",
)
LONG = 10_000
FREE = ("choices", "plan", "recipe", "details")
"""Columns of objects whose keys and values are anybody's."""
IN_CONTROLS = ("study.name", "protocol.id")
"""Columns, beside the references to them, whose texts are values of controls."""
NUMBERS: dict[str, Any] = {"per_image": [30.0, 0.8], "excess": 0.5, "measured": 12.5}
TOOK_EFFECT = """
const own = [...document.scripts].filter((each) => !each.src && each.textContent.includes("window.ran"));
const elements = document.querySelectorAll(
  "x-pwned, img[src='x'], [onerror], [onload], [onclick], a[href^='javascript'], "
  + "a[*|href^='javascript'], main b, main em");
return [window.ran || 0, document.title === "RAN" ? 1 : 0,
        own.length, elements.length];
"""
"""What a script returns: scripts that ran (by two counts), and scripts and elements that came from text."""


def outside_controls(text: str) -> str:
    """As `hostile`, with the name that every JavaScript object has: no control offers an option with it."""
    return f"__proto__ {hostile(text)}"


def hostile(text: str) -> str:
    """`text` after all payloads, which begin with another one for each text; one of eight is long."""
    number = zlib.crc32(text.encode())
    first = number % len(PAYLOADS)
    long = "x" * LONG if number % 8 == 0 else ""
    return " ".join([*PAYLOADS[first:], *PAYLOADS[:first], long, text])


def text_columns() -> Iterator[tuple[Table, Column[Any]]]:
    """Every column of the schema that holds text or JSON, except those that allow a few words only."""
    for table in TableBase.metadata.sorted_tables:
        checks = " ".join(
            str(each.sqltext) for each in table.constraints if isinstance(each, CheckConstraint)
        )
        for column in table.columns:
            if isinstance(column.type, String | StoredJson) and f"{column.name} IN (" not in checks:
                yield table, column


def make_hostile(path: Path, trials: int = 40) -> str:
    """The database at `path`, which nothing validates; the name of a study that every view shows."""
    make(path, trials=trials)
    with Store.at(path) as store:
        store.request_retraining(STUDY, [str(store.frame(STUDY)["genotype"].iloc[0])])
    connection = sqlite3.connect(path)
    try:
        connection.executescript("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON")
        connection.create_function("hostile", 1, hostile, deterministic=True)
        connection.create_function("outside_controls", 1, outside_controls, deterministic=True)
        for table, column in text_columns():
            _fill(connection, table, column)
        connection.commit()
    finally:
        connection.close()
    return hostile(STUDY)


def _fill(connection: sqlite3.Connection, table: Table, column: Column[Any]) -> None:
    where = f'"{table.name}"'
    if isinstance(column.type, StoredJson):
        rows = connection.execute(f'SELECT rowid, "{column.name}" FROM {where}').fetchall()  # noqa: S608
        changed = [
            (json.dumps(_spoilt(column.name, json.loads(text or "null"))), row)
            for row, text in rows
            if text is not None or column.name in NUMBERS
        ]
        connection.executemany(f'UPDATE {where} SET "{column.name}" = ? WHERE rowid = ?', changed)  # noqa: S608
        return
    name = f'"{column.name}"'
    of_some = "rowid % 7 = 0" if str(column) == "event.kind" else "1"  # views need some of the known kinds
    refers = f"{name} IS NOT NULL" if column.foreign_keys else "1"
    kind = "hostile" if str(column) in IN_CONTROLS or column.name == "protocol_id" else "outside_controls"
    connection.execute(
        f"UPDATE {where} SET {name} = {kind}(coalesce({name}, ?)) WHERE {of_some} AND {refers}",  # noqa: S608
        (column.name,),
    )


def _spoilt(column: str, value: Any) -> Any:
    found = {} if value is None and column in NUMBERS else _texts(value)
    if column in FREE:
        found |= {hostile("key"): hostile("value"), "__proto__": "__proto__", "axis": "x" * LONG}
    elif column in NUMBERS:
        found |= {hostile("key"): NUMBERS[column]}
    return found


def _texts(value: Any) -> Any:
    """The value with hostile texts for its texts; keys stay."""
    if isinstance(value, dict):
        return {key: _texts(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_texts(each) for each in value]
    return hostile(value) if isinstance(value, str) else value


def columns_without(path: Path) -> list[str]:
    """The text columns of the database in which no row holds every payload."""
    missing = []
    connection = sqlite3.connect(path)
    try:
        for table, column in text_columns():
            texts = [row for (row,) in connection.execute(f'SELECT "{column.name}" FROM "{table.name}"')]  # noqa: S608
            if column.name in ("curve", "halvings"):  # numbers alone
                continue
            as_kept = (
                (json.dumps(each)[1:-1] for each in PAYLOADS)
                if isinstance(column.type, StoredJson)
                else PAYLOADS
            )
            wanted = list(as_kept)
            if not any(text is not None and all(each in text for each in wanted) for text in texts):
                missing.append(f"{table.name}.{column.name}")
    finally:
        connection.close()
    return missing

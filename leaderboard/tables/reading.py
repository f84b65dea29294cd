"""Rows of a file of trials: CSV, Parquet or JSON lines, read within bounds."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from leaderboard.errors import LeaderboardError
from leaderboard.names import shortened
from leaderboard.untrusted import MOST_LINE_BYTES, MOST_TEXT, UntrustedError, decoded, parse_json

if TYPE_CHECKING:
    import pandas as pd

MOST_CELLS = 20_000_000
"""Of a Parquet file, which may say much in few bytes: rows times columns."""

MOST_COLUMNS = 1000

Values = dict[str, Any]
Reader = Callable[[Path, Sequence[str]], Iterator[Values]]
"""From a file and the columns that it must have, its rows: with these columns at least."""

OPTIONAL = ("cost_form", "halvings")
"""Columns that files of older versions lack, and that are read where they are there."""


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[Values]:
    """The rows of a CSV file as texts; the first row has the names of the columns."""
    before = csv.field_size_limit(MOST_TEXT)
    try:
        with path.open("rb") as file:
            rows = csv.reader(_lines(file), strict=True)
            header = next(rows, [])
            if len(header) > MOST_COLUMNS or len(set(header)) != len(header):
                raise UntrustedError(f"has {len(header):,} columns, {len(set(header)):,} of different names")
            _require(columns, header)
            for row in rows:
                if len(row) != len(header):
                    raise UntrustedError(
                        f"line {rows.line_num} has {len(row):,} values for {len(header)} columns"
                    )
                yield dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise UntrustedError(f"is no CSV ({error} in line {rows.line_num})") from None
    finally:
        csv.field_size_limit(before)


def read_jsonl(path: Path, columns: Sequence[str]) -> Iterator[Values]:
    """The rows of a file with a JSON object in each line."""
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), start=1):
            if not line.strip():
                continue
            try:
                row = parse_json(line)
            except UntrustedError as error:
                raise UntrustedError(f"line {number} {error}") from None
            if not isinstance(row, dict):
                raise UntrustedError(f"line {number} is {shortened(repr(row))}, and no object")
            _require(columns, row, f"line {number} ")
            yield row


def read_parquet(path: Path, columns: Sequence[str]) -> Iterator[Values]:
    """The rows of a Parquet file."""
    frame, _ = read_parquet_frame(path)
    _require(columns, list(frame.columns))
    names = [*columns, *(name for name in OPTIONAL if name in frame.columns)]
    found = [frame[name].tolist() for name in names]
    for row in zip(*found, strict=True):
        yield dict(zip(names, row, strict=True))


def read_parquet_frame(path: Path) -> tuple[pd.DataFrame, dict[bytes, bytes]]:
    """A Parquet file and its metadata. Raises `UntrustedError` for a damaged, nested or too large one.

    Texts stay one object each, however often a column repeats them, since a file may repeat a long one
    millions of times in a few bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            about, schema = file.metadata, file.schema_arrow
            cells = about.num_rows * about.num_columns
            if cells > MOST_CELLS or about.num_columns > MOST_COLUMNS:
                raise UntrustedError(
                    f"has {about.num_rows:,} rows of {about.num_columns:,} columns; at most {MOST_CELLS:,} "
                    f"values and {MOST_COLUMNS} columns are read"
                )
            nested = [field.name for field in schema if pa.types.is_nested(field.type)]
            if nested:
                raise UntrustedError(f"has the nested column {shortened(repr(nested[0]))}")
            texts = [
                field.name
                for field in schema
                if pa.types.is_string(field.type) or pa.types.is_binary(field.type)
            ]
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            frame = file.read().to_pandas()
    except (pa.ArrowException, RecursionError, OverflowError) as error:
        raise UntrustedError(f"is no Parquet file that can be read ({shortened(error, 200)})") from None
    for name in frame.columns[frame.dtypes == "category"]:
        frame[name] = frame[name].astype(object)
    return frame, dict(about.metadata or {})


def _lines(file: IO[bytes]) -> Iterator[str]:
    while line := file.readline(MOST_LINE_BYTES + 1):
        if len(line) > MOST_LINE_BYTES:
            raise UntrustedError(f"has a line of more than {MOST_LINE_BYTES:,} bytes")
        yield decoded(line)


def _require(columns: Sequence[str], names: Sequence[str] | Values, where: str = "") -> None:
    missing = next((name for name in columns if name not in names), None)
    if missing is not None:
        raise UntrustedError(f"{where}has no column {missing!r}; it has to be a file of nas export-results")


def rows_of(path: Path, columns: Sequence[str], read: Reader) -> Iterator[Values]:
    """The rows of a file, with the `columns` at least.

    Raises `LeaderboardError` in one line for whatever is wrong.
    """
    try:
        yield from read(path, columns)
    except OSError as error:
        raise LeaderboardError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UntrustedError as error:
        raise LeaderboardError(f"{path}: {error}") from None

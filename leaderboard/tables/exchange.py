"""Results from one place to another: a database taken into another one, trials as CSV, Parquet or JSON lines.

Another format is a writer, a reader and one line in `FORMATS`. In a file, one row is one trial with all that
is known of it (`leaderboard/tables/trials.py`); dicts and lists are JSON texts. Events, measurements and
runtimes travel in databases only.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaderboard.errors import LeaderboardError, OlderSchemaError, unknown_name
from leaderboard.store import Store
from leaderboard.store.contents import Contents
from leaderboard.store.database import copy_database, sqlite_url
from leaderboard.store.imported import checked_contents
from leaderboard.store.merging import Merged
from leaderboard.tables.reading import Reader, read_csv, read_jsonl, read_parquet, rows_of
from leaderboard.tables.trials import REQUIRED_COLUMNS, STAMPS, contents_of, trials_frame

if TYPE_CHECKING:
    import pandas as pd


def _stamps_as_text(frame: pd.DataFrame) -> pd.DataFrame:
    shown = frame.copy()
    for name in STAMPS:
        shown[name] = [None if moment != moment else moment.isoformat() for moment in frame[name]]
    return shown


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    _stamps_as_text(frame).to_csv(path, index=False, lineterminator="\n")


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, index=False)


def _write_jsonl(frame: pd.DataFrame, path: Path) -> None:
    shown = _stamps_as_text(frame).astype(object)
    with path.open("w", encoding="utf-8") as file:
        for values in shown.where(shown.notna(), None).itertuples(index=False, name=None):
            file.write(json.dumps(dict(zip(shown.columns, values, strict=True)), ensure_ascii=False) + "\n")


FORMATS: dict[str, tuple[Callable[[pd.DataFrame, Path], None], Reader]] = {
    "csv": (_write_csv, read_csv),
    "parquet": (_write_parquet, read_parquet),
    "jsonl": (_write_jsonl, read_jsonl),
}


def export_results(store: Store, study: str | None, path: Path, format: str) -> int:
    """Writes all trials of a study, or of all, into the file `path`; how many. A file there is replaced.

    Raises `UnknownStudyError`, and `LeaderboardError` for an unknown format or a file that cannot be written.
    """
    if format not in FORMATS:
        raise LeaderboardError(unknown_name("format", format, FORMATS))
    if not path.parent.is_dir():
        raise LeaderboardError(f"{path}: cannot be written (there is no folder {path.parent})")
    frame = trials_frame(store, [one.name for one in store.studies()] if study is None else [study])
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        FORMATS[format][0](frame, beside)
        beside.replace(path)
    except OSError as error:
        raise LeaderboardError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        beside.unlink(missing_ok=True)
    return len(frame)


def import_results(
    store: Store,
    source: str,
    *,
    prefix: str = "",
    name: str | None = None,
    may_change: frozenset[str] = frozenset(),
    absent: Mapping[str, Any] | None = None,
) -> Merged:
    """Takes what `source` holds into `store`, all or nothing; the second time nothing is new.

    `source` is a file of `export_results`, an SQLite file or the address of a database, of this or an older
    version; it is only read, and every value is checked before it is taken in. Its studies get `prefix`
    before their names, or the only one gets `name`. `may_change` is where recipes of one study may differ,
    `absent` what a key means that one lacks (`Store.merge` says what else happens). Raises `LeaderboardError`
    in one line.
    """
    with _opened(source) as (studies, contents):
        if name is not None and len(studies) != 1:
            raise LeaderboardError(
                f"{source}: holds {len(studies)} runs ({', '.join(studies) or 'none'}); "
                "one name is for one run, --prefix for several"
            )
        return store.merge(
            lambda: (checked_contents(part, source) for part in contents()),
            rename=lambda old: prefix + old if name is None else name,
            may_change=may_change,
            absent=absent,
        )


@contextmanager
def _opened(source: str) -> Iterator[tuple[list[str], Callable[[], Iterator[Contents]]]]:
    """The names of the studies there, and what gives all that is there."""
    path = Path(source)
    format = path.suffix.lstrip(".")
    if format in FORMATS and "://" not in source:
        found = contents_of(rows_of(path, REQUIRED_COLUMNS, FORMATS[format][1]), source)
        yield [str((one.study or {})["name"]) for one in found], lambda: iter(found)
        return
    with tempfile.TemporaryDirectory(prefix="paretosr-") as folder:
        url = source if "://" in source else sqlite_url(path)
        try:
            other = Store(url, read_only=True)
        except OlderSchemaError:
            copy = Path(folder) / "copy.db"
            copy_database(url, copy)
            other = Store.at(copy)
        with other:
            names = [study.name for study in other.studies()]

            def contents() -> Iterator[Contents]:
                for study in names:
                    yield other.contents(study)
                yield other.measured()

            yield names, contents

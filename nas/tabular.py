"""A table of trainings in one Parquet file: who reached what at which rung with which seed, and a data card.

One row is one training. Reading doubts everything, since a table may come from anybody: nothing is executed,
sizes are looked at before anything is unpacked, and each value is checked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nas.errors import NasError
from nas.training.checkpoint import write_whole
from nas.units import format_seconds
from search_spaces import SPACES, Genotype, Space, SpaceError, load_space

METADATA = b"paretosr.table"
VERSION = 1
MOST_ROWS, MOST_COLUMNS, MOST_CARD_BYTES, MOST_CHOICES = 5_000_000, 200, 4 << 20, 10_000

COSTS = ("params", "multi_adds", "conv_multi_adds", "activations")
COLUMNS: dict[str, str] = {
    **dict.fromkeys(("genotype_id", "genotype"), "text"),
    **dict.fromkeys(COSTS, "count"),
    **dict.fromkeys(("rung", "steps", "seed"), "count"),
    "protocol": "text",
    **dict.fromkeys(("psnr_db", "ssim", "seconds"), "number"),
    **dict.fromkeys(("device", "torch_version"), "text"),
}
"""Of every table: name -> kind. ``seconds`` are of all steps from the first to this rung; PSNR (dB) and SSIM
are of what was held out. ``psnr_db_SET`` and ``ssim_SET`` follow where benchmark sets were measured.
"""

KEY = ["genotype_id", "protocol", "seed"]
ABOUT = ("space", "only", "space_digest", "scale", "metric", "data_digest", "rungs", "goes_on")
"""What the cards of two tables must have in common to be one."""


class TableError(NasError):
    """A table that cannot be read, or that cannot be meant."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A checked table: ``frame`` has COLUMNS, one row a training, sorted; ``genotypes`` by id."""

    card: dict[str, Any]
    frame: pd.DataFrame
    genotypes: dict[str, Genotype]

    @property
    def space(self) -> Space:
        """The space that it is a sample of, narrowed as it was."""
        only = {name: tuple(options) for name, options in self.card["only"].items()}
        return Space(_space_class(self.card["space"], None), only)

    @property
    def rungs(self) -> list[dict[str, Any]]:
        """Of each rung: ``steps``, ``protocol`` and ``plan``."""
        return list(self.card["rungs"])

    @property
    def benchmarks(self) -> list[str]:
        """Benchmark sets that it has columns for."""
        return [name.removeprefix("psnr_db_") for name in self.frame.columns if name.startswith("psnr_db_")]


def make_table(
    card: Mapping[str, Any], rows: Iterable[Mapping[str, Any]] | pd.DataFrame, *, where: str = "table"
) -> Table:
    """A checked table from rows; Raises TableError that begins with ``where``."""
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    known = _checked_card(dict(card), where)
    frame = _checked_frame(frame, known, where)
    return Table(card=known, frame=frame, genotypes=_genotypes(frame, known, where))


def read_table(path: Path) -> Table:
    """The table of a file. Raises TableError, in one line, for whatever is wrong with it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        metadata = file.metadata
        if metadata.num_rows > MOST_ROWS or metadata.num_columns > MOST_COLUMNS:
            raise TableError(
                f"{path}: {metadata.num_rows:,} rows and {metadata.num_columns} columns; "
                f"at most {MOST_ROWS:,} and {MOST_COLUMNS} are read"
            )
        text = (metadata.metadata or {}).get(METADATA)
        if text is None:
            raise TableError(f"{path}: is no table of nas tabulate (it has no data card)")
        if len(text) > MOST_CARD_BYTES:
            raise TableError(f"{path}: its data card has {len(text):,} bytes")
        card = json.loads(text)
        frame = file.read().to_pandas()
    except (OSError, ValueError, RecursionError, pa.ArrowException) as error:
        raise TableError(f"{path}: is no readable table ({_line(error)})") from None
    return make_table(card, frame, where=str(path))


def write_table(table: Table, path: Path) -> None:
    """Write the file whole, and its data card beside it as Markdown (``.md`` after its name)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = pa.Table.from_pandas(table.frame, preserve_index=False)
    text = json.dumps(table.card, sort_keys=True, ensure_ascii=False).encode()
    content = content.replace_schema_metadata({**(content.schema.metadata or {}), METADATA: text})
    try:
        write_whole(path, lambda to: pq.write_table(content, to, compression="zstd"))
        beside = path.with_name(path.name + ".md")
        write_whole(beside, lambda to: _write(to, card_markdown(table)))
    except OSError as error:
        raise TableError(f"{path}: cannot be written ({error.strerror or error})") from error


def merge_tables(tables: Sequence[Table], names: Sequence[str]) -> tuple[Table, int]:
    """One table of all rows, and how many rows were there more than once.

    Rows of one architecture, protocol and seed that agree in what was measured count once (seconds and
    device are those of the first). Raises TableError where they do not, and where the tables are not of the
    same space, protocols and data.
    """
    first = tables[0].card
    for table, name in zip(tables, names, strict=True):
        for field in ABOUT:
            if table.card[field] != first[field]:
                told = f"{_short(first[field])} and {_short(table.card[field])}"
                raise TableError(f"{names[0]} and {name} are of different kinds: {field} is {told}")
    frame = pd.concat(
        [table.frame.assign(_source=name) for table, name in zip(tables, names, strict=True)],
        ignore_index=True,
    )
    numbers = [name for name in frame.columns if name.startswith(("psnr_db", "ssim"))] + list(COSTS)
    for key, same in frame[frame.duplicated(KEY, keep=False)].groupby(KEY, sort=True):
        for name in numbers:
            values = same[name].dropna().unique()
            if len(values) > 1:
                sources = " and ".join(dict.fromkeys(same["_source"]))
                raise TableError(
                    f"{sources}: genotype {key[0]} at protocol {key[1]} with seed {key[2]} has {name} "
                    f"{values[0]:.6g} and {values[1]:.6g}; leave one of the tables out"
                )
    repeated = int(frame.duplicated(KEY).sum())
    sets = [name for name in frame.columns if name.startswith(("psnr_db_", "ssim_"))]
    frame[sets] = frame.groupby(KEY)[sets].transform("first") if sets else frame[sets]
    frame = frame.drop_duplicates(KEY).drop(columns="_source")
    card = dict(first)
    card["machines"] = sorted({one for table in tables for one in table.card["machines"]})
    card["created"] = max(str(table.card["created"]) for table in tables)
    card["wanted"] = max(int(table.card["wanted"]) for table in tables)
    return make_table(card, frame), repeated


def card_markdown(table: Table) -> str:
    """The data card for people."""
    card, frame = table.card, table.frame
    counts = card["counts"]
    lines = [
        f"# {card['name']}: trained architectures of `{card['space']}` at x{card['scale']}",
        "",
        f"{counts['architectures']} architectures, {counts['rows']} trainings, "
        f"{format_seconds(counts['seconds'])} of devices.",
        "",
        "| | |",
        "| --- | --- |",
        f"| made | {card['created']}, ParetoSR {card['code_version']}, torch "
        f"{', '.join(sorted(frame['torch_version'].unique()))} |",
        f"| machine | {'; '.join(card['machines'])}; devices {', '.join(sorted(frame['device'].unique()))} |",
        f"| licence | {card['licence']} |",
        f"| space | `{card['space']}`, digest {card['space_digest']}"
        + (f", only {json.dumps(card['only'])} |" if card["only"] else " |"),
        f"| budget | {json.dumps(card['budget'])} |",
        f"| sample | {card['sample']} |",
        f"| data | {card['data']}, digest {card['data_digest']} |",
        f"| metric | {card['metric']} on what is held out; bicubic {card['bicubic_psnr_db']:.3f} dB |",
        f"| benchmark sets | {', '.join(table.benchmarks) or 'none'} |",
        f"| longer rungs | {'go on from shorter ones' if card['goes_on'] else 'begin anew'} |",
        "",
        "| rung | steps | protocol | architectures | seeds | trainings | mean seconds | PSNR, dB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for rung, about in enumerate(table.rungs):
        rows = frame[frame["rung"] == rung]
        range_db = f"{rows['psnr_db'].min():.3f} to {rows['psnr_db'].max():.3f}" if len(rows) else "-"
        seeds = ", ".join(str(seed) for seed in sorted(rows["seed"].unique()))
        mean = f"{rows['seconds'].mean():.1f}" if len(rows) else "-"
        lines.append(
            f"| {rung + 1} | {about['steps']} | {about['protocol']} | {rows['genotype_id'].nunique()} | "
            f"{seeds} | {len(rows)} | {mean} | {range_db} |"
        )
    plan = json.dumps(table.rungs[-1]["plan"], sort_keys=True)
    return "\n".join([*lines, "", f"Plan of the longest rung: `{plan}`", ""])


def _checked_card(card: Any, where: str) -> dict[str, Any]:
    kinds: dict[str, type | tuple[type, ...]] = {
        **dict.fromkeys(("name", "space", "space_digest", "metric", "data", "data_digest", "created"), str),
        **dict.fromkeys(("code_version", "licence", "sample"), str),
        **dict.fromkeys(("only", "budget"), dict),
        **dict.fromkeys(("rungs", "machines"), list),
        **dict.fromkeys(("version", "scale", "wanted"), int),
        "goes_on": bool,
        "bicubic_psnr_db": (int, float),
    }
    if not isinstance(card, dict):
        raise TableError(f"{where}: its data card is no set of named values")
    for name, kind in kinds.items():
        if not isinstance(card.get(name), kind):
            raise TableError(f"{where}: its data card has {name} = {_short(card.get(name))}")
    if card["version"] != VERSION:
        raise TableError(f"{where}: is of version {card['version']}; this program reads {VERSION}")
    if card["scale"] not in (2, 3, 4) or not math.isfinite(card["bicubic_psnr_db"]):
        raise TableError(f"{where}: its data card has scale {card['scale']}")
    steps = []
    for about in card["rungs"]:
        sound = isinstance(about, dict) and isinstance(about.get("steps"), int)
        if not sound or not isinstance(about.get("protocol"), str) or not isinstance(about.get("plan"), dict):
            raise TableError(f"{where}: its data card has a rung {_short(about)}")
        steps.append(about["steps"])
    if not steps or sorted(set(steps)) != steps or steps[0] < 1:
        raise TableError(
            f"{where}: its data card has rungs of {_short(steps)} steps; growing ones are needed"
        )
    limits = card["budget"].values()
    if not all(isinstance(limit, int | float) and limit > 0 for limit in limits):
        raise TableError(f"{where}: its data card has the budget {_short(card['budget'])}")
    return card


def _checked_frame(frame: pd.DataFrame, card: dict[str, Any], where: str) -> pd.DataFrame:
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing:
        raise TableError(f"{where}: has no column {missing[0]!r}")
    sets = [name for name in frame.columns if name not in COLUMNS]
    for name in sets:
        if not name.startswith(("psnr_db_", "ssim_")):
            raise TableError(f"{where}: has a column {str(name)[:80]!r} that no table has")
    if frame.empty:
        raise TableError(f"{where}: has no rows")
    made = {}
    for name, kind in COLUMNS.items():
        made[name] = _column(frame[name], name, kind, where)
    for name in sets:
        made[name] = pd.to_numeric(frame[name], errors="coerce").astype("float64")
    frame = pd.DataFrame(made).sort_values(["genotype_id", "rung", "seed"], ignore_index=True)
    _check_values(frame, card, where)
    rows = len(frame)
    card["counts"] = {
        "rows": rows,
        "architectures": int(frame["genotype_id"].nunique()),
        "seconds": round(_paid(frame, card["goes_on"]), 3),
    }
    return frame


def _column(values: pd.Series, name: str, kind: str, where: str) -> pd.Series:
    if kind == "text":
        if not all(isinstance(value, str) and len(value) <= MOST_CHOICES for value in values):
            raise TableError(f"{where}: column {name!r} holds something that is no text")
        return values.astype(object)
    numbers = pd.to_numeric(values, errors="coerce")
    if not np.isfinite(numbers.to_numpy(dtype=float)).all():
        raise TableError(f"{where}: column {name!r} holds something that is no number")
    if kind == "count":
        if (numbers < 0).any() or (numbers % 1 != 0).any():
            raise TableError(f"{where}: column {name!r} holds {numbers.min()}, which is no count")
        return numbers.astype("int64")
    return numbers.astype("float64")


def _check_values(frame: pd.DataFrame, card: dict[str, Any], where: str) -> None:
    ranges = {"psnr_db": (-50.0, 150.0), "ssim": (-1.0, 1.0), "seconds": (0.0, 1e9)}
    for name, (low, high) in ranges.items():
        if not frame[name].between(low, high).all():
            wrong = frame.loc[~frame[name].between(low, high), name].iloc[0]
            raise TableError(f"{where}: column {name!r} holds {wrong}, not from {low:g} to {high:g}")
    if (frame[list(COSTS[:2])] < 1).any(axis=None):
        raise TableError(f"{where}: has an architecture without parameters or Multi-Adds")
    rungs = {(r, about["steps"], about["protocol"]) for r, about in enumerate(card["rungs"])}
    found = set(frame[["rung", "steps", "protocol"]].itertuples(index=False, name=None))
    if strange := found - rungs:
        told = min(strange)
        raise TableError(f"{where}: rung {told[0]} of {told[1]} steps ({told[2]!r:.60}) is not in its card")
    if frame.duplicated(KEY).any():
        twice = frame.loc[frame.duplicated(KEY), KEY].iloc[0]
        raise TableError(f"{where}: genotype {twice.iloc[0]!r:.60} has two rows of seed {twice.iloc[2]}")
    unlike = frame.groupby("genotype_id")[[*COSTS, "genotype"]].nunique().gt(1).any(axis=1)
    if unlike.any():
        raise TableError(f"{where}: genotype {unlike.idxmax()!r:.60} has rows of different costs or choices")


def _genotypes(frame: pd.DataFrame, card: dict[str, Any], where: str) -> dict[str, Genotype]:
    space = _space_class(card["space"], where)
    try:
        digest = Space(space, {name: tuple(options) for name, options in card["only"].items()}).digest
    except (SpaceError, TypeError) as error:
        raise TableError(f"{where}: {_line(error)}") from None
    if digest != card["space_digest"]:
        raise TableError(f"{where}: was made with another version of space {card['space']!r}")
    genotypes = {}
    for name, text in frame.drop_duplicates("genotype_id")[["genotype_id", "genotype"]].itertuples(
        index=False
    ):
        try:
            genotype = space.from_dict(json.loads(text))
        except (SpaceError, ValueError, TypeError, RecursionError) as error:
            raise TableError(f"{where}: genotype {name!r:.60}: {_line(error)}") from None
        if genotype.id != name:
            raise TableError(f"{where}: genotype {name!r:.60} has the choices of {genotype.id}")
        genotypes[name] = genotype
    return genotypes


def _space_class(name: str, where: str | None) -> type[Genotype]:
    """The space of a table: only our own by a file's word, since to load another one runs its code."""
    if name not in SPACES and where is not None and name not in TRUSTED:
        raise TableError(
            f"{where}: is of space {name!r:.80}, whose code a file may not load; write --space {name:.80} "
            "if you know it"
        )
    try:
        return load_space(name)
    except SpaceError as error:
        raise TableError(f"{where}: {_line(error)}") from None


TRUSTED: set[str] = set()
"""Spaces of one's own, by name, that tables may be of: whoever runs the program has named them."""


def _paid(frame: pd.DataFrame, goes_on: bool) -> float:
    """Seconds of devices that the rows took: where longer rungs go on, the longest of each seed."""
    if not goes_on:
        return float(frame["seconds"].sum())
    return float(frame.groupby(["genotype_id", "seed"])["seconds"].max().sum())


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."

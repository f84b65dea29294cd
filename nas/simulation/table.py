"""A table of trainings in one Parquet file: who reached what at which rung with which seed, and a data card.

One row is one training. Reading doubts everything, since a table may come from anybody: nothing is executed,
sizes are looked at before anything is unpacked, and each value is checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from leaderboard.names import shortened
from leaderboard.tables.reading import read_parquet_frame
from leaderboard.untrusted import parse_json
from nas.core.files import write_text, write_whole
from nas.core.units import format_seconds
from nas.simulation.validate_table import (
    COSTS,
    KEY,
    TableError,
    checked_card,
    checked_frame,
    genotypes_of,
    line_of,
    recounted,
    space_of_card,
)
from search_spaces import Genotype, Space

METADATA = b"paretosr.table"
MOST_CARD_BYTES = 4 << 20

ABOUT = ("space", "only", "space_digest", "scale", "metric", "data_digest", "rungs", "goes_on")
"""What the cards of two tables must have in common to be one."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A checked table: ``frame`` has COLUMNS, one row a training, sorted; ``genotypes`` by id."""

    card: dict[str, Any]
    frame: pd.DataFrame
    genotypes: dict[str, Genotype]

    @property
    def space(self) -> Space:
        """The space that it is a sample of, narrowed as it was, and as it was before it grew."""
        return space_of_card(self.card, self.card["name"])

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
    """A checked table from rows; Raises TableError that begins with ``where``.

    Costs of a card without ``cost_form`` are of networks as trained; they are replaced by those of the
    networks as used, and the card says so.
    """
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    known = checked_card(dict(card), where)
    frame = checked_frame(frame, known, where)
    genotypes = genotypes_of(frame, known, where)
    if known.get("cost_form") != "use":
        frame = recounted(frame, genotypes, known["scale"], where)
        known["cost_form"] = "use"
    return Table(card=known, frame=frame, genotypes=genotypes)


def read_table(path: Path) -> Table:
    """The table of a file. Raises TableError, in one line, for whatever is wrong with it."""
    try:
        frame, metadata = read_parquet_frame(path)
        text = metadata.get(METADATA)
        if text is None:
            raise TableError(f"{path}: is no table of nas tabulate (it has no data card)")
        if len(text) > MOST_CARD_BYTES:
            raise TableError(f"{path}: its data card has {len(text):,} bytes")
        card = parse_json(text)
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: is no readable table ({line_of(error)})") from None
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
        write_text(path.with_name(path.name + ".md"), card_markdown(table))
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
                told = f"{shortened(repr(first[field]))} and {shortened(repr(table.card[field]))}"
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
        "| costs | of the networks as used, with the branches folded that only training has |",
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

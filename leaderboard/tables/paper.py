"""Networks by benchmark sets, laid out as papers print it; another format is one function in `FORMATS`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from tabulate import tabulate

from leaderboard.errors import LeaderboardError, unknown_name
from leaderboard.tables.front import cell, to_csv, to_json
from leaderboard.tables.window import ALL, COSTS, near_cost, reach

SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109")
"""In the papers' order; other sets follow."""
ABOUT = (
    *("method", "source", "trained_on", "scale", "params", "multi_adds", "conv_multi_adds", "counted"),
    *("origin", "suspect"),
)

COUNTED: dict[str, str] = {
    # Nothing in these multiplies but convolutions, so that both conventions are the same number.
    **dict.fromkeys(("IDN", "CARN", "IMDN", "ECBSR-M16C64", "LatticeNet", "RFDN", "RFDN-L"), "both"),
    **dict.fromkeys(("LKDN", "VapSR", "VapSR-S", "MAN-tiny", "MAN-light"), "both"),
    **dict.fromkeys(("FALSR-A", "FALSR-B", "FALSR-C", "MoreMNAS-C"), "both"),
    # These count convolution modules and leave their transformers out (docs/protocol.md).
    **dict.fromkeys(("EFRDN", "LBNet", "FDSCSR-S"), "convolutions"),
}
"""What the Multi-Adds that papers print of a network count; where it is not here, nobody says."""

NOT_STATED = "not stated"
_SPECIAL = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
}


def paper_rows(frame: pd.DataFrame, scale: int, metric: str | None = None) -> pd.DataFrame:
    """One row a training at one scale, by parameters, from a frame of the source `benchmarks`.

    Args:
        frame: measured and reported numbers.
        scale: 2, 3 or 4.
        metric: keep the networks measured with this one; None keeps all, each in rows of its own, for unlike
            metrics never share a row. Nor do several weights of a network: its re-trained ones, or those
            measured last, are shown.

    Returns:
        A frame with `ABOUT` and then `SET psnr_db` and `SET ssim` for each set, NaN where there is no number.

        | column | meaning |
        | --- | --- |
        | method, trained_on | name; training data, None where not stated |
        | source | where it is reported, or the metric it was measured with |
        | params, multi_adds, conv_multi_adds | everything that multiplies; convolutions alone |
        | counted | what the Multi-Adds count: `both`, `convolutions`, or `not stated`: such a number stands |
        | | in conv_multi_adds, since all papers count these |
        | origin | measured or reported |
        | suspect | None, or the numbers believed to be misprints and why: `Set14 psnr_db: why; params: why` |

    Raises:
        LeaderboardError: for an unknown metric or scale.
    """
    rows = frame[frame["scale"] == scale]
    if rows.empty and len(frame):
        raise LeaderboardError(unknown_name("scale", str(scale), map(str, set(frame["scale"]))))
    measured = rows["origin"] == "measured"
    if metric is not None:
        known = set(rows.loc[measured, "metric"])
        if metric not in known:
            raise LeaderboardError(unknown_name("metric", metric, known))
        rows = rows[~measured | (rows["metric"] == metric)]
    lines: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in _of_one_training(rows.to_dict("records")):
        line = lines.setdefault(_place(row), _about(row))
        line[f"{row['benchmark']} psnr_db"], line[f"{row['benchmark']} ssim"] = row["psnr_db"], row["ssim"]
        line["suspect"] = _joined(line["suspect"], _doubts(row))
        if row["origin"] == "reported" and row["reported_in"] != _place(row)[1]:
            line["source"] += f"; {row['benchmark']}: {row['reported_in']}"
    others = [name for name in rows["benchmark"].unique() if name not in SETS]
    sets = [name for name in (*SETS, *sorted(others)) if (rows["benchmark"] == name).any()]
    columns = [*ABOUT, *(f"{name} {kind}" for name in sets for kind in ("psnr_db", "ssim"))]
    table = pd.DataFrame(list(lines.values()), columns=columns)
    return table.sort_values(
        ["params", "method", "source", "trained_on"], na_position="first", ignore_index=True
    )


def with_sets(rows: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """The rows of `paper_rows` with the columns of these sets alone; all sets where `names` is empty.

    A reported row without a number of them is left out. Raises LeaderboardError for an unknown set.
    """
    known = {name.lower(): name for name in (*SETS, *sets_of(rows))}
    for name in names:
        if name.lower() not in known:
            raise LeaderboardError(unknown_name("benchmark set", name, known.values()))
    chosen = [known[name.lower()] for name in names]
    if not chosen:
        return rows
    dropped = [
        f"{name} {kind}" for name in sets_of(rows) if name not in chosen for kind in ("psnr_db", "ssim")
    ]
    kept = [f"{name} psnr_db" for name in sets_of(rows) if name in chosen]
    useful = (rows["origin"] == "measured") | rows[kept].notna().any(axis=1)
    return rows.drop(columns=dropped)[useful].reset_index(drop=True)


def within_cost(rows: pd.DataFrame, factor: float | None = None) -> tuple[pd.DataFrame, str]:
    """The rows of `paper_rows` whose reported ones are near the measured ones in cost, and a line about it.

    `factor` is that of `near_cost`: None for about a dozen rows, `ALL` for all.
    """
    reported = rows[rows["origin"] == "reported"]
    candidates = rows[(rows["origin"] == "measured") & rows[list(COSTS)].notna().any(axis=1)]
    near = near_cost(candidates, reported, factor)
    shown = rows[(rows["origin"] == "measured") | near.reindex(rows.index, fill_value=False)]
    count = f"{int(near.sum())} of {len(reported)} reported rows"
    if candidates.empty and factor != ALL:
        note = f"No measured network with a known cost: all {len(reported)} reported rows."
    elif factor == ALL:
        note = f"All {len(reported)} reported rows."
    else:
        unknown = int(reported[list(COSTS)].isna().all(axis=1).sum())
        if factor is None:
            within = reach(candidates, reported[near])
            note = f"{count}: the nearest in parameters and Multi-Adds to what was measured"
            note += "" if pd.isna(within) else f" (within a factor of {within:.2f})"
        else:
            note = (
                f"{count}: within a factor of {factor:g} of what was measured, in parameters and Multi-Adds"
            )
        note += f"; {unknown} have no known cost." if unknown else "."
        note += " --near FACTOR or --near all shows others."
    return shown.reset_index(drop=True), note


def _place(row: Mapping[Any, Any]) -> tuple[str, str, str | None]:
    """Method, source and training data: what a row of the table is."""
    table = row.get("table")
    printed = table if isinstance(table, str) else row["reported_in"]
    source = printed if row["origin"] == "reported" else f"measured, {row['metric']}"
    data = row.get("trained_on")
    method = row["name"] if isinstance(row["name"], str) else row["network"]
    return str(method), str(source), data if isinstance(data, str) else None


def _doubts(row: Mapping[Any, Any]) -> str | None:
    """What is suspect of one number's row, with the set before PSNR and SSIM."""
    suspect = row.get("suspect")
    if not isinstance(suspect, str):
        return None
    parts = []
    for part in suspect.split("; "):
        names, _, why = part.partition(": ")
        costs = [name for name in names.split(", ") if name in ("params", "multi_adds")]
        numbers = [f"{row['benchmark']} {name}" for name in names.split(", ") if name not in costs]
        parts.append(f"{', '.join((*costs, *numbers))}: {why}")
    return "; ".join(parts)


def _joined(one: str | None, other: str | None) -> str | None:
    """Both, each part once."""
    parts = [part for text in (one, other) if text for part in text.split("; ")]
    return "; ".join(dict.fromkeys(parts)) or None


def _of_one_training(rows: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """The rows without those of other weights than are to be shown of their network."""
    measured = [row for row in rows if row["origin"] == "measured"]
    shown: dict[tuple[str, str], tuple[bool, int, Any]] = {}
    for number, row in enumerate(measured):
        rank, place = (row.get("stage") == "retrain", number, row.get("weights")), _place(row)[:2]
        shown[place] = max(shown.get(place, rank), rank, key=lambda one: one[:2])
    return [
        row for row in rows if row["origin"] != "measured" or row.get("weights") == shown[_place(row)[:2]][2]
    ]


def _about(row: Mapping[Any, Any]) -> dict[str, Any]:
    method, source, data = _place(row)
    about = {"method": method, "source": source, "trained_on": _data_words(data), "scale": row["scale"]}
    about |= {"params": row["params"], "origin": row["origin"], "suspect": None}
    if row["origin"] == "measured":
        costs = row["multi_adds"], row["conv_multi_adds"], "both"
    else:
        counted, printed = COUNTED.get(method, NOT_STATED), row["multi_adds"]
        costs = printed if counted == "both" else float("nan"), printed, counted
    return about | dict(zip(("multi_adds", "conv_multi_adds", "counted"), costs, strict=True))


def _data_words(data: str | None) -> str | None:
    """Training data without the folders that they lie in: `folder:a/T91+folder:a/B` is `T91+B`."""
    if data is None:
        return None
    return "+".join(re.split(r"[/\\]", part.removeprefix("folder:"))[-1] for part in data.split("+"))


def sets_of(rows: pd.DataFrame) -> list[str]:
    """The benchmark sets that a table of `paper_rows` has, in its order."""
    return [str(name).removesuffix(" psnr_db") for name in rows.columns if str(name).endswith(" psnr_db")]


def to_table(rows: pd.DataFrame) -> str:
    """Aligned plain text: the best of each number with two stars, the second best with one."""
    head, *lines = _cells(rows, ("{}**", "{}*"), str)
    left = ("left", "left", "left", *["right"] * (len(head) - 3)) if lines else None
    return str(tabulate(lines, headers=head, tablefmt="simple", disable_numparse=True, colalign=left))


def to_markdown(rows: pd.DataFrame) -> str:
    """A table for Markdown: the best of each number bold, the second best in italics."""
    head, *lines = _cells(rows, ("**{}**", "*{}*"), lambda text: text.replace("|", "\\|"))
    rule = ["---", "---", "---", *["---:"] * (len(head) - 3)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def to_latex(rows: pd.DataFrame) -> str:
    """A tabular that needs the package booktabs: the best of each number bold, the second best underlined."""
    head, *lines = _cells(rows, (r"\textbf{{{}}}", r"\underline{{{}}}"), _latex)
    written = [rf"{' & '.join(line)} \\" for line in (head, *lines)]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{lll{'r' * (len(head) - 3)}}}",
            r"\toprule",
            written[0],
            r"\midrule",
            *written[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _latex(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def _cells(rows: pd.DataFrame, marks: tuple[str, str], escape: Callable[[str], str]) -> list[list[str]]:
    """The heading and a list a row: PSNR/SSIM in one cell for each set, Multi-Adds in both conventions."""
    costs = ["Params", "Multi-Adds", "Multi-Adds (conv)"]
    lines = [["Method", "Source", "Trained on", *costs, *(f"{name} PSNR/SSIM" for name in sets_of(rows))]]
    doubted = [_doubted(why) for why in rows["suspect"]]
    numbers = [f"{name} {kind}" for name in sets_of(rows) for kind in ("psnr_db", "ssim")]
    ranks = {number: _ranks(rows[number], [number in names for names in doubted]) for number in numbers}
    for place, row in enumerate(rows.to_dict("records")):
        cells = [str(row["method"]), str(row["source"])]
        cells.append(row["trained_on"] if isinstance(row["trained_on"], str) else "-")
        cells += _cost_cells(row, doubted[place])
        cells = [escape(text) for text in cells]
        for name in sets_of(rows):
            if pd.isna(row[f"{name} psnr_db"]):
                cells.append("-")
                continue
            both = []
            for kind in ("psnr_db", "ssim"):
                text, rank = cell(kind, float(row[f"{name} {kind}"])), ranks[f"{name} {kind}"].iloc[place]
                text += DOUBT if f"{name} {kind}" in doubted[place] else ""
                both.append(marks[int(rank) - 1].format(text) if rank <= len(marks) else text)
            cells.append("/".join(both))
        lines.append(cells)
    return lines


def _ranks(numbers: pd.Series, doubted: Sequence[bool]) -> pd.Series:
    """1 for the best, as it is printed; those in doubt have none."""
    printed = numbers.astype("float64").round(4 if str(numbers.name).endswith("ssim") else 2)
    return printed.mask(pd.Series(doubted, printed.index, dtype=bool)).rank(ascending=False, method="dense")


def _doubted(suspect: Any) -> set[str]:
    """The columns that a text in the column `suspect` names."""
    parts = suspect.split("; ") if isinstance(suspect, str) else []
    return {name for part in parts for name in part.partition(": ")[0].split(", ")}


def _cost_cells(row: Mapping[Any, Any], doubted: set[str]) -> list[str]:
    texts = [cell(cost, float(row[cost])) for cost in ("params", "multi_adds", "conv_multi_adds")]
    if row["counted"] == NOT_STATED and texts[-1] != "-":
        texts[-1] += "?"
    names = ("params", "multi_adds", "multi_adds")  # papers print one count of Multi-Adds
    return [
        f"{text}{DOUBT}" if name in doubted and text != "-" else text
        for text, name in zip(texts, names, strict=True)
    ]


DOUBT = "!"
"""Behind a number that is believed to be a misprint."""
MARKS = {
    "table": "** and *",
    "markdown": "Bold and italic",
    "latex": "Bold and underlined",
}
"""How each format for people marks the best number and the second best."""
NOTE = (
    "are the best and the second best of each number over the rows shown, whatever these were trained on; "
    "! marks suspected misprints, which are not ranked. Trained on: - where it is not stated. Multi-Adds: "
    "everything that multiplies, and convolutions alone; ? where a paper does not say which. Reported rows "
    "are trained and compared as their papers say."
)
"""What a reader has to know of a table for people, after its `MARKS`."""

FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {
    "table": to_table,
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "json": to_json,
}

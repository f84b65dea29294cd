"""Networks by benchmark sets, laid out as papers print it; another format is one function in `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from tabulate import tabulate

from leaderboard.errors import LeaderboardError, unknown_name
from leaderboard.tables.front import cell, psnr_ssim, to_csv, to_json

SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109")
"""In the papers' order; other sets follow."""
ABOUT = ("method", "source", "scale", "params", "multi_adds", "conv_multi_adds", "counted")

COUNTED: dict[str, str] = {
    # Nothing in these multiplies but convolutions, so that both conventions are the same number.
    **dict.fromkeys(("IDN", "CARN", "IMDN", "ECBSR-M16C64", "LatticeNet", "RFDN", "RFDN-L", "RLFN"), "both"),
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
    """One row a method at one scale, by parameters, from a frame of the source `benchmarks`.

    Columns: method, source (where it was reported, or the metric it was measured with), scale, params,
    multi_adds (everything that multiplies), conv_multi_adds (convolutions alone), counted, then
    `SET psnr_db` and `SET ssim` for each set, NaN where there is no number. `counted` says what the
    Multi-Adds count: `both`, `convolutions`, or `not stated`; then the printed number stands in
    conv_multi_adds, since all count these. `metric` keeps those measured with one; None keeps all, each in
    rows of its own, for unlike metrics never share a row. Nor do several weights of a network: its re-trained
    ones, or those measured last, are shown. Raises `LeaderboardError` for an unknown metric or scale.
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
    made: dict[tuple[Any, Any], dict[str, Any]] = {}
    for row in _of_one_training(rows.to_dict("records")):
        line = made.setdefault(_place(row), _about(row))
        line[f"{row['benchmark']} psnr_db"], line[f"{row['benchmark']} ssim"] = row["psnr_db"], row["ssim"]
    found = [name for name in rows["benchmark"].unique() if name not in SETS]
    sets = [name for name in (*SETS, *sorted(found)) if (rows["benchmark"] == name).any()]
    columns = [*ABOUT, *(f"{name} {kind}" for name in sets for kind in ("psnr_db", "ssim"))]
    table = pd.DataFrame(list(made.values()), columns=columns)
    return table.sort_values(["params", "method", "source"], na_position="first", ignore_index=True)


def _place(row: Mapping[Any, Any]) -> tuple[str, str]:
    """Method and source: what a row of the table is."""
    source = row["reported_in"] if row["origin"] == "reported" else f"measured, {row['metric']}"
    return str(row["name"] if isinstance(row["name"], str) else row["network"]), str(source)


def _of_one_training(rows: list[dict[Any, Any]]) -> list[dict[Any, Any]]:
    """The rows without those of other weights than are to be shown of their network."""
    shown: dict[tuple[str, str], tuple[bool, int, Any]] = {}
    for number, row in enumerate(rows):
        rank = row.get("stage") == "retrain", number, row.get("weights")
        shown[_place(row)] = max(shown.get(_place(row), rank), rank, key=lambda one: one[:2])
    return [row for row in rows if row.get("weights") == shown[_place(row)][2]]


def _about(row: Mapping[Any, Any]) -> dict[str, Any]:
    method, source = _place(row)
    about = {"method": method, "source": source, "scale": row["scale"], "params": row["params"]}
    if row["origin"] == "measured":
        costs = row["multi_adds"], row["conv_multi_adds"], "both"
    else:
        counted, printed = COUNTED.get(method, NOT_STATED), row["multi_adds"]
        costs = printed if counted == "both" else float("nan"), printed, counted
    return about | dict(zip(("multi_adds", "conv_multi_adds", "counted"), costs, strict=True))


def sets_of(rows: pd.DataFrame) -> list[str]:
    """The benchmark sets that a table of `paper_rows` has, in its order."""
    return [str(name).removesuffix(" psnr_db") for name in rows.columns if str(name).endswith(" psnr_db")]


def to_table(rows: pd.DataFrame) -> str:
    """Aligned plain text: the best of each set with two stars, the second best with one."""
    head, *lines = _cells(rows, ("{}**", "{}*"), str)
    left = ("left", "left", *["right"] * (len(head) - 2)) if lines else None
    return str(tabulate(lines, headers=head, tablefmt="simple", disable_numparse=True, colalign=left))


def to_markdown(rows: pd.DataFrame) -> str:
    """A table for Markdown: the best of each set bold, the second best in italics."""
    head, *lines = _cells(rows, ("**{}**", "*{}*"), lambda text: text.replace("|", "\\|"))
    rule = ["---", "---", *["---:"] * (len(head) - 2)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))


def to_latex(rows: pd.DataFrame) -> str:
    """A tabular that needs the package booktabs: the best of each set bold, the second best underlined."""
    head, *lines = _cells(rows, (r"\textbf{{{}}}", r"\underline{{{}}}"), _latex)
    written = [rf"{' & '.join(line)} \\" for line in (head, *lines)]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{ll{'r' * (len(head) - 2)}}}",
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
    lines = [["Method", "Source", *costs, *(f"{name} PSNR/SSIM" for name in sets_of(rows))]]
    ranks = {
        name: rows[f"{name} psnr_db"].round(2).rank(ascending=False, method="dense") for name in sets_of(rows)
    }
    for place, row in enumerate(rows.to_dict("records")):
        cells = [str(row["method"]), str(row["source"])]
        cells += [cell(cost, float(row[cost])) for cost in ("params", "multi_adds", "conv_multi_adds")]
        if row["counted"] == NOT_STATED and cells[-1] != "-":
            cells[-1] += "?"
        cells = [escape(text) for text in cells]
        for name, rank in ranks.items():
            if pd.isna(row[f"{name} psnr_db"]):
                cells.append("-")
                continue
            both = psnr_ssim(row[f"{name} psnr_db"], row[f"{name} ssim"])
            best = int(rank.iloc[place])
            cells.append(marks[best - 1].format(both) if best <= len(marks) else both)
        lines.append(cells)
    return lines


NOTE = (
    "Multi-Adds: everything that multiplies, and convolutions alone; ? where a paper does not say which. "
    "Reported rows are trained and compared as their papers say."
)
"""What a reader has to know of a table for people."""

FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {
    "table": to_table,
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "json": to_json,
}

"""Networks by benchmark sets, laid out as papers print it; another format is one function in `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from leaderboard.errors import LeaderboardError, unknown_name
from leaderboard.tables import cell, psnr_ssim, to_csv

SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109")
"""In the papers' order; other sets follow."""
ABOUT = ("method", "source", "scale", "params", "multi_adds")
_SPECIAL = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
}


def paper_rows(frame: pd.DataFrame, scale: int, metric: str | None = None) -> pd.DataFrame:
    """One row a method at one scale, by parameters, from a frame of the source `benchmarks`.

    Columns: method, source (where it was reported, or the metric it was measured with), scale, params,
    multi_adds (the papers' count where reported, everything that multiplies where measured), then
    `SET psnr_db` and `SET ssim` for each set, NaN where there is no number. `metric` keeps those measured
    with one; None keeps all, each in rows of its own, for unlike metrics never share a row. Of several
    weights of a network the last measured counts. Raises `LeaderboardError` for an unknown metric or scale.
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
    for row in rows.to_dict("records"):
        source = row["reported_in"] if row["origin"] == "reported" else f"measured, {row['metric']}"
        name = row["name"] if isinstance(row["name"], str) else row["network"]
        line = made.setdefault(
            (name, source),
            {"method": name, "source": source, "scale": scale}
            | {"params": row["params"], "multi_adds": row["multi_adds"]},
        )
        line[f"{row['benchmark']} psnr_db"], line[f"{row['benchmark']} ssim"] = row["psnr_db"], row["ssim"]
    found = [name for name in rows["benchmark"].unique() if name not in SETS]
    sets = [name for name in (*SETS, *sorted(found)) if (rows["benchmark"] == name).any()]
    columns = [*ABOUT, *(f"{name} {kind}" for name in sets for kind in ("psnr_db", "ssim"))]
    table = pd.DataFrame(list(made.values()), columns=columns)
    return table.sort_values(["params", "method", "source"], na_position="first", ignore_index=True)


def sets_of(rows: pd.DataFrame) -> list[str]:
    """The benchmark sets that a table of `paper_rows` has, in its order."""
    return [str(name).removesuffix(" psnr_db") for name in rows.columns if str(name).endswith(" psnr_db")]


def to_markdown(rows: pd.DataFrame) -> str:
    """A table for Markdown: the best of each set bold, the second best in italics."""
    return _written(rows, "| ", " | ", " |", ("**{}**", "*{}*"), lambda text: text.replace("|", "\\|"))


def to_latex(rows: pd.DataFrame) -> str:
    """A tabular that needs the package booktabs: the best of each set bold, the second best underlined."""
    marks = (r"\textbf{{{}}}", r"\underline{{{}}}")
    head, *body = _written(rows, "", " & ", r" \\", marks, _latex).splitlines()
    columns = "ll" + "r" * (2 + len(sets_of(rows)))
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _latex(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def _written(
    rows: pd.DataFrame,
    begin: str,
    between: str,
    end: str,
    marks: tuple[str, str],
    escape: Callable[[str], str],
) -> str:
    """A heading, a rule and a line a row: PSNR/SSIM in one cell for each set."""
    heading = ["Method", "Source", "Params", "Multi-Adds", *(f"{name} PSNR/SSIM" for name in sets_of(rows))]
    lines = [heading, ["---", "---", *["---:"] * (len(heading) - 2)]]
    ranks = {name: rows[f"{name} psnr_db"].rank(ascending=False, method="min") for name in sets_of(rows)}
    for place, row in enumerate(rows.to_dict("records")):
        cells = [escape(str(row["method"])), escape(str(row["source"]))]
        cells += [escape(cell(cost, float(row[cost]))) for cost in ("params", "multi_adds")]
        for name, rank in ranks.items():
            if pd.isna(row[f"{name} psnr_db"]):
                cells.append("-")
                continue
            both = psnr_ssim(row[f"{name} psnr_db"], row[f"{name} ssim"])
            best = int(rank.iloc[place])
            cells.append(marks[best - 1].format(both) if best <= len(marks) else both)
        lines.append(cells)
    return "\n".join(begin + between.join(line) + end for line in lines)


FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
}

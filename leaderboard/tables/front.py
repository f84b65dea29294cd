"""The front as rows and as text; another output format is one function and one line in `FORMATS`."""

from __future__ import annotations

import math
import shutil
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from tabulate import tabulate

from leaderboard.errors import LeaderboardError, UnknownStudyError, unknown_name
from leaderboard.fronts.pareto import pareto_mask

COST_NAMES: dict[str, str] = {
    "multi_adds": "Multi-Adds",
    "conv_multi_adds": "Multi-Adds (convolutions only)",
    "params": "Parameters",
    "activations": "Activations",
}

RUNTIME_NAMES: dict[str, str] = {
    "latency_ms": "Latency (ms)",
    "memory_bytes": "Peak memory (bytes)",
}
"""Measured on one device, so that a frame has them only where somebody joined them to it."""

QUALITY_NAMES: dict[str, str] = {"psnr_db": "PSNR (dB)", "ssim": "SSIM"}

HEADINGS: dict[str, str] = {
    "rank": "#",
    "genotype": "Network",
    "psnr_db": "PSNR (dB)",
    "ssim": "SSIM",
    "gain_db": "Gain (dB)",
    "params": "Params",
    "multi_adds": "Multi-Adds",
    "conv_multi_adds": "Multi-Adds (conv)",
    "activations": "Activations",
    "latency_ms": "Latency (ms)",
    "memory_bytes": "Peak memory",
    "seeds": "Seeds",
    "words": "Choices",
}


def amount(value: float, gap: str = "") -> str:
    """A count for people: `285.3K`, `640`, and with a space as `gap` `12.4 G`."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")):
        if abs(value) >= size * 0.99995:
            return f"{value / size:.1f}{gap}{letter}"
    return f"{value:g}"


def count_of(cost: str, value: float) -> str:
    """A cost for people, as the papers write it: `285.3K` parameters, `12.4 G` Multi-Adds."""
    return amount(value, "" if cost == "params" else " ")


def words(choices: Mapping[str, Any]) -> str:
    """The choices in plain words, for any space: `imdb, 4 blocks, width 32, esa, no share`."""
    named = [value for value in choices.values() if isinstance(value, str)]
    return ", ".join(_phrase(str(axis), value, named.count(value) > 1) for axis, value in choices.items())


def _phrase(axis: str, value: Any, ambiguous: bool) -> str:
    axis = axis.replace("_", " ")
    if value is None or value is False or value == "none":
        return f"no {axis}"
    if value is True:
        return axis
    if isinstance(value, Mapping):
        if value and all(isinstance(entry, Mapping) for entry in value.values()):
            return f"{axis} of {len(value)}"  # a table of its own, for each of many layers perhaps
        return f"{axis} ({words(value)})"
    if isinstance(value, list | tuple):
        return f"{axis} {'+'.join(map(str, value))}"
    if isinstance(value, str):
        return f"{axis} {value}" if ambiguous or value.isdigit() else value
    if isinstance(value, int) and axis.endswith("s"):
        return f"{value} {axis if value != 1 else axis[:-1]}"
    return f"{axis} {value:g}" if isinstance(value, float) else f"{axis} {value}"


def main_protocol(frame: pd.DataFrame) -> str | None:
    """The protocol with the most results of the search stage (of any stage if there are none), or None.

    Where a study trained ever fewer networks for ever longer, its longest trainings are looked at.
    """
    measured = frame[frame["psnr_db"].notna()]
    searched = measured[measured["stage"] == "search"]
    searched = searched[searched["rung"] == searched.groupby("study")["rung"].transform("max")]
    counts = (searched if len(searched) else measured)["protocol"].value_counts()
    return None if counts.empty else str(min(counts[counts == counts.max()].index))


def pick_protocol(frame: pd.DataFrame, protocol: str | None) -> str | None:
    """The id of the protocol that `protocol` begins (id or plan name); `main_protocol` when it is None."""
    if protocol is None:
        return main_protocol(frame)
    known = frame[["protocol", "plan"]].dropna().drop_duplicates()
    if protocol in set(known["protocol"]):
        return protocol
    found = known[(known["plan"] == protocol) | known["protocol"].str.startswith(protocol)]["protocol"]
    if len(found) == 1:
        return str(found.iloc[0])
    if len(found) > 1:
        raise LeaderboardError(f"{protocol!r} could be any of these protocols: {', '.join(sorted(found))}")
    raise LeaderboardError(unknown_name("protocol", protocol, known["protocol"]))


def networks(frame: pd.DataFrame, study: str, protocol: str | None = None) -> pd.DataFrame:
    """One row a network that `study` measured under one protocol: means over its seeds, cheapest first.

    Columns: genotype, name (of a published one), psnr_db, ssim, psnr_db_sd and ssim_sd (standard deviations
    over the seeds, NaN for one), gain_db (over bicubic), the four costs, latency_ms and memory_bytes where
    the frame has them, seeds (how many), seed_numbers (which, as text), words, stage, device, folder,
    protocol.
    Raises `UnknownStudyError`, and `LeaderboardError` for an unknown protocol.
    """
    rows = measured(frame, study, protocol).drop_duplicates(
        ["genotype", "seed"]
    )  # repeated trials show again
    groups = rows.groupby("genotype", sort=False)
    optional = [name for name in ("name", "folder", *RUNTIME_NAMES) if name in rows]
    means = groups.agg(
        psnr_db=("psnr_db", "mean"),
        ssim=("ssim", "mean"),
        psnr_db_sd=("psnr_db", "std"),
        ssim_sd=("ssim", "std"),
        bicubic_psnr_db=("bicubic_psnr_db", "first"),
        **{cost: (cost, "last") for cost in COST_NAMES},
        seeds=("seed", "count"),
        choices=("choices", "first"),
        stage=("stage", "first"),
        device=("device", "first"),
        protocol=("protocol", "first"),
        **{name: (name, "first") for name in optional},
    )
    means["seed_numbers"] = _seed_numbers(rows, means["seeds"])
    means = means.reset_index()
    for name in ("name", "folder"):
        known = means[name] if name in means else pd.Series([None] * len(means), dtype=object)
        means[name] = known.astype(object).where(known.notna(), None)
    means["gain_db"] = means["psnr_db"] - means.pop("bicubic_psnr_db")
    means["words"] = pd.Series([words(choices) for choices in means.pop("choices")], dtype=object)
    order = ["multi_adds", "params", "genotype"]
    return means.sort_values(order, ignore_index=True)


def measured(frame: pd.DataFrame, study: str, protocol: str | None = None) -> pd.DataFrame:
    """The rows of the frame that `study` measured under one protocol; raises as `networks` does."""
    of_study = frame[frame["study"] == study]
    if of_study.empty and len(frame):
        raise UnknownStudyError(unknown_name("run", study, frame["study"].unique()))
    chosen = pick_protocol(of_study, protocol)
    return of_study[of_study["psnr_db"].notna() & (of_study["protocol"] == chosen)]


def _seed_numbers(rows: pd.DataFrame, counts: pd.Series) -> pd.Series:
    """The seeds of each network as text: `0, 1`."""
    texts = rows.drop_duplicates("genotype").set_index("genotype")["seed"].astype(str).reindex(counts.index)
    several = rows[rows["genotype"].isin(counts.index[counts > 1])].sort_values("seed", kind="stable")
    if len(several):
        joined = several["seed"].astype(str).groupby(several["genotype"], sort=False).agg(", ".join)
        texts.update(joined)
    return texts


def front_frame(
    frame: pd.DataFrame, study: str, protocol: str | None = None, cost: str = "multi_adds"
) -> pd.DataFrame:
    """The networks of `study` that no other one beats in both PSNR and `cost`, cheapest first.

    Of one protocol only, since numbers of unlike protocols cannot be compared: `protocol` is an id, the
    start of one, or a plan's name; None takes the one most searched with. Columns: rank, genotype, psnr_db,
    ssim, gain_db (over bicubic), params, multi_adds, `cost` when it is neither, seeds, words
    (`named_words`). A network with several seeds counts with its mean.
    """
    allowed = (*COST_NAMES, *(name for name in RUNTIME_NAMES if name in frame))
    if cost not in allowed:
        raise LeaderboardError(unknown_name("cost", cost, allowed))
    rows = networks(frame, study, protocol)
    front = rows[pareto_mask(rows[cost], rows["psnr_db"])].sort_values([cost, "genotype"], ignore_index=True)
    front.insert(0, "rank", range(1, len(front) + 1))
    front["words"] = named_words(front)
    costs = ["params", "multi_adds", *({cost} - {"params", "multi_adds"})]
    return front[["rank", "genotype", "psnr_db", "ssim", "gain_db", *costs, "seeds", "words"]]


def named_words(rows: pd.DataFrame) -> pd.Series:
    """The words of networks, after the name that people have for one: `imdn-like: width 42, ...`."""
    return rows["words"].where(rows["name"].isna(), rows["name"].astype(str) + ": " + rows["words"])


def for_people(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows as text: headings with units, rounded numbers, `-` for what is missing."""
    shown = {
        HEADINGS.get(str(name), str(name)): [cell(str(name), value) for value in column]
        for name, column in frame.items()
    }
    return pd.DataFrame(shown, index=frame.index, dtype=object)


def cell(column: str, value: Any) -> str:
    """One value of a column as people read it: rounded, with its unit, `-` for what is missing."""
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if column == "latency_ms":
        return f"{value:.3g}"
    if column == "memory_bytes":
        return f"{amount(float(value), ' ')}B"
    if column in COST_NAMES:
        return count_of(column, float(value))
    if column == "gain_db":
        return f"{value:+.2f}"
    if column == "ssim":
        return f"{value:.4f}"
    if isinstance(value, float):
        return f"{value:.2f}"
    text = words(value) if column == "choices" and isinstance(value, Mapping) else str(value)
    return " ".join(text.split())


def to_json(frame: pd.DataFrame) -> str:
    """A list of objects with plain numbers; what is missing or not finite is null."""
    text: str = frame.to_json(
        orient="records", date_format="iso", double_precision=15, indent=2, force_ascii=False
    )
    return text


def to_csv(frame: pd.DataFrame) -> str:
    """Comma-separated values with the column names of the frame and plain numbers."""
    return str(frame.to_csv(index=False, lineterminator="\n"))


def to_markdown(frame: pd.DataFrame) -> str:
    """A table for Markdown."""
    return _tabulated(
        for_people(frame), "pipe", escape=lambda text: text.replace("\\", "\\\\").replace("|", "\\|")
    )


def to_latex(frame: pd.DataFrame) -> str:
    """A tabular environment that needs the package booktabs; a front in the papers' layout.

    A frame of `front_frame` becomes the columns Method, Params, Multi-Adds and PSNR/SSIM, with both numbers
    in one cell as papers print them; any other frame keeps its columns.
    """
    front = {"rank", "genotype", "psnr_db", "ssim", "params", "multi_adds"}
    if not front <= set(frame.columns):
        return _tabulated(for_people(frame), "latex_booktabs")
    shown = for_people(frame)
    columns = {
        "Method": shown[HEADINGS["genotype"]],
        "Params": shown[HEADINGS["params"]],
        "Multi-Adds": shown[HEADINGS["multi_adds"]],
        "PSNR/SSIM": [psnr_ssim(*both) for both in zip(frame["psnr_db"], frame["ssim"], strict=True)],
    }
    table = pd.DataFrame(columns, index=frame.index, dtype=object)
    return _tabulated(table, "latex_booktabs", text=("Method",))


def psnr_ssim(psnr_db: float, ssim: float) -> str:
    """Both in one cell, as papers print them: `32.21/0.8948`."""
    return f"{cell('psnr_db', float(psnr_db))}/{cell('ssim', float(ssim))}"


def to_table(frame: pd.DataFrame) -> str:
    """Aligned plain text, with the choices folded to the terminal's width (160 where there is none)."""
    shown = for_people(frame)
    last = HEADINGS["words"]
    if last in shown:
        others = (max([len(str(name)), *map(len, shown[name])]) + 2 for name in shown if name != last)
        room = max(24, shutil.get_terminal_size((160, 24)).columns - sum(others))
        shown[last] = ["\n".join(textwrap.wrap(cell, room)) for cell in shown[last]]
    return _tabulated(shown, "simple")


def _tabulated(
    shown: pd.DataFrame, style: str, escape: Callable[[str], str] = str, text: tuple[str, ...] = ()
) -> str:
    words_end = {HEADINGS["genotype"], HEADINGS["words"], *text}
    return tabulate(
        [[escape(cell) for cell in row] for row in shown.itertuples(index=False)],
        headers=[escape(str(name)) for name in shown.columns],
        tablefmt=style,
        disable_numparse=True,
        colalign=["left" if name in words_end else "right" for name in shown.columns] if len(shown) else None,
    )


FORMATS: dict[str, Callable[[pd.DataFrame], str]] = {
    "table": to_table,
    "markdown": to_markdown,
    "csv": to_csv,
    "json": to_json,
    "latex": to_latex,
}

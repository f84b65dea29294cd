"""One page of the table: sorted, filtered and cut here, so that a browser never gets all rows of a study."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pandas as pd

from leaderboard.tables.front import words

MOST_ROWS = 200
"""How many rows one answer holds at most, whatever was asked for."""

HEADINGS = {
    "chosen": "Chosen",
    "study": "Study",
    "genotype": "Network",
    "name": "Known as",
    "on_front": "On front",
    "stage": "Stage",
    "number": "Trial",
    "state": "State",
    "psnr_db": "PSNR (dB)",
    "ssim": "SSIM",
    "gain_db": "Over bicubic (dB)",
    "params": "Parameters",
    "multi_adds": "Multi-Adds",
    "conv_multi_adds": "Multi-Adds (conv)",
    "activations": "Activations",
    "latency_ms": "Latency (ms)",
    "memory_bytes": "Memory (bytes)",
    "seeds": "Seeds",
    "seed": "Seed",
    "rung": "Rung",
    "plan": "Plan",
    "protocol": "Protocol",
    "train_seconds": "Training (s)",
    "device": "Device",
    "worker": "Worker",
    "reason": "Reason",
    "finished_at": "Ended (UTC)",
    "words": "Choices",
}
FORMATS = {
    **dict.fromkeys(("psnr_db", "latency_ms"), ".3f"),
    **dict.fromkeys(("params", "multi_adds", "conv_multi_adds", "activations", "memory_bytes"), ".4~s"),
    "ssim": ".4f",
    "gain_db": "+.3f",
    "train_seconds": ".1f",
    **dict.fromkeys(("seeds", "seed", "rung", "number"), ""),
}
USUAL = {
    "networks": (
        "genotype",
        "on_front",
        "psnr_db",
        "ssim",
        "gain_db",
        "params",
        "multi_adds",
        "seeds",
        "words",
    ),
    "trials": ("genotype", "stage", "number", "state", "psnr_db", "params", "multi_adds", "plan", "reason"),
}
OFFERED = {
    "networks": (
        *("study", "genotype", "name", "on_front", "psnr_db", "ssim", "gain_db", "params", "multi_adds"),
        *("conv_multi_adds", "activations", "latency_ms", "memory_bytes", "seeds", "stage", "device"),
        *("protocol", "words"),
    ),
    "trials": (
        *("study", "genotype", "name", "stage", "number", "state", "psnr_db", "ssim", "params", "multi_adds"),
        *("conv_multi_adds", "activations", "seed", "rung", "plan", "protocol", "train_seconds", "device"),
        *("worker", "finished_at", "reason", "words"),
    ),
}


def trials_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The trials as rows of the table, newest first."""
    shown = frame.iloc[::-1]
    return shown.assign(words=[words(choices) for choices in shown["choices"]])


def page_of(
    frame: pd.DataFrame, request: Mapping[str, Any], most: int = MOST_ROWS
) -> tuple[pd.DataFrame, int]:
    """The rows that the table asks for (`startRow` to `endRow`, after its own filters and order), and how
    many there are in all. What the table asks for beyond its columns is passed over.
    """
    for column, model in (request.get("filterModel") or {}).items():
        if column in frame and isinstance(model, Mapping):
            frame = frame[_matches(frame[column], model)]
    order = [each for each in request.get("sortModel") or [] if each.get("colId") in frame]
    if order:
        frame = frame.sort_values(
            [each["colId"] for each in order],
            ascending=[each.get("sort") != "desc" for each in order],
            kind="stable",
            na_position="last",
            key=_comparable,
        )
    start = max(0, int(request.get("startRow") or 0))
    end = min(int(request.get("endRow") or most), start + most)
    return frame.iloc[start:end], len(frame)


def records(frame: pd.DataFrame, kind: str, chosen: list[str]) -> list[dict[str, Any]]:
    """Rows as plain values, each with an id of its own; what is missing is None."""
    columns = [column for column in OFFERED[kind] if column in frame]
    found = []
    for row in frame[columns].to_dict("records"):
        plain: dict[str, Any] = {str(key): _plain(value) for key, value in row.items()}
        mark = (row.get("study"), row["genotype"]) if kind == "networks" else (row["stage"], row["number"])
        plain["id"] = "/".join(map(str, (*mark, row.get("study"))))
        plain["chosen"] = row["genotype"] in chosen
        found.append(plain)
    return found


def _plain(value: Any) -> Any:
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return value.item() if hasattr(value, "item") else value


def _comparable(column: pd.Series) -> pd.Series:
    return column.astype(str).str.lower() if column.dtype == object else column


_TEXT: dict[str, Callable[[pd.Series, str], Any]] = {
    "contains": lambda column, text: column.str.contains(text, regex=False),
    "notContains": lambda column, text: ~column.str.contains(text, regex=False),
    "equals": lambda column, text: column == text,
    "notEqual": lambda column, text: column != text,
    "startsWith": lambda column, text: column.str.startswith(text),
    "endsWith": lambda column, text: column.str.endswith(text),
}
_NUMBER: dict[str, Callable[[pd.Series, float, float], Any]] = {
    "equals": lambda column, first, last: column == first,
    "notEqual": lambda column, first, last: column != first,
    "greaterThan": lambda column, first, last: column > first,
    "greaterThanOrEqual": lambda column, first, last: column >= first,
    "lessThan": lambda column, first, last: column < first,
    "lessThanOrEqual": lambda column, first, last: column <= first,
    "inRange": lambda column, first, last: (column >= first) & (column <= last),
}


def _matches(column: pd.Series, model: Mapping[str, Any]) -> pd.Series:
    conditions = model.get("conditions")
    if conditions:
        masks = [_matches(column, each) for each in conditions]
        together = all if model.get("operator") == "AND" else any
        return pd.Series([together(row) for row in zip(*masks, strict=True)], index=column.index)
    kind = model.get("type")
    texts = column.map(lambda value: "" if _plain(value) is None else str(value).lower())
    if kind in ("blank", "notBlank"):
        return (texts == "") == (kind == "blank")
    if model.get("filterType") == "number" and kind in _NUMBER:
        first, last = (_number(model.get(key)) for key in ("filter", "filterTo"))
        return pd.Series(_NUMBER[kind](pd.to_numeric(column, errors="coerce"), first, last))
    if kind in ("true", "false"):
        return texts == kind
    text = str(model.get("filter") or "").lower()
    return pd.Series(_TEXT[kind](texts, text) if kind in _TEXT else True, index=column.index)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan

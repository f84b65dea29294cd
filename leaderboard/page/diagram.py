"""A network as boxes in the order of its forward pass, for people: from its parts, or else its choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from dash import html

from leaderboard.tables.front import amount


@dataclass(frozen=True, kw_only=True)
class Box:
    """One box: what it is, what is chosen for it, and how often it follows itself."""

    title: str
    lines: tuple[str, ...] = ()
    times: int = 1
    note: str = ""
    kind: str = "part"


# The words by which spaces call the axes of a part: an axis belongs to the part whose word it begins with,
# or that it is known to shape.
SHAPES: dict[str, tuple[str, ...]] = {
    "stem": ("stem", "width"),
    "block": ("block", "depth", "share", "attention", "kernel", "activation", "sharing"),
    "aggregation": ("aggregation",),
    "transformer": ("transformer", "heads", "mlp_ratio", "transformer_dense", "order"),
    "tail": ("tail", "shallow_tail", "skip"),
}


def boxes(choices: Mapping[str, Any], parts: pd.DataFrame, scale: int) -> list[Box]:
    """The boxes from the low-resolution image to the super-resolved one.

    `parts` is a frame of `Store.parts`. Without any the boxes come from the choices: the axes of `SHAPES` in
    their order, a count (`blocks`, `transformers`) as how often, and all other axes in a box of their own.
    """
    ends = (
        Box(title="low-resolution image", lines=("RGB, H x W",), kind="end"),
        Box(title="super-resolved image", lines=(f"RGB, {scale}H x {scale}W",), kind="end"),
    )
    middle = _of_parts(choices, parts) if len(parts) else _of_choices(choices)
    return [ends[0], *middle, ends[1]]


def _of_parts(choices: Mapping[str, Any], parts: pd.DataFrame) -> list[Box]:
    found: list[Box] = []
    told: set[str] = set()
    for row in parts.to_dict("records"):
        word = _role(str(row["part"]))
        axes = [axis for axis in SHAPES.get(word, ()) if _told(choices.get(axis))] if word not in told else []
        told.add(word)
        uses, copies = int(row["uses"]), int(row["copies"])
        shared = f", {copies} set{'s' if copies > 1 else ''} of weights" if copies != uses else ""
        note = (
            f"{amount(float(row['params']))} parameters, {amount(float(row['multi_adds']), ' ')} Multi-Adds"
        )
        found.append(
            Box(
                title=str(row["part"]),
                lines=tuple(_words(axis, choices[axis]) for axis in axes),
                times=max(uses, copies),
                note=note + shared,
            )
        )
    return found


def _of_choices(choices: Mapping[str, Any]) -> list[Box]:
    found: list[Box] = []
    told: set[str] = set()
    for word, axes in SHAPES.items():
        here = [axis for axis in axes if _told(choices.get(axis))]
        told.update(axes, {f"{word}s"})
        if not here:
            continue
        times = choices.get(f"{word}s")
        if times == 0:
            continue
        found.append(
            Box(
                title=word.replace("_", " "),
                lines=tuple(_words(axis, choices[axis]) for axis in here),
                times=times if isinstance(times, int) and not isinstance(times, bool) else 1,
            )
        )
    rest = [axis for axis, value in choices.items() if axis not in told and _told(value)]
    if rest:
        lines = tuple(_words(axis, choices[axis]) for axis in rest)
        found.append(Box(title="network" if not found else "further choices", lines=lines))
    return found


def _role(part: str) -> str:
    """The word of `SHAPES` that a part's name holds; else the name."""
    name = part.lower()
    return next(
        (word for word in ("transformer", "block", "stem", "tail", "aggregation") if word in name), name
    )


def _told(value: Any) -> bool:
    return value is not None and value is not False and value != "none"


def _words(axis: str, value: Any) -> str:
    axis = axis.replace("_", " ")
    if value is True:
        return axis
    return f"{axis}: {value:g}" if isinstance(value, float) else f"{axis}: {value}"


def diagram(choices: Mapping[str, Any], parts: pd.DataFrame, scale: int) -> html.Ol:
    """The boxes as a list that reads in order also without its style."""
    return html.Ol([_drawn(box) for box in boxes(choices, parts, scale)], className="diagram")


def _drawn(box: Box) -> html.Li:
    inner: list[Any] = [html.Strong(box.title)]
    if box.times > 1:
        inner.append(html.Span(f"x {box.times}", className="times", title=f"{box.times} times in a row"))
    inner += [html.Span(line, className="choice") for line in box.lines]
    if box.note:
        inner.append(html.Small(box.note))
    return html.Li(inner, className=f"box {box.kind}" + (" repeated" if box.times > 1 else ""))

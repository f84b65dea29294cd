"""Two to four networks side by side: what differs is marked, the better number is, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from dash import html

from leaderboard.page.detail import Source, crops, option_words, protocol_line
from leaderboard.page.diagram import diagram
from leaderboard.page.network_data import NetworkData
from leaderboard.page.parts import aria
from leaderboard.tables.front import COST_NAMES, count_of


def compared(networks: Sequence[NetworkData], source: Source, curve: Any) -> list[Any]:
    """The comparison of `networks`; `curve` is where their loss curves are drawn."""
    found: list[Any] = [
        html.P(
            [html.Mark("Marked"), " choices differ; a star stands at the best number of a row."],
            className="soft",
        ),
        _table(networks, _quality_rows(networks) + _cost_rows(networks), "Numbers"),
        html.P(f"Quality: {protocol_line(networks[0].protocol)}.", className="soft"),
        html.H3("Choices"),
        _table(networks, _choice_rows(networks), "Choices"),
        html.H3("Architecture"),
        html.Div(
            [
                html.Div([html.H4(each.genotype), diagram(each.choices, each.parts, each.scale)])
                for each in networks
            ],
            className="side-by-side",
        ),
        html.H3("Training"),
        curve,
    ]
    if any(each.crops for each in networks):
        pictures = [html.Div([html.H4(each.genotype), crops(each.crops, source)]) for each in networks]
        found += [html.H3("Pictures"), html.Div(pictures, className="side-by-side")]
    return found


def differing(networks: Sequence[NetworkData]) -> list[str]:
    """The axes on which the networks do not all agree, in the order of the first."""
    axes = list(dict.fromkeys(axis for each in networks for axis in each.choices))
    return [axis for axis in axes if len({option_words(each.choices.get(axis)) for each in networks}) > 1]


Row = tuple[str, list[Any], bool]


def _choice_rows(networks: Sequence[NetworkData]) -> list[Row]:
    unlike = differing(networks)
    axes = dict.fromkeys([*unlike, *(axis for each in networks for axis in each.choices)])
    rows: list[Row] = []
    for axis in axes:
        words = [option_words(each.choices.get(axis)) for each in networks]
        marked = axis in unlike
        rows.append((axis.replace("_", " "), [html.Mark(word) if marked else word for word in words], marked))
    return rows


def _quality_rows(networks: Sequence[NetworkData]) -> list[Row]:
    names = {
        "psnr_db": ("PSNR (dB)", "{:.3f}"),
        "gain_db": ("Over bicubic (dB)", "{:+.3f}"),
        "ssim": ("SSIM", "{:.4f}"),
    }
    rows: list[Row] = []
    for key, (name, form) in names.items():
        values = [None if each.numbers is None else each.numbers[key] for each in networks]
        rows.append((name, _starred(values, form.format, max), False))
    return rows


def _cost_rows(networks: Sequence[NetworkData]) -> list[Row]:
    rows: list[Row] = []
    for cost, name in COST_NAMES.items():
        values: list[float | None] = [each.costs[cost] for each in networks]
        rows.append((name, _starred(values, partial(count_of, cost), min), False))
    return rows


def _starred(
    values: Sequence[float | None], words: Callable[[float], str], best: Callable[[list[float]], float]
) -> list[str]:
    there = [value for value in values if value is not None]
    top = best(there) if len(set(there)) > 1 else None
    return ["-" if value is None else words(value) + (" ★" if value == top else "") for value in values]


def _table(networks: Sequence[NetworkData], rows: Sequence[Row], caption: str) -> html.Div:
    head = html.Tr([html.Th("", scope="col"), *(html.Th(each.genotype, scope="col") for each in networks)])
    body = [
        html.Tr(
            [html.Th(name, scope="row", className="text"), *(html.Td(cell) for cell in cells)],
            className="differs" if marked else "",
        )
        for name, cells, marked in rows
    ]
    return html.Div(
        html.Table([html.Thead(head), html.Tbody(body)], className="comparison"),
        className="scroll",
        tabIndex="0",
        role="region",
        **aria(label=caption),
    )

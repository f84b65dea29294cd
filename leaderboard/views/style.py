"""How all figures look, and the words that several of them use."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb

from leaderboard.tables.front import COST_NAMES, RUNTIME_NAMES, amount, count_of

INK, FADED, ACCENT, WARM = "#64748b", "#94a3b8", "#0d9488", "#d97706"
ALARM = "#dc2626"
SERIES = (ACCENT, WARM, "#6366f1", "#db2777", "#65a30d", "#0284c7", "#a16207", "#9333ea")
"""One colour a study or a network; each is readable on a light and on a dark page."""
GRID = "rgba(128, 140, 160, 0.22)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
SETTINGS: Any = {  # of the browser's plotly; by itself it offers to upload a chart to its maker
    "displaylogo": False,
    "plotlyServerURL": "",
    "responsive": True,
    "showSendToCloud": False,
}
AXES = COST_NAMES | RUNTIME_NAMES
"""What a cost axis is called."""
QUALITY_WORDS = {"psnr_db": "PSNR", "ssim": "SSIM"}
QUALITY_UNITS = {"psnr_db": " dB", "ssim": ""}

_LINE = 104  # characters of a subtitle's line in a figure of some 900 pixels


def new_figure(title: str, figure: go.Figure | None = None) -> go.Figure:
    """An empty figure in our style: transparent, so that it sits on a light and on a dark page."""
    figure = figure or go.Figure()
    figure.update_layout(
        template="none",
        title={"text": f"<b>{title}</b>", "x": 0, "xref": "container", "pad": {"l": 12}, "font_size": 18},
        font={"family": FONT, "size": 14, "color": INK},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 76, "r": 24, "t": 92, "b": 64},
        legend={"x": 0.01, "xanchor": "left", "y": 0.99, "yanchor": "top", "bgcolor": "rgba(0,0,0,0)"},
        hoverlabel={"align": "left", "font": {"family": FONT, "size": 13}},
        modebar={
            "bgcolor": "rgba(0,0,0,0)",
            "color": FADED,
            "activecolor": ACCENT,
            "remove": ["zoomin", "zoomout", "autoscale"],
        },
        uirevision="kept",  # a page that refreshes keeps the reader's zoom
    )
    axis = {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": GRID,
        "showline": True,
        "title_standoff": 14,
        "automargin": True,
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


MOST_LINES = 8
"""Below a title."""


def subtitle(figure: go.Figure, *lines: str) -> go.Figure:
    """`lines` of plain text below the title, escaped here, folded, with room made for them."""
    folded = [part for line in lines if line for part in textwrap.wrap(line, _LINE) or [""]]
    if len(folded) > MOST_LINES:  # plotly draws nothing where the margin leaves no room
        folded = [*folded[: MOST_LINES - 1], "\u2026"]
    figure.update_layout(
        title_subtitle_text="<br>".join(escaped(line) for line in folded),
        title_subtitle_font_size=13,
        title_y=1,
        title_yref="container",
        title_yanchor="top",
        title_pad_t=14,
        margin_t=62 + 17 * max(1, len(folded)),
    )
    return figure


def nothing(figure: go.Figure, message: str) -> go.Figure:
    """The figure with `message`, plain text, instead of axes."""
    folded = "<br>".join(escaped(line) for line in textwrap.wrap(message, 72))
    figure.add_annotation(
        text=folded, xref="paper", yref="paper", x=0.5, y=0.5, showarrow=False, font_size=16
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure


def legend_below(figure: go.Figure) -> go.Figure:
    """The legend in rows under the axes, where no point can hide behind it."""
    place = {"orientation": "h", "x": 0, "xanchor": "left", "y": 0, "yref": "container", "yanchor": "bottom"}
    figure.update_layout(legend=place, margin_b=114)
    return figure


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between `low` and `high` for a logarithmic axis: the fewer, the more decades."""
    ratio = high / low
    steps: tuple[float, ...] = (1, 1.5, 2, 3, 4, 5, 6, 8) if ratio < 6 else (1, 2, 5) if ratio < 1e3 else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]


def cost_axis(figure: go.Figure, cost: str, low: float, high: float, **where: Any) -> go.Figure:
    """A logarithmic axis from `low` to `high` with round numbers and the cost's unit."""
    marks = ticks(low, high)
    figure.update_xaxes(
        title_text=cost_title(cost),
        type="log",
        range=[math.log10(low), math.log10(high)],
        tickvals=marks,
        ticktext=[f"{value:g}" if value < 1e3 else amount(value).replace(".0", "") for value in marks],
        **where,
    )
    return figure


def cost_title(cost: str) -> str:
    """What stands at a cost's axis: `Multi-Adds (count, log scale)`."""
    name = AXES[cost]
    if name.endswith(")") and cost in RUNTIME_NAMES:
        return f"{name[:-1]}, log scale)"
    return f"{name} (count, log scale)"


def cost_words(cost: str, value: float) -> str:
    """A cost with its unit: `285.3K`, `12.4 G`, `8.31 ms`, `1.2 GB`."""
    if cost == "latency_ms":
        return f"{value:.3g} ms"
    return f"{amount(value, ' ')}B" if cost == "memory_bytes" else count_of(cost, value)


def quality_words(quality: str, value: float) -> str:
    """A quality with its unit: `29.41 dB`, `0.8123`."""
    return f"{value:.2f} dB" if quality == "psnr_db" else f"{value:.4f}"


def quality_title(quality: str) -> str:
    """What stands at a quality's axis: `PSNR (dB)`, `SSIM (0 to 1)`."""
    return "PSNR (dB)" if quality == "psnr_db" else "SSIM (0 to 1)"


def area_words(cost: str, quality: str, value: float) -> str:
    """A hypervolume with its unit: `3.2 G dB`; SSIM has none of its own."""
    return f"{cost_words(cost, value)}{QUALITY_UNITS[quality]}"


def protocol_words(row: Mapping[str, Any] | pd.Series) -> str:
    """A protocol in words, from a row of the frame: `x4, plan proxy on photographs, metric y_float`."""
    return f"x{row['scale']}, plan {row['plan']} on {row['data']}, metric {row['metric']}"


def time_unit(seconds: float) -> tuple[str, float]:
    """A unit that suits a time, and how many seconds it has: `("minutes", 60.0)`."""
    for name, size in (("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return name, size
    return "seconds", 1.0


def listed(names: Iterable[str], most: int = 4) -> str:
    """`a, b and 3 more`."""
    every = list(names)
    shown = ", ".join(every[:most])
    return shown if len(every) <= most else f"{shown} and {len(every) - most} more"


def see_through(colour: str, opacity: float) -> str:
    """A colour like `#0d9488` that lets what lies behind it be seen."""
    red, green, blue = hex_to_rgb(colour)
    return f"rgba({red},{green},{blue},{opacity:g})"


MOST_LETTERS = 300
"""Of one text in a figure: plotly gives up on far longer ones."""


def escaped(text: object, most: int | None = MOST_LETTERS) -> str:
    """`text` without meaning to a browser or to plotly's small HTML, cut after `most` letters."""
    words = str(text)
    shown = words if most is None or len(words) <= most else words[: most - 1] + "\u2026"
    return html.escape(shown, quote=False)

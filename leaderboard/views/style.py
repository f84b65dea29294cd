"""How all figures look, and the words that several of them use."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

INK, FADED, ACCENT, WARM = "#64748b", "#94a3b8", "#0d9488", "#d97706"
GRID = "rgba(128, 140, 160, 0.22)"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
SETTINGS: Any = {  # of the browser's plotly; by itself it offers to upload a chart to its maker
    "displaylogo": False,
    "plotlyServerURL": "",
    "responsive": True,
    "showSendToCloud": False,
}


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between `low` and `high` for a logarithmic axis: the fewer, the more decades."""
    ratio = high / low
    steps: tuple[float, ...] = (1, 1.5, 2, 3, 4, 5, 6, 8) if ratio < 6 else (1, 2, 5) if ratio < 1e3 else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]


def protocol_words(row: Mapping[str, Any] | pd.Series) -> str:
    """A protocol in words, from a row of the frame: `x4, plan proxy on photographs, metric y_float`."""
    return f"x{row['scale']}, plan {row['plan']} on {row['data']}, metric {row['metric']}"


def escaped(text: object) -> str:
    """`text` without meaning to a browser or to plotly's small HTML."""
    return html.escape(str(text), quote=False)


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
            "remove": ["lasso", "select", "zoomin", "zoomout", "autoscale"],
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


def nothing(figure: go.Figure, message: str) -> go.Figure:
    """The figure with `message` instead of axes."""
    figure.add_annotation(
        text=message, xref="paper", yref="paper", x=0.5, y=0.5, showarrow=False, font_size=16
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure

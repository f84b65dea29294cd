"""Figures without WebGL: plotly writes its WebGL programs as text that it then runs, which our pages forbid.

Points become ordinary points, parallel coordinates ordinary lines. A file that is saved stays as it is drawn.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb

SHADES = 12
"""So many colours have the lines of parallel coordinates, each a trace of its own."""
MOST_TICKS = 12


def drawn_plainly(figure: go.Figure) -> go.Figure:
    """The figure with every trace that needs WebGL drawn in another way; the same one when none does."""
    kinds = {trace.type for trace in figure.data}
    if "parcoords" in kinds:
        return _parallel(figure)
    if "scattergl" not in kinds:
        return figure
    made = figure.to_plotly_json()
    for trace in made["data"]:
        trace["type"] = trace["type"].replace("scattergl", "scatter")
    return go.Figure(made)


def _parallel(figure: go.Figure) -> go.Figure:
    trace = next(each for each in figure.data if each.type == "parcoords")
    layout = figure.layout.to_plotly_json()
    plain = go.Figure(layout={**layout, "showlegend": False})
    names = [None if data is None else data for data in trace.customdata or [None] * len(trace.line.color)]
    heights = []
    for place, dimension in enumerate(trace.dimensions):
        values = np.asarray(dimension.values, dtype=float)
        low, high = _span(dimension, values)
        heights.append((values - low) / (high - low))
        _add_axis(plain, place, dimension, low, high)
    colour = np.asarray(trace.line.color, dtype=float)
    share = (colour - colour.min()) / max(float(np.ptp(colour)), 1e-12)
    shades = np.minimum((share * SHADES).astype(int), SHADES - 1)
    table = np.column_stack(heights)
    for shade in range(SHADES):
        rows = np.flatnonzero(shades == shade)
        if len(rows):
            paint = _between(trace.line.colorscale, (shade + 0.5) / SHADES)
            _add_lines(plain, table, rows, names, paint)
    plain.update_xaxes(visible=False, range=[-0.35, len(trace.dimensions) - 0.65])
    plain.update_yaxes(visible=False, range=[-0.04, 1.14])
    said = plain.layout.title.subtitle.text
    if said:  # there is nothing to drag in plain lines
        plain.update_layout(title_subtitle_text=re.sub(r"; drag along an axis[^<]*", "", said))
    return plain


def _between(scale: Any, share: float) -> str:
    """The colour at `share` (0 to 1) of a scale of hexadecimal colours."""
    places = [float(place) for place, _ in scale]
    parts = np.array([hex_to_rgb(colour) for _, colour in scale], dtype=float)
    mixed = [np.interp(share, places, parts[:, channel]) for channel in range(3)]
    return "#" + "".join(f"{round(value):02x}" for value in mixed)


def _span(dimension: Any, values: np.ndarray[Any, Any]) -> tuple[float, float]:
    ticks = [float(tick) for tick in dimension.tickvals] if dimension.tickvals is not None else []
    given = [float(end) for end in dimension.range] if dimension.range is not None else []
    every = given or [*values[np.isfinite(values)].tolist(), *ticks] or [0.0]
    low, high = min(every), max(every)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _add_lines(
    plain: go.Figure, table: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], names: list[Any], paint: str
) -> None:
    xs: list[float | None] = []
    ys: list[float | None] = []
    marks: list[Any] = []
    for row in rows:
        xs += [*range(table.shape[1]), None]
        ys += [*table[row].tolist(), None]
        marks += [names[row]] * (table.shape[1] + 1)
    width, faint = (1.0, 0.45) if len(table) > 300 else (1.5, 0.7)
    line = {"color": paint, "width": width}
    data = marks if marks[0] is not None else None
    plain.add_scatter(
        x=xs,
        y=ys,
        mode="lines",
        line=line,
        opacity=faint,
        customdata=data,
        hoverinfo="none",
        showlegend=False,
    )


def _add_axis(plain: go.Figure, place: int, dimension: Any, low: float, high: float) -> None:
    plain.add_shape(type="line", x0=place, x1=place, y0=0, y1=1, line={"color": "#94a3b8", "width": 1.2})
    name = str(dimension.label or "")
    plain.add_annotation(x=place, y=1.05, text=f"<b>{name}</b>", showarrow=False, yanchor="bottom")
    if dimension.tickvals is not None:
        ticks = [float(tick) for tick in dimension.tickvals]
        texts = [str(text) for text in (dimension.ticktext if dimension.ticktext is not None else ticks)]
    else:
        ticks = np.linspace(low, high, 5).tolist()
        digits = re.fullmatch(r"\.(\d)f", str(dimension.tickformat or ""))
        texts = [f"{tick:.{digits[1]}f}" if digits else f"{tick:.4g}" for tick in ticks]
    step = max(1, -(-len(ticks) // MOST_TICKS))
    for tick, text in list(zip(ticks, texts, strict=True))[::step]:
        height = (tick - low) / (high - low)
        font = {"size": 11}
        plain.add_annotation(
            x=place, y=height, text=text, showarrow=False, xanchor="left", xshift=4, font=font
        )

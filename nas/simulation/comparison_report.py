"""A comparison of samplers for people: one Markdown text, one figure as HTML, JSON and PNG."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from leaderboard.views.style import FONT, INK, SERIES, SETTINGS, legend_below, new_figure, subtitle
from nas.core.files import write_text, write_whole
from nas.simulation.replays import Curve, Side
from nas.simulation.statistics import Group, means_at

POINTS = 60
"""Places along an axis at which a line of the figure is drawn."""

SIDES: dict[Side, str] = {
    "trainings": "candidates trained in full",
    "seconds": "seconds of workers, in full trainings",
}


def lines_of(group: Group, side: Side) -> dict[str, list[dict[str, float]]]:
    """Sampler -> points (mark, mean, half) of its line; samplers with rungs have one over seconds alone."""
    return {
        name: [vars(point) for point in means_at(curves, side, _marks(curves, side))]
        for name, curves in group.items()
        if side == "seconds" or not curves[0].task.spec.rungs
    }


def _marks(curves: Sequence[Curve], side: Side) -> list[float]:
    most = min(curve.last(side) for curve in curves)
    marks = np.unique(np.geomspace(1, max(1, most), POINTS))
    return sorted({float(round(mark)) for mark in marks}) if side == "trainings" else marks.tolist()


def figure_of(groups: Mapping[int, Group], title: str, said: str) -> go.Figure:
    """A row of panels for each number of workers: over trainings, and over seconds."""
    titles = [f"{_workers(workers)}, {what}" for workers in groups for what in ("trainings", "seconds")]
    panels = make_subplots(
        rows=len(groups), cols=2, shared_yaxes=True, subplot_titles=titles, vertical_spacing=0.14
    )
    figure = new_figure(title, panels)
    for row, group in enumerate(groups.values(), start=1):
        for column, side in enumerate(SIDES, start=1):
            for number, (name, points) in enumerate(_coloured(group, side)):
                _draw(figure, name, points, SERIES[number % len(SERIES)], row, column)
            figure.update_xaxes(title_text=SIDES[side], type="log", row=row, col=column)
        figure.update_yaxes(title_text="hypervolume, share of the best", row=row, col=1)
    figure.update_layout(height=150 + 380 * len(groups), font={"family": FONT, "color": INK})
    return legend_below(subtitle(figure, said))


def _coloured(group: Group, side: Side) -> list[tuple[str, list[dict[str, float]]]]:
    """Each name of the group with its points, none where it has no line here: colours are the names'."""
    lines = lines_of(group, side)
    return [(name, lines.get(name, [])) for name in group]


def _draw(
    figure: go.Figure, name: str, points: list[dict[str, float]], colour: str, row: int, column: int
) -> None:
    if not points:
        return
    x = [point["mark"] for point in points]
    mean = np.array([point["mean"] for point in points])
    half = np.array([point["half"] for point in points])
    around = [*(mean + half).tolist(), *(mean - half)[::-1].tolist()]
    figure.add_scatter(
        x=[*x, *x[::-1]],
        y=around,
        fill="toself",
        fillcolor=colour,
        opacity=0.15,
        line={"width": 0},
        hoverinfo="skip",
        legendgroup=name,
        showlegend=False,
        row=row,
        col=column,
    )
    figure.add_scatter(
        x=x,
        y=mean.tolist(),
        name=name,
        legendgroup=name,
        showlegend=row == 1 and column == 2,
        mode="lines",
        line={"color": colour, "width": 2, "dash": "dash" if "+rungs" in name else "solid"},
        row=row,
        col=column,
    )


def write_figures(groups: Mapping[int, Group], title: str, said: str, folder: Path) -> list[Path]:
    """``comparison.html`` (whole, with plotly in it), ``.json`` for plotly, and ``.png``; their paths."""
    figure = figure_of(groups, title, said)
    html, plain, png = (folder / f"comparison.{kind}" for kind in ("html", "figure.json", "png"))
    text = figure.to_html(include_plotlyjs=True, full_html=True, config=SETTINGS)
    write_text(html, text)
    write_text(plain, str(figure.to_json()))
    write_whole(png, lambda path: _draw_png(groups, title, said, path))
    return [html, plain, png]


def _draw_png(groups: Mapping[int, Group], title: str, said: str, path: Path) -> None:
    figure = Figure(figsize=(11, 1.3 + 3.7 * len(groups)), dpi=110, facecolor="white", layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(len(groups), 2, sharey=True, squeeze=False)
    for row, (workers, group) in zip(axes, groups.items(), strict=True):
        for panel, side in zip(row, SIDES, strict=True):
            for number, (name, points) in enumerate(_coloured(group, side)):
                if points:
                    x, mean, half = (np.array([p[key] for p in points]) for key in ("mark", "mean", "half"))
                    colour = SERIES[number % len(SERIES)]
                    style = "--" if "+rungs" in name else "-"
                    panel.plot(x, mean, color=colour, linestyle=style, label=name)
                    panel.fill_between(x, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
            panel.set_xscale("log")
            panel.set_title(f"{_workers(workers)}, {side}", fontsize=10, color=INK)
            panel.set_xlabel(SIDES[side], fontsize=9)
            panel.grid(color="#e2e8f0", linewidth=0.8)
            panel.tick_params(labelsize=8)
            for place in ("top", "right"):
                panel.spines[place].set_visible(False)
        row[0].set_ylabel("hypervolume, share of the best", fontsize=9)
    handles, labels = axes[0][1].get_legend_handles_labels()
    folded = "\n".join(textwrap.wrap(said, 110))
    figure.suptitle(f"{title}\n{folded}", fontsize=11, color=INK)
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    with path.open("wb") as file:
        canvas.print_png(file)


def markdown_of(told: Mapping[str, Any]) -> str:
    """All numbers of ``nas.simulation.statistics.compare`` as tables, with what they were made from
    (``about``).
    """
    about = told["about"]
    lines = [f"# Samplers on {about['source']}", "", about["said"], ""]
    for workers, found in told["workers"].items():
        lines += [f"## {_workers(int(workers))}", ""]
        lines += _marks_table("trained in full", found["trainings"])
        lines += _marks_table("seconds of so many full trainings", found["seconds"])
        lines += _goals(found["goals"])
        lines += _ranks(found["ranks"])
        lines += _rungs(found["rungs"])
        lines += _counts(found["counts"])
    return "\n".join(lines)


def _marks_table(head: str, rows: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    marks = sorted({point["mark"] for points in rows.values() for point in points})
    lines = [f"Share of the best front's hypervolume, mean ± 95 % interval; {head}:", ""]
    lines += ["| sampler | " + " | ".join(f"{mark:g}" for mark in marks) + " |"]
    lines += ["| --- |" + " --- |" * len(marks)]
    for name, points in rows.items():
        at = {point["mark"]: point for point in points}
        cells = [f"{at[mark]['mean']:.3f} ± {at[mark]['half']:.3f}" if mark in at else "" for mark in marks]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _goals(goals: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for goal in goals:
        lines += [
            f"Trainings for the mean of `{goal['of']}` after {goal['trainings']}, {goal['level']:.3f} "
            f"(wanted of the default: at most {goal['within']}):",
            "",
            "| sampler | trainings | 95 % interval |",
            "| --- | --- | --- |",
        ]
        for need in goal["needs"]:
            if need["trainings"] is None:
                lines.append(f"| `{need['name']}` | more than {need['most']:g} | |")
                continue
            high = f"{need['high']:g}" if need["high"] is not None else f"beyond {need['most']:g}"
            lines.append(f"| `{need['name']}` | {need['trainings']:g} | {need['low']:g} to {high} |")
        lines.append("")
    return lines


def _ranks(ranks: Mapping[str, Any]) -> list[str]:
    if len(ranks["mean_ranks"]) < 2:
        return []
    told = ", ".join(
        f"`{name}` {rank:.2f}" for name, rank in sorted(ranks["mean_ranks"].items(), key=lambda one: one[1])
    )
    lines = [f"Mean ranks after {ranks['mark']} trainings: {told}."]
    if ranks["friedman_p"] is not None:
        lines[0] += f" Friedman p = {ranks['friedman_p']:.2g}; "
        lines[0] += f"by Nemenyi, ranks {ranks['critical']:.2f} apart differ."
    lines += ["", "| pair | mean difference | p (Wilcoxon, Holm) |", "| --- | --- | --- |"]
    lines += [
        f"| `{pair['one']}` - `{pair['other']}` | {pair['difference']:+.3f} | {pair['p']:.2g} |"
        for pair in ranks["pairs"]
    ]
    return [*lines, ""]


def _rungs(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    lines = [
        "Seconds with rungs for what full trainings alone reach, as a part of theirs (wanted: a half):",
        "",
        "| sampler | full trainings | reach | with rungs after | 95 % interval | rungs reach in the end |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        part = "never" if row["part"] is None else f"{row['part']:.0%}"
        high = "beyond" if row["high"] is None else f"{row['high']:.0%}"
        interval = "" if row["low"] is None else f"{row['low']:.0%} to {high}"
        lines.append(
            f"| `{row['sampler']}` | {row['trainings']:.0f} | {row['level']:.3f} | {part} | {interval} | "
            f"{row['reached_in_the_end']:.3f} |"
        )
    return [*lines, ""]


def _counts(counts: Mapping[str, Mapping[str, float]]) -> list[str]:
    answered = any(row["answered_by_the_model"] for row in counts.values())
    head = "| sampler | begun | in full | over budget | repeats |"
    rule = "| --- | --- | --- | --- | --- |"
    if answered:
        head, rule = head + " answered by the model |", rule + " --- |"
    lines = ["Means over seeds:", "", head, rule]
    for name, row in counts.items():
        cells = [row["begun"], row["full"], row["rejected"], row["repeated"]]
        cells += [row["answered_by_the_model"]] if answered else []
        lines.append(f"| `{name}` | " + " | ".join(f"{cell:.0f}" for cell in cells) + " |")
    return [*lines, ""]


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def write_report(groups: Mapping[int, Group], told: Mapping[str, Any], folder: Path) -> list[Path]:
    """Everything into ``folder``: the figures, ``comparison.md`` and ``comparison.json``; their paths."""
    about = told["about"]
    paths = write_figures(groups, f"Samplers on {about['source']}", about["said"], folder)
    text = markdown_of(told) + "\n![The same as curves](comparison.png)\n"
    write_text(folder / "comparison.md", text)
    numbers = json.dumps(told, indent=2, allow_nan=False)
    write_text(folder / "comparison.json", numbers)
    return [folder / "comparison.md", folder / "comparison.json", *paths]

"""One network as parts of a page, which the live page and the static one both show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from dash import html

from leaderboard.crops import Crop, CropImage
from leaderboard.page.diagram import diagram
from leaderboard.page.network_data import NetworkData, again_command
from leaderboard.page.parts import aria, facts, table
from leaderboard.store.measurements import MARK
from leaderboard.store.records import Calibration, Protocol, halvings_text
from leaderboard.tables.front import COST_NAMES, amount, count_of, words

METRICS: dict[str, str] = {
    "y_float": "PSNR and SSIM on the luma channel, not rounded",
    "y_uint8": "PSNR and SSIM on the luma channel, rounded to 8 bits",
    "rgb": "PSNR and SSIM on the three colour channels",
}
Source = Callable[[CropImage], str]
NOT_KEPT = "not kept"


def protocol_facts(protocol: Protocol) -> html.Dl:
    """All that belongs to how a number was made."""
    plan = ", ".join(f"{key} {value}" for key, value in protocol.plan.items())
    return facts(
        {
            "Protocol": protocol.id,
            "Scale": f"x{protocol.scale}",
            "Training plan": f"{protocol.plan_name}{f' ({plan})' if plan else ''}",
            "Data": f"{protocol.data} (digest {protocol.data_digest})",
            "Metric": f"{protocol.metric}: {METRICS.get(protocol.metric, 'PSNR and SSIM')}",
            "Bicubic": f"{protocol.bicubic_psnr_db:.2f} dB, SSIM {protocol.bicubic_ssim:.4f}",
        }
    )


def protocol_line(protocol: Protocol | None) -> str:
    """The protocol in one line, to stand beside a number."""
    if protocol is None:
        return "not measured under the protocol chosen above"
    return (
        f"x{protocol.scale}, plan {protocol.plan_name} on {protocol.data}, {protocol.metric} ({protocol.id})"
    )


def numbers(network: NetworkData) -> html.Div:
    """The quality and the costs in large type, with the protocol below."""
    found = network.numbers
    tiles: list[tuple[str, str]] = []
    if found is not None:
        seeds = int(found["seeds"])
        spread = f", mean of {seeds} seeds, spread {found['spread_db']:.3f} dB" if seeds > 1 else ""
        tiles += [
            (f"{found['psnr_db']:.3f} dB", f"PSNR ({found['gain_db']:+.3f} over bicubic{spread})"),
            (f"{found['ssim']:.4f}", "SSIM"),
        ]
    tiles += [(count_of(cost, network.costs[cost]), name) for cost, name in COST_NAMES.items()]
    return html.Div(
        [
            html.Dl(
                [html.Div([html.Dt(what), html.Dd(value)], className="tile") for value, what in tiles],
                className="tiles",
            ),
            html.P(f"Quality: {protocol_line(network.protocol)}.", className="soft"),
        ]
    )


def choices(network: NetworkData) -> html.Div | html.P:
    """Every axis with its option."""
    rows = [[axis.replace("_", " "), option_words(value)] for axis, value in network.choices.items()]
    return (
        table(["Axis", "Option"], rows, text=2, caption="Choices")
        if rows
        else html.P("A published network: it is not made of choices.", className="soft")
    )


def option_words(value: Any) -> str:
    """An option for people; `-` where the axis does not apply."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return words(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def cost_by_part(network: NetworkData) -> html.Div | html.P:
    """Parameters and Multi-Adds of each part, with their share of the whole."""
    if network.parts.empty:
        return html.P("What each part costs was not kept for this network.", className="soft")
    rows = []
    for part in network.parts.to_dict("records"):
        cells: list[Any] = [str(part["part"]), f"{int(part['uses'])}"]
        for cost in ("params", "multi_adds"):
            share = float(part[cost]) / max(1.0, float(network.parts[cost].sum()))
            cells += [count_of(cost, float(part[cost])), _bar(share)]
        rows.append(cells)
    return table(["Part", "Uses", "Params", "Share", "Multi-Adds", "Share"], rows, caption="Cost by part")


def _bar(share: float) -> html.Span:
    return html.Span(
        [html.Meter(value=f"{share:.4f}", min="0", max="1", **aria(hidden="true")), f" {share:.0%}"],
        className="bar",
    )


def crops(found: Sequence[Crop], source: Source) -> html.Div | html.P:
    """Each crop as low resolution, bicubic, network and truth, side by side."""
    if not found:
        return html.P("No pictures were kept for this network.", className="soft")
    return html.Div([_crop(crop, source) for crop in found], className="crops")


def _crop(crop: Crop, source: Source) -> html.Figure:
    shown = [
        ("Low resolution", crop.lr),
        ("Bicubic", crop.bicubic),
        ("Network", crop.network),
        ("Original", crop.hr),
    ]
    left, top, width, height = crop.box
    return html.Figure(
        [
            html.Figcaption(
                f"{crop.image}, {width} x {height} at ({left}, {top}); PSNR of the crop: {crop.metric}"
            ),
            html.Div([_picture(name, picture, crop, source) for name, picture in shown], className="quartet"),
        ]
    )


def _picture(name: str, picture: CropImage, crop: Crop, source: Source) -> html.Div:
    said = name if picture.psnr_db is None else f"{name} {picture.psnr_db:.2f} dB"
    return html.Div([html.Img(src=source(picture), alt=f"{name}: crop of {crop.image}"), html.Span(said)])


def images(network: NetworkData) -> html.Div | html.P:
    """PSNR and SSIM of every image, means over seeds."""
    if network.images.empty:
        return html.P("Results of single images were not kept.", className="soft")
    means = network.images.groupby("image", sort=False)[["psnr_db", "ssim"]].mean()
    rows = [
        [str(name), _number(row["psnr_db"], 2), _number(row["ssim"], 4)] for name, row in means.iterrows()
    ]
    return table(["Image", "PSNR (dB)", "SSIM"], rows, caption="Validation images")


def _number(value: Any, digits: int) -> str:
    return "-" if pd.isna(value) else f"{value:.{digits}f}"


def measured(network: NetworkData) -> list[Any]:
    """Benchmark sets and run times, where something was measured."""
    found: list[Any] = []
    if len(network.benchmarks):
        rows = [
            [
                f"{row['benchmark']} x{row['scale']}",
                f"{row['metric']}, LR {row['low_resolution']}"
                + (", self-ensemble" if row["weights"].endswith(MARK) else ""),
                _number(row["psnr_db"], 2),
                _number(row["ssim"], 4),
            ]
            for row in network.benchmarks.to_dict("records")
        ]
        headings = ["Benchmark set", "Metric", "PSNR (dB)", "SSIM"]
        found += [html.H3("Benchmark sets"), table(headings, rows, text=2)]
    if len(network.runtimes):
        rows = [
            [
                f"{row['device']}" + (f", {row['threads']} threads" if row["threads"] else ""),
                f"{row['width']}x{row['height']} output, batch {row['batch']}, "
                f"{row['precision']}, {row['engine']}",
                f"{row['median_ms']:.2f} ({row['p5_ms']:.2f} to {row['p95_ms']:.2f})",
                "-" if pd.isna(row["peak_memory_bytes"]) else f"{amount(row['peak_memory_bytes'], ' ')}B",
            ]
            for row in network.runtimes.to_dict("records")
        ]
        headings = ["Device", "Setting", "Latency, median (5 to 95 %), ms", "Peak memory"]
        found += [html.H3("Run time"), table(headings, rows, text=2)]
    return found


def provenance(network: NetworkData, options: str = "") -> html.Div:
    """Where each number of this network comes from, and the command that makes it once more."""
    rows = network.trainings.to_dict("records")
    if not rows:
        return html.Div(html.P("It was never trained in this run.", className="soft"))
    return html.Div([_training(row, network, options, first=number == 0) for number, row in enumerate(rows)])


def _training(row: Mapping[Any, Any], network: NetworkData, options: str, *, first: bool) -> html.Details:
    protocol = network.protocols[row["protocol"]]
    duration = f"{row['train_seconds']:.1f} s"
    told = facts(
        {
            "Study": row["study"],
            "Stage": f"{row['stage']}, trial {row['number']}, rung {row['rung']}",
            "Seed": row["seed"],
            "Code": f"ParetoSR {row['code_version'] or NOT_KEPT}, torch {row['torch_version'] or NOT_KEPT}",
            "Device": row["device"] or NOT_KEPT,
            "Worker": row["worker"] or NOT_KEPT,
            "Proposed": _moment(row["created_at"]),
            "Ended": _moment(row["finished_at"]),
            "Training": ", ".join(text for text in (duration, halvings_text(row["halvings"] or [])) if text),
            "Weights": row["checkpoint"] or NOT_KEPT,
            "SHA-256": row["checkpoint_sha256"] or NOT_KEPT,
            "To run it again": _again(row, protocol, options),
        }
    )
    reached = f"{row['psnr_db']:.3f} dB, SSIM {row['ssim']:.4f}"
    heading = f"{row['stage']}, seed {row['seed']}: {reached}, {protocol_line(protocol)}"
    return html.Details([html.Summary(heading), protocol_facts(protocol), told], open=first)


def trust_of(calibration: Calibration) -> str:
    """How far numbers of a protocol can be trusted, and who found that, in a sentence."""
    return (
        f"{calibration.words[:1].upper()}{calibration.words[1:]}: against {calibration.reference_id}, over "
        f"{calibration.architectures} architectures, in run {calibration.study}."
    )


def _again(row: Mapping[Any, Any], protocol: Protocol, options: str) -> html.Pre | str:
    if protocol.plan_name == "compress":
        return "a stage of a compression: its own nas compress command under another --name"
    return html.Pre(html.Code(again_command(row, options)), tabIndex="0")


def _moment(value: Any) -> str:
    return NOT_KEPT if pd.isna(value) else f"{value:%Y-%m-%d %H:%M:%S} UTC"


def sections(network: NetworkData, source: Source, curve: Any, options: str = "") -> list[Any]:
    """The whole detail of a network below its heading; `curve` is where its loss curve is drawn.

    `options` lead the commands to the same results.
    """
    return [
        numbers(network),
        html.H3("Architecture"),
        diagram(network.choices, network.parts, network.scale),
        html.Div(
            [
                html.Div([html.H3("Choices"), choices(network)]),
                html.Div([html.H3("Cost by part"), cost_by_part(network)]),
            ],
            className="halves",
        ),
        html.H3("Training"),
        curve,
        html.H3("Pictures"),
        crops(network.crops, source),
        html.H3("Validation images"),
        images(network),
        *measured(network),
        html.H3("Where the numbers come from"),
        provenance(network, options),
    ]

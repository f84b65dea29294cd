"""What should be known of an exported network, as a plain dict and as Markdown: its model card."""

from __future__ import annotations

import platform
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import torch

from leaderboard.store import Store
from nas._version import __version__
from nas.core.units import format_count
from nas.cost.counting import OUTPUT, cost_of, input_size, measure
from nas.evaluation.benchmark_sets import Network

NOT_STATED = "not stated"


def make_card(
    network: Network,
    files: dict[str, Any],
    licence: str = NOT_STATED,
    open_store: Callable[[], Store] | None = None,
) -> dict[str, Any]:
    """Costs, results and provenance of ``network``; ``files`` says how it was written.

    What the database knows by the weights' digest and by that of their file is looked up in the one that
    ``open_store`` opens. ``licence`` is that of the weights, which this program cannot know.
    """
    cost = (
        cost_of(network.genotype, network.scale)
        if network.genotype is not None
        else measure(lambda: network.module, network.scale)
    )
    height, width = input_size(network.scale)
    card: dict[str, Any] = {
        "network": network.name,
        "genotype": None if network.genotype is None else network.genotype.id,
        "space": None if network.genotype is None else network.genotype.space,
        "choices": None if network.genotype is None else network.genotype.to_dict(),
        "scale": network.scale,
        "input": "RGB, (B, 3, H, W), float32 in [0, 1]",
        "output": f"RGB, (B, 3, {network.scale} * H, {network.scale} * W), float32, not clipped",
        "licence": licence,
        **files,
        "cost": {"output": [OUTPUT[1], OUTPUT[0]], "input": [width, height], **cost.to_dict()},
        "weights": {
            "digest": network.weights,
            "source": network.source.rsplit("/", 1)[-1],
            "file_sha256": network.file_sha256,
        },
        "results": [],
        "training": None,
        "made_by": {
            "paretosr": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        },
    }
    if open_store is not None:
        with open_store() as store:
            card["results"] = _results(store, network)
            card["training"] = _training(store, network)
    return card


def _results(store: Store, network: Network) -> list[dict[str, Any]]:
    columns = ("benchmark", "metric", "psnr_db", "ssim", "low_resolution", "data_digest")
    return [
        {name: getattr(measurement, name) for name in columns}
        for measurement in store.measurements()
        if (measurement.weights, measurement.scale) == (network.weights, network.scale)
    ]


_OF_TRAINING = (
    *("study", "stage", "seed", "protocol", "psnr_db", "device", "code_version", "torch_version"),
    "checkpoint_sha256",
)


def _training(store: Store, network: Network) -> dict[str, Any] | None:
    """The recorded training that wrote the file of these weights."""
    if network.file_sha256 is None:
        return None
    frame = store.frame(columns=_OF_TRAINING)
    mine = frame[frame["checkpoint_sha256"] == network.file_sha256]
    if mine.empty:
        return None
    row = mine.iloc[-1]
    protocol = store.protocol(str(row["protocol"]))
    return {
        "run": str(row["study"]),
        "stage": str(row["stage"]),
        "seed": int(row["seed"]),
        "protocol": {
            "id": protocol.id,
            "plan": protocol.plan_name,
            "settings": protocol.plan,
            "data": protocol.data,
            "data_digest": protocol.data_digest,
            "metric": protocol.metric,
        },
        "psnr_db": float(row["psnr_db"]),
        "bicubic_psnr_db": protocol.bicubic_psnr_db,
        "device": str(row["device"]),
        "paretosr": str(row["code_version"]),
        "torch": str(row["torch_version"]),
        "recipe": store.study(str(row["study"])).recipe,
    }


def as_markdown(card: dict[str, Any]) -> str:
    """The card for people."""
    cost, weights, made = card["cost"], card["weights"], card["made_by"]
    lines = [
        f"# {card['network']}, x{card['scale']}",
        "",
        f"A network for x{card['scale']} super-resolution, exported by ParetoSR {made['paretosr']} "
        f"(torch {made['torch']}) on {made['date']}.",
        "",
        f"- Licence of the weights: {card['licence']}",
        f"- File: `{card['file']}` ({card['format']}{card['told']})",
        f"- Largest difference to PyTorch: {card['difference']:.1e} "
        f"on {', '.join('x'.join(map(str, size)) for size in card['checked_sizes'])} "
        "(batch, height, width; of 1)",
        f"- Input: {card['input']}; output: {card['output']}",
        f"- Genotype: {card['genotype'] or 'none'}",
        f"- Weights: digest {weights['digest']}, from `{weights['source']}`",
        "",
        "## Cost",
        "",
        f"Counted at an output of {cost['output'][0]}x{cost['output'][1]}.",
        "",
        "| parameters | Multi-Adds, all | Multi-Adds, convolutions only | activations |",
        "| --- | --- | --- | --- |",
        "| "
        + " | ".join(
            format_count(cost[k]) for k in ("params", "multi_adds", "conv_multi_adds", "activations")
        )
        + " |",
        "",
        "## Results",
        "",
        *_result_lines(card["results"]),
        "",
        "## Training",
        "",
        *_training_lines(card["training"]),
        "",
    ]
    return "\n".join(lines)


def _result_lines(results: list[dict[str, Any]]) -> list[str]:
    if not results:
        return ["Nothing was measured with these weights (`nas evaluate` does it)."]
    rows = [
        f"| {row['benchmark']} | {row['metric']} | {row['psnr_db']:.3f} | "
        f"{'none' if row['ssim'] is None else format(row['ssim'], '.5f')} |"
        for row in results
    ]
    return ["| set | protocol | PSNR dB | SSIM |", "| --- | --- | --- | --- |", *rows]


def _training_lines(training: dict[str, Any] | None) -> list[str]:
    if training is None:
        return ["The results database knows no training that wrote these weights."]
    protocol = training["protocol"]
    return [
        f"- Run `{training['run']}`, stage {training['stage']}, seed {training['seed']}",
        f"- Plan `{protocol['plan']}`, data `{protocol['data']}` (digest {protocol['data_digest']}), "
        f"protocol {protocol['id']}",
        f"- {training['psnr_db']:.3f} dB on its validation images ({protocol['metric']}; "
        f"bicubic {training['bicubic_psnr_db']:.3f})",
        f"- {training['device']}, ParetoSR {training['paretosr']}, torch {training['torch']}",
    ]

"""A stage of a compression as the recorder takes it: its request, its outcome, and its latency."""

from __future__ import annotations

import math

import torch

from leaderboard.store.records import Runtime
from nas._version import __version__
from nas.compression.stages import Stage
from nas.cost.budget import Cost
from nas.cost.latency import processor
from nas.search.requests import Train
from nas.training import Outcome
from nas.training.checkpoint import WEIGHTS
from search_spaces import Genotype
from search_spaces.named import Named
from search_spaces.published import published_name


def request_of_stage(stage: Stage, seed: int) -> Train:
    """What the stage's row says of it; size and latency of its file count as measured."""
    measured = {"bytes": float(stage.bytes)}
    if stage.median_ms is not None:
        measured["latency_ms"] = stage.median_ms
    return Train(
        genotype=stage.genotype,
        cost=Cost(**stage.cost),
        seed=seed,
        stage="retrain",
        measured=measured,
        name=_paper_name(stage.genotype),
    )


def outcome_of_stage(stage: Stage) -> Outcome:
    """The stage as the outcome of a training."""
    return Outcome(
        psnr_db=stage.psnr_db,
        ssim=stage.ssim,
        per_image={name: (both[0], both[1]) for name, both in stage.per_image.items()},
        train_seconds=stage.train_seconds,
        curve=[
            (int(step or 0), math.nan if loss is None else loss, psnr_db)
            for step, loss, psnr_db in stage.curve
        ],
        device=stage.device,
        torch_version=torch.__version__,
        weights=stage.folder / WEIGHTS,
        halvings=stage.halvings,
    )


def runtime_of_stage(stage: Stage, scale: int, output: tuple[int, int]) -> Runtime | None:
    """The latency of the stage's ONNX file; None where it has none.

    Args:
        stage: A finished stage.
        scale: Upscaling factor.
        output: Height and width of the output in pixels.
    """
    if stage.latency_ms is None:
        return None
    low, median, high = stage.latency_ms
    height, width = output
    return Runtime(
        network=stage.genotype.id,
        genotype_id=stage.genotype.id,
        scale=scale,
        height=height,
        width=width,
        device=processor(torch.device("cpu")),
        threads=stage.threads,
        precision="int8" if stage.name == "int8" else "fp32",
        engine="onnxruntime",
        median_ms=median,
        p5_ms=low,
        p95_ms=high,
        torch_version=torch.__version__,
        code_version=__version__,
    )


def _paper_name(genotype: Genotype) -> str | None:
    return genotype.network if isinstance(genotype, Named) else published_name(genotype)

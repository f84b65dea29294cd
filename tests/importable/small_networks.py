"""A small network, a smaller one, a larger one that can teach it, and two of them trained for a moment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas.compression.source import CompressionSource
from nas.evaluation.benchmark_sets import load_network
from nas.training import Job, Plan, train
from search_spaces.lightweight import Lightweight

SMALL = Lightweight(
    width=16,
    blocks=2,
    block="residual",
    attention="none",
    kernel="3x3",
    sharing="none",
    aggregation="plain",
    transformers=0,
    skip="bicubic",
)
TINY = replace(SMALL, blocks=1)
BIG = replace(SMALL, width=24, blocks=3)


def trained_weights(images: Path, folder: Path, plan: Plan) -> dict[str, Path]:
    """The files of weights of both at x2, after 30 steps of ``plan``."""
    found = {}
    for name, genotype in (("small", SMALL), ("big", BIG)):
        longer = replace(plan, steps=30, lr=1e-3)
        outcome = train(
            Job(genotype=genotype, scale=2, plan=longer, data=f"folder:{images}", folder=folder / name)
        )
        assert outcome.weights is not None
        found[name] = outcome.weights
    return found


def source(path: Path) -> CompressionSource:
    """The network in a file of weights, as a pipeline takes it."""
    network = load_network(str(path), scale=None, weights=None, runs=path.parent, open_store=None)
    return CompressionSource.of(network, trained=True)


class Nearest(nn.Module):
    """Every pixel becomes 2x2 of the same: what comes out is known to the last level."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="nearest") * self.one

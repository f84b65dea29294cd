"""What a worker is given and what it gives back: plain values that travel between processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nas.training.plan import Plan
from search_spaces import Genotype


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training: everything that decides its result, and where it leaves its files.

    ``folder`` None keeps nothing on disk; otherwise the weights land there, and an interrupted training
    leaves a state from which the same job goes on. ``threads`` are those of the CPU; 0 leaves torch's own.
    """

    genotype: Genotype
    scale: int
    plan: Plan
    data: str
    metric: str = "y_float"
    seed: int = 0
    device: str = "cpu"
    threads: int = 0
    folder: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a training found.

    ``psnr_db`` and ``ssim`` are means over the validation images, ``per_image`` holds both by name.
    ``train_seconds`` is the time in the training loop, over all attempts. ``curve`` lists (step, mean loss
    since the last entry). ``weights`` is the file of the measured weights, None where no folder was given.
    """

    psnr_db: float
    ssim: float
    per_image: dict[str, tuple[float, float]]
    train_seconds: float
    curve: list[tuple[int, float]] = field(default_factory=list)
    device: str = "cpu"
    torch_version: str = ""
    weights: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a running training stands; ``loss`` is the mean since the last report."""

    step: int
    steps: int
    loss: float
    seconds: float

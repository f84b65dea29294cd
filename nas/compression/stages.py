"""What each stage of a compression left on the disk."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter

from leaderboard.names import shortened
from leaderboard.untrusted import MOST_LINE_BYTES, parse_json, read_text
from nas.core.files import write_text
from nas.errors import CheckpointError
from nas.training import Outcome
from nas.training.checkpoint import WEIGHTS
from nas.training.job import Halving
from search_spaces import Genotype
from search_spaces.compressed import FULL_BITS, Compressed

STAGE, TRAINING, FLOAT, INT8 = "stage.json", "training.json", "model.onnx", "model-int8.onnx"
"""Files of a stage's folder, besides its weights: what was found; the network for ONNX Runtime."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a stage's training found, kept so that it is not repeated for what comes after it."""

    psnr_db: float
    per_image: dict[str, tuple[float, float]]
    train_seconds: float
    curve: list[list[float | None]]
    halvings: list[Halving] = field(default_factory=list)

    @classmethod
    def of(cls, outcome: Outcome) -> Training:
        """The part of an outcome that a stage needs."""
        return cls(
            psnr_db=outcome.psnr_db,
            per_image=outcome.per_image,
            train_seconds=outcome.train_seconds,
            curve=[list(entry) for entry in outcome.curve],
            halvings=outcome.halvings,
        )

    def save(self, folder: Path) -> None:
        """Say on the disk that the training is over."""
        write_text(folder / TRAINING, json.dumps(vars(self)))


def load_training(folder: Path) -> Training | None:
    """The training that ended in ``folder``; None where none did. Raises CheckpointError."""
    path = folder / TRAINING
    if not path.exists() or not (folder / WEIGHTS).exists():
        return None
    try:
        return Training(**_fields(Training, parse_json(read_text(path, MOST_LINE_BYTES))))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path}: no readable training ({shortened(error, 200)}); move its folder away"
        ) from error


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What one stage found; ``name`` is unique in its pipeline, ``folder`` holds its files.

    ``psnr_db`` and ``ssim`` are of the images held out: for int8 those of the ONNX file in ONNX Runtime, and
    ``training_psnr_db`` is then what training with quantisation in mind ended with. ``bytes`` is the size of
    the ONNX file, of the weights where the network cannot be exported (``note`` says why); ``latency_ms`` is
    5th percentile, median and 95th of ONNX Runtime on this CPU with ``threads``, None without such a file.
    ``benchmarks`` maps a set to PSNR (dB) and SSIM, ``per_image`` an image held out.
    """

    name: str
    folder: Path
    genotype: Genotype
    cost: dict[str, int]
    psnr_db: float
    ssim: float
    bytes: int
    per_image: dict[str, list[float]] = field(repr=False)
    curve: list[list[float | None]] = field(default_factory=list, repr=False)
    halvings: list[Halving] = field(default_factory=list)
    train_seconds: float = 0.0
    device: str = "cpu"
    latency_ms: tuple[float, float, float] | None = None
    threads: int = 1
    training_psnr_db: float | None = None
    benchmarks: dict[str, list[float | None]] = field(default_factory=dict)
    note: str = ""

    @property
    def median_ms(self) -> float | None:
        """The median latency, where it was measured."""
        return None if self.latency_ms is None else self.latency_ms[1]

    def save(self) -> None:
        """Say on the disk that the stage is over: the last of its files that is written."""
        plain = {name: value for name, value in vars(self).items() if name not in ("folder", "genotype")}
        plain["genotype"] = {"space": self.genotype.space, "choices": self.genotype.to_dict()}
        write_text(self.folder / STAGE, json.dumps(plain, indent=1))


def load_stage(folder: Path) -> Stage | None:
    """The stage that was finished in ``folder``; None where none was. Raises CheckpointError."""
    from search_spaces import SpaceError, UntrustedSpaceError, load_space

    path = folder / STAGE
    if not path.exists():
        return None
    try:
        plain = parse_json(read_text(path, MOST_LINE_BYTES))
        made = plain.pop("genotype")
        genotype = load_space(made["space"], named_by=str(path)).from_dict(made["choices"])
        return Stage(folder=folder, genotype=genotype, **_fields(Stage, plain))
    except UntrustedSpaceError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SpaceError) as error:
        raise CheckpointError(
            f"{path}: no readable stage ({shortened(error, 200)}); move its folder away"
        ) from error


def _fields(model: type, plain: Any) -> dict[str, Any]:
    """The fields of a dataclass in plain values; raises ValueError for one of another type."""
    kinds = get_type_hints(model)
    if not isinstance(plain, dict) or not plain.keys() <= kinds.keys():
        raise ValueError(f"its fields are {', '.join(plain) if isinstance(plain, dict) else 'not there'}")
    return {
        name: TypeAdapter(kinds[name]).validate_json(json.dumps(value), strict=True)
        for name, value in plain.items()
    }


def compressed(genotype: Genotype, bits: int = FULL_BITS) -> Compressed:
    """``genotype`` as a compressed network, with weights and activations of ``bits``."""
    if isinstance(genotype, Compressed):
        return replace(genotype, weight_bits=bits, activation_bits=bits)
    return Compressed(of=genotype.space, choices=genotype.to_dict(), weight_bits=bits, activation_bits=bits)


def for_perception(genotype: Genotype) -> Compressed:
    """``genotype`` as a compressed network that was trained against a critic."""
    return replace(compressed(genotype), trained_for="perception")

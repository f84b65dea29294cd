"""What a compression is asked to do, and what each of its stages left on the disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nas.core.files import write_text
from nas.cost.counting import OUTPUT
from nas.errors import CheckpointError, RecipeError, unknown
from nas.training import Outcome, Plan
from nas.training.adversarial import ADVERSARIALS, NOT_ADVERSARIAL
from nas.training.checkpoint import WEIGHTS
from nas.training.distil import NONE
from search_spaces import Genotype
from search_spaces.compressed import FULL_BITS, Compressed

STAGE, TRAINING, FLOAT, INT8 = "stage.json", "training.json", "model.onnx", "model-int8.onnx"
"""Files of a stage's folder, besides its weights: what was found; the network for ONNX Runtime."""

PRUNE_OF = ("multi_adds", "params")
QUANTISE = ("none", "int8")
QUANTISED_BITS = 8

QUANTISED_RATE = 0.1
"""Quantisation-aware fine-tuning takes this share of the plan's learning rate (ours)."""


ADVERSARIAL_RATE, ADVERSARIAL_DECAY = 1e-4, 0.01
"""An adversarial training's largest learning rate, and AdamW's weight decay: F2SRGAN's (released code)."""


@dataclass(frozen=True, kw_only=True)
class Compression:
    """The order: distil (where ``plan`` does), train adversarially, prune in rounds, quantise.

    ``plan`` trains from fresh weights and distils; ``finetune_steps`` is how long each later training of it
    is. A teacher teaches in all of them. ``prune`` is the share that is kept, 0 to 1, of the Multi-Adds or
    parameters (``prune_of``) before the first round; None prunes nothing. ``quantise`` ``int8`` trains with
    quantisation in mind, then writes an ONNX file in 8-bit integers. ``max_drop_db`` is how far below the
    first stage a later one may fall. ``output`` (height, width) is that of the latency. ``adversarial`` is
    how the critic of an adversarial training compares (a word of ADVERSARIALS), ``adversarial_steps`` its
    length (None: the plan's); critics stay in all trainings from there on. None does without. ``sparsity`` is
    the weight of the group lasso in a training of ``sparsity_steps`` (None: ``finetune_steps``) before the
    first round of pruning with the importance group-lasso; None has no such training. Raises RecipeError.
    """

    plan: Plan
    finetune_steps: int
    data: str = "photos"
    metric: str = "y_float"
    seed: int = 0
    prune: float | None = None
    prune_of: str = "multi_adds"
    importance: str = "magnitude"
    rounds: int = 1
    quantise: str = "none"
    max_drop_db: float = 0.3
    output: tuple[int, int] = OUTPUT
    adversarial: str | None = None
    adversarial_steps: int | None = None
    sparsity: float | None = None
    sparsity_steps: int | None = None

    def __post_init__(self) -> None:
        from nas.metrics.fidelity import METRICS
        from nas.pruning.structured import IMPORTANCES

        tables: dict[str, Any] = {"prune_of": PRUNE_OF, "importance": IMPORTANCES, "quantise": QUANTISE}
        for name, allowed in (tables | {"metric": METRICS}).items():
            if getattr(self, name) not in allowed:
                raise unknown(name, getattr(self, name), allowed)
        if self.prune is not None and not 0 < self.prune < 1:
            raise RecipeError(f"prune = {self.prune!r}: the share that is kept, between 0 and 1, is needed")
        for name in ("rounds", "finetune_steps"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{name} = {getattr(self, name)!r}: a whole number of at least 1 is needed")
        if not self.max_drop_db >= 0:
            raise RecipeError(f"max_drop_db = {self.max_drop_db!r}: a number of at least 0 is needed")
        self._check_adversarial()
        self._check_sparsity()
        asked = self.plan.distil != NONE, self.prune is not None, self.quantise != "none", self.adversarial
        if not any(asked):
            raise RecipeError(
                "nothing to do: give a teacher to distil from, a share to keep, int8, or an adversarial stage"
            )

    def _check_adversarial(self) -> None:
        if self.adversarial is None:
            if self.adversarial_steps is not None:
                raise RecipeError(
                    f"adversarial_steps = {self.adversarial_steps} without an adversarial stage"
                )
            return
        if self.adversarial not in ADVERSARIALS:
            raise unknown("adversarial", self.adversarial, ADVERSARIALS)
        _ = self.against_critic  # a plan that cannot be is said now

    def _check_sparsity(self) -> None:
        if self.sparsity is None:
            if self.sparsity_steps is not None:
                raise RecipeError(f"sparsity_steps = {self.sparsity_steps} without sparsity")
            return
        if self.prune is None or self.importance != "group-lasso":
            raise RecipeError(
                f"sparsity = {self.sparsity} makes channels zero that pruning with the importance "
                "group-lasso then removes: ask for both"
            )
        if not self.sparsity > 0:
            raise RecipeError(f"sparsity = {self.sparsity}: a weight above 0 is needed")
        _ = self.sparse  # a plan that cannot be is said now

    @property
    def against_critic(self) -> Plan:
        """The plan of the adversarial stage: the plan's data, batch and length, and F2SRGAN's optimiser."""
        lr = min(self.plan.lr, ADVERSARIAL_RATE)
        return replace(
            self.plan,
            steps=self.plan.steps if self.adversarial_steps is None else self.adversarial_steps,
            adversarial=self.adversarial or NOT_ADVERSARIAL,
            optimizer="adamw",
            weight_decay=ADVERSARIAL_DECAY,
            lr=lr,
            lr_end=min(self.plan.lr_end, lr),
        )

    @property
    def finetune(self) -> Plan:
        """The plan of fine-tuning after pruning."""
        longer = self.plan if self.adversarial is None else self.against_critic
        return replace(longer, steps=self.finetune_steps)

    @property
    def sparse(self) -> Plan:
        """The plan of the training that makes channels zero."""
        steps = self.finetune_steps if self.sparsity_steps is None else self.sparsity_steps
        return replace(self.finetune, steps=steps, group_lasso=self.sparsity or 0.0)

    @property
    def quantised(self) -> Plan:
        """The plan of quantisation-aware fine-tuning."""
        lr = self.finetune.lr * QUANTISED_RATE
        lr_end = min(self.finetune.lr_end, lr)
        return replace(self.finetune, lr=lr, lr_end=lr_end, quantise_bits=QUANTISED_BITS)

    def to_dict(self) -> dict[str, Any]:
        """Plain values: what decides the numbers, and ``max_drop_db``, which only decides where it stops."""
        plain = asdict(self) | {"plan": self.plan.identity(), "output": list(self.output)}
        return {name: value for name, value in plain.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a stage's training found, kept so that it is not repeated for what comes after it."""

    psnr_db: float
    per_image: dict[str, tuple[float, float]]
    train_seconds: float
    curve: list[list[float | None]]

    @classmethod
    def of(cls, outcome: Outcome) -> Training:
        """The part of an outcome that a stage needs."""
        return cls(
            psnr_db=outcome.psnr_db,
            per_image=outcome.per_image,
            train_seconds=outcome.train_seconds,
            curve=[list(entry) for entry in outcome.curve],
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
        plain = json.loads(path.read_text(encoding="utf-8"))
        plain["per_image"] = {name: tuple(both) for name, both in plain["per_image"].items()}
        return Training(**plain)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: no readable training ({error}); move its folder away") from error


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
    from search_spaces import SpaceError, load_space

    path = folder / STAGE
    if not path.exists():
        return None
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        made = plain.pop("genotype")
        genotype = load_space(made["space"]).from_dict(made["choices"])
        if plain["latency_ms"] is not None:
            plain["latency_ms"] = tuple(plain["latency_ms"])
        return Stage(folder=folder, genotype=genotype, **plain)
    except (OSError, ValueError, KeyError, TypeError, SpaceError) as error:
        raise CheckpointError(f"{path}: no readable stage ({error}); move its folder away") from error


def compressed(genotype: Genotype, bits: int = FULL_BITS) -> Compressed:
    """``genotype`` as a compressed network, with weights and activations of ``bits``."""
    if isinstance(genotype, Compressed):
        return replace(genotype, weight_bits=bits, activation_bits=bits)
    return Compressed(of=genotype.space, choices=genotype.to_dict(), weight_bits=bits, activation_bits=bits)


def for_perception(genotype: Genotype) -> Compressed:
    """``genotype`` as a compressed network that was trained against a critic."""
    return replace(compressed(genotype), trained_for="perception")

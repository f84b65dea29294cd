"""Records that the store takes and returns: plain frozen values, never a row of the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Stage = Literal["search", "seeds", "retrain"]
State = Literal["waiting", "running", "rejected", "repeated"]
"""The states that a trial can be proposed in."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """One named search; `recipe` is the recipe it was last opened with.

    `owner` is the process that holds it, or held it last and never said that it ended; until `lease_until`
    it is nobody else's.
    """

    id: int
    name: str
    recipe: dict[str, Any]
    space_digest: str
    created_at: datetime
    owner: str | None = None
    lease_until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How numbers are made; `id` is the caller's hash of the rest. PSNR in dB, SSIM in [0, 1]."""

    id: str
    scale: int
    plan_name: str
    plan: dict[str, Any]
    data: str
    data_digest: str
    metric: str
    bicubic_psnr_db: float
    bicubic_ssim: float


@dataclass(frozen=True, kw_only=True)
class NewTrial:
    """A trial on its way into the store; see `Store.propose`.

    Args:
        stage: What the training is for.
        state: A waiting trial is free to be claimed, a running one is leased when it is proposed; a rejected
            or repeated one is over.
        genotype_id: The network's id.
        space: The name of its search space.
        choices: Its choices, as plain JSON values.
        scale: Upscaling factor.
        cost: params, multi_adds, conv_multi_adds and activations.
        seed: Seed of the training.
        rung: Its fidelity, counted from 0.
        protocol_id: The protocol it is to be trained under; None where there is none yet.
        excess: The fraction by which each exceeded limit is exceeded.
        measured: What was measured besides the cost (latency_ms, memory in bytes).
        evaluation_id: The evaluation that a repeated trial repeats.
        name: What a paper calls the network.
        parts: The parts of the cost in the order of the forward pass, each with part (its name), copies, uses
            and the four costs. These include copies and uses, so that they add up to `cost`.
    """

    stage: Stage
    state: State
    genotype_id: str
    space: str
    choices: Mapping[str, Any]
    scale: int
    cost: Mapping[str, int]
    seed: int
    rung: int = 0
    protocol_id: str | None = None
    excess: Mapping[str, float] | None = None
    measured: Mapping[str, float] | None = None
    evaluation_id: int | None = None
    name: str | None = None
    parts: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True)
class OldCost:
    """A cost that was counted on the network as trained; `name` is what a paper calls the network.

    `has_parts`: whether the cost is stored by parts, too. `studies`: the names of those with such a trial.
    """

    genotype_id: str
    space: str
    choices: dict[str, Any]
    name: str | None
    scale: int
    cost: dict[str, int]
    has_parts: bool
    studies: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CountedCost:
    """The cost of a network as used, which replaces an `OldCost`; `parts` as in `NewTrial`."""

    genotype_id: str
    scale: int
    cost: Mapping[str, int]
    parts: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True)
class NewEvaluation:
    """The result of a training on its way into the store; see `Store.record`.

    Args:
        genotype_id: The network's id.
        protocol_id: The protocol it was trained and measured under.
        seed: Seed of the training.
        psnr_db: Mean PSNR in dB.
        ssim: Mean SSIM in [0, 1].
        train_seconds: Duration of the training.
        device: The device's name.
        torch_version: The version of torch.
        code_version: The version of the training code.
        checkpoint: The file of the weights, relative to the runs folder; None where none was kept.
        checkpoint_sha256: SHA-256 of that file, 64 hexadecimal digits.
        curve: `[step, loss, psnr_db or None]` for each recorded step.
        per_image: `[psnr_db, ssim]` by the image's name.
        halvings: `[step, resumed, factor]` for each step at which the training diverged: it resumed from an
            earlier one, and the factor multiplies all later learning rates.
    """

    genotype_id: str
    protocol_id: str
    seed: int
    psnr_db: float
    ssim: float
    train_seconds: float
    device: str
    torch_version: str
    code_version: str
    checkpoint: str | None
    checkpoint_sha256: str | None = None
    curve: Sequence[Sequence[float | None]] = field(repr=False)
    per_image: Mapping[str, Sequence[float | None]] = field(repr=False)
    halvings: Sequence[Sequence[float]] = ()


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One trained and measured network.

    `curve` holds `[step, loss, psnr_db or None]`, `per_image` maps a name to `[psnr_db, ssim]`; a number
    that is not finite is None in both. `checkpoint` is relative to the runs folder, and its SHA-256 is there
    where it is known. `halvings` are as in `NewEvaluation`; None where the training never diverged.
    """

    id: int
    genotype_id: str
    protocol_id: str
    seed: int
    psnr_db: float
    ssim: float
    train_seconds: float
    device: str
    torch_version: str
    code_version: str
    checkpoint: str | None
    curve: list[list[float | None]] = field(repr=False)
    per_image: dict[str, list[float | None]] = field(repr=False)
    created_at: datetime
    checkpoint_sha256: str | None = None
    halvings: list[list[float]] | None = None


def halvings_text(halvings: Sequence[Sequence[float]]) -> str:
    """`rate halved at step 350 (resumed from 250, rate x 0.5)`, for each halving; empty without any.

    Args:
        halvings: Step where the training diverged, step that it resumed from, and the factor of all later
            learning rates.
    """
    return ", ".join(
        f"rate halved at step {each[0]:,.0f} (resumed from {each[1]:,.0f}, rate x {each[2]:g})"
        for each in halvings
        if len(each) == 3 and all(isinstance(number, int | float) for number in each)
    )


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A network with certain weights on one benchmark set: means, and `per_image` as in `Evaluation`.

    `network` is what it was called; `genotype_id` None where it has none. `weights` and `data_digest` are
    digests of the weights and of the images' pixels; bicubic has no weights: an empty text. `low_resolution`
    is read, made, or unrounded. `ssim` is None where the images are too small for it. `checkpoint_sha256` is
    that of the file the weights came from.
    """

    network: str
    genotype_id: str | None
    weights: str
    scale: int
    benchmark: str
    data_digest: str
    low_resolution: str
    metric: str
    psnr_db: float
    ssim: float | None
    per_image: dict[str, list[float | None]] = field(repr=False)
    seconds: float
    device: str
    torch_version: str
    code_version: str
    checkpoint_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """How long one inference of a network takes on one device, in milliseconds: median, 5th, 95th percentile.

    `network` is what it was called; `genotype_id` None where it has none. `height` and `width` are those of
    the output, in pixels; `batch` counts images. `threads` is 0 where the device is no CPU. `precision` is
    one of `schema.PRECISIONS`, `engine` one of `schema.ENGINES`. `peak_memory_bytes` is the most the device
    held at once, None where that was not measured.
    """

    network: str
    genotype_id: str | None
    scale: int
    height: int
    width: int
    batch: int = 1
    device: str
    threads: int
    precision: str = "fp32"
    engine: str = "eager"
    median_ms: float
    p5_ms: float
    p95_ms: float
    peak_memory_bytes: int | None = None
    torch_version: str
    code_version: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """Somebody's wish that a network of a study be trained for longer; `plan` None is the recipe's own."""

    id: int
    study: str
    genotype_id: str
    plan: str | None


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One job, a candidate at one rung with one seed, and what became of it.

    `evaluation` is there when finished or repeated. `excess` maps a limit to the fraction by which the
    network is over it; a rejected trial without any is inside the budget since its cost was counted again.
    `measured` holds what was found besides its cost (latency_ms, memory in bytes).
    `protocol_id` is what it is to be trained under, None in rows of old databases. `attempt` counts the
    trainings that were begun. `owner` holds its lease until `lease_until` (running) or ended it; `worker` is
    who trained it. `failure` is the kind of a failure, `reason` its one line.
    """

    id: int
    number: int
    stage: str
    state: str
    genotype_id: str
    space: str
    choices: dict[str, Any]
    seed: int
    scale: int
    rung: int = 0
    protocol_id: str | None = None
    cost: dict[str, int]
    excess: dict[str, float]
    measured: dict[str, float] | None = None
    attempt: int = 0
    owner: str | None = None
    lease_until: datetime | None = None
    worker: str | None = None
    evaluation: Evaluation | None
    failure: str | None = None
    reason: str | None
    created_at: datetime
    finished_at: datetime | None

    def price(self, name: str) -> float:
        """What the network costs: one of `COSTS`, or of what was measured (NaN where it was not)."""
        if name in self.cost:
            return float(self.cost[name])
        return float((self.measured or {}).get(name, float("nan")))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far the numbers of a protocol can be trusted, found by the study of that name.

    `tau` is Kendall's between single trainings under it and the `reference_id` protocol, over so many
    `architectures`, with its 95 % interval; `resolves_db` the smallest difference of two of its trainings
    that is more than noise. None where that is not known.
    """

    protocol_id: str
    reference_id: str
    architectures: int
    tau: float | None
    tau_low: float | None
    tau_high: float | None
    resolves_db: float | None
    study: str

    @property
    def words(self) -> str:
        """What stands beside a front: `proxy resolves 0.06 dB, tau 0.78 [0.66, 0.86]`."""
        resolves = None if self.resolves_db is None else f"resolves {self.resolves_db:.2g} dB"
        tau = None if self.tau is None else f"tau {self.tau:.2f}"
        if tau and self.tau_low is not None and self.tau_high is not None:
            tau += f" [{self.tau_low:.2f}, {self.tau_high:.2f}]"
            tau += ": no better than chance" if self.tau_low <= 0 else ""
        said = ", ".join(part for part in (resolves, tau) if part)
        return f"proxy {said}" if said else "proxy calibrated, and nothing could be said"


@dataclass(frozen=True, kw_only=True)
class News:
    """Something that happened in a search: one of `EVENTS`, the trial if it was one's, and who did it."""

    id: int
    kind: str
    trial_id: int | None
    worker: str | None
    details: dict[str, Any]

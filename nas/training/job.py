"""What a worker is given and what it gives back: plain values that travel between processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nas.training.plan import Plan
from search_spaces import Genotype

Entry = tuple[int, float, float | None]
"""Of a curve: step, mean loss since the last entry, and PSNR (dB) where it was measured there."""


Halving = tuple[int, int, float]
"""Of a training that diverged: the step where that was seen, the step that it resumed from, and the factor of
every later learning rate."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training: everything that decides its result, and where it leaves its files.

    ``folder`` None keeps nothing on disk; otherwise the weights land there, and an interrupted training
    leaves a state from which the same job goes on. ``begin`` is the state that a shorter training of the
    same plan left because of ``keep_state``: this one goes on from there. ``threads`` are those of the CPU;
    0 leaves torch's own. ``teacher`` is the ``.safetensors`` file, with its network in the header, of the
    teacher that a plan with ``distil`` needs, ``features`` the file of VGG19's weights that one with
    ``adversarial`` needs. ``begin_weights`` are weights of this very network to start
    from (fine-tuning) instead of fresh ones. ``validate_every`` measures now and then on the way, in steps;
    0 is at the end only. ``events`` writes TensorBoard's files into the folder. ``threads``, ``keep_state``
    and the last two do not change the result.
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
    begin: Path | None = None
    teacher: Path | None = None
    features: Path | None = None
    begin_weights: Path | None = None
    keep_state: bool = False
    validate_every: int = 0
    events: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a training found.

    ``psnr_db`` and ``ssim`` are means over the validation images, ``per_image`` holds both by name.
    ``train_seconds`` is the time in the training loop, over all attempts. ``weights`` is the file of the
    measured weights, ``state`` the one to go on from; None where there is none. ``accumulate``: in how many
    parts a batch was computed. ``engine``: ``steps``, or ``graph`` where they were repeated as a CUDA graph.
    ``halvings``: where the training diverged and resumed at half the rate, in order.
    """

    psnr_db: float
    ssim: float
    per_image: dict[str, tuple[float, float]]
    train_seconds: float
    curve: list[Entry] = field(default_factory=list)
    device: str = "cpu"
    torch_version: str = ""
    weights: Path | None = None
    state: Path | None = None
    accumulate: int = 1
    engine: str = "steps"
    halvings: list[Halving] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a running training stands.

    ``loss`` is the mean since the last report, ``psnr_db`` the last one measured on the way, in dB.
    ``steps_a_second`` is this attempt's pace. ``halvings`` are those so far.
    """

    step: int
    steps: int
    loss: float
    seconds: float
    batch: int = 0
    learning_rate: float = 0.0
    psnr_db: float | None = None
    steps_a_second: float = 0.0
    halvings: tuple[Halving, ...] = ()

    @property
    def images_a_second(self) -> float:
        """Patches trained on in a second."""
        return self.steps_a_second * self.batch

    @property
    def seconds_left(self) -> float:
        """At this pace; infinite before there is one."""
        left = self.steps - self.step
        return left / self.steps_a_second if self.steps_a_second else float("inf")

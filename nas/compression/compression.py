"""What a compression is asked to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

from nas.core.fields import Help
from nas.errors import RecipeError, unknown
from nas.training.plan import NONE, NOT_ADVERSARIAL, Plan

OUTPUT = (720, 1280)
"""Height and width of the image whose latency is measured where nothing else is said: as for Multi-Adds."""

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

    Attributes:
        plan: Trains from fresh weights and distils; a teacher teaches in all trainings.
        quantise: ``int8`` trains with quantisation in mind, then writes an ONNX file in 8-bit integers.
        output: Height and width of the image whose latency is measured.
        adversarial: How the critic of an adversarial training compares (a word of ``Plan.adversarial``); the
            critic stays in all trainings from there on. None does without.

    Raises RecipeError.
    """

    plan: Plan
    finetune_steps: Annotated[int, Help("Steps of each fine-tuning.", unset="half of the plan's")]
    data: Annotated[str, Help("Training data, as in recipes.")] = "photos"
    metric: Annotated[str, Help("Metric: `y_float`, `y_uint8` or `rgb`.")] = "y_float"
    seed: Annotated[int, Help("Seed of the trainings and of random pruning.", low=0)] = 0
    prune: Annotated[float | None, Help("Share to keep, between 0 and 1.", unset="nothing is pruned")] = None
    prune_of: Annotated[str, Help("Cost that is pruned", words=PRUNE_OF)] = "multi_adds"
    importance: Annotated[
        str,
        Help("Which channels go first: `random`, `magnitude`, `group-lasso` or `lamp`."),
    ] = "magnitude"
    rounds: Annotated[int, Help("Rounds of pruning, fine-tuned after each.")] = 1
    quantise: Annotated[
        str, Help("Weights and activations", words=QUANTISE, option="--quantise --quantize")
    ] = "none"
    max_drop_db: Annotated[
        float, Help("Stop where a stage is more than this below the first one, or the adversarial one.")
    ] = 0.3
    output: tuple[int, int] = OUTPUT
    adversarial: str | None = None
    adversarial_steps: Annotated[int | None, Help("Steps of the adversarial stage.", unset="the plan's")] = (
        None
    )
    sparsity: Annotated[
        float | None,
        Help(
            "Weight of the group lasso in a training before `group-lasso` prunes; 1e-5, say.",
            unset="no such training",
        ),
    ] = None
    sparsity_steps: Annotated[int | None, Help("Steps of that training.", unset="as in fine-tuning")] = None

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
        if self.adversarial == NOT_ADVERSARIAL:
            raise RecipeError(f"adversarial = {NOT_ADVERSARIAL!r}: leave it out")
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

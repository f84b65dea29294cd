"""What a calibration is asked for: architectures, rungs, seeds, and the reference that judges them.

To add a variant of the plan that may lower the noise, put a function from a plan to a plan in VARIANTS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from nas.calibration.fidelities import Fidelity, make_fidelities
from nas.core.fields import Help
from nas.core.units import parse_count
from nas.errors import RecipeError, unknown
from nas.recipes.recipe import LONGER, Recipe
from nas.training.plan import Plan, named_plan

VARIANTS: dict[str, Callable[[Plan], Plan]] = {
    # The averaged weights are the ones that are measured; without them the last ones are.
    "ema": lambda plan: replace(plan, ema=0.0 if plan.ema else 0.999),
}
"""Other ways to train the cheapest rung that may lower its noise: with averaged weights, or without."""


@dataclass(frozen=True, kw_only=True)
class CalibrationPlan:
    """The trainings of a calibration; ``rungs`` are lengths of the recipe's proxy plan in steps."""

    architectures: Annotated[int, Help("Architectures, spread over costs and axes.", high=100_000)] = 16
    seeds: Annotated[tuple[int, ...], Help("Seeds of each rung from the cheapest on: 3 or 3,2.")] = (3,)
    rungs: Annotated[
        tuple[int, ...] | None,
        Help("Lengths in steps: 200,600.", unset="a third of the proxy plan's steps, and all of them"),
    ] = None
    reference: Annotated[
        str | None,
        Help(
            "The long training: a named plan, or steps of the proxy's.",
            unset="the recipe's long plan",
        ),
    ] = None
    reference_seeds: Annotated[int, Help("Seeds of the reference, averaged.", low=1, high=1000)] = 1
    wanted_tau: Annotated[float, Help("Rank correlation from which a rung is good enough.")] = 0.7
    ablate: Annotated[
        tuple[str, ...],
        Help("`ema` trains the cheapest rung with averaged weights, or without, too.", unset="nothing"),
    ] = ()

    def fidelities(self, recipe: Recipe) -> list[Fidelity]:
        """The trainings of each architecture. Raises RecipeError for what is not allowed."""
        from nas.calibration.rank_correlation import LEAST

        if self.architectures < LEAST:
            raise RecipeError(f"architectures = {self.architectures}: at least {LEAST} are needed to rank")
        if not 0 < self.wanted_tau <= 1:
            raise RecipeError(f"wanted_tau = {self.wanted_tau:g}: allowed is more than 0, and at most 1")
        steps = recipe.plan("proxy").steps
        rungs = sorted({max(1, steps // 3), steps}) if self.rungs is None else self.rungs
        if len(self.seeds) > len(rungs):
            raise RecipeError(f"seeds for {len(self.seeds)} rungs, and there are {len(rungs)}")
        reference, name = self._reference(recipe)
        fidelities = make_fidelities(
            recipe,
            rungs,
            dict(zip(rungs, self.seeds, strict=False)),
            reference,
            reference_name=name,
            reference_seeds=self.reference_seeds,
        )
        return [*fidelities, *(self._variant(word, fidelities[0]) for word in self.ablate)]

    def _reference(self, recipe: Recipe) -> tuple[Plan | int, str]:
        """The long training: the recipe's, a named plan, or a number of the proxy's steps."""
        word = self.reference
        if word is None:
            return recipe.plan("retrain"), str(recipe.retrain.get("plan", LONGER))
        if not word[:1].isdigit():
            return named_plan(word), word
        try:
            return parse_count(word), ""
        except RecipeError as error:
            raise RecipeError(f"--reference {word!r}: {error}") from None

    def _variant(self, word: str, cheapest: Fidelity) -> Fidelity:
        if word not in VARIANTS:
            raise unknown("ablation", word, VARIANTS)
        plan = VARIANTS[word](cheapest.plan)
        return replace(cheapest, plan=plan, name=f"{cheapest.name}, {word}", kind="variant")

"""The fidelities of a sweep: plan, length and number of seeds of every training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from nas.errors import RecipeError
from nas.recipes.recipe import PROXY, Recipe
from nas.training.plan import Plan

Kind = Literal["rung", "reference", "variant"]


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """One length of training for all: under ``plan``, called ``name``, with ``seeds`` seeds.

    Seeds count up from the recipe's. ``kind``: a rung of the sweep, the reference that rungs are judged by,
    or a variant of a rung's plan.
    """

    plan: Plan
    name: str
    seeds: int = 1
    kind: Kind = "rung"

    def continues(self, other: Fidelity) -> bool:
        """Whether this training goes on from the state of ``other``: the same plan, but longer."""
        same = replace(other.plan, steps=self.plan.steps) == self.plan
        return same and self.plan.can_go_on and other.plan.steps < self.plan.steps


def make_fidelities(
    recipe: Recipe,
    rungs: Sequence[int],
    seeds: int | Mapping[int, int] = 1,
    reference: Plan | int | None = None,
    *,
    reference_name: str = "reference",
    reference_seeds: int = 1,
) -> list[Fidelity]:
    """The fidelities of a sweep: the recipe's proxy plan at ``rungs`` (steps, growing), then the reference.

    ``seeds`` for each rung, or by rung; rungs it does not name have one. ``reference`` is another plan, or a
    number of steps of the same one. Raises RecipeError for rungs that do not grow, and for a reference that
    is one of the rungs or shorter than them.
    """
    name, plan = recipe.proxy.get("plan", PROXY), recipe.plan("proxy")
    if not rungs or sorted(set(rungs)) != list(rungs) or rungs[0] < 1:
        raise RecipeError(
            f"rungs = {', '.join(map(str, rungs)) or 'none'}: growing numbers of steps are needed"
        )
    by_rung = dict.fromkeys(rungs, seeds) if isinstance(seeds, int) else dict(seeds)
    for rung, count in by_rung.items():
        if rung not in rungs:
            raise RecipeError(f"seeds of rung {rung}: there is none (rungs: {', '.join(map(str, rungs))})")
        if count < 1:
            raise RecipeError(f"seeds = {count}: at least 1 is needed")
    fidelities = [Fidelity(plan=replace(plan, steps=n), name=name, seeds=by_rung.get(n, 1)) for n in rungs]
    if isinstance(reference, int):
        if reference <= rungs[-1]:
            raise RecipeError(f"reference = {reference} steps: more than the longest rung's {rungs[-1]}")
        reference, reference_name = replace(plan, steps=reference), name
    if reference is not None:
        if reference in [fidelity.plan for fidelity in fidelities]:
            raise RecipeError(f"the reference is the rung of {reference.steps} steps: it would judge itself")
        longest = Fidelity(plan=reference, name=reference_name, seeds=reference_seeds, kind="reference")
        fidelities.append(longest)
    return fidelities

"""From a recipe and a candidate to a Job, and from an Outcome to the database: the same for every stage."""

from __future__ import annotations

from pathlib import Path

from leaderboard.store import Store
from leaderboard.store.records import Evaluation, NewEvaluation, Trial
from nas._version import __version__
from nas.core.files import sha256_of
from nas.recipes.recipe import Recipe
from nas.training import Job, Outcome, Plan
from search_spaces import Genotype


def make_job(
    recipe: Recipe,
    plan: Plan,
    genotype: Genotype,
    folder: Path,
    *,
    seed: int,
    device: str,
    threads: int = 0,
    teacher: Path | None = None,
) -> Job:
    """The training of ``genotype`` under ``plan`` as the recipe has it; its files lie in ``folder``."""
    return Job(
        genotype=genotype,
        scale=recipe.scale,
        plan=plan,
        data=recipe.data,
        metric=recipe.metric,
        seed=seed,
        device=device,
        threads=threads,
        folder=folder,
        teacher=teacher,
    )


def record_outcome(
    store: Store,
    trial: Trial,
    protocol_id: str,
    outcome: Outcome,
    runs: Path,
    *,
    owner: str,
    worker: str | None = None,
) -> Evaluation:
    """Put a training's outcome into the database and end its trial, in one transaction."""
    weights = outcome.weights
    new = NewEvaluation(
        genotype_id=trial.genotype_id,
        protocol_id=protocol_id,
        seed=trial.seed,
        psnr_db=outcome.psnr_db,
        ssim=outcome.ssim,
        train_seconds=outcome.train_seconds,
        device=outcome.device,
        torch_version=outcome.torch_version,
        code_version=__version__,
        checkpoint=None if weights is None else weights.relative_to(runs).as_posix(),
        checkpoint_sha256=None if weights is None else sha256_of(weights),
        curve=[list(entry) for entry in outcome.curve],
        per_image={name: list(scores) for name, scores in outcome.per_image.items()},
        halvings=outcome.halvings,
    )
    return store.record(trial.id, new, owner=owner, worker=worker)

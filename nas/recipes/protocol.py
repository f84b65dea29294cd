"""What a number means: scale, plan, data and metric, hashed; unlike protocols are never compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from leaderboard.store.records import Protocol
from nas.core.files import sha256_of
from nas.data import Dataset, load_data
from nas.recipes.recipe import Recipe
from nas.training import Plan, bicubic_baseline
from nas.training.validation import mean_scores

FROM_WEIGHTS = ", from weights "
"""What stands in a plan's name before the digest of the weights that its trainings start from."""


def make_protocols(
    recipe: Recipe,
    plan_name: str,
    plans: Sequence[Plan],
    teacher: Path | None = None,
    init_from: Path | None = None,
) -> tuple[list[Protocol], Dataset]:
    """The protocols of ``recipe`` under ``plans``, and their data set; measures bicubic on what is held out.

    The plans differ in their steps alone. An id hashes the pixels' digest, not the path of the data, and not
    the device; and the file of the ``teacher`` and that of the weights to start from (``init_from``), where
    there are any. The latter's digest is in the plan's name, too.
    """
    dataset = load_data(recipe.data, recipe.scale, plans[0].lr_patch)
    bicubic = mean_scores(bicubic_baseline(dataset.valid, recipe.scale, recipe.metric))
    besides = [] if teacher is None else [{"teacher": sha256_of(teacher)}]
    if init_from is not None:
        digest = sha256_of(init_from)
        besides.append({"init_from": digest})
        plan_name = f"{plan_name}{FROM_WEIGHTS}{digest[:12]}"
    made = [
        protocol_of(
            dataset,
            scale=recipe.scale,
            data=recipe.data,
            metric=recipe.metric,
            plan_name=plan_name,
            plan=plan,
            bicubic=bicubic,
            besides=besides,
        )
        for plan in plans
    ]
    return made, dataset


def protocol_of(
    dataset: Dataset,
    *,
    scale: int,
    data: str,
    metric: str,
    plan_name: str,
    plan: Plan,
    bicubic: tuple[float, float] | None = None,
    besides: Sequence[Any] = (),
) -> Protocol:
    """One protocol; ``besides`` are plain values that decide a number as much as the plan does.

    ``bicubic`` is its PSNR (dB) and SSIM on what is held out, measured here where None.
    """
    psnr_db, ssim = bicubic or mean_scores(bicubic_baseline(dataset.valid, scale, metric))
    return Protocol(
        id=_digest([scale, plan.identity(), dataset.digest, metric, *besides]),
        scale=scale,
        plan_name=plan_name,
        plan=plan.to_dict(),
        data=data,
        data_digest=dataset.digest,
        metric=metric,
        bicubic_psnr_db=psnr_db,
        bicubic_ssim=ssim,
    )


def _digest(identity: list[Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]

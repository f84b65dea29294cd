"""What a number means: scale, plan, data and metric, hashed; unlike protocols are never compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from leaderboard.records import Protocol
from nas.data import Dataset, load_data
from nas.recipe import Recipe
from nas.training import Plan, bicubic_baseline
from nas.training.validation import mean_scores


def make_protocols(recipe: Recipe, plan_name: str, plans: Sequence[Plan]) -> tuple[list[Protocol], Dataset]:
    """The protocols of ``recipe`` under ``plans``, and their data set; measures bicubic on what is held out.

    The plans differ in their steps alone. An id hashes the pixels' digest, not the path of the data, and not
    the device.
    """
    dataset = load_data(recipe.data, recipe.scale, plans[0].lr_patch)
    psnr_db, ssim = mean_scores(bicubic_baseline(dataset.valid, recipe.scale, recipe.metric))
    made = [
        Protocol(
            id=_digest([recipe.scale, plan.identity(), dataset.digest, recipe.metric]),
            scale=recipe.scale,
            plan_name=plan_name,
            plan=plan.to_dict(),
            data=recipe.data,
            data_digest=dataset.digest,
            metric=recipe.metric,
            bicubic_psnr_db=psnr_db,
            bicubic_ssim=ssim,
        )
        for plan in plans
    ]
    return made, dataset


def _digest(identity: list[Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]

"""What a number means: scale, plan, data and metric, hashed; unlike protocols are never compared."""

from __future__ import annotations

import hashlib
import json

from leaderboard.records import Protocol
from nas.data import Dataset, load_data
from nas.recipe import Recipe
from nas.training import Plan, bicubic_baseline
from nas.training.validation import mean_scores


def make_protocol(recipe: Recipe, plan_name: str, plan: Plan) -> tuple[Protocol, Dataset]:
    """The protocol of ``recipe`` under ``plan``, and its data set; measures bicubic on the held-out images.

    The id hashes the pixels' digest, not the path of the data, and not the device.
    """
    dataset = load_data(recipe.data, recipe.scale, plan.lr_patch)
    identity = [recipe.scale, plan.identity(), dataset.digest, recipe.metric]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
    psnr_db, ssim = mean_scores(bicubic_baseline(dataset.valid, recipe.scale, recipe.metric))
    protocol = Protocol(
        id=digest,
        scale=recipe.scale,
        plan_name=plan_name,
        plan=plan.to_dict(),
        data=recipe.data,
        data_digest=dataset.digest,
        metric=recipe.metric,
        bicubic_psnr_db=psnr_db,
        bicubic_ssim=ssim,
    )
    return protocol, dataset

"""What a training begins with: the network, its weights, its teacher; and what identifies it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from nas.errors import RecipeError
from nas.folders import sha256_of
from nas.training.checkpoint import load_described, load_weights, put_weights
from nas.training.distil import NONE, Teaching
from nas.training.job import Job
from nas.training.plan import Plan


def check(job: Job, processes: int = 1) -> None:
    """Raise RecipeError where plan and job disagree about a teacher, or ask too much of several processes."""
    distil, alone = job.plan.distil, job.teacher is None
    if (distil == NONE) != alone:
        raise RecipeError(
            f"plan: distil = {distil!r} needs a teacher, and there is none"
            if alone
            else f"a teacher ({job.teacher}) is of no use to a plan with distil = {NONE!r}"
        )
    if processes > 1 and (distil == "afd" or job.plan.quantise_bits):
        what = f"distil = {distil!r}" if distil == "afd" else f"quantise_bits = {job.plan.quantise_bits}"
        raise RecipeError(f"plan: {what} keeps values that several processes do not share; train with one")


def begin(job: Job, device: torch.device) -> tuple[nn.Module, Teaching | None]:
    """The network as its training begins, on ``device``, and what its teacher adds.

    Fresh weights, and then a teacher's parameters that train along, follow from the job's seed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        network = job.genotype.build(job.scale)
        if job.begin_weights is not None:
            put_weights(network, load_weights(job.begin_weights)[0], job.begin_weights)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        teaching = _teaching(job, network, device)
    if job.plan.quantise_bits:
        # Here, since it writes files as trainings do and could not be imported first otherwise.
        from nas.compress.quantise import prepare_qat

        prepare_qat(network, job.plan.quantise_bits, job.plan.quantise_bits)
    return network, teaching


def finish(network: nn.Module, plan: Plan) -> nn.Module:
    """The network as its weights are kept: plain float32, on the integers' grid where it was quantised."""
    if not plan.quantise_bits:
        return network
    from nas.compress.quantise import finish_qat

    return finish_qat(network)


def identity_of(job: Job, data_digest: str) -> dict[str, Any]:
    """What two attempts must share; a schedule that can be gone on with may differ in its length."""
    plan = job.plan.identity()
    if job.plan.can_go_on:
        del plan["steps"]
    return {
        "genotype": job.genotype.id,
        "scale": job.scale,
        "plan": plan,
        "data": data_digest,
        "seed": job.seed,
        "teacher": None if job.teacher is None else sha256_of(job.teacher),
        "begin_weights": None if job.begin_weights is None else sha256_of(job.begin_weights),
    }


def _teaching(job: Job, network: nn.Module, device: torch.device) -> Teaching | None:
    plan = job.plan
    if job.teacher is None:
        return None
    genotype, scale, teacher = load_described(job.teacher)
    if scale != job.scale:
        raise RecipeError(
            f"{job.teacher}: the teacher, genotype {genotype.id}, is of x{scale}, not x{job.scale}"
        )
    teacher.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    teaching = Teaching(
        plan.distil,
        network,
        teacher,
        weight=plan.distil_weight,
        points=plan.distil_points,
        dim=plan.distil_dim,
        lr_patch=plan.lr_patch,
    )
    return teaching.to(device)

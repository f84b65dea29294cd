"""Initial state of a training (network, weights, teacher, critic) and its identity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nas.core.files import sha256_of
from nas.errors import RecipeError
from nas.pruning.importance import GroupLasso
from nas.pruning.structured import prunable_groups
from nas.training.adversarial import Adversary
from nas.training.checkpoint import STATE, load_described, load_state, load_weights, put_weights
from nas.training.distil import Teaching
from nas.training.features import read_features, require_features
from nas.training.job import Job
from nas.training.plan import NONE, NOT_ADVERSARIAL, Plan


@dataclass(frozen=True, kw_only=True)
class InitialState:
    """Network and additions to its loss at the first step, on the training's device.

    ``teaching`` is what a teacher adds, ``adversary`` the critic, ``lasso`` the group lasso of the network's
    channels; None where the plan has none.
    """

    network: nn.Module
    teaching: Teaching | None
    adversary: Adversary | None
    lasso: GroupLasso | None


def check(job: Job, processes: int = 1) -> None:
    """Raise RecipeError where plan and job disagree about a teacher or a feature network.

    And where they ask too much of several processes, or the plan's precision is not resolved.
    """
    job.plan.require_precision()
    distil, untaught = job.plan.distil, job.teacher is None
    if (distil == NONE) != untaught:
        raise RecipeError(
            f"plan: distil = {distil!r} needs a teacher, and there is none"
            if untaught
            else f"a teacher ({job.teacher}) is of no use to a plan with distil = {NONE!r}"
        )
    alone = [
        *([f"distil = {distil!r}"] if distil == "afd" else []),
        *([f"quantise_bits = {job.plan.quantise_bits}"] if job.plan.quantise_bits else []),
        *([f"adversarial = {job.plan.adversarial!r}"] if job.plan.adversarial != NOT_ADVERSARIAL else []),
    ]
    if processes > 1 and alone:
        raise RecipeError(
            f"plan: {alone[0]} keeps values that several processes do not share; train with one"
        )
    if processes > 1 and job.plan.group_lasso:
        raise RecipeError(f"plan: group_lasso = {job.plan.group_lasso} is for one process; train with one")
    _check_adversarial(job)


def _check_adversarial(job: Job) -> None:
    plan = job.plan
    if plan.adversarial == NOT_ADVERSARIAL:
        if job.features is not None:
            raise RecipeError(f"features ({job.features}) are of no use to a plan without adversarial")
        return
    require_features(job.features)


def begin(job: Job, device: torch.device) -> InitialState:
    """The network as its training begins, on ``device``, and what is added to its loss.

    Fresh weights, then a teacher's parameters that train along, then a critic's, follow from the job's seed.
    Raises CompressError where the channels of a network cannot be followed that a group lasso is asked for.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        network = job.genotype.build(job.scale)
        if job.begin_weights is not None:
            put_weights(network, load_weights(job.begin_weights)[0], job.begin_weights)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        teaching = _teaching(job, network, device)
        adversary = _adversary(job, device)
        lasso = GroupLasso(network, prunable_groups(network, job.scale)) if job.plan.group_lasso else None
    if job.plan.quantise_bits:
        # Here, since it writes files as trainings do and could not be imported first otherwise.
        from nas.training.qat import prepare_qat

        prepare_qat(network, job.plan.quantise_bits, job.plan.quantise_bits)
    _refuse_other_state(job, network)
    return InitialState(network=network, teaching=teaching, adversary=adversary, lasso=lasso)


def _refuse_other_state(job: Job, network: nn.Module) -> None:
    """Raise CheckpointError where the state that the job resumes from holds weights of another network.

    A state of another training is refused when it is resumed, with the reason.
    """
    own = None if job.folder is None else job.folder / STATE
    path = own if own is not None and own.exists() else job.begin
    if path is None:
        return
    state = load_state(path)
    described = {"genotype": job.genotype.id, "scale": job.scale}
    if all(state["identity"].get(name) == value for name, value in described.items()):
        put_weights(network, state["network"], path)


def finish(network: nn.Module, plan: Plan) -> nn.Module:
    """The network as its weights are kept: plain float32, on the integers' grid where it was quantised."""
    if not plan.quantise_bits:
        return network
    from nas.training.qat import finish_qat

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
        "features": None if job.features is None else sha256_of(job.features),
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


def _adversary(job: Job, device: torch.device) -> Adversary | None:
    plan = job.plan
    if job.features is None:
        return None
    adversary = Adversary(
        plan.adversarial,
        read_features(job.features),
        weight=plan.adversarial_weight,
        feature_weight=plan.feature_weight,
        tv_weight=plan.tv_weight,
        batch=plan.batch,
    )
    return adversary.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

"""Several processes that train one network: who they are, and how they agree.

Started by torchrun, each process has a rank; rank 0 decides and writes, the others train along. Gradients are
averaged by torch's DistributedDataParallel. Started in any other way there is one process, and nothing here
does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from nas.errors import RecipeError
from nas.training.job import Job

T = TypeVar("T")


@contextmanager
def joined() -> Iterator[int]:
    """Inside, the processes that torchrun started know each other; gives this one's rank.

    They talk through gloo about what lies on CPUs and through NCCL about what lies on GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) <= 1 or "TORCHELASTIC_RUN_ID" not in os.environ:
        yield 0
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(_local())
    dist.init_process_group()
    try:
        yield dist.get_rank()
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def shared(value: T) -> T:
    """Rank 0's ``value``, in every process."""
    if world() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def any_of(flag: bool, device: torch.device) -> bool:
    """Whether any process says so."""
    if world() == 1:
        return flag
    votes = torch.tensor(int(flag), device=device)
    dist.all_reduce(votes, op=dist.ReduceOp.MAX)
    return bool(votes.item())


def mean_of(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, the same bits in each of them."""
    if world() == 1:
        return value
    mean = value.clone()
    dist.all_reduce(mean, op=dist.ReduceOp.SUM)
    return mean / world()


def own(job: Job) -> Job:
    """``job`` on this process's device. Raises RecipeError where its batch cannot be divided."""
    if job.plan.batch % world():
        raise RecipeError(f"a batch of {job.plan.batch} cannot be divided among {world()} processes")
    return replace(job, device=f"cuda:{_local()}") if world() > 1 and job.device.startswith("cuda") else job


def wrapped(network: nn.Module, device: torch.device) -> nn.Module:
    """The network, with its gradients averaged over the processes where there are several."""
    if world() == 1:
        return network
    # static_graph: parameters that a block shares, or never uses, are found in the first step.
    on = [device] if device.type == "cuda" else None
    return DistributedDataParallel(network, device_ids=on, static_graph=True)


def _local() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))

"""The training loop: a pure function from a Job to an Outcome, the same for a proxy and a full schedule."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from nas.data import Patches, load_data
from nas.errors import CheckpointError, Interrupted, TrainingError
from nas.training.checkpoint import STATE, WEIGHTS, load_state, save_state, save_weights
from nas.training.job import Job, Outcome, Progress
from nas.training.plan import Plan
from nas.training.validation import mean_scores, validate

Report = Callable[[Progress], None]

LOG_EVERY = 25
"""Steps between two entries of the curve; the loss leaves the device only then."""

SAVE_SECONDS = 60.0
"""Seconds between two saved states of a training that has a folder."""


def train(job: Job, report: Report | None = None) -> Outcome:
    """Train and measure what ``job`` describes; goes on where an interrupted attempt of it stopped.

    ``report`` is called between steps and may raise Interrupted, whereupon the state is saved and Interrupted
    leaves. Raises TrainingError when the loss is no longer a number.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    run = _Run(job)
    run.resume()
    try:
        run.finish(report)
    except Interrupted:
        run.save()
        raise
    return run.outcome()


class _Run:
    """The state of one training between its steps."""

    def __init__(self, job: Job) -> None:
        self.job, self.device = job, torch.device(job.device)
        self.dataset = load_data(job.data, job.scale, job.plan.lr_patch)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(job.seed)
            network = job.genotype.build(job.scale)
        self.network: nn.Module = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(self.parameters, lr=job.plan.lr, fused=True)
        self.average = [p.detach().clone() for p in self.parameters] if job.plan.ema else []
        self.patches = Patches(
            self.dataset.train,
            scale=job.scale,
            lr_patch=job.plan.lr_patch,
            seed=job.seed,
            device=self.device,
        )
        self.step, self.seconds = 0, 0.0
        self.curve: list[tuple[int, float]] = []
        self.loss_sum = torch.zeros((), device=self.device)
        self.identity = [job.genotype.id, job.scale, job.plan.to_dict(), self.dataset.digest, job.seed]

    def finish(self, report: Report | None) -> None:
        """Take the steps that are left."""
        plan = self.job.plan
        self.network.train()
        started, saved = time.perf_counter() - self.seconds, time.perf_counter()
        while self.step < plan.steps:
            self._take_step(plan)
            self.seconds = time.perf_counter() - started
            if self.step % LOG_EVERY == 0 or self.step == plan.steps:
                self._log()
            if report is not None:
                loss = self.curve[-1][1] if self.curve else math.nan
                report(Progress(step=self.step, steps=plan.steps, loss=loss, seconds=self.seconds))
            if self.job.folder is not None and time.perf_counter() - saved > SAVE_SECONDS:
                self.save()
                saved = time.perf_counter()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds = time.perf_counter() - started

    def _take_step(self, plan: Plan) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = plan.learning_rate(self.step)
        lr, hr = self.patches.draw(plan.batch)
        lr = lr.contiguous(memory_format=torch.channels_last)
        self.optimizer.zero_grad(set_to_none=True)
        with _autocast(plan, self.device):
            sr = self.network(lr)
        loss = F.l1_loss(sr.float(), hr)
        loss.backward()
        if plan.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters, plan.clip_norm)
        self.optimizer.step()
        if plan.ema:
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - plan.ema)
        self.loss_sum += loss.detach()
        self.step += 1

    def _log(self) -> None:
        since = self.step - (self.curve[-1][0] if self.curve else 0)
        mean = self.loss_sum.item() / since
        self.loss_sum.zero_()
        if not math.isfinite(mean):
            raise TrainingError(f"the loss became {mean} by step {self.step}; a lower learning rate may help")
        self.curve.append((self.step, mean))

    def save(self) -> None:
        """Write the state, where the job has a folder."""
        if self.job.folder is None:
            return
        state: dict[str, Any] = {
            "identity": self.identity,
            "step": self.step,
            "seconds": self.seconds,
            "curve": self.curve,
            "loss_sum": self.loss_sum,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "patches": self.patches.state,
        }
        save_state(self.job.folder / STATE, state)

    def resume(self) -> None:
        """Take over an interrupted attempt's state, if there is one and it belongs to this job."""
        folder = self.job.folder
        if folder is None or not (folder / STATE).exists():
            return
        state = load_state(folder / STATE)
        if state["identity"] != self.identity:
            raise CheckpointError(
                f"{folder / STATE} belongs to another training; move it away to start afresh"
            )
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average = [average.to(self.device) for average in state["average"]]
        self.patches.state = state["patches"]
        self.step, self.seconds = state["step"], state["seconds"]
        self.curve = [(step, loss) for step, loss in state["curve"]]
        self.loss_sum = state["loss_sum"].to(self.device)

    def outcome(self) -> Outcome:
        """Measure the network, and leave its weights where the job has a folder."""
        job = self.job
        for parameter, average in zip(self.parameters, self.average, strict=False):
            parameter.data.copy_(average)
        scores = validate(self.network, self.dataset.valid, job.scale, job.metric, self.device)
        psnr_db, ssim = mean_scores(scores)
        if not math.isfinite(psnr_db):
            raise TrainingError(f"PSNR on the validation images is {psnr_db}")
        weights = None
        if job.folder is not None:
            weights = job.folder / WEIGHTS
            about = {"space": job.genotype.space, "choices": job.genotype.to_dict(), "scale": job.scale}
            save_weights(weights, self.network.state_dict(), {**about, "psnr_db": psnr_db, "data": job.data})
            (job.folder / STATE).unlink(missing_ok=True)
        return Outcome(
            psnr_db=psnr_db,
            ssim=ssim,
            per_image=scores,
            train_seconds=self.seconds,
            curve=self.curve,
            device=_device_name(self.device),
            torch_version=torch.__version__,
            weights=weights,
        )


def _autocast(plan: Plan, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    if plan.precision == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.get_num_threads()} threads)"

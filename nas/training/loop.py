"""The training loop: a pure function from a Job to an Outcome, the same for a proxy and a full schedule."""

from __future__ import annotations

import contextlib
import functools
import gc
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from nas.core.device import device_name, out_of_memory
from nas.data import Patches, load_data
from nas.errors import CheckpointError, DivergedError, Interrupted, OutOfMemoryError, TrainingError
from nas.training import ranks
from nas.training.checkpoint import (
    STATE,
    TRUNK,
    WEIGHTS,
    load_state,
    put_weights,
    save_state,
    save_weights,
)
from nas.training.crops import Album, open_album
from nas.training.curve import WINDOW, LossCurve
from nas.training.events import Events
from nas.training.feed import make_feed
from nas.training.good_states import EVERY, GoodStates, State, on_device
from nas.training.initialisation import begin, check, finish, identity_of
from nas.training.job import Halving, Job, Outcome, Progress
from nas.training.step import CudaGraphStep, TrainingStep, rounded_products
from nas.training.validation import Scores, mean_scores, validate

Report = Callable[[Progress], None]

LOG_EVERY = WINDOW
"""Steps between two entries of the curve; the loss leaves the device only then."""

SAVE_SECONDS = 60.0
"""Seconds between two saved states of a training that has a folder."""


def train(job: Job, report: Report | None = None) -> Outcome:
    """Train and measure what ``job`` describes; goes on where an interrupted attempt of it stopped.

    ``report`` is called between steps (on a GPU every LOG_EVERY steps) and may raise Interrupted, whereupon
    the state is saved and Interrupted leaves. A device whose memory is too small gets each batch in two
    parts, whose gradients add up. A training that diverges resumes from its last good state at half the rate,
    as often as the plan's ``halvings`` allow. Raises DivergedError where it diverges once more,
    OutOfMemoryError when half the batch is too much as well, and TrainingError for a network that cannot be
    measured. In a group of processes (``ranks``) all call this with the same job. Raises RecipeError where a
    plan and its job disagree about a teacher or a feature network.
    """
    job = ranks.own(job)
    check(job, ranks.world())
    with _settings(job):
        for accumulate in (1, 2):
            try:
                return _attempt(job, report, accumulate=accumulate)
            except Exception as error:
                reason = out_of_memory(error)
                if reason is None:
                    raise
            # Outside of the handler: its traceback held everything that the attempt had allocated.
            _free(job.device)
            if job.plan.batch == 1 or ranks.world() > 1:
                raise OutOfMemoryError(reason)
        raise OutOfMemoryError(f"{reason} (at half the batch as well)")


def _attempt(job: Job, report: Report | None, accumulate: int) -> Outcome:
    run = _Run(job, accumulate)
    run.resume()
    try:
        run.finish(report)
    except Interrupted:
        run.save()
        raise
    return run.outcome()


class _Run:
    """The state of one training between its steps."""

    def __init__(self, job: Job, accumulate: int) -> None:
        self.job, self.device = job, torch.device(job.device)
        self.dataset = load_data(job.data, job.scale, job.plan.lr_patch)
        first = begin(job, self.device)
        self.network = first.network
        patches = Patches(
            self.dataset.train,
            scale=job.scale,
            lr_patch=job.plan.lr_patch,
            seed=job.seed,
            device=self.device,
            part=(ranks.rank(), ranks.world()),
        )
        self.feed = make_feed(patches, job.plan.batch)
        self.work = TrainingStep(
            self.network,
            job.plan,
            self.feed,
            self.device,
            accumulate=accumulate,
            teaching=first.teaching,
            adversary=first.adversary,
            penalty=first.lasso,
        )
        self.work.model = ranks.wrapped(self.network, self.device)
        self.curve = LossCurve(
            self.work.loss_sum,
            falls=first.adversary is None,
            agreed=bool(job.plan.halvings) and ranks.world() > 1,
            strict=bool(job.plan.halvings),
        )
        self.step, self.seconds = 0, 0.0
        self.halvings: list[Halving] = []
        self.good = GoodStates(self._state()) if job.plan.halvings else None

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What two attempts must share."""
        return identity_of(self.job, self.dataset.digest)

    # Training

    def finish(self, report: Report | None) -> None:
        """Take the steps that are left, some of them again at half the rate where the training diverges."""
        self.network.train()
        while True:
            # A new graph after each return to a good state, which puts other tensors into the optimiser.
            graph = CudaGraphStep(self.work.take, self.device) if self._can_record() else None
            try:
                self._train(graph or self.work.take, report)
            except DivergedError as error:
                self._halve(error)
            else:
                self.engine = "graph" if graph is not None and not graph.refusal else "steps"
                return

    def _train(self, take: Callable[[], None], report: Report | None) -> None:
        job, plan = self.job, self.job.plan
        events = Events(job.folder, self.step) if job.events and job.folder and not ranks.rank() else None
        clock = _Clock(self.seconds, self.step)
        saved = time.perf_counter()
        try:
            while self.step < plan.steps:
                self.work.set(self.step)
                self.feed.advance()
                take()
                self.step += 1
                if self.good is not None and self.step == 1:
                    self.curve.saw_first_step()
                last = self.step == plan.steps
                validating = job.validate_every and self.step % job.validate_every == 0
                logging = self.step % LOG_EVERY == 0 or last or validating
                if logging:
                    self.curve.close(self.step, last=last)
                if validating and not last:
                    with clock.stopped():
                        self._measure_on_the_way()
                if self.good is not None and self.step % EVERY == 0:
                    self.curve.collect()
                    self.good.keep(self.step, self._state, self.curve.risen)
                self.seconds = clock.seconds
                if logging or (self.device.type == "cpu" and ranks.world() == 1):
                    now = self._progress(clock)
                    if events is not None and logging:
                        events.add(now)
                    self._tell(report, now)
                self._keep_trunk()
                if job.folder is not None and time.perf_counter() - saved > SAVE_SECONDS:
                    self.save()
                    saved = time.perf_counter()
            self.curve.collect()
        finally:
            self.seconds = clock.seconds
            if events is not None:
                events.close()

    def _halve(self, error: DivergedError) -> None:
        """Resume from the last good state at half the rate; raises the error where that was done enough."""
        plan = self.job.plan
        if self.good is None or len(self.halvings) == plan.halvings:
            raise self._given_up(error)
        self._restore(self.good.last_good())
        self.halvings.append((error.step, self.step, self.work.rate_factor / 2))
        self.work.rate_factor /= 2

    def _given_up(self, error: DivergedError) -> DivergedError:
        """The error with all steps at which the training diverged and the rates at which it did."""
        if not self.halvings:
            return error
        lr = self.job.plan.lr
        steps = ", ".join(str(step) for step in (*(step for step, _, _ in self.halvings), error.step))
        rates = ", ".join(f"{lr * factor:.3g}" for factor in (1.0, *(each[2] for each in self.halvings)))
        reason = str(error).partition(";")[0]
        return DivergedError(
            f"{reason}; it diverged at steps {steps} with lr = {rates}: lower lr, or set clip_norm or "
            "warmup_steps",
            step=error.step,
        )

    def _can_record(self) -> bool:
        return self.device.type == "cuda" and ranks.world() == 1

    def _progress(self, clock: _Clock) -> Progress:
        plan = self.job.plan
        return Progress(
            step=self.step,
            steps=plan.steps,
            loss=self.curve.loss,
            seconds=self.seconds,
            batch=plan.batch,
            learning_rate=plan.learning_rate(self.step - 1) * self.work.rate_factor,
            psnr_db=self.curve.psnr_db,
            steps_a_second=clock.pace(self.step),
            halvings=tuple(self.halvings),
        )

    def _tell(self, report: Report | None, now: Progress) -> None:
        stop: Interrupted | None = None
        if report is not None:
            try:
                report(now)
            except Interrupted as error:
                stop = error
        if ranks.any_of(stop is not None, self.device):
            raise stop or Interrupted("another process of this training was asked to stop")

    # Measuring

    def _measure_on_the_way(self) -> None:
        self.curve.collect()
        kept = [p.detach().clone() for p in self.work.parameters] if self.work.average else []
        self._use_average()
        self.curve.measured(mean_scores(self._scores())[0])
        if kept:
            torch._foreach_copy_([p.detach() for p in self.work.parameters], kept)

    def _use_average(self) -> None:
        if self.work.average:
            torch._foreach_copy_([p.detach() for p in self.work.parameters], self.work.average)

    def _scores(self, album: Album | None = None) -> Scores:
        job, see = self.job, None if album is None else album.see
        with _exact():
            return validate(self.network, self.dataset.valid, job.scale, job.metric, self.device, see)

    def outcome(self) -> Outcome:
        """Measure the network, and leave its weights and some pictures where the job has a folder."""
        job, keeps = self.job, self.job.keep_state and self.job.plan.can_go_on
        self._use_average()
        album = None
        if job.folder is not None and ranks.rank() == 0:
            album = open_album(self.dataset.valid, job.scale, job.metric)
        scores = self._scores(album)
        psnr_db, ssim = mean_scores(scores)
        if not math.isfinite(psnr_db):
            raise TrainingError(f"PSNR on the validation images is {psnr_db}")
        self.network = finish(self.network, job.plan)
        weights = state = None
        if job.folder is not None:
            weights, state = job.folder / WEIGHTS, job.folder / STATE
            about = {"space": job.genotype.space, "choices": job.genotype.to_dict(), "scale": job.scale}
            about |= {"psnr_db": psnr_db, "data": job.data}
            if ranks.rank() == 0:
                save_weights(weights, self.network.state_dict(), about)
                if album is not None:
                    album.save(job.folder)
                if keeps:
                    (job.folder / TRUNK).replace(state)
                else:
                    state.unlink(missing_ok=True)
        return Outcome(
            psnr_db=psnr_db,
            ssim=ssim,
            per_image=scores,
            train_seconds=self.seconds,
            curve=self.curve.entries,
            device=device_name(self.device),
            torch_version=torch.__version__,
            weights=weights,
            state=state if keeps else None,
            accumulate=self.work.accumulate,
            engine=self.engine,
            halvings=self.halvings,
        )

    # Stopping and going on

    def save(self, name: str = STATE) -> None:
        """Write the state, where the job has a folder."""
        if self.job.folder is None or ranks.rank():
            return
        try:
            self.curve.collect()
        except DivergedError as error:
            self._halve(error)
        state = self._state() | {
            "identity": self.identity,
            "seconds": self.seconds,
            "curve": self.curve.entries,
        }
        if self.good is not None:
            state |= {"halvings": self.halvings, "good": self.good.state()}
        save_state(self.job.folder / name, state)

    def _state(self) -> State:
        """What decides the steps that follow, with the training's own tensors."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "work": self.work.state(),
            "patches": self.feed.state,
            "judged": self.curve.state(),
        }

    def _keep_trunk(self) -> None:
        """Keep the state from which a longer training resumes, where the job asks for it."""
        if self.job.keep_state and self.step == self.job.plan.trunk_steps:
            self.save(TRUNK)

    def _restore(self, state: State) -> None:
        """Continue from a state, whose tensors are the training's from now on."""
        self.network.load_state_dict(state["network"])
        self.work.load(state["work"])
        self.feed.state = state["patches"]
        self.step = state["step"]
        self.curve.load(self.curve.entries, state.get("judged"))

    def resume(self) -> None:
        """Take over the state of an interrupted attempt, or of the training that this one goes on from."""
        own = None if self.job.folder is None else self.job.folder / STATE
        path = own if own is not None and own.exists() else self.job.begin
        if path is None:
            return
        state = load_state(path)
        for name, value in self.identity.items():
            found = state.get("identity", {}).get(name)
            if found != value:
                raise CheckpointError(
                    f"{path} belongs to another training ({name} was {found}, now {value}); "
                    "move it away to start afresh"
                )
        if state["step"] > self.job.plan.steps:
            raise CheckpointError(
                f"{path} is of step {state['step']}, and this training ends at {self.job.plan.steps}"
            )
        put_weights(self.network, state["network"], path)  # says in one line what does not fit
        self.seconds = state["seconds"]
        self.curve.entries = [(step, loss, psnr) for step, loss, psnr in state["curve"]]
        self._restore(state)
        if self.good is not None:
            self.good.load(state["good"], self._moved)
            self.halvings = [(at, back, factor) for at, back, factor in state["halvings"]]
            self.work.rate_factor = self.halvings[-1][2] if self.halvings else 1.0
        self._keep_trunk()

    def _moved(self, state: State) -> State:
        """A good state from the disk, on the device; the patches are drawn in the host's memory."""
        return on_device(state, self.device) | {"patches": state["patches"]}


class _Clock:
    """Seconds of training, without those of measuring."""

    def __init__(self, seconds: float, step: int) -> None:
        self._began = time.perf_counter() - seconds
        self._before, self._first = seconds, step

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._began += time.perf_counter() - start

    def pace(self, step: int) -> float:
        """Steps a second since this attempt began."""
        return (step - self._first) / max(self.seconds - self._before, 1e-9)


@contextlib.contextmanager
def _settings(job: Job) -> Iterator[None]:
    """Threads, and whether a GPU may round the factors of products, which torch keeps for the process."""
    if job.threads:
        torch.set_num_threads(job.threads)
    with rounded_products(allowed=job.plan.precision != "fp32"):
        yield


def _exact() -> contextlib.AbstractContextManager[None]:
    return rounded_products(allowed=False)


def _free(device: str) -> None:
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()

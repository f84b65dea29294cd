"""One step of a training: forward, loss, backward, update, average; as one CUDA graph where that is possible.

Small networks leave a GPU idle between the launches of their many small kernels. A step therefore reads and
writes only memory that stays where it is, asks the device nothing, and is recorded once and then repeated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from nas.training.adversarial import Adversary
from nas.training.distil import Teaching
from nas.training.feed import Feed
from nas.training.losses import LOSSES
from nas.training.plan import Plan
from nas.training.saved_state import check_like, load_part, optimizer_state
from search_spaces.blocks.branches import MergeTogether

WARM_UP = 3
"""Steps that are taken before one is recorded: libraries make their choices and buffers in the first ones."""


class TrainingStep:
    """What one step of ``plan`` does to ``network``; ``model`` is the network or what wraps it.

    ``accumulate`` cuts a batch into so many parts, whose gradients add up to the whole batch's. ``average``
    holds the averaged weights, in the order of ``parameters``; it is empty where the plan has none.
    ``teaching`` adds a teacher's term to the loss; parameters of its own are updated along, but neither
    clipped nor averaged. ``adversary`` has its critic updated first, on what the network makes of the batch
    before it learns, and then adds to the loss; in a batch of parts each part is compared within itself.
    ``penalty`` gives a scalar of the weights, of which the plan's ``group_lasso`` is added. ``rate_factor``
    multiplies the plan's learning rates.
    """

    def __init__(
        self,
        network: nn.Module,
        plan: Plan,
        feed: Feed,
        device: torch.device,
        *,
        accumulate: int = 1,
        teaching: Teaching | None = None,
        adversary: Adversary | None = None,
        penalty: Callable[[], Tensor] | None = None,
    ) -> None:
        self.plan, self.feed, self.device, self.accumulate = plan, feed, device, accumulate
        self.model: nn.Module = network
        MergeTogether(network)
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.rate = torch.zeros((), device=device)
        self.rate_factor = 1.0
        self.teaching = teaching
        along = [] if teaching is None else list(teaching.term.parameters())
        self.optimizer = _optimizer(plan, [*self.parameters, *along], self.rate, device)
        self.adversary, self.penalty = adversary, penalty
        if adversary is not None:
            self.critic_optimizer = _optimizer(plan, list(adversary.critic.parameters()), self.rate, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=plan.precision == "fp16")
        self.average = [p.detach().clone() for p in self.parameters] if plan.ema else []
        self.share = torch.zeros((), device=device)
        self.loss_sum = torch.zeros((), device=device)
        self._loss = LOSSES[plan.loss]

    def set(self, number: int) -> None:
        """Learning rate and weight of the average for step ``number``; never waits for the device."""
        self.rate.fill_(self.plan.learning_rate(number) * self.rate_factor)
        if self.average:
            self.share.fill_(self.plan.new_share(number))

    def take(self) -> None:
        """The step; adds its loss to ``loss_sum``."""
        lr, hr = self.feed.batch()
        parts = list(zip(lr.chunk(self.accumulate), hr.chunk(self.accumulate), strict=True))
        if self.adversary is not None:
            self._teach_critic(self.adversary, parts, len(lr))
        self.optimizer.zero_grad(set_to_none=True)
        for lr_part, hr_part in parts:
            with self._autocast():
                if self.teaching is None:
                    sr, told = self.model(lr_part), None
                else:
                    sr, told = self.teaching(self.model, lr_part)
            loss = self._loss_of(sr.float(), hr_part)
            if told is not None:
                loss = loss + told
            if self.penalty is not None:
                loss = loss + self.plan.group_lasso * self.penalty()
            if self.accumulate > 1:
                loss = loss * (len(lr_part) / len(lr))
            self.scaler.scale(loss).backward()
            self.loss_sum += loss.detach()
        if self.plan.clip_norm:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.plan.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.average:
            self._move_average()

    @torch.no_grad()
    def _move_average(self) -> None:
        """Take the new weights into the average."""
        parameters: list[Tensor] = [*self.parameters]
        if self.device.type == "cpu":  # one pass over the memory instead of three
            torch._foreach_lerp_(self.average, parameters, self.share.item())
            return
        moved = torch._foreach_sub(parameters, self.average)
        torch._foreach_mul_(moved, self.share)
        torch._foreach_add_(self.average, moved)

    def _loss_of(self, sr: Tensor, hr: Tensor) -> Tensor:
        if self.adversary is None:
            return self._loss(sr, hr, self.plan.fft_weight)
        with self._autocast():
            loss = self.adversary.generator_loss(sr, hr)
        if self.plan.pixel_weight:
            loss = loss + self.plan.pixel_weight * self._loss(sr, hr, self.plan.fft_weight)
        return loss

    def _teach_critic(self, adversary: Adversary, parts: list[tuple[Tensor, Tensor]], batch: int) -> None:
        self.critic_optimizer.zero_grad(set_to_none=True)
        for lr, hr in parts:
            with self._autocast():
                with torch.no_grad():
                    sr = self.model(lr).float()
                loss = adversary.critic_loss(sr, hr)
            self.scaler.scale(loss * (len(lr) / batch)).backward()
        self.scaler.step(self.critic_optimizer)

    def _autocast(self) -> torch.autocast:
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.plan.precision)
        # The cache of cast weights would be filled while a graph is recorded, and be empty in its repetition.
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None, cache_enabled=False)

    def state(self) -> dict[str, Any]:
        """Optimisers, average, scaler, critic and what a teacher's term learnt, as they are saved."""
        state = {
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
            "scaler": self.scaler.state_dict(),
            "loss_sum": self.loss_sum,
        }
        if self.teaching is not None:
            state["term"] = self.teaching.term.state_dict()
        if self.adversary is not None:
            state["critic"] = self.adversary.critic.state_dict()
            state["critic_optimizer"] = self.critic_optimizer.state_dict()
        return state

    def load(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state` gave. Raises CheckpointError where it does not fit."""
        own = self.state()
        check_like("work", dict.fromkeys(state, 0), dict.fromkeys(own, 0))
        for name in ("average", "scaler", "loss_sum"):
            check_like(name, state[name], own[name])
        self._load_optimizer(self.optimizer, "optimizer", state["optimizer"])
        if self.adversary is not None:
            load_part("critic", self.adversary.critic, state["critic"])
            self._load_optimizer(self.critic_optimizer, "critic_optimizer", state["critic_optimizer"])
        for average, saved in zip(self.average, state["average"], strict=True):
            average.copy_(saved)
        self.scaler.load_state_dict(state["scaler"])
        self.loss_sum.copy_(state["loss_sum"])
        if self.teaching is not None:
            load_part("term", self.teaching.term, state["term"])

    def _load_optimizer(self, optimizer: torch.optim.Optimizer, what: str, state: Any) -> None:
        optimizer.load_state_dict(optimizer_state(what, state, optimizer))
        for group in optimizer.param_groups:
            group["lr"] = self.rate  # loading puts a copy in its place


class CudaGraphStep:
    """A step that is repeated as one CUDA graph, once it has been taken a few times.

    Where a network cannot be recorded (it asks the device something, say), the step goes on as it is, and
    ``refusal`` holds the reason.
    """

    def __init__(self, take: Callable[[], None], device: torch.device) -> None:
        self._take, self._device = take, device
        self._stream = torch.cuda.Stream(device)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._taken = 0
        self.refusal = ""

    def __call__(self) -> None:
        """The next step."""
        if self._graph is None and not self.refusal and self._taken == WARM_UP:
            self._record()
        self._taken += 1
        if self._graph is not None:
            self._graph.replay()
        elif self.refusal:
            self._take()
        else:
            self._aside()

    def _aside(self) -> None:
        """A step on the stream that will record, as recording needs it."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            self._take()
        current.wait_stream(self._stream)

    def _record(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            # thread_local: the thread that cuts patches ahead may ask for pinned memory meanwhile.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._take()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            torch.cuda.synchronize(self._device)
            self.refusal = str(error).splitlines()[0]
        else:
            self._graph = graph


@contextlib.contextmanager
def rounded_products(*, allowed: bool) -> Iterator[None]:
    """Whether a GPU may round the factors of products to 10 bits while the block runs."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = allowed
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before


def _optimizer(
    plan: Plan, parameters: list[nn.Parameter], rate: Tensor, device: torch.device
) -> torch.optim.Optimizer:
    """Adam or AdamW as one kernel; ``rate`` is read in each step, so that a recorded one sees it change."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[plan.optimizer]
    return kind(
        parameters,
        lr=rate,
        betas=(plan.beta1, plan.beta2),
        weight_decay=plan.weight_decay,
        fused=True,
        capturable=device.type == "cuda",
    )

"""The curve of a training: losses that leave the device now and then, and the PSNR measured on the way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nas.errors import DivergedError
from nas.training import ranks
from nas.training.job import Entry

WINDOW = 25
"""Steps whose mean loss is judged."""

DIVERGED = 10.0
"""A mean loss this many times the lowest one so far, and above the first one, has no way back."""

RISEN = 2.0
"""A mean loss this many times the lowest one so far is the beginning of a divergence, or noise."""

COLLAPSED, COLLAPSED_WINDOWS = 4.0, 8
"""Mean losses this many times the lowest one, and so many in a row: a network that paints one colour, say."""

FULL_RANGE = 1.0
"""The mean loss of a black image where a white one belongs; pixels are in [0, 1]."""


class LossCurve:
    """Entries of a running sum of losses.

    On a GPU an entry's number is fetched while later steps already run, and read with the next entry. Whether
    a training diverges is judged by the mean loss of every WINDOW steps, and of the last ones, wherever
    entries end besides.

    Args:
        total: The sum, which each step adds its loss to; it is set to zero at the end of a window.
        falls: Whether a loss that grows means no good; that of a game against a critic may grow.
        agreed: Whether several processes take the mean of their losses, so that all judge alike.
        strict: Whether a training diverges as well whose first window is DIVERGED times as bad as its first
            step and beyond FULL_RANGE, or whose loss stays COLLAPSED times as high as it was.

    Attributes:
        entries: All entries so far.
        risen: Where the last window ended whose mean was above RISEN times the lowest one; 0 for none.
    """

    def __init__(
        self, total: Tensor, *, falls: bool = True, agreed: bool = False, strict: bool = False
    ) -> None:
        self.entries: list[Entry] = []
        self.risen = 0
        self._falls, self._agreed, self._strict = falls, agreed, strict and falls
        self._total = total
        self._opened = self._closed = 0  # the steps at which the window and the entry begin
        self._before = 0.0  # the sum at the last entry, of this window
        self._first: float | None = None
        self._lowest = math.inf
        self._untrained = math.inf
        self._high = 0  # windows in a row that were COLLAPSED times as high
        self._coming: tuple[int, bool, Tensor, torch.cuda.Event] | None = None

    @property
    def loss(self) -> float:
        """The last mean that is known; NaN before there is one."""
        return self.entries[-1][1] if self.entries else math.nan

    def saw_first_step(self) -> None:
        """Keep the loss of the first step, which the first window is compared with; waits for the device."""
        self._untrained = (ranks.mean_of(self._total) if self._agreed else self._total).item()

    def close(self, step: int, *, last: bool = False) -> None:
        """End an entry after ``step`` steps, the ``last`` ones or not.

        Raises DivergedError for a loss known by now that says so.
        """
        self.collect()
        total = ranks.mean_of(self._total) if self._agreed else self._total
        if total.device.type == "cuda":
            number = torch.empty((), pin_memory=True)
            number.copy_(total, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            self._coming = step, last, number, event
        else:
            self._add(step, total.item(), last)
        if step % WINDOW == 0:
            self._total.zero_()
        if self._agreed:  # all processes learn of a divergence after the same step
            self.collect()

    def collect(self) -> None:
        """Wait for the entry that is on its way."""
        if self._coming is None:
            return
        step, last, number, event = self._coming
        self._coming = None
        event.synchronize()
        self._add(step, number.item(), last)

    def measured(self, psnr_db: float) -> None:
        """Put a PSNR to the last entry."""
        step, loss, _ = self.entries[-1]
        self.entries[-1] = step, loss, psnr_db

    @property
    def psnr_db(self) -> float | None:
        """The last PSNR measured on the way."""
        return next((psnr for _, _, psnr in reversed(self.entries) if psnr is not None), None)

    def state(self) -> dict[str, Any]:
        """Everything but the entries, and how many of these there are; call :meth:`collect` first."""
        return {
            "entries": len(self.entries),
            "opened": self._opened,
            "closed": self._closed,
            "before": self._before,
            "first": self._first,
            "lowest": self._lowest,
            "untrained": self._untrained,
            "high": self._high,
            "risen": self.risen,
        }

    def load(self, entries: Sequence[Entry], state: Mapping[str, Any] | None) -> None:
        """Continue from what :meth:`state` gave and the first of ``entries``, or from entries alone.

        States of older versions hold no more; there each entry was a window.
        """
        losses = [loss for _, loss, _ in entries]
        ended = entries[-1][0] if entries else 0
        usual: dict[str, Any] = {
            "entries": len(entries),
            "opened": ended,
            "closed": ended,
            "before": 0.0,
            "first": losses[0] if losses else None,
            "lowest": min(losses, default=math.inf),
            "untrained": math.inf,
            "high": 0,
            "risen": 0,
        }
        known: Mapping[str, Any] = usual if state is None else state
        self.entries = list(entries[: known["entries"]])
        self._opened, self._closed, self._before = known["opened"], known["closed"], known["before"]
        self._first, self._lowest, self.risen = known["first"], known["lowest"], known["risen"]
        self._untrained, self._high = known["untrained"], known["high"]
        self._coming = None

    def _add(self, step: int, total: float, last: bool) -> None:
        whole = step % WINDOW == 0
        if whole or last:
            self._judge(step, total / (step - self._opened), whole)
        self.entries.append((step, (total - self._before) / (step - self._closed), None))
        self._closed = step
        self._before = 0.0 if whole else total
        if whole:
            self._opened = step

    def _judge(self, step: int, mean: float, whole: bool) -> None:
        first, lowest, problem = self._first, self._lowest, ""
        high = mean > COLLAPSED * lowest
        if not math.isfinite(mean):
            problem = f"the loss became {mean} by step {step}"
        elif not self._falls:
            pass
        elif first is not None and mean > max(first, DIVERGED * lowest):
            problem = f"the loss grew from {lowest:.4g} to {mean:.4g} by step {step}"
        elif not self._strict:
            pass
        elif first is None and mean > max(FULL_RANGE, DIVERGED * self._untrained):
            problem = f"the loss grew from {self._untrained:.4g} to {mean:.4g} by step {step}"
        elif high and whole and self._high + 1 == COLLAPSED_WINDOWS:
            problem = f"the loss stayed at {mean:.4g} by step {step}, and had been {lowest:.4g}"
        if problem:
            raise DivergedError(f"{problem}; a lower learning rate may help", step=step)
        if whole:
            self.risen = step if mean > RISEN * lowest else self.risen
            self._high = self._high + 1 if high else 0
            self._first = mean if first is None else first
            self._lowest = min(lowest, mean)

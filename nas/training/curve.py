"""The curve of a training: losses that leave the device now and then, and the PSNR measured on the way."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nas.errors import DivergedError
from nas.training.job import Entry

DIVERGED = 10.0
"""A mean loss this many times the lowest one so far, and above the first one, has no way back."""


class LossCurve:
    """Entries of a running sum of losses.

    On a GPU an entry's number is fetched while later steps already run, and read with the next entry.
    ``falls`` says that a loss which grows means no good; that of a game against a critic may grow.
    """

    def __init__(self, total: Tensor, *, falls: bool = True) -> None:
        self.entries: list[Entry] = []
        self._falls = falls
        self._total = total
        self._closed = 0
        self._coming: tuple[int, int, Tensor, torch.cuda.Event] | None = None

    @property
    def loss(self) -> float:
        """The last mean that is known; NaN before there is one."""
        return self.entries[-1][1] if self.entries else math.nan

    def close(self, step: int) -> None:
        """End an entry after ``step`` steps. Raises DivergedError for a loss known by now that says so."""
        self.collect()
        since, self._closed = step - self._closed, step
        if self._total.device.type == "cuda":
            number = torch.empty((), pin_memory=True)
            number.copy_(self._total, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            self._coming = step, since, number, event
        else:
            self._add(step, self._total.item() / since)
        self._total.zero_()

    def collect(self) -> None:
        """Wait for the entry that is on its way."""
        if self._coming is None:
            return
        step, since, number, event = self._coming
        self._coming = None
        event.synchronize()
        self._add(step, number.item() / since)

    def measured(self, psnr_db: float) -> None:
        """Put a PSNR to the last entry."""
        step, loss, _ = self.entries[-1]
        self.entries[-1] = step, loss, psnr_db

    @property
    def psnr_db(self) -> float | None:
        """The last PSNR measured on the way."""
        return next((psnr for _, _, psnr in reversed(self.entries) if psnr is not None), None)

    def load(self, entries: list[Entry]) -> None:
        """Go on from an interrupted training's entries."""
        self.entries = list(entries)
        self._closed = entries[-1][0] if entries else 0

    def _add(self, step: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(f"the loss became {loss} by step {step}; a lower learning rate may help")
        if self.entries and self._falls:
            first, lowest = self.entries[0][1], min(before for _, before, _ in self.entries)
            if loss > max(first, DIVERGED * lowest):
                raise DivergedError(
                    f"the loss grew from {lowest:.4g} to {loss:.4g} by step {step}; "
                    "a lower learning rate may help"
                )
        self.entries.append((step, loss, None))

"""Batches at fixed addresses: what is done before a step, and what belongs to the step itself.

A CUDA graph repeats the same work on the same memory. ``advance`` runs before each step and fills that
memory; ``batch`` reads it, touches nothing else, and can therefore be part of a graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from nas.data import Patches

BLOCK = 25
"""Steps whose patches are chosen, and sent to the device, at once."""


class Feed(ABC):
    """The batches of a training; ``state`` continues it after the step last advanced to."""

    def __init__(self, patches: Patches, batch: int) -> None:
        self.patches, self.size = patches, batch

    @property
    def state(self) -> Tensor:
        """The patches' state."""
        return self.patches.state

    @state.setter
    def state(self, state: Tensor) -> None:
        self.patches.state = state

    @abstractmethod
    def advance(self) -> None:
        """Make the next batch ready; may run ahead of the device."""

    @abstractmethod
    def batch(self) -> tuple[Tensor, Tensor]:
        """LR and HR of the step, float32 in [0, 1], channels last."""


class HostFeed(Feed):
    """Patches cut in the host's memory and copied to the device."""

    def __init__(self, patches: Patches, batch: int) -> None:
        super().__init__(patches, batch)
        rows, size = len(range(patches.part[0], batch, patches.part[1])), patches.lr_patch
        like = {"dtype": torch.uint8, "device": patches.device}
        self._lr = torch.empty((rows, 3, size, size), **like)  # type: ignore[call-overload]
        self._hr = torch.empty((rows, 3, size * patches.scale, size * patches.scale), **like)  # type: ignore[call-overload]

    def advance(self) -> None:
        """Cut the next batch, or take it from the thread that has."""
        lr, hr = self.patches.draw_bytes(self.size)
        if self.patches.device.type == "cpu":
            self._lr, self._hr = lr, hr
        else:
            self._lr.copy_(lr, non_blocking=True)
            self._hr.copy_(hr, non_blocking=True)

    def batch(self) -> tuple[Tensor, Tensor]:
        """LR and HR of the step."""
        return _floats(self._lr), _floats(self._hr)


class ResidentFeed(Feed):
    """Patches gathered on the device from images that live there; their places are sent a block at a time."""

    def __init__(self, patches: Patches, batch: int) -> None:
        super().__init__(patches, batch)
        rows = len(range(patches.part[0], batch, patches.part[1]))
        device = patches.device
        self._places = torch.zeros((BLOCK, 4, rows), dtype=torch.int64, device=device)
        self._cursor = torch.zeros(1, dtype=torch.int64, device=device)
        self._states: list[Tensor] = []
        self._taken = BLOCK

    @property
    def state(self) -> Tensor:
        """The state after the batches handed out, whatever was drawn ahead of them."""
        return self._states[self._taken - 1] if self._states else self.patches.state

    @state.setter
    def state(self, state: Tensor) -> None:
        self.patches.state = state
        self._states, self._taken = [], BLOCK

    def advance(self) -> None:
        """Send the places of the next block of steps when the last one is used up."""
        if self._taken == BLOCK:
            drawn, self._states = [], []
            for _ in range(BLOCK):
                drawn.append(self.patches.places(self.size))
                self._states.append(self.patches.state)
            places = torch.stack(drawn)
            if self.patches.device.type == "cuda":
                places = places.pin_memory()
            self._places.copy_(places, non_blocking=True)
            self._cursor.zero_()
            self._taken = 0
        self._taken += 1

    def batch(self) -> tuple[Tensor, Tensor]:
        """LR and HR of the step; moves the cursor on the device."""
        where = self._places.index_select(0, self._cursor)[0]
        self._cursor += 1
        lr, hr = self.patches.gather(where)
        return _floats(lr), _floats(hr)


def make_feed(patches: Patches, batch: int) -> Feed:
    """The feed that suits where the patches are made."""
    return (ResidentFeed if patches.way == "gather" else HostFeed)(patches, batch)


def _floats(pixels: Tensor) -> Tensor:
    return pixels.contiguous(memory_format=torch.channels_last).float().div_(255)

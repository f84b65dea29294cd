"""Training patches: cut, flipped and turned from decoded images, wherever those lie.

On a CPU they are cut one by one into a batch of bytes; on a GPU that has room for all images one operation
gathers the whole batch there; on a GPU that has not, they are cut by a thread and sent ahead of their use.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from nas.data.dataset import Pairs

RESIDENT_SHARE = 0.5
"""Images live on a GPU when they fit into this share of the memory that is free there at the start."""

AHEAD = 3
"""Batches that are cut and sent before they are asked for, where images do not live on the GPU."""

Way = Literal["slices", "gather", "stream"]


class Patches:
    """An endless, seeded stream of batches; the same seed gives the same patches to every candidate.

    Images are drawn with equal probability, then a position, then one of the eight flips and quarter turns.
    ``state`` is all there is to continue the stream exactly. ``way`` is how the patches are made, and does
    not change them; None chooses it by the device and its free memory. ``part`` (rank, of) takes every
    ``of``-th patch of each batch, beginning with number ``rank``: what one of several processes trains on.
    """

    def __init__(
        self,
        pairs: Pairs,
        *,
        scale: int,
        lr_patch: int,
        seed: int,
        device: torch.device,
        way: Way | None = None,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self.scale, self.lr_patch, self.device, self.part = scale, lr_patch, device, part
        self.way = way or _choose(pairs, device)
        # Drawn on the CPU, so that a CPU and a GPU see the same patches.
        self._generator = torch.Generator().manual_seed(seed)
        self._sizes = torch.tensor([image.shape[1:] for image in pairs.lr], dtype=torch.int64)
        self._lr: _Flat | None = None
        if self.way == "gather":
            self._lr, self._hr = _Flat.of(pairs.lr, device), _Flat.of(pairs.hr, device)
        else:
            self._lr_images = [image.numpy() for image in pairs.lr]
            self._hr_images = [image.numpy() for image in pairs.hr]
        self._thread: ThreadPoolExecutor | None = None
        self._ahead: deque[tuple[Future[tuple[Tensor, Tensor]], Tensor]] = deque()
        self._state, self._batch = self._generator.get_state(), 0

    @property
    def state(self) -> Tensor:
        """The generator's state; assign it to go on from there."""
        return self._state if self._ahead else self._generator.get_state()

    @state.setter
    def state(self, state: Tensor) -> None:
        self._ahead.clear()
        self._generator.set_state(state)

    def draw(self, batch: int) -> tuple[Tensor, Tensor]:
        """LR (batch, 3, p, p) and HR (batch, 3, s * p, s * p), float32 in [0, 1], on the device."""
        lr, hr = self.draw_bytes(batch)
        return lr.float().div_(255), hr.float().div_(255)

    def draw_bytes(self, batch: int) -> tuple[Tensor, Tensor]:
        """The same as uint8 in [0, 255], the next batch of the stream."""
        if self.way == "gather":
            where = self.places(batch)
            if self.device.type == "cuda":
                where = where.pin_memory().to(self.device, non_blocking=True)
            return self.gather(where)
        if self.way == "slices":
            return self._slice(self.places(batch), pinned=False)
        return self._from_ahead(batch)

    def places(self, batch: int) -> Tensor:
        """(4, batch) int64 on the CPU: image, top, left (in LR pixels) and turn of the next patches."""
        where = torch.rand(batch, 3, generator=self._generator).double()
        turn = torch.randint(8, (batch,), generator=self._generator)
        image = (where[:, 0] * len(self._sizes)).long()
        room = self._sizes[image] - self.lr_patch + 1
        corner = (where[:, 1:] * room).long()
        rank, of = self.part
        return torch.stack((image, corner[:, 0], corner[:, 1], turn))[:, rank::of]

    def _slice(self, where: Tensor, *, pinned: bool) -> tuple[Tensor, Tensor]:
        """Cut one by one, each straight into its place in the batch."""
        size, scale = self.lr_patch, self.scale
        shape = (where.shape[1], 3, size, size)
        lr = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
        hr = torch.empty((*shape[:2], size * scale, size * scale), dtype=torch.uint8, pin_memory=pinned)
        lr_out, hr_out = lr.numpy(), hr.numpy()
        for number, (image, top, left, turn) in enumerate(where.T.tolist()):
            small = self._lr_images[image][:, top : top + size, left : left + size]
            top, left = top * scale, left * scale
            large = self._hr_images[image][:, top : top + size * scale, left : left + size * scale]
            lr_out[number] = _turned(small, turn)
            hr_out[number] = _turned(large, turn)
        return lr, hr

    def gather(self, where: Tensor) -> tuple[Tensor, Tensor]:
        """The patches at ``where``, which lies on the device, as uint8; only where ``way`` is gather."""
        assert self._lr is not None
        return (
            self._lr.gather(where, self.lr_patch, 1),
            self._hr.gather(where, self.lr_patch * self.scale, self.scale),
        )

    def _from_ahead(self, batch: int) -> tuple[Tensor, Tensor]:
        """The next batch, and a later one begun; both are drawn here, so that their order is the stream's."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="patches")
        if self._ahead and batch != self._batch:
            self.state = self._state
        self._batch = batch
        while len(self._ahead) <= AHEAD:
            where = self.places(batch)
            future = self._thread.submit(self._slice, where, pinned=self.device.type == "cuda")
            self._ahead.append((future, self._generator.get_state()))
        future, self._state = self._ahead.popleft()
        lr, hr = future.result()
        return lr.to(self.device, non_blocking=True), hr.to(self.device, non_blocking=True)


@dataclass(frozen=True, kw_only=True)
class _Flat:
    """Images one after the other in one buffer on a device, with where each begins and how large it is."""

    pixels: Tensor
    offset: Tensor
    height: Tensor
    width: Tensor

    @classmethod
    def of(cls, images: Sequence[Tensor], device: torch.device) -> _Flat:
        pixels = torch.empty(sum(image.numel() for image in images), dtype=torch.uint8, device=device)
        offsets, at = [], 0
        for image in images:
            pixels[at : at + image.numel()].view(image.shape).copy_(image)
            offsets.append(at)
            at += image.numel()
        sides = torch.tensor([image.shape[1:] for image in images], dtype=torch.int64)
        height, width = sides.to(device).unbind(1)
        return cls(pixels=pixels, offset=torch.tensor(offsets, device=device), height=height, width=width)

    def gather(self, where: Tensor, size: int, scale: int) -> Tensor:
        """(batch, 3, size, size) uint8: every pixel's place is computed, then all are fetched at once."""
        image, top, left, turn = where[:, :, None, None, None]
        step = torch.arange(size, device=where.device)
        row, column = step[:, None], step[None, :]
        swap = (turn & 4) > 0
        row, column = torch.where(swap, column, row), torch.where(swap, row, column)
        row = torch.where((turn & 2) > 0, size - 1 - row, row) + top * scale
        column = torch.where((turn & 1) > 0, size - 1 - column, column) + left * scale
        width = self.width[image]
        plane = self.height[image] * width
        channel = torch.arange(3, device=where.device)[:, None, None]
        return self.pixels[self.offset[image] + channel * plane + row * width + column]


def _choose(pairs: Pairs, device: torch.device) -> Way:
    if device.type != "cuda":
        return "slices"
    free, _ = torch.cuda.mem_get_info(device)
    needed = sum(image.numel() for image in (*pairs.lr, *pairs.hr))
    return "gather" if needed <= RESIDENT_SHARE * free else "stream"


def _turned(patch: np.ndarray, turn: int) -> np.ndarray:
    """One of the eight symmetries of the square, as a view."""
    if turn & 1:
        patch = patch[:, :, ::-1]
    if turn & 2:
        patch = patch[:, ::-1]
    return patch.transpose(0, 2, 1) if turn & 4 else patch

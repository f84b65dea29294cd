"""Training patches: cut, flipped and rotated from images that stay decoded on the training device."""

from __future__ import annotations

import torch
from torch import Tensor

from nas.data.dataset import Pairs


class Patches:
    """An endless, seeded stream of batches; the same seed gives the same patches to every candidate.

    Images are drawn with equal probability, then a position, then one of the eight flips and quarter turns.
    ``state`` is all there is to continue the stream exactly.
    """

    def __init__(self, pairs: Pairs, *, scale: int, lr_patch: int, seed: int, device: torch.device) -> None:
        self.scale, self.lr_patch, self.device = scale, lr_patch, device
        self._lr = [image.to(device) for image in pairs.lr]
        self._hr = [image.to(device) for image in pairs.hr]
        # Drawn on the CPU, so that a CPU and a GPU see the same patches.
        self._generator = torch.Generator().manual_seed(seed)

    @property
    def state(self) -> Tensor:
        """The generator's state; assign it to go on from there."""
        return self._generator.get_state()

    @state.setter
    def state(self, state: Tensor) -> None:
        self._generator.set_state(state)

    def draw(self, batch: int) -> tuple[Tensor, Tensor]:
        """LR (batch, 3, p, p) and HR (batch, 3, s * p, s * p), float32 in [0, 1], on the device."""
        where = torch.rand(batch, 3, generator=self._generator).tolist()
        turns = torch.randint(8, (batch,), generator=self._generator).tolist()
        lr, hr = [], []
        for (image, row, column), turn in zip(where, turns, strict=True):
            small, large = self._cut(image, row, column)
            lr.append(_turned(small, turn))
            hr.append(_turned(large, turn))
        return torch.stack(lr).float().div_(255), torch.stack(hr).float().div_(255)

    def _cut(self, image: float, row: float, column: float) -> tuple[Tensor, Tensor]:
        index = int(image * len(self._lr))
        lr, hr = self._lr[index], self._hr[index]
        size, scale = self.lr_patch, self.scale
        top = int(row * (lr.shape[1] - size + 1))
        left = int(column * (lr.shape[2] - size + 1))
        small = lr[:, top : top + size, left : left + size]
        large = hr[:, top * scale : (top + size) * scale, left * scale : (left + size) * scale]
        return small, large


def _turned(patch: Tensor, turn: int) -> Tensor:
    """One of the eight symmetries of the square."""
    if turn & 1:
        patch = patch.flip(2)
    if turn & 2:
        patch = patch.flip(1)
    return patch.transpose(1, 2) if turn & 4 else patch

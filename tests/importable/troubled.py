"""A space whose networks are small and whose trainings can go wrong, each in a way that its axis names."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from search_spaces import Genotype, choice

MARKS = "TROUBLED_MARKS"
"""Environment variable: a folder in which a network that dies once notes that it has died."""


class Trouble(nn.Module):
    """Does as it is told in the third step of a training."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind, self.width, self.steps = kind, width, 0

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        if not self.training or self.steps != 3 or x.device.type == "meta":
            return x
        if self.kind == "nan":
            return x * float("nan")
        if self.kind == "memory":
            torch.empty(2**52)
        if self.kind == "hang":
            time.sleep(600)
        if self.kind == "error":
            raise ValueError("this network never works")
        if self.kind == "disk":
            raise OSError(28, "No space left on device", "state.pt")
        if self.kind in ("kill", "kill once"):
            mark = Path(os.environ[MARKS]) / f"{self.kind}-{self.width}-{os.urandom(4).hex()}"
            before = list(mark.parent.glob(f"{self.kind}-{self.width}-*"))
            mark.touch()
            if self.kind == "kill" or not before:
                os.kill(os.getpid(), signal.SIGKILL)
        return x


@dataclass(frozen=True, kw_only=True)
class Troubled(Genotype):
    """Three layers, and a trouble for those without luck."""

    trouble: str = choice("none", "nan", "memory", "hang", "error", "disk", "kill", "kill once")
    luck: int = choice(0, 1, 2, 3)
    width: int = choice(*range(2, 42, 2))

    def build(self, scale: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, self.width, 3, padding=1),
            Trouble("none" if self.luck else self.trouble, self.width),
            nn.Conv2d(self.width, 3 * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )

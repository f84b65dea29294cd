"""A chooser that needs no study."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any


class Dice:
    """Every option is equally likely; no number is above ``most``."""

    def __init__(self, seed: int, most: int | None = None) -> None:
        self.random, self.most = random.Random(seed), most  # noqa: S311

    def suggest_categorical(self, name: str, choices: Sequence[Any], /) -> Any:
        return self.random.choice(choices)

    def suggest_int(self, name: str, low: int, high: int, /, *, step: int = 1) -> int:
        return self.random.randrange(low, min(high, self.most or high) + 1, step)

"""Ctrl-C and SIGTERM as a request that is served between two training steps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from nas.errors import Interrupted


class StopSignal:
    """Whether a stop was requested, and by which signal."""

    def __init__(self) -> None:
        self.signal = 0

    def check(self) -> None:
        """Raise Interrupted if a stop was requested."""
        if self.signal:
            raise Interrupted("stopped")

    @property
    def status(self) -> int:
        """Exit status that shells expect after the signal: 128 + its number."""
        return 128 + self.signal


@contextmanager
def watch_signals() -> Iterator[StopSignal]:
    """Yield a StopSignal that the first signal sets; a second one raises KeyboardInterrupt."""
    stop = StopSignal()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.signal:
            raise KeyboardInterrupt
        stop.signal = number

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Ctrl-C and SIGTERM as a wish that is granted between two steps, so that nothing is left half done."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from nas.errors import Interrupted


class StopSignal:
    """Whether somebody asked to stop, and by which signal."""

    def __init__(self) -> None:
        self.signal = 0

    def check(self) -> None:
        """Raise Interrupted once somebody asked."""
        if self.signal:
            raise Interrupted("stopped")

    @property
    def status(self) -> int:
        """The exit status that shells expect after the signal."""
        return 128 + self.signal


@contextmanager
def watch_signals() -> Iterator[StopSignal]:
    """A StopSignal that the first signal sets; a second Ctrl-C ends at once."""
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

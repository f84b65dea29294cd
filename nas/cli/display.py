"""What a running search or training shows: live bars on a terminal, plain lines anywhere else."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn

from leaderboard.tables.front import words
from nas import training
from nas.cli.signals import StopSignal
from nas.core.units import format_count, format_seconds
from nas.search.progress import Event, Listener, SearchProgress

PLAIN_SECONDS = 15.0
"""Seconds between two plain lines about one training."""


class _Bars:
    """Rich bars where there is a terminal; a context, so that they are taken down in any case."""

    def __init__(self, *, stderr: bool = False) -> None:
        self.console = Console(highlight=False, stderr=stderr)
        self.live = self.console.is_terminal
        self.started = time.monotonic()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.live,
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """One line above the bars. The text may hold anything: it is no markup."""
        self._progress.console.print(text, markup=False, soft_wrap=True)

    def bar(self, name: str, done: int, total: int, note: str) -> None:
        """Set the bar called ``name``, made on first use."""
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=total, note=note)
        self._progress.update(self._bars[name], completed=done, total=total, note=note)

    @property
    def elapsed(self) -> float:
        """Seconds since the display began."""
        return time.monotonic() - self.started


class SearchDisplay(_Bars):
    """A line a candidate; below, how far the search and the training at hand are."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr)
        self.search_progress: SearchProgress | None = None
        self._done_before: int | None = None

    def listener(self, stop: StopSignal) -> Listener:
        """Show events, and raise Interrupted after a request to stop."""

        def listen(event: Event) -> None:
            stop.check()
            self.show(event)

        return listen

    def show(self, event: Event) -> None:
        """Show one event; ``search_progress`` must be set."""
        if event.kind == "note":
            self.say(event.text)
        elif event.kind in ("finished", "repeated", "failed"):
            self.say(self._line(event))
        elif event.kind == "progress" and event.progress is not None:
            now = event.progress
            self.bar("training", now.step, now.steps, f"loss {now.loss:.4f}  {format_seconds(now.seconds)}")
        if event.kind != "progress" or event.progress is None:
            self._overall()

    def _line(self, event: Event) -> str:
        assert self.search_progress is not None and event.cost is not None and event.genotype is not None
        progress, cost = self.search_progress, event.cost
        done = f"[{len(progress.results):>{len(str(progress.wanted))}}/{progress.wanted}]"
        psnr = f"{event.psnr_db:6.3f} dB" if event.psnr_db is not None else "failed".rjust(9)
        size = f"{format_count(cost.params):>6} params  {format_count(cost.multi_adds):>6} Multi-Adds"
        what = "known already" if event.kind == "repeated" else event.text
        rung = f"rung {event.rung + 1}  " if len(progress.rungs) > 1 else ""
        state = f"{rung}front {len(progress.front())}  rejected {progress.rejected}"
        clock = "" if self.live else f"  {self._clock()}"
        told = f"  {what}" if what else ""
        return (
            f"{done} trial {event.number:<3} {psnr}  {size}  {state}{clock}{told}"
            f"\n        {words(event.genotype.to_dict())}"
        )

    def _overall(self) -> None:
        assert self.search_progress is not None
        progress = self.search_progress
        if self._done_before is None:
            self._done_before = len(progress.results)
        best = "" if progress.best_psnr_db is None else f"best {progress.best_psnr_db:.2f} dB  "
        longer = sum(len(results) for results in progress.rungs[1:])
        promoted = f"promoted {longer}  " if len(progress.rungs) > 1 else ""
        note = f"{best}{promoted}front {len(progress.front())}  rejected {progress.rejected}  {self._clock()}"
        self.bar("search", len(progress.results), progress.wanted, note)

    def _clock(self) -> str:
        progress = self.search_progress
        assert progress is not None
        done = len(progress.results) - (self._done_before or 0)
        elapsed = f"elapsed {format_seconds(self.elapsed)}"
        if done <= 0 or len(progress.rungs) > 1:  # how many will be promoted, nobody knows
            return elapsed
        left = (progress.wanted - len(progress.results)) * self.elapsed / done
        return f"{elapsed}  left about {format_seconds(left)}"


class TrainingDisplay(_Bars):
    """How far long trainings are: the one called ``name``, or several at once, each with its own."""

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self._name = name
        self._told: dict[str, float] = {}

    def show(self, now: training.Progress, name: str | None = None) -> None:
        """Show where it stands, the one called ``name``."""
        name = self._name if name is None else name
        pace = f"{now.steps_a_second:.1f} steps/s"
        left = f"left {format_seconds(now.seconds_left)}"
        psnr = "" if now.psnr_db is None else f"  {now.psnr_db:.3f} dB"
        self.bar(name, now.step, now.steps, f"loss {now.loss:.4f}{psnr}  {pace}  {left}")
        before = self._told.get(name, -2 * PLAIN_SECONDS)  # the first line comes with the first loss
        due = self.elapsed - before > PLAIN_SECONDS and not math.isnan(now.loss)
        if not self.live and (due or now.step == now.steps):
            self._told[name] = self.elapsed
            self.say(
                f"{name}  step {now.step}/{now.steps}  loss {now.loss:.4f}{psnr}  "
                f"learning rate {now.learning_rate:.2e}  {pace}, {now.images_a_second:.0f} images/s  "
                f"elapsed {format_seconds(now.seconds)}  {left}"
            )

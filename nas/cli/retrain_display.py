"""Output of ``nas retrain``: progress bars, one line per result, scores on benchmark sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from leaderboard.store.records import halvings_text
from nas.cli.display import TrainingDisplay
from nas.cli.failures import message_of
from nas.cli.signals import StopSignal
from nas.core.units import format_count

if TYPE_CHECKING:
    from leaderboard.store import Store
    from nas.data.benchmarks import BenchmarkSet
    from nas.recipes.recipe import Recipe
    from nas.retraining.retraining import Retrained, RetrainingSession
    from nas.retraining.selection import Chosen
    from nas.search.progress import Event


class RetrainDisplay:
    """Trains the chosen networks of one command, prints, and measures each on the benchmark sets."""

    def __init__(self, store: Store, runs: Path, stop: StopSignal) -> None:
        self.store, self.runs, self.stop = store, runs, stop
        self.validate_every, self.events = 0, False
        self.init_from: Path | None = None
        self._sets: list[BenchmarkSet] = []
        self._hint = ""
        self._display = TrainingDisplay()
        self._names: dict[int, str] = {}
        self._left: list[tuple[RetrainingSession, Retrained]] = []
        self._retraining: RetrainingSession | None = None
        self.unmeasured = 0
        """Number of results that could not be measured on the benchmark sets."""

    def __enter__(self) -> Self:
        self._display.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        """Print one line."""
        self._display.say(text)

    def find_sets(self, data_dir: Path | None) -> None:
        """Find the benchmark sets; if there are none, :meth:`train` prints how to get them.

        Raises DataError for a ``data_dir`` that is no folder.
        """
        from nas.data.benchmarks import BENCHMARKS, data_folder, find_benchmarks
        from nas.errors import DataError

        try:
            folder = data_folder(data_dir)
            self._sets = find_benchmarks(folder)
            reason = f"none below {folder}"
        except DataError as error:
            if data_dir is not None:
                raise
            reason = str(error)
        if not self._sets:
            self._hint = (
                f"Not measured on benchmark sets ({reason}): put {', '.join(BENCHMARKS)} into folders of "
                "these names (docs/data.md), and the same command measures what is trained"
            )

    def train(self, recipe: Recipe, chosen: Sequence[Chosen]) -> RetrainingSession:
        """Train the chosen networks under the recipe's plan, and measure each."""
        from nas.core.device import pick_devices
        from nas.retraining.retraining import RetrainingSession

        words = recipe.device.partition(",")[0] if recipe.workers == 1 else recipe.device
        retraining = RetrainingSession(
            recipe,
            self.store,
            self.runs,
            pick_devices(words),
            self._listen,
            after=self._after,
            init_from=self.init_from,
            validate_every=self.validate_every,
            events=self.events,
        )
        self._retraining = retraining
        self._announce(retraining, len(chosen))
        retraining.run(chosen)
        return retraining

    def measure_left(self) -> None:
        """Measure the results that were not measured yet; a group of processes calls it after its end."""
        left, self._left = self._left, []
        for retraining, done in left:
            self.unmeasured += not self._measure(retraining, done)

    def _announce(self, retraining: RetrainingSession, count: int) -> None:
        from nas.training import ranks

        plan, recipe, together = retraining.plan, retraining.recipe, ranks.world()
        self.say(
            f"Re-training {count} of run {recipe.name!r}: {plan.steps} steps of "
            f"{plan.batch} patches of {plan.lr_patch}x{plan.lr_patch}; "
            f"bicubic {retraining.protocol.bicubic_psnr_db:.3f} dB"
            + (f"; {recipe.workers} at once ({recipe.executor})" if recipe.workers > 1 else "")
            + ("" if self.init_from is None else f"; from the weights of {self.init_from}")
            + (f"; {together} processes train together" if together > 1 else "")
        )
        if self._hint:
            self.say(self._hint)
            self._hint = ""

    def _listen(self, event: Event) -> None:
        self.stop.check()
        if event.kind == "started" and event.genotype is not None:
            self._names[event.number] = event.genotype.id
        elif event.kind == "progress" and event.progress is not None:
            self._display.show(event.progress, self._names[event.number])
        elif event.kind == "failed" and event.genotype is not None:
            self.say(f"{event.genotype.id}  failed: {event.text}")
        elif event.kind == "note":
            self.say(event.text)

    def _after(self, done: Retrained) -> None:
        from nas.training import ranks

        assert self._retraining is not None
        chosen, psnr, before = done.chosen, done.evaluation.psnr_db, done.chosen.proxy_psnr_db
        self.say(
            f"{chosen.genotype.id}{f' ({chosen.name})' if chosen.name else ''}  {psnr:.3f} dB "
            f"({psnr - self._retraining.protocol.bicubic_psnr_db:+.3f} over bicubic, "
            + ("no result in the search)  " if before is None else f"{before:.3f} dB in the search)  ")
            + f"{format_count(chosen.cost.params)} params  "
            f"{format_count(chosen.cost.multi_adds)} Multi-Adds" + ("  known already" if done.known else "")
        )
        if done.evaluation.halvings:
            self.say(f"  {halvings_text(done.evaluation.halvings)}")
        if done.evaluation.checkpoint:
            self.say(f"  weights: {self.runs / done.evaluation.checkpoint}")
        # The other processes of a group would run into their timeout.
        self._left.append((self._retraining, done))
        if ranks.world() == 1:
            self.measure_left()

    def _measure(self, retraining: RetrainingSession, done: Retrained) -> bool:
        """Measure one result on the benchmark sets that lack it, and print all; False if that failed."""
        import torch

        from nas.core.device import cpu_threads, out_of_memory
        from nas.errors import Interrupted
        from nas.evaluation.benchmark_sets import measure_retrained

        if not self._sets:
            return True
        device = torch.device(retraining.device.split(",")[0])
        if device.type == "cpu":
            torch.set_num_threads(cpu_threads())
        try:
            found = measure_retrained(
                self.store,
                done.evaluation,
                self._sets,
                runs=self.runs,
                metric=retraining.recipe.metric,
                scale=retraining.recipe.scale,
                device=device,
                breathe=retraining.breathe,
            )
        except Interrupted:
            raise
        except Exception as error:  # the training is recorded, and others wait
            message = message_of(error) or out_of_memory(error)
            if message is None:
                raise
            self.say(f"  not measured: {message}")
            return False
        for one in found:
            ssim = "none" if one.ssim is None else f"{one.ssim:.5f}"
            self.say(f"  {one.benchmark:<9} {one.psnr_db:.3f} dB  SSIM {ssim}  ({one.metric})")
        return True

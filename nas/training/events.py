"""TensorBoard's event files of one training; written only on request."""

from __future__ import annotations

from pathlib import Path

from nas.errors import RecipeError
from nas.training.job import Progress

FOLDER = "events"


class Events:
    """Loss, learning rate, pace and PSNR by step, in ``folder/events``.

    Raises RecipeError where the package tensorboard is missing. A training that goes on from ``step``
    replaces what an attempt wrote after it.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise RecipeError(
                "TensorBoard's files need a package that is missing: pip install 'paretosr[tensorboard]'"
            ) from None
        self._writer = SummaryWriter(folder / FOLDER, purge_step=step or None)

    def add(self, now: Progress) -> None:
        """One point of each line."""
        lines = {
            "loss": now.loss,
            "learning_rate": now.learning_rate,
            "steps_a_second": now.steps_a_second,
            "psnr_db": now.psnr_db,
        }
        for name, value in lines.items():
            if value is not None:
                self._writer.add_scalar(name, value, now.step)

    def close(self) -> None:
        """Put everything on the disk."""
        self._writer.close()

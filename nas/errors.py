"""What can go wrong that a person can mend: each error is one line with the value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NasError(Exception):
    """Anything below: the command line prints it as one line and exits with status 2.

    ``failure`` is the word that the database keeps where a candidate failed with it.
    """

    failure = "error"

    @property
    def reason(self) -> str:
        """The first line of the message, or the kind of the error where it has none."""
        return next(iter(str(self).splitlines()), type(self).__name__)


class RecipeError(NasError):
    """A recipe or an option of the command line that cannot be meant."""


class BudgetError(NasError):
    """A budget that no architecture meets."""


class DataError(NasError):
    """Images that are missing, unreadable or too small."""


class RunError(NasError):
    """A run that cannot start or go on."""


class CheckpointError(NasError):
    """A checkpoint that is damaged or belongs to another job."""


class ExportError(NasError):
    """A network that cannot be written in a format, or a file of one that cannot be used."""


class TrainingError(NasError):
    """A training that ended without a result."""


class DivergedError(TrainingError):
    """A loss that is no number, or far above what it was; ``step`` is where that was seen."""

    failure = "diverged"

    def __init__(self, message: str = "", *, step: int = 0) -> None:
        super().__init__(message)
        self.step = step


class OutOfMemoryError(TrainingError):
    """A candidate that asked for more memory than there is, also at half the batch."""

    failure = "out_of_memory"


class CompressError(NasError):
    """A network that cannot be made smaller in the way that was asked for."""


class CandidateError(NasError):
    """A candidate that failed with an error of another library: its kind and its first line."""


class DiskError(NasError, OSError):
    """A file or disk that refused while a candidate trained: no fault of the candidate's."""


class WorkerLostError(NasError):
    """A worker that ended in the middle of a candidate: killed, crashed, or on a machine that went away."""

    failure = "worker_lost"


class TimedOutError(NasError):
    """A candidate that was over its time limit."""

    failure = "timed_out"


class Interrupted(NasError):  # noqa: N818  (an event, not a mistake)
    """Somebody asked to stop; what was finished is kept."""


def unknown(kind: str, name: object, allowed: Iterable[object], *, where: str = "") -> RecipeError:
    """A RecipeError that names the nearest allowed word and lists them all."""
    words = [str(word) for word in allowed]
    text = str(name)[:100]
    near = difflib.get_close_matches(text, words, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    place = f"{where}: " if where else ""
    return RecipeError(f"{place}unknown {kind} {text!r}{hint} (allowed: {', '.join(words)})")

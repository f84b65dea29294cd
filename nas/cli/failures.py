"""Failures as one line: of a person, of the disk, and unexpected ones, whose traceback goes to a file."""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from pathlib import Path

MOST_KEPT = 20
"""Files of tracebacks in the cache folder."""

MOST_CHARACTERS = 2000
"""Of a message."""


def message_of(error: Exception) -> str | None:
    """The line to show for ``error``; None where it is a mistake of this program."""
    from leaderboard.errors import LeaderboardError
    from leaderboard.names import shortened
    from leaderboard.untrusted import UntrustedError
    from nas.errors import NasError
    from search_spaces.errors import SpaceError

    if isinstance(error, NasError | LeaderboardError | SpaceError | UntrustedError):
        return shortened(error, MOST_CHARACTERS)
    if isinstance(error, OSError) and error.strerror:
        where = f"{shortened(str(error.filename), 300)}: " if error.filename else ""
        return f"{where}{error.strerror}"
    if isinstance(error, MemoryError):
        return "there is not enough memory for this"
    return None


def unexpected(error: Exception) -> str:
    """The line to show for a mistake of this program; its traceback is written to a file."""
    from leaderboard.names import shortened
    from nas._version import __version__

    text = f"{type(error).__name__}: {shortened(error, 200)}"
    report = f"nas {__version__}: {sys.argv!r:.1000}\n\n{''.join(traceback.format_exception(error))}"
    try:
        kept = f"its traceback is in {_keep(report)}; please report it"
    except OSError as refusal:
        kept = f"its traceback could not be written ({refusal.strerror})"
    return f"an unexpected error, {text}; {kept}"


def unreadable_argument() -> str | None:
    """What to say of the first argument that is no text in UTF-8, which no result could be kept under."""
    for argument in sys.argv[1:]:
        try:
            argument.encode()
        except UnicodeEncodeError:
            return f"argument {argument!a:.200} is no text in UTF-8"
    return None


def _keep(report: str) -> Path:
    from nas.core.files import cache_folder

    folder = (cache_folder() or Path(tempfile.gettempdir())) / "errors"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in sorted(folder.glob("*.txt"))[: -MOST_KEPT + 1]:
        old.unlink(missing_ok=True)
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**9:09}.txt"
    path = folder / name
    path.write_text(report, encoding="utf-8", errors="backslashreplace")
    return path

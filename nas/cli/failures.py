"""Which failures are told in one line: what a person can mend, and what the disk refuses."""

from __future__ import annotations

import errno

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR}


def message_of(error: Exception) -> str | None:
    """The line to show for ``error``; None where it is a mistake of this program."""
    from leaderboard.errors import LeaderboardError
    from nas.errors import NasError
    from search_spaces.errors import SpaceError

    if isinstance(error, NasError | LeaderboardError | SpaceError):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.errno in _DISK:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return None

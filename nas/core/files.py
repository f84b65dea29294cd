"""Where files lie that any process may make again, and what is in a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def cache_folder() -> Path | None:
    """``NAS_CACHE``, or ``~/.cache/paretosr``; None where it is ``off`` or cannot be written to."""
    word = os.environ.get("NAS_CACHE", "")
    if word == "off":
        return None
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        folder = Path(word).expanduser() if word else base / "paretosr"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home, for example
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def sha256_of(path: Path) -> str:
    """The digest of a file's bytes, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

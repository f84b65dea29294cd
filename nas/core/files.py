"""Files: the cache folder, digests, and writing that leaves a file whole or as it was."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from nas.errors import DiskError


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


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """``write`` a temporary file beside ``path``, flush it to the disk, then rename it over ``path``.

    Raises OSError, with ``path`` as it was, where the disk refuses.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.touch()
        usual = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(usual)  # safetensors writes files that nobody else may read
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (SafetensorError, RuntimeError) as error:  # their words for a full disk
        raise DiskError(f"{path}: cannot be written ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8, whole or not at all; see :func:`write_whole`."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))

"""Spaces that the user trusts in every run: a list beside the cache, never in a runs folder."""

from __future__ import annotations

import os
from pathlib import Path

from nas.core.files import cache_folder, write_text
from nas.errors import RecipeError
from search_spaces import SPACE_NAME, TrustedModule

FILE = "trusted-spaces.txt"
"""The file in the cache folder: one module a line, and behind a tab the folder of its file."""


def read_trusted() -> list[TrustedModule]:
    """The modules of the list; none where there is no list, or where others may have written it."""
    folder = cache_folder()
    if folder is None:
        return []
    path = folder / FILE
    try:
        with path.open(encoding="utf-8") as file:
            if not _private(os.fstat(file.fileno())):
                return []
            lines = [line.partition("\t") for line in file.read().splitlines()]
    except (OSError, ValueError):
        return []
    return sorted({TrustedModule(name, folder) for name, _, folder in lines if SPACE_NAME.fullmatch(name)})


def write_trusted(modules: list[TrustedModule]) -> None:
    """Replace the list. Raises RecipeError as :func:`trusted_file` does."""
    path = trusted_file()
    lines = (f"{module.name}\t{module.folder}".rstrip("\t") for module in sorted(set(modules)))
    write_text(path, "".join(f"{line}\n" for line in lines))
    path.chmod(0o600)


def trusted_file() -> Path:
    """The file of the list. Raises RecipeError where NAS_CACHE is off or no cache folder can be written."""
    folder = cache_folder()
    if folder is None:
        off = os.environ.get("NAS_CACHE") == "off"
        reason = "NAS_CACHE is off" if off else "the cache folder cannot be written"
        raise RecipeError(f"{reason}, so no list of trusted spaces is kept; set NAS_CACHE to a folder")
    return folder / FILE


def _private(status: os.stat_result) -> bool:
    """Whether only this user can have written a file."""
    return not hasattr(os, "geteuid") or (status.st_uid == os.geteuid() and not status.st_mode & 0o022)

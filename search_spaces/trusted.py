"""Modules outside this project that may be imported as spaces, and the folders where they are found.

A module that a person names is looked for where Python looks, and then in the current folder. A module that
was found in a folder is imported from there by every process that trusts it, whatever else Python's path
holds. No other file of that folder can be imported.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


@dataclass(frozen=True, order=True)
class TrustedModule:
    """A module that may be imported as a space.

    Attributes:
        name: Full name of the module.
        folder: The folder of its file, or of its package; empty where the module is on Python's path.
    """

    name: str
    folder: str = ""


Stored = Callable[[], Iterable[TrustedModule]]
"""Reads the modules that a person has trusted for every command."""

_trusted: dict[str, TrustedModule] = {}
_stored: list[Stored] = []
_folders: dict[str, str] = {}
"""First part of a module's name -> the folder that it is imported from."""


class _InFolder:
    """Finds each trusted module in its folder, before Python's path is searched."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module in its folder; None for a module without one. Raises ImportError if it is gone."""
        if (folder := _folders.get(name)) is None:
            return None
        spec = PathFinder.find_spec(name, [folder])
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r} in {folder}, where it is trusted", name=name)
        return spec


def locate(module: str) -> TrustedModule | None:
    """The module where Python finds it, or else in the current folder; None where it is in neither.

    No code runs. Only the first part of a dotted name is looked for.
    """
    top = _top(module)
    here, place = _current_folder(), _place(top)
    if place is None:
        return TrustedModule(module, here) if here and PathFinder.find_spec(top, [here]) else None
    return TrustedModule(module, place if place in (here, _folders.get(top)) else "")


def trust_module(module: str) -> None:
    """Trust a module that a person named, where :func:`locate` or else the stored list finds it."""
    stored = (each for read in _stored for each in read() if each.name == module)
    adopt([locate(module) or next(stored, TrustedModule(module))])


def adopt(modules: Iterable[TrustedModule]) -> None:
    """Trust modules where another process or an earlier command found them."""
    for module in modules:
        _trusted[module.name] = module
        if module.folder:
            _folders[_top(module.name)] = module.folder
    if _folders and _InFolder not in sys.meta_path:
        sys.meta_path.insert(0, _InFolder)


def is_trusted(module: str) -> bool:
    """Whether a module may be imported: it is trusted here, imported already, or in a stored list.

    A stored entry without a folder stands for a module on Python's path, not for one of the current folder.
    """
    if module in _trusted:
        return True
    if sys.modules.get(module) is not None:
        adopt([TrustedModule(module, _folders.get(_top(module), ""))])  # for worker processes
        return True
    for entry in (each for read in _stored for each in read() if each.name == module):
        if entry.folder or _place(_top(module)) != _current_folder():
            adopt([entry])
            return True
    return False


def trusted_spaces() -> tuple[TrustedModule, ...]:
    """The modules outside this project that this process may import as spaces, for its worker processes."""
    return tuple(sorted(_trusted.values()))


def use_stored_trust(read: Stored) -> None:
    """Ask ``read`` for further trusted modules, each time before a space is refused."""
    if read not in _stored:
        _stored.append(read)


def is_known(module: str) -> bool:
    """Whether a module is on Python's path, in the current folder, or in a stored list."""
    return locate(module) is not None or any(each.name == module for read in _stored for each in read())


def _top(module: str) -> str:
    return module.partition(".")[0]


def _place(top: str) -> str | None:
    """The folder in which Python finds a module without parents; None where it finds none."""
    try:
        spec = importlib.util.find_spec(top)  # runs no code: it has no parent
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    inside = next(iter(spec.submodule_search_locations or ()), None)
    return str(Path(inside or spec.origin or "").parent.resolve())


def _current_folder() -> str:
    """The current folder; empty where it is gone."""
    with suppress(OSError):
        return str(Path.cwd().resolve())
    return ""

"""Import paths that have moved: the old ones work for one version, with a DeprecationWarning."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class DeprecatedNames(MetaPathFinder, Loader):
    """Serves `old -> new` full names of functions, classes and constants.

    As the last entry of `sys.meta_path` it stands in for modules that are gone. A package that has the name
    of such a module sets `__getattr__ = names.of(__name__)`.
    """

    def __init__(self, new_names: Mapping[str, str]) -> None:
        self.new_names = dict(new_names)
        self._modules: dict[str, bool] = {}
        for old in new_names:
            module, package = old.rpartition(".")[0], False
            while "." in module:
                self._modules[module] = package or self._modules.get(module, False)
                module, package = module.rpartition(".")[0], True

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for a module that held a deprecated name, or for a package of such modules."""
        if fullname not in self._modules:
            return None
        return ModuleSpec(fullname, self, is_package=self._modules[fullname])

    def exec_module(self, module: ModuleType) -> None:
        """Makes an empty module that finds its names elsewhere."""
        vars(module)["__getattr__"] = self.of(module.__name__)

    def of(self, module: str) -> Callable[[str], Any]:
        """The `__getattr__` of a module: its deprecated names, each with a warning."""

        def getattribute(name: str) -> Any:
            new = self.new_names.get(f"{module}.{name}")
            if new is None:
                raise AttributeError(f"module {module!r} has no attribute {name!r}")
            warnings.warn(f"{module}.{name} is now {new}", DeprecationWarning, stacklevel=2)
            place, _, new_name = new.rpartition(".")
            return getattr(importlib.import_module(place), new_name)

        return getattribute


NAMES = DeprecatedNames(
    {
        "leaderboard.paper.paper_rows": "leaderboard.tables.paper.paper_rows",
        "leaderboard.paper.to_latex": "leaderboard.tables.paper.to_latex",
        "leaderboard.pictures.pictures": "leaderboard.crops.pictures",
        "leaderboard.reported.reported": "leaderboard.tables.reported.reported",
        "leaderboard.tables.front_frame": "leaderboard.tables.front.front_frame",
    }
)
"""The paths that the documentation named."""

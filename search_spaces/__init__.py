"""What can be built: genotypes, the composed space and the published networks.

A space of one's own needs no registration: ``load_space("my_lab.my_space")`` imports it by name.
"""

from __future__ import annotations

import importlib
import importlib.util

from search_spaces.errors import SpaceError, unknown
from search_spaces.genotype import Axis, Chooser, Genotype, Option, Space, choice, span

SPACES: dict[str, str] = {
    "lightweight": "search_spaces.lightweight:Lightweight",
    "published": "search_spaces.named:Named",
    "compressed": "search_spaces.compressed:Compressed",
}
"""Spaces with a word of their own: word -> ``module:Class``, imported only when asked for."""

MOVED = {"nas.bottleneck": "nas.simulation.synthetic_bottleneck"}
"""Modules of spaces that have moved, by the name under which results are stored."""


def load_space(name: str) -> type[Genotype]:
    """The genotype class called ``name``: a word of SPACES, ``module`` or ``module:Class``.

    Raises SpaceError when nothing of that name can be imported, or a module holds several spaces.
    """
    target = SPACES.get(name, name)
    module_name, _, class_name = target.partition(":")
    module_name = MOVED.get(module_name, module_name)
    if name not in SPACES and "." not in module_name and not class_name:
        try:
            known = importlib.util.find_spec(module_name) is not None
        except ValueError:
            known = False
        if not known:
            raise unknown("space", name, [*SPACES, "module", "module:Class"])
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise SpaceError(f"space {name!r} cannot be imported: {error}") from error
    found = [
        value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Genotype)
        and value.__module__ == module.__name__
        and class_name in ("", key)
    ]
    if len(found) != 1:
        names = ", ".join(cls.__name__ for cls in found) or "none"
        raise SpaceError(f"space {name!r}: expected one Genotype in module {module_name}, found {names}")
    return found[0]


__all__ = [
    "MOVED",
    "SPACES",
    "Axis",
    "Chooser",
    "Genotype",
    "Option",
    "Space",
    "SpaceError",
    "choice",
    "load_space",
    "span",
]

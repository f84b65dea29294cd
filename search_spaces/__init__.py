"""What can be built: genotypes, the composed space and the published networks.

A space of one's own needs no registration, but only a person may name it: ``load_space("my_lab.my_space",
trust=True)`` imports it, from Python's path or from the current folder. A name that was read from a file or a
database imports no code.
"""

from __future__ import annotations

import importlib
import re

from search_spaces.axes import Axis, Chooser, Option, choice, span
from search_spaces.errors import SpaceError, UntrustedSpaceError, unknown
from search_spaces.genotype import Genotype
from search_spaces.space import Space
from search_spaces.trusted import (
    TrustedModule,
    is_known,
    is_trusted,
    trust_module,
    trusted_spaces,
    use_stored_trust,
)

SPACES: dict[str, str] = {
    "lightweight": "search_spaces.lightweight:Lightweight",
    "published": "search_spaces.named:Named",
    "compressed": "search_spaces.compressed:Compressed",
}
"""Spaces with a word of their own: word -> ``module:Class``, imported only when asked for."""

MOVED = {"nas.bottleneck": "nas.simulation.synthetic_bottleneck"}
"""Modules of spaces that have moved, by the name under which results are stored."""

OWN_MODULES = (
    *(place.partition(":")[0] for place in SPACES.values()),
    "search_spaces.networks.ecbsr",
    "search_spaces.networks.efrdn",
    "search_spaces.networks.man",
    "search_spaces.networks.plainusr",
    "search_spaces.networks.safmnpp",
    "search_spaces.networks.span",
    "search_spaces.networks.spanv2",
    "nas.simulation.synthetic_bottleneck",
)
"""Modules of this project that hold a space: a file may name these."""

SPACE_NAME = re.compile(r"(?=.{1,200}\Z)[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?", re.ASCII)
"""What a space may be called: ``word``, ``module`` or ``module:Class``, with at most 200 characters."""


def load_space(name: str, *, trust: bool = False, named_by: str = "") -> type[Genotype]:
    """The genotype class of a space.

    A module outside this project is imported only if it is trusted; one that is imported already needs no
    trust.

    Args:
        name: A word of SPACES, ``module`` or ``module:Class``.
        trust: Whether a person chose the name, as a literal in a program is: see :func:`trust_space`.
        named_by: The file or database that holds the name, for the message of a refusal.

    Raises:
        UntrustedSpaceError: The module is code outside this project that no person named.
        SpaceError: Nothing of that name can be imported, or the module holds several spaces.
    """
    if trust:
        trust_space(name)
    target = SPACES.get(_checked(name), name)
    module_name, _, class_name = target.partition(":")
    module_name = MOVED.get(module_name, module_name)
    if name not in SPACES and "." not in module_name and not class_name and not is_known(module_name):
        raise unknown("space", name, [*SPACES, "module", "module:Class"])
    if module_name not in OWN_MODULES:
        _require_trust(module_name, name, named_by)
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SpaceError) as error:
        raise SpaceError(f"space {name!r} cannot be imported: {error}") from error
    except Exception as error:  # a module of one's own raises what it likes
        reason = f"{type(error).__name__}: {error}"
        raise SpaceError(f"space {name!r} cannot be imported: {reason}") from error
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


def trust_space(*names: str) -> None:
    """Allow this process to import the modules of spaces that a person named.

    A module that is not on Python's path is looked for in the current folder, and is imported from that
    folder from then on, here and in worker processes. Never call this with a name that was read from a file
    or a database. Trust belongs to the module: with ``my_lab.my_space:Chain`` all spaces of
    ``my_lab.my_space`` can be loaded. Raises SpaceError for a text that is no name of a space.
    """
    for name in names:
        if _checked(name) not in SPACES:
            trust_module(name.partition(":")[0])


def _checked(name: str) -> str:
    """The name itself. Raises SpaceError for what cannot be one."""
    if not isinstance(name, str) or SPACE_NAME.fullmatch(name) is None:
        shown = repr(name) if len(repr(name)) <= 80 else f"{repr(name)[:77]}..."
        raise SpaceError(f"space {shown}: {', '.join(SPACES)}, module or module:Class is needed")
    return name


def _require_trust(module_name: str, name: str, named_by: str) -> None:
    if is_trusted(module_name):
        return
    source = f", named by {named_by}" if named_by else ""
    raise UntrustedSpaceError(
        f"space {name!r} is code outside ParetoSR{source}; "
        f"to import it: --space {name}, or nas trust-space {name}"
    )


__all__ = [
    "MOVED",
    "OWN_MODULES",
    "SPACES",
    "SPACE_NAME",
    "Axis",
    "Chooser",
    "Genotype",
    "Option",
    "Space",
    "SpaceError",
    "TrustedModule",
    "UntrustedSpaceError",
    "choice",
    "load_space",
    "span",
    "trust_space",
    "trusted_spaces",
    "use_stored_trust",
]

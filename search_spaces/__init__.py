"""What can be built: genotypes, the composed space and the published networks.

A space of one's own needs no registration, but only a person may name it: ``load_space("my_lab.my_space",
trust=True)`` imports it. A name that was read from a file or a database imports no code.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterable

from search_spaces.axes import Axis, Chooser, Option, choice, span
from search_spaces.errors import SpaceError, UntrustedSpaceError, unknown
from search_spaces.genotype import Genotype
from search_spaces.space import Space

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

_trusted: set[str] = set()
_stored_trust: list[Callable[[], Iterable[str]]] = []


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
    if name not in SPACES and "." not in module_name and not class_name:
        try:
            known = importlib.util.find_spec(module_name) is not None  # runs no code: it has no parent
        except ValueError:
            known = False
        if not known:
            raise unknown("space", name, [*SPACES, "module", "module:Class"])
    if module_name not in OWN_MODULES:
        _require_trust(module_name, name, named_by)
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


def trust_space(*names: str) -> None:
    """Allow this process to import the modules of spaces that a person named.

    Never call it with a name that was read from a file or a database. Trust belongs to the module: with
    ``my_lab.my_space:Chain`` all spaces of ``my_lab.my_space`` can be loaded. Raises SpaceError for a text
    that is no name of a space.
    """
    _trusted.update(name.partition(":")[0] for name in names if _checked(name) not in SPACES)


def trusted_spaces() -> tuple[str, ...]:
    """The modules outside this project that this process may import as spaces, for its worker processes."""
    return tuple(sorted(_trusted))


def use_stored_trust(read: Callable[[], Iterable[str]]) -> None:
    """Ask ``read`` for further trusted modules, each time before a space is refused."""
    if read not in _stored_trust:
        _stored_trust.append(read)


def _checked(name: str) -> str:
    """The name itself. Raises SpaceError for what cannot be one."""
    if not isinstance(name, str) or SPACE_NAME.fullmatch(name) is None:
        shown = repr(name) if len(repr(name)) <= 80 else f"{repr(name)[:77]}..."
        raise SpaceError(f"space {shown}: {', '.join(SPACES)}, module or module:Class is needed")
    return name


def _require_trust(module_name: str, name: str, named_by: str) -> None:
    if module_name in _trusted:
        return
    if sys.modules.get(module_name) is not None or any(module_name in read() for read in _stored_trust):
        _trusted.add(module_name)  # worker processes have not imported it yet
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
    "UntrustedSpaceError",
    "choice",
    "load_space",
    "span",
    "trust_space",
    "trusted_spaces",
    "use_stored_trust",
]

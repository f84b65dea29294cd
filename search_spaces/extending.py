"""Options of one's own on the axes of the composed space: how a subclass of it is made."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from search_spaces.axes import listed
from search_spaces.blocks.aggregation import Aggregation
from search_spaces.blocks.branches import Branched, branched_kernels, same_branches
from search_spaces.blocks.cnn_block import CnnBlock
from search_spaces.blocks.distillation import ABILITIES, blocks_with
from search_spaces.blocks.sharing import same_sharing
from search_spaces.errors import SpaceError, unknown

Tables = Mapping[str, Mapping[str, Any]]

OPTION = re.compile(r"(?=.{1,40}\Z)\w[\w.+-]*", re.ASCII)
"""What an option may be called: what a command can write between commas."""

NEEDED: dict[str, tuple[type, bool]] = {
    "block": (CnnBlock, True),
    "branches": (Branched, True),
    "aggregation": (Aggregation, False),
}
"""Axes whose options are not any function or class: a class, and whether a subclass or an instance of it."""


def extend(genotype: type, options: Tables) -> None:
    """Make a subclass of a space a dataclass with more options on axes that have a table.

    Every condition that names blocks, kernel shapes or branches is made again from the tables.

    Args:
        genotype: The subclass, whose ``tables`` are those of the space above it.
        options: Axis -> {option: the class or function that builds it}.

    Raises SpaceError for an axis that has no table, an option that is there already or cannot be written on a
    command line, and for a value that builds nothing.
    """
    known: Tables = genotype.tables  # type: ignore[attr-defined]
    axes = {axis.name: axis.metadata["axis"] for axis in dataclasses.fields(genotype)}
    for name, added in options.items():
        _check(name, added, known, axes)
    tables = {name: {**table, **options.get(name, {})} for name, table in known.items()}
    _check_branches(options.get("branches", {}), tuple(known["kernel"]))
    genotype.tables = tables  # type: ignore[attr-defined]
    own = dict(inspect.get_annotations(genotype))
    for name, axis in axes.items():
        if name in own:
            continue  # the subclass declares the axis anew
        extended = {**axis, **_extended(name, axis, tuple(options.get(name, ())), tables, axes)}
        if extended != axis:
            own[name] = "str"
            setattr(genotype, name, field(default=axis["options"][0], metadata={"axis": extended}))
    genotype.__annotations__ = own
    dataclass(frozen=True, kw_only=True)(genotype)


def _extended(
    name: str, axis: Mapping[str, Any], added: tuple[str, ...], tables: Tables, axes: Mapping[str, Any]
) -> dict[str, Any]:
    """What changes of an axis's metadata."""
    changes: dict[str, Any] = {"options": (*axis["options"], *added)}
    if name in ABILITIES:
        changes["when"] = axis["when"] | {"block": blocks_with(name, tables["block"])}
    if name == "branches":
        changes["when"] = axis["when"] | {"kernel": branched_kernels(tables["branches"])}
        changes["same"] = same_branches(tables["branches"])
    if name == "sharing":
        same = same_sharing(axes["blocks"]["options"][-1], tables["sharing"])
        changes["same"] = {
            option: (other, {key: tuple(counts) for key, counts in when.items()})
            for option, (other, when) in same.items()
        }
    return changes


def _check(name: str, added: Mapping[str, Any], known: Tables, axes: Mapping[str, Any]) -> None:
    """Raise SpaceError unless ``added`` are options that the axis can take."""
    allowed = [axis for axis in known if axis != "order"]  # the order is no part that could be built
    if name not in allowed:
        raise unknown("axis that takes options:", name, allowed)
    if not isinstance(added, Mapping) or not added:
        raise SpaceError(f'{name} = {added!r:.80}: a table is needed, as {name}={{"mine": MyClass}}')
    for option, builder in added.items():
        if not isinstance(option, str) or not OPTION.fullmatch(option) or _reads_as_value(option):
            raise SpaceError(
                f"{name} {option!r:.80}: an option is 1 to 40 letters, digits and the signs _ . + -, "
                "and neither a number nor true, false or none"
            )
        if option in axes[name]["options"]:
            raise SpaceError(
                f"{name} {option!r} is there already; another word than {listed(axes[name]['options'])}"
                " is needed"
            )
        _check_builder(name, option, builder)


def _check_builder(name: str, option: str, builder: Any) -> None:
    needed, subclass = NEEDED.get(name, (object, False))
    if name not in NEEDED:
        fits, words = callable(builder), "a function or a class"
    elif subclass:
        fits, words = (
            isinstance(builder, type) and issubclass(builder, needed),
            f"a subclass of {_place(needed)}",
        )
    else:
        fits, words = isinstance(builder, needed), f"an instance of {_place(needed)}"
    if not fits:
        raise SpaceError(f"{name} {option!r} is {builder!r:.80}, and {words} is needed")


def _check_branches(added: Mapping[str, Any], kernels: tuple[str, ...]) -> None:
    """Raise SpaceError for branches that stand for no kernel shape of the space above."""
    for option, branches in added.items():
        kernel = getattr(branches, "kernel", None)
        if kernel not in kernels:
            raise SpaceError(
                f"branches {option!r}: the class attribute kernel is {kernel!r:.80}, and one of "
                f"{listed(kernels)} is needed"
            )


def _reads_as_value(option: str) -> bool:
    """Whether a command line would read a number or a truth value."""
    try:
        float(option)
    except ValueError:
        return option.lower() in ("true", "false", "none")
    return True


def _place(kind: Callable[..., Any]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"

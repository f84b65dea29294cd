"""Packages of this project and who imports whom: ``python tests/package_graph.py`` prints the edges."""

from __future__ import annotations

import ast
import functools
import graphlib
from collections.abc import Mapping, Set
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOPS = ("nas", "search_spaces", "leaderboard")


def modules() -> dict[str, Path]:
    """Full name -> file of every module, but for the migrations, which Alembic runs by their path."""
    found = {}
    for top in TOPS:
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "migrations" not in parts:
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


@functools.cache
def tree_of(module: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@functools.cache
def imports_of(module: str) -> set[str]:
    """Full names of everything that a module imports, anywhere in it; ``a.b`` for ``from a import b``, a
    module.
    """
    found: set[str] = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                found.add(deeper if deeper in MODULES else str(node.module))
    return found


def package_of(module: str) -> str:
    """The package of a module, or the module itself where it lies beside the packages: ``nas.cost``,
    ``nas.errors``.
    """
    return ".".join(module.split(".")[:2])


@functools.cache
def edges() -> dict[str, set[str]]:
    """Package -> the other packages of this project that its modules import."""
    found: dict[str, set[str]] = {}
    for module in MODULES:
        targets = {package_of(name) for name in imports_of(module) if name.split(".")[0] in TOPS}
        found.setdefault(package_of(module), set()).update(targets - {package_of(module)})
    return found


def cycle(graph: Mapping[str, Set[str]]) -> list[str]:
    """The packages of one cycle, empty where there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


if __name__ == "__main__":
    found = edges()
    for package in sorted(found):
        print(f"{package:28} {' '.join(sorted(found[package])) or '-'}")
    print("cycle:", " < ".join(cycle(found)) or "none")

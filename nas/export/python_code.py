"""The source of classes and functions as it runs: without what builds them, and with what they name."""

from __future__ import annotations

import ast
import builtins
import inspect
import textwrap
import types
from typing import Any

import torch

from nas.errors import ExportError


class Code:
    """Source of classes, with what they call, and of functions, with what these need."""

    def __init__(self, classes: dict[type, str], functions: dict[str, Any]) -> None:
        self._classes = classes
        self._imports: dict[str, str] = {"torch": "import torch", "nn": "from torch import nn"}
        self._globals: dict[str, Any] = {}
        self._texts: dict[str, str] = {}
        self._called: set[str] = {"forward"}
        self._methods: dict[type, dict[str, ast.AST]] = {kind: {} for kind in classes}
        for name, function in functions.items():
            self._need(name, function)
        while self._grow():
            pass

    def imports(self) -> str:
        """The lines that import what the code uses, from torch and the standard library."""
        return "\n".join(sorted(set(self._imports.values())))

    def text(self) -> str:
        """Constants, functions, classes."""
        made = []
        for kind, name in self._classes.items():
            torchs = torchs_class(kind)
            described = inspect.getdoc(kind) if "__doc__" in vars(kind) and kind.__doc__ else None
            body = [ast.unparse(method) for method in self._methods[kind].values()]
            if described:
                body.insert(0, '"""' + described.replace("\\", "\\\\").replace('"""', "'''") + '\n"""')
            inside = textwrap.indent("\n\n".join(body) or "pass", "    ")
            made.append(f"class {name}(nn.{torchs.__name__}):\n{inside}")
        return "\n\n\n".join([*self._texts.values(), *made])

    def _grow(self) -> bool:
        """Adds methods that are called by now; whether there was one."""
        added = False
        for kind, have in self._methods.items():
            for name in sorted(self._called - have.keys()):
                found = _defined(kind, name)
                if found is None:
                    continue
                added = True
                have[name] = self._method(kind, name, *found)
        return added

    def _method(self, kind: type, name: str, base: type, found: Any) -> ast.AST:
        inner = found.fget if isinstance(found, property) else getattr(found, "__func__", found)
        if isinstance(inner, types.FunctionType):
            tree = self._adopted(inner, method=True)
            for call in _calls_above(tree):
                above = _defined(kind, call.attr, after=base)
                if above is None:  # torch's own
                    call.value = ast.parse(f"nn.{torchs_class(kind).__name__}", mode="eval").body
                    call.with_self = True  # type: ignore[attr-defined]
                    continue
                call.value = ast.Name("self", ast.Load())
                renamed = f"{call.attr}_of_{above[0].__name__}"
                if renamed not in self._methods[kind]:
                    parents = self._method(kind, call.attr, *above)
                    assert isinstance(parents, ast.FunctionDef)
                    parents.name = renamed
                    self._methods[kind][renamed] = parents
                call.attr = renamed
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and getattr(node.func, "with_self", False):
                    node.args.insert(0, ast.Name("self", ast.Load()))
            return tree
        if isinstance(found, bool | int | float | str | tuple | type(None)):
            return ast.parse(f"{name} = {found!r}")
        raise ExportError(f"{kind.__name__}.{name} has no plain form in Python")

    def _adopted(self, function: types.FunctionType, *, method: bool = False) -> ast.FunctionDef:
        """The function's tree without annotations; what it names is taken along."""
        if set(function.__code__.co_freevars) - ({"__class__"} if method else set()):
            raise ExportError(f"{function.__qualname__} is a closure, which has no plain form in Python")
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        except (OSError, TypeError, SyntaxError) as error:
            raise ExportError(f"the source of {function.__qualname__} cannot be read ({error})") from error
        if not isinstance(tree, ast.FunctionDef):
            raise ExportError(f"{function.__qualname__} is no plain function")
        for node in ast.walk(tree):
            if isinstance(node, ast.arg):
                node.annotation = None
            elif isinstance(node, ast.FunctionDef):
                node.returns = None
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                self._called.add(node.attr)
            elif isinstance(node, ast.Name) and node.id in function.__globals__:
                self._need(node.id, function.__globals__[node.id])
        return tree

    def _need(self, name: str, value: Any) -> None:
        """Takes a global name along: an import, a function or a constant."""
        if name in self._globals:
            if self._globals[name] is not value:
                raise ExportError(f"two different things in it are called {name}")
            return
        self._globals[name] = value
        origin = getattr(value, "__module__", None) or ""
        if isinstance(value, types.ModuleType):
            allowed = value.__name__.split(".")[0] in ("torch", "math", "functools", "itertools")
            if not allowed:
                raise ExportError(f"it needs the package {value.__name__}")
            self._imports[name] = (
                f"import {value.__name__} as {name}" if name != value.__name__ else f"import {name}"
            )
        elif origin.split(".")[0] in ("torch", "math"):
            self._imports[name] = f"from {_home(value, origin)} import {value.__name__}" + (
                "" if value.__name__ == name else f" as {name}"
            )
        elif isinstance(value, types.FunctionType):
            self._texts[name] = ""  # its place, before what it needs itself
            tree = self._adopted(value)
            self._texts[name] = ast.unparse(tree)
        elif isinstance(value, bool | int | float | str | tuple | type(None)):
            self._texts[name] = f"{name} = {value!r}"
        elif isinstance(value, type) and value in self._classes:
            if self._classes[value] != name:
                raise ExportError(f"two different things in it are called {name}")
        elif not hasattr(builtins, name):
            raise ExportError(f"{name}, a {type(value).__name__}, has no plain form in Python")


def _home(value: Any, origin: str) -> str:
    """From where a thing of torch is imported: torch itself, where it is there."""
    return "torch" if getattr(torch, value.__name__, None) is value else origin


def _defined(kind: type, name: str, *, after: type | None = None) -> tuple[type, Any] | None:
    """The class (behind ``after``) that defines ``name``, and what; None where nobody below torch does."""
    order = kind.__mro__
    for base in order[order.index(after) + 1 if after is not None else 0 :]:
        if base.__module__.startswith("torch."):
            return None
        if name in vars(base):
            return base, vars(base)[name]
    return None


def _calls_above(tree: ast.AST) -> list[ast.Attribute]:
    """The places where a method says ``super().NAME``."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "super"
    ]


def torchs_class(kind: type) -> type:
    """The first of torch's own classes that a class stands on."""
    return next(base for base in kind.__mro__ if base.__module__.startswith("torch."))

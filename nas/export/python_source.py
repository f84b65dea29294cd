"""A network as one Python file that needs only torch: its classes' own source, its parts, its weights.

The file is made from the built network, not from the choices that built it, so that a pruned, folded or
foreign network comes out as it is. Of each class it holds what runs: ``forward`` and what that calls. A part
of torch's own is written as its printed form says, which is its constructor.
"""

from __future__ import annotations

import base64
import types
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import nn

from nas.errors import ExportError
from nas.export.python_code import Code, torchs_class

LINE = 104
"""Characters of base64 in a line."""

_OWN = set(vars(nn.Module()))  # what every module carries and nobody set
_CONTAINERS = (nn.Sequential, nn.ModuleList)

_START = """\
from __future__ import annotations

import base64
from types import SimpleNamespace
"""

_BUILDING = '''\
def made(kind, attributes, parameters=(), buffers=(), parts=()):
    """A module of class `kind` with these attributes; weights, given by their shapes, are filled in later."""
    module = kind.__new__(kind)
    torch.nn.Module.__init__(module)
    for name, value in attributes.items():
        setattr(module, name, value)
    for name, shape in dict(parameters).items():
        module.register_parameter(name, None if shape is None else torch.nn.Parameter(torch.empty(shape)))
    for name, shape in dict(buffers).items():
        module.register_buffer(name, torch.empty(shape))
    for name, part in dict(parts).items():
        module.add_module(name, part)
    return module


def network():
    """The network with its weights, in eval mode."""
    module = structure()
    numbers = torch.frombuffer(bytearray(base64.b64decode(WEIGHTS)), dtype=torch.float32)
    place = 0
    for tensor in [*module.parameters(), *module.buffers()]:
        tensor.data = numbers[place : place + tensor.numel()].view(tensor.shape).to(tensor.dtype).clone()
        place += tensor.numel()
    assert place == numbers.numel()
    return module.eval().requires_grad_(False)
'''


def python_source(module: nn.Module, about: str) -> str:
    """The text of a file whose ``network()`` is ``module``, float32 and in eval mode; ``about`` heads it.

    Its outputs are the same, bit for bit, under the same torch. Raises ExportError for a network that holds
    what has no plain form: a hook, a closure, an object of another library.
    """
    structure = _Structure(module)
    tree = structure.text()
    code = Code(structure.classes, structure.functions)
    definitions = code.text()
    numbers = b"".join(
        tensor.detach().cpu().float().contiguous().numpy().tobytes()
        for tensor in [*module.parameters(), *module.buffers()]
    )
    weights = base64.b64encode(numbers).decode()
    lines = "\n".join(weights[start : start + LINE] for start in range(0, len(weights), LINE))
    heading = about.replace("\\", "/").replace('"', "'")
    return "\n\n".join(
        [
            f'"""{heading}\n"""\n\n{_START}\n{code.imports()}',
            definitions,
            f'def structure():\n    """The parts of the network, without weights."""\n{tree}',
            _BUILDING,
            f'WEIGHTS = """\n{lines}\n"""\n',
        ]
    )


class _Structure:
    """The tree of parts as an expression, and the classes and functions that it names."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.classes: dict[type, str] = {}
        self.functions: dict[str, Any] = {}
        self._shared = _shared(module)
        self._named: dict[nn.Module, str] = {}
        self._before: list[str] = []

    def text(self) -> str:
        """The body of a function that returns the module."""
        tree = self._part(self.module, 1)
        return "\n".join([*self._before, f"    return {tree}"])

    def _part(self, module: nn.Module, depth: int) -> str:
        if module in self._named:
            return self._named[module]
        if module not in self._shared:
            return self._written(module, depth)
        written = self._written(module, 1)
        self._named[module] = f"shared_{len(self._named) + 1}"
        self._before.append(f"    {self._named[module]} = {written}")
        return self._named[module]

    def _written(self, module: nn.Module, depth: int) -> str:
        _refuse_hooks(module)
        torchs = torchs_class(type(module))
        if torchs in _CONTAINERS and getattr(type(module), "forward", None) is torchs.forward:
            inside = [self._part(part, depth + 1) for part in module._modules.values() if part is not None]
            return _call(f"nn.{torchs.__name__}", inside, depth, listed=torchs is nn.ModuleList)
        plain = torchs is not nn.Module and not module._modules
        if plain and type(module).forward is torchs.forward:  # type: ignore[attr-defined]
            return f"nn.{torchs.__name__}({module.extra_repr()})"
        if torchs not in (nn.Module, *_CONTAINERS) or isinstance(module, torch.jit.ScriptModule):
            raise ExportError(f"{type(module).__name__} has no plain form in Python")
        return self._made(module, depth)

    def _made(self, module: nn.Module, depth: int) -> str:
        plain = [
            f'"{name}": {self._plain(value, name)}'
            for name, value in vars(module).items()
            if name not in _OWN
        ]
        arguments = [self._name_of(type(module)), _call("", plain, depth + 1, brackets="{}")]
        for key, tensors in (("parameters", module._parameters), ("buffers", module._buffers)):
            if tensors:
                shapes = {
                    name: None if value is None else tuple(value.shape) for name, value in tensors.items()
                }
                arguments.append(f"{key}={shapes!r}")
        if module._modules:
            parts = [
                f'"{name}": {"None" if part is None else self._part(part, depth + 2)}'
                for name, part in module._modules.items()
            ]
            arguments.append("parts=" + _call("", parts, depth + 1, brackets="{}"))
        return _call("made", arguments, depth)

    def _plain(self, value: Any, name: str) -> str:
        if isinstance(value, types.FunctionType):
            self.functions[value.__name__] = value
            return value.__name__
        if is_dataclass(value) and not isinstance(value, type):
            named = (f"{f.name}={self._plain(getattr(value, f.name), f.name)}" for f in fields(value))
            return f"SimpleNamespace({', '.join(named)})"
        if isinstance(value, tuple | list):
            inside = [self._plain(part, name) for part in value]
            listed = ", ".join(inside)
            return (
                f"[{listed}]" if isinstance(value, list) else f"({listed}{',' if len(inside) == 1 else ''})"
            )
        if isinstance(value, dict):
            return f"{{{', '.join(f'{key!r}: {self._plain(part, name)}' for key, part in value.items())}}}"
        if value is None or isinstance(value, bool | int | float | str):
            return repr(value)
        raise ExportError(
            f"its attribute {name} is {type(value).__name__}, which has no plain form in Python"
        )

    def _name_of(self, kind: type) -> str:
        """The class's own name; with a number where two of different modules have the same."""
        if kind not in self.classes:
            taken = set(self.classes.values())
            names = [kind.__name__, *(f"{kind.__name__}{number}" for number in range(2, 100))]
            self.classes[kind] = next(name for name in names if name not in taken)
        return self.classes[kind]


def _shared(module: nn.Module) -> set[nn.Module]:
    """The parts that stand in several places."""
    seen: set[nn.Module] = set()
    twice: set[nn.Module] = set()
    for parent in module.modules():
        for part in parent._modules.values():
            if part is not None:
                (twice if part in seen else seen).add(part)
    return twice


def _refuse_hooks(module: nn.Module) -> None:
    if module._forward_hooks or module._forward_pre_hooks:
        raise ExportError(f"{type(module).__name__} has hooks, which have no plain form in Python")
    if nn.utils.parametrize.is_parametrized(module):
        raise ExportError(f"{type(module).__name__} has parametrised weights: finish its training first")
    for name, tensor in (*module._parameters.items(), *module._buffers.items()):
        # the count of a normalisation's batches is no weight, and single precision will do for it
        if tensor is not None and tensor.dtype != torch.float32 and name != "num_batches_tracked":
            raise ExportError(f"{type(module).__name__} holds {tensor.dtype} numbers")


def _call(name: str, arguments: list[str], depth: int, *, listed: bool = False, brackets: str = "()") -> str:
    """``name(arguments)``: on one line where it fits, else an argument a line."""
    opening, closing = (f"{name}([", "])") if listed else (f"{name}{brackets[0]}", brackets[1])
    flat = f"{opening}{', '.join(arguments)}{closing}"
    if "\n" not in flat and len(flat) + 4 * depth < 100:
        return flat
    pad = "    " * (depth + 1)
    return "\n".join([opening, *(f"{pad}{argument}," for argument in arguments), "    " * depth + closing])

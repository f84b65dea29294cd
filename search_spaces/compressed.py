"""Networks that were compressed, as genotypes: the original's choices, and what pruning left of its layers.

A compressed network is built without the library that pruned it: the original is built, then its layers are
given their smaller shapes. ``nas.pruning.structured.describe`` writes one down.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn, Self

import torch
from torch import nn

from search_spaces import load_space
from search_spaces.blocks.folding import fold
from search_spaces.errors import SpaceError, unknown
from search_spaces.genotype import Chooser, Genotype

FULL_BITS = 32
"""Bits of a number that was not quantised."""

TRAINED_FOR = ("pixels", "perception")
"""What a network was trained to come close to: the pixels, or what a classifier and a critic see in them."""

BITS = (2, 3, 4, 5, 6, 7, 8, 16, FULL_BITS)
"""What ``weight_bits`` and ``activation_bits`` may be."""

Shapes = dict[str, dict[str, Any]]
"""Module's name -> what changed of it: numbers (``out_channels``) and shapes of its tensors (``weight``)."""

_FIELDS = ("of", "choices", "folded", "shapes", "weight_bits", "activation_bits", "trained_for")


@dataclass(frozen=True, kw_only=True)
class Compressed(Genotype):
    """A network of another space after pruning and quantisation.

    ``of`` and ``choices``: the space and the choices of the network that was compressed. ``folded``: whether
    its training-time branches were folded before; networks that have any are folded before they are pruned
    or quantised. ``shapes``: for each module that pruning changed, by its name in the network, folded where
    ``folded`` says so (the empty word is the network itself), the new
    value of each attribute that is a whole number or a list of them, and the new shape of each parameter and
    buffer. ``weight_bits``, ``activation_bits``: what is quantised to fewer than 32; they are part of the id
    and change neither the built network, which stays in float32, nor its costs. ``trained_for`` is part of
    the id in the same way, so that a network before and after its adversarial training are two.

    It is described, not searched for: :meth:`suggest` raises SpaceError, as does anything that is no such
    description.
    """

    space: ClassVar[str] = "compressed"

    of: str
    choices: dict[str, Any]
    folded: bool = False
    shapes: Shapes = field(default_factory=dict)
    weight_bits: int = FULL_BITS
    activation_bits: int = FULL_BITS
    trained_for: str = TRAINED_FOR[0]

    def __post_init__(self) -> None:
        if self.of == self.space or not isinstance(self.of, str):
            raise SpaceError(f"of = {self.of!r}: a compressed network is of another space, by its name")
        if not isinstance(self.choices, Mapping):
            raise SpaceError(f"choices = {self.choices!r}: a table of choices is needed")
        object.__setattr__(self, "choices", load_space(self.of).from_dict(self.choices).to_dict())
        if not isinstance(self.folded, bool):
            raise SpaceError(f"folded = {self.folded!r} (allowed: true, false)")
        object.__setattr__(self, "shapes", _checked(self.shapes))
        for name in ("weight_bits", "activation_bits"):
            bits = getattr(self, name)
            if not _whole(bits) or bits not in BITS:
                raise SpaceError(f"{name} = {bits!r} (allowed: {', '.join(map(str, BITS))})")
        if self.trained_for not in TRAINED_FOR:
            raise SpaceError(f"trained_for = {self.trained_for!r} (allowed: {', '.join(TRAINED_FOR)})")

    def __hash__(self) -> int:
        return hash(self.id)

    @classmethod
    def suggest(cls, chooser: Chooser) -> NoReturn:
        """Raises SpaceError: a compressed network is made from another, and not proposed."""
        raise SpaceError("the space 'compressed' is not searched: its networks are made from others")

    @classmethod
    def from_dict(cls, choices: Mapping[str, Any]) -> Self:
        """The genotype that :meth:`to_dict` described. Raises SpaceError for anything else."""
        for name in choices:
            if name not in _FIELDS:
                raise unknown(f"entry of space {cls.space!r}:", name, _FIELDS)
        for name in ("of", "choices"):
            if name not in choices:
                raise SpaceError(f"{name} is missing: a compressed network says what it was made from")
        return cls(**choices)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``folded`` where it was, ``shapes`` where pruning changed any, bits where they are not 32.

        ``trained_for`` where it is not pixels.
        """
        plain: dict[str, Any] = {"of": self.of, "choices": dict(self.choices)}
        if self.folded:
            plain["folded"] = True
        if self.shapes:
            plain["shapes"] = json.loads(json.dumps(self.shapes))
        for name in ("weight_bits", "activation_bits"):
            if getattr(self, name) != FULL_BITS:
                plain[name] = getattr(self, name)
        if self.trained_for != TRAINED_FOR[0]:
            plain["trained_for"] = self.trained_for
        return plain

    def original(self) -> Genotype:
        """The genotype of the network that was compressed."""
        return load_space(self.of).from_dict(self.choices)

    def build(self, scale: int) -> nn.Module:
        """The network in float32 with the pruned shapes and fresh weights, (B, 3, H, W) -> (B, 3, sH, sW).

        Fresh weights are the first of the original's. Raises SpaceError where ``shapes`` do not fit the
        original, or the network that they make does not enlarge.
        """
        network = self.original().build(scale)
        network = fold(network) if self.folded else network
        give_shapes(network, self.shapes)
        if self.shapes:
            _require_enlarges(network, scale)
        return network


def shapes_of(pruned: nn.Module, original: nn.Module) -> Shapes:
    """What has to change in ``original`` to give it the shapes of ``pruned``: see :class:`Compressed`.

    Compared are whole numbers, lists of them and the shapes of tensors, module by module. Raises SpaceError
    where the two have different modules or something grew.
    """
    mine, theirs = dict(pruned.named_modules()), dict(original.named_modules())
    if mine.keys() != theirs.keys():
        strange = sorted(mine.keys() ^ theirs.keys())[0]
        raise SpaceError(f"module {strange!r} is in only one of the two networks")
    changed = {}
    for name, module in theirs.items():
        before, after = _sizes(module), _sizes(mine[name])
        if before.keys() != after.keys():
            raise SpaceError(f"{name}: has other parameters or sizes than in the original")
        found = {key: after[key] for key in before if before[key] != after[key]}
        for key, size in found.items():
            if not _fits(size, before[key]):
                raise SpaceError(f"{name}.{key} = {size!r} is larger than the original's {before[key]!r}")
        if found:
            changed[name] = found
    return _checked(changed)


def give_shapes(network: nn.Module, shapes: Shapes) -> None:
    """Give the modules of ``network`` the sizes of ``shapes``, in place; tensors are cut to their first part.

    Raises SpaceError for a module or a name that the network does not have, and for a size that is larger
    than before; the network is then left partly changed.
    """
    modules = dict(network.named_modules())
    made: dict[int, nn.Parameter] = {}  # what several modules share stays shared
    for name, sizes in shapes.items():
        if name not in modules:
            raise _unknown(f"module {name!r}", name, modules)
        module = modules[name]
        known = _sizes(module)
        for key, size in sizes.items():
            if key not in known:
                raise _unknown(f"size {key!r} of module {name!r}", key, known)
            if not _fits(size, known[key]):
                raise SpaceError(f"{name}.{key} = {size!r} does not fit the original's {known[key]!r}")
            _give(module, key, size, made)


def _unknown(what: str, name: str, known: Iterable[str]) -> SpaceError:
    """One short line, of which ``search_spaces.errors.unknown`` would make one with hundreds of modules."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return SpaceError(f"shapes: the network has no {what}{hint}")


def _give(module: nn.Module, key: str, size: Any, made: dict[int, nn.Parameter]) -> None:
    parameter, buffer = module._parameters.get(key), module._buffers.get(key)
    if parameter is not None:
        smaller = nn.Parameter(_cut(parameter.detach(), size), requires_grad=parameter.requires_grad)
        module._parameters[key] = made.setdefault(id(parameter), smaller)
    elif buffer is not None:
        module._buffers[key] = _cut(buffer, size)
    else:
        setattr(module, key, _like(getattr(module, key), size))


def _cut(tensor: torch.Tensor, shape: list[int]) -> torch.Tensor:
    return tensor[tuple(slice(length) for length in shape)].clone()


def _like(old: Any, new: Any) -> Any:
    """``new`` with lists as tuples where ``old`` has tuples."""
    if not isinstance(new, list):
        return new
    return type(old)(_like(one, other) for one, other in zip(old, new, strict=True))


def _sizes(module: nn.Module) -> dict[str, Any]:
    """Every size that a module has of its own, as plain lists and whole numbers."""
    tensors = {**module._parameters, **module._buffers}
    found: dict[str, Any] = {key: list(value.shape) for key, value in tensors.items() if value is not None}
    for key, value in vars(module).items():
        if not key.startswith("_") and _sized(value):
            found[key] = json.loads(json.dumps(value))
    return found


def _sized(value: Any) -> bool:
    """A whole number, or a list or tuple of such."""
    if type(value) in (list, tuple):
        return bool(value) and all(map(_sized, value))
    return _whole(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _fits(new: Any, old: Any) -> bool:
    """The same nesting, and no number larger than before."""
    if isinstance(old, list):
        return isinstance(new, list) and len(new) == len(old) and all(map(_fits, new, old))
    return _whole(new) and new <= old


def _checked(shapes: Any) -> Shapes:
    """``shapes`` copied, in the order of the names, or SpaceError where it is no such table."""
    if not isinstance(shapes, Mapping):
        raise SpaceError(f"shapes = {shapes!r}: a table of modules is needed")
    checked: Shapes = {}
    for name in sorted(shapes, key=str):
        sizes = shapes[name]
        if not isinstance(name, str) or not isinstance(sizes, Mapping) or not sizes:
            raise SpaceError(f"shapes of module {name!r}: a table of sizes is needed, not {sizes!r}")
        for key, size in sizes.items():
            if not _positive(size):
                raise SpaceError(f"{name}.{key} = {size!r}: whole numbers of at least 1 are needed")
        checked[name] = json.loads(json.dumps(dict(sorted(sizes.items()))))
    return checked


def _positive(size: Any) -> bool:
    if isinstance(size, list | tuple):
        return bool(size) and all(map(_positive, size))
    return _whole(size) and size >= 1


def _require_enlarges(network: nn.Module, scale: int) -> None:
    """Raise SpaceError unless shapes fit each other: a small image goes through the fresh network."""
    x = torch.zeros(1, 3, 17, 19, device=next(network.parameters()).device)
    try:
        with torch.no_grad():
            shape = tuple(network.eval()(x).shape)
    except (RuntimeError, ValueError, IndexError) as error:
        raise SpaceError(f"the shapes do not fit each other: {str(error).splitlines()[0]}") from None
    network.train()
    if shape != (1, 3, 17 * scale, 19 * scale):
        raise SpaceError(f"the shapes make a network that gives {shape}, not x{scale}")

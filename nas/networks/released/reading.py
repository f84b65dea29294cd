"""Reads a released file: its tensors out of their wrappers, its layout, the network and its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from leaderboard.names import shortened
from nas.core.files import sha256_of
from nas.errors import CheckpointError
from nas.networks.released.layout import Held, Layout, LayoutError, Shapes, Weights
from nas.networks.released.naming import narrowed, plain_name
from nas.networks.released.table import LAYOUTS
from nas.training.checkpoint import load_pickled, put_weights
from search_spaces import Genotype, SpaceError

SUFFIXES = (".pth", ".pt", ".ckpt", ".bin")
"""What files that ``torch.save`` wrote end in."""

WRAPPERS = ("params_ema", "ema", "params", "state_dict", "model_state_dict", "model", "network", "net")
"""Keys under which training frameworks keep weights, the averaged ones first."""

PREFIXES = ("module.", "_orig_mod.", "network.", "net_g.", "net.", "model.", "generator.")
"""What they put before every name."""

MOST_WRAPPERS = 4
MOST_TENSORS = 10_000
MOST_BYTES = 2**28

MOST_LAYOUT_TENSORS = 2_000
"""Of a released network; MAN with the most blocks has 1,294, and SPAN's training form about 1,000."""

MOST_DIMENSIONS = 4
"""Of a tensor of a released network: those of a convolution's weight."""

MOST_SIDE = 1536
"""Of a tensor of a released network: BSRN's fusion of the most blocks at the largest width."""


@dataclass(frozen=True, kw_only=True)
class Released:
    """A released file, converted: ``weights`` are by the names of the network here, for input in [0, 1].

    ``name`` is the published name, None for a size that has none; ``folded``: the file held training-time
    branches.
    """

    family: str
    source: str
    name: str | None
    genotype: Genotype
    scale: int
    weights: Weights
    sha256: str
    folded: bool

    def called(self) -> str:
        """What it is, in words: ``rlfn at x4``."""
        name = self.name or f"{self.family} in a size without a published name"
        return f"{name} at x{self.scale}{', folded from its training form' if self.folded else ''}"

    def build(self) -> nn.Module:
        """The network with these weights."""
        network = self.genotype.build(self.scale)
        network.load_state_dict(self.weights)
        return network

    def origin(self) -> dict[str, Any]:
        """Where the weights come from, for the header of a file of ours."""
        plain = {"family": self.family, "source": f"{self.source}, released weights", "sha256": self.sha256}
        return {**plain, "folded": self.folded}


def is_released_file(word: str) -> bool:
    """Whether a word names a file as ``torch.save`` writes them."""
    return word.endswith(SUFFIXES)


def read_released(path: Path) -> Released:
    """The network and the weights that a released file holds. Nothing in it runs.

    Raises CheckpointError for a file that is damaged, of no known layout, or of a network not built here.
    """
    return convert(path, read_tensors(path))


def read_tensors(path: Path) -> Weights:
    """The tensors of a ``.pth`` file by name, without the levels and prefixes of training frameworks.

    Averaged weights go before others. Raises CheckpointError.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise CheckpointError(f"{path}: is larger than {MOST_BYTES:,} bytes, the most that is read")
    held = load_pickled(path, "weights")
    for _ in range(MOST_WRAPPERS):
        inner = [held[key] for key in WRAPPERS if isinstance(held, dict) and isinstance(held.get(key), dict)]
        if not inner:
            break
        held = inner[0]
    if not isinstance(held, dict) or not held or len(held) > MOST_TENSORS:
        raise CheckpointError(f"{path}: holds no weights by name")
    for name, tensor in held.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            what = shortened(f"{name}: {type(tensor).__name__}")
            raise CheckpointError(f"{path}: holds no weights by name, but {what}")
        if tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise CheckpointError(f"{path}: {shortened(name)} is no plain tensor ({tensor.layout})")
    needed = sum(tensor.numel() * tensor.element_size() for tensor in held.values())
    if needed > size:
        raise CheckpointError(f"{path}: {needed:,} bytes of numbers in a file of {size:,}")
    return _without_prefixes({name: tensor.detach() for name, tensor in held.items()})


def _without_prefixes(weights: Weights) -> Weights:
    """Names without what stands before all of them."""
    for _ in range(MOST_WRAPPERS):
        common = [prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in weights)]
        if not common:
            break
        weights = {name.removeprefix(common[0]): tensor for name, tensor in weights.items()}
    return weights


def layout_of(weights: Mapping[str, Tensor]) -> Layout | None:
    """The layout that has these tensors; None where none is known."""
    return next((one for one in LAYOUTS if all(_has(weights, mark) for mark in one.marks)), None)


def _has(weights: Mapping[str, Tensor], mark: str) -> bool:
    return any(name.startswith(mark) for name in weights) if mark.endswith(".") else mark in weights


def convert(path: Path, weights: Weights) -> Released:
    """The network and the weights that the tensors of ``path`` stand for. Raises CheckpointError."""
    layout = layout_of(weights)
    if layout is None:
        known = ", ".join(one.family for one in LAYOUTS)
        some = ", ".join(shortened(name) for name in list(weights)[:3])
        raise CheckpointError(
            f"{path}: holds no released network known here, but {len(weights)} tensors ({some}, ...); "
            f"known are {known}; other weights need their network's name and --weights {path}"
        )
    for name, tensor in weights.items():
        if tensor.dtype != torch.float32:
            raise CheckpointError(f"{path}: {shortened(name)} is of {tensor.dtype}; save weights in float32")
    try:
        _require_small(weights)
        folded = weights if layout.fold is None else layout.fold(weights)
        shapes = Shapes.of(folded)
        held = layout.read(shapes)
        genotype, own_shapes = _fitting(held, shapes)
        converted = _converted(held, folded, own_shapes)
    except (LayoutError, SpaceError) as error:
        raise CheckpointError(f"{path}: looks like {layout.family}, but {shortened(error, 400)}") from None
    except (RuntimeError, LookupError, ValueError) as error:  # of a fold: shapes that do not fit each other
        reason = shortened(f"{type(error).__name__}: {error}".splitlines()[0], 200)
        raise CheckpointError(f"{path}: looks like {layout.family}, but does not fit it ({reason})") from None
    genotype = _chosen(held, genotype, _at_peak_one(layout, converted), path)
    return Released(
        family=layout.family,
        source=f"{layout.family}, {layout.source}",
        name=plain_name(genotype, held.scale),
        genotype=genotype,
        scale=held.scale,
        weights=converted,
        sha256=sha256_of(path),
        folded=folded.keys() != weights.keys(),
    )


def _require_small(weights: Weights) -> None:
    """Raise LayoutError for more or larger tensors than any released network has.

    The sides of two tensors of a few kilobytes decide how large their product is.
    """
    if len(weights) > MOST_LAYOUT_TENSORS:
        raise LayoutError(f"it has {len(weights):,} tensors (at most {MOST_LAYOUT_TENSORS:,} are read)")
    for name, tensor in weights.items():
        if max(tensor.shape, default=0) > MOST_SIDE:
            raise LayoutError(
                f"{shortened(name)} has the shape {tuple(tensor.shape)} (no side above {MOST_SIDE:,} is read)"
            )


def _fitting(held: Held, shapes: Shapes) -> tuple[Genotype, Shapes]:
    """The genotype whose network fits these shapes, and its own. Raises LayoutError where none does."""
    own = {name: _own_name(name, held) for name in shapes}
    found = {ours: shapes[name] for name, ours in own.items() if ours is not None}
    genotype = held.genotype
    if held.narrower:
        genotype = narrowed(genotype, held.scale, found)
    expected = Shapes.of(genotype.build(held.scale).state_dict())
    strange = [name for name, ours in own.items() if ours not in expected and name not in held.constants]
    _require_none("is not known", strange)
    back = {ours: theirs for theirs, ours in held.names.items()}
    _require_none("is missing", [_their_name(name, back) for name in expected if name not in found])
    for name, shape in found.items():
        if not _same_sides(shape, expected[name]):
            raise LayoutError(f"{_their_name(name, back)} has the shape {shape}, not {expected[name]}")
    return genotype, expected


def _converted(held: Held, weights: Weights, own_shapes: Shapes) -> Weights:
    """The tensors by their names and shapes here. Raises LayoutError where constants differ."""
    for name, value in held.constants.items():
        given = weights.get(name, value)
        if given.shape != value.shape or not torch.allclose(given, value, atol=1e-6):
            raise LayoutError(f"{name} is not {value.flatten().tolist()}, which is fixed here")
    found = {_own_name(name, held): tensor for name, tensor in weights.items()}
    return {name: found[name].reshape(shape).clone() for name, shape in own_shapes.items()}


def _own_name(name: str, held: Held) -> str | None:
    """What a tensor of the file is called here; None where it has no name."""
    module, _, leaf = name.rpartition(".")
    if name in held.names:
        return held.names[name]
    return f"{held.names[module]}.{leaf}" if module in held.names else None


def _their_name(name: str, back: Mapping[str, str]) -> str:
    module, _, leaf = name.rpartition(".")
    return back.get(name) or (f"{back[module]}.{leaf}" if module in back else name)


def _require_none(what: str, names: Iterable[str]) -> None:
    listed = list(names)
    if listed:
        more = f" and {len(listed) - 1} more" if len(listed) > 1 else ""
        raise LayoutError(f"{shortened(listed[0])} {what}{more}")


def _same_sides(shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Equal, or equal but for sides of 1 where the last is 1: a matrix stands for a 1x1 convolution, say."""
    if shape == expected or expected[-1:] != (1,) or len(shape) > MOST_DIMENSIONS:
        return shape == expected
    return [side for side in shape if side != 1] == [side for side in expected if side != 1]


def _at_peak_one(layout: Layout, weights: Weights) -> Weights:
    """Change weights for values up to ``peak`` to those for values up to 1, in place.

    Between the first and the last convolution all stays the same.
    """
    first, last = layout.ends
    if layout.peak != 1:
        weights[f"{first}.weight"] *= layout.peak
        weights[f"{last}.weight"] /= layout.peak
        weights[f"{last}.bias"] /= layout.peak
    return weights


def _chosen(held: Held, genotype: Genotype, weights: Weights, path: Path) -> Genotype:
    """The network among those of equal tensors that enlarges best: the first that the others do not beat."""
    candidates = (genotype, *held.others)
    errors = []
    for candidate in candidates:
        network = candidate.build(held.scale)
        put_weights(network, weights, path, f"{type(candidate).__name__} {candidate.id}")
        errors.append(_error(network, held.scale) if held.others else 0.0)
    return candidates[errors.index(min(errors))]


@torch.no_grad()
def _error(network: nn.Module, scale: int) -> float:
    """How far the mean of each pixel's enlargement is from it, on a smooth image; NaN counts as infinite."""
    ramp = torch.linspace(0.2, 0.8, 32)
    image = torch.stack([ramp.expand(32, 32), ramp.expand(32, 32).T, torch.full((32, 32), 0.5)])[None]
    error = float((F.avg_pool2d(network.eval()(image), scale) - image).square().mean())
    return error if error == error else float("inf")

"""The composed space of lightweight super-resolution networks: the papers' modules on orthogonal axes.

An option of an axis is one line in the table of its file under ``blocks/``; a further axis is one field here.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar, dataclass_transform

import torch
from torch import Tensor, nn

from search_spaces.axes import choice, span
from search_spaces.blocks.activations import ACTIVATIONS
from search_spaces.blocks.aggregation import AGGREGATIONS, LATER_AGGREGATIONS, mean_of
from search_spaces.blocks.attention import ATTENTIONS, LATER_ATTENTIONS
from search_spaces.blocks.branches import BRANCHES, branched_kernels, same_branches
from search_spaces.blocks.convolutions import CONVOLUTIONS
from search_spaces.blocks.distillation import DISTILLERS, LATER_BLOCKS, blocks_with
from search_spaces.blocks.sharing import SHARINGS, same_sharing
from search_spaces.blocks.stems import STEMS
from search_spaces.blocks.tails import LATER_TAILS, SKIPS, TAILS, Tail
from search_spaces.blocks.transformers import TRANSFORMERS
from search_spaces.errors import require_scale
from search_spaces.extending import extend
from search_spaces.genotype import Genotype, Part

MOST_BLOCKS = 24
FIRST_MOST_BLOCKS = 8
"""That of versions 0 and 1."""
MOST_TRANSFORMERS = 3

ORDERS = {
    "serial": "Transformers after the CNN part (EFRDN, LBNet, ESRT).",
    "interleaved": "Transformers spread evenly between the CNN blocks (ours).",
    "parallel": "CNN part and transformers side by side on the shallow features, summed (ours).",
}
"""Where the transformer blocks stand: option -> what it means."""

_SOME = {"transformers": range(1, MOST_TRANSFORMERS + 1)}
_SEVERAL_BLOCKS = {"blocks": range(2, MOST_BLOCKS + 1)}


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(choice, span))
@dataclass(frozen=True, kw_only=True)
class Lightweight(Genotype):
    """Stem, CNN blocks, their aggregation, transformer blocks, reconstruction, at one width.

    A subclass may add options, each under the name of its axis: ``class MyLab(Lightweight, block={"mine":
    MyBlock})``. Such a class is a frozen dataclass without a decorator, and may declare further axes.
    """

    space: ClassVar[str] = "lightweight"
    tables: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "stem": STEMS,
        "block": DISTILLERS,
        "attention": ATTENTIONS,
        "kernel": {name: conv for name, conv in CONVOLUTIONS.items() if name not in BRANCHES},
        "branches": BRANCHES,
        "activation": ACTIVATIONS,
        "sharing": SHARINGS,
        "aggregation": AGGREGATIONS,
        "order": ORDERS,
        "transformer": TRANSFORMERS,
        "tail": TAILS,
        "skip": SKIPS,
    }
    """The options of each axis that has a table: what builds them, or what they mean."""

    width: int = span(16, 64, step=2, doc="channels of the features")
    stem: str = choice(*STEMS, doc="shallow extraction")
    blocks: int = span(
        1,
        MOST_BLOCKS,
        later=dict.fromkeys(range(FIRST_MOST_BLOCKS + 1, MOST_BLOCKS + 1), 2),
        doc="blocks of the CNN part",
    )
    block: str = choice(*DISTILLERS, later=LATER_BLOCKS, doc="what a CNN block is")
    depth: int = span(1, 4, when={"block": blocks_with("depth")}, doc="steps in a block")
    share: float = choice(
        0.25, 0.5, when={"block": blocks_with("share")}, doc="share of the channels set aside a step"
    )
    attention: str = choice(
        *ATTENTIONS,
        when={"block": blocks_with("attention")},
        later=LATER_ATTENTIONS,
        doc="attention of a block",
    )
    kernel: str = choice(
        *CONVOLUTIONS,
        when={"block": blocks_with("kernel")},
        former={"asymmetric": (1, {"kernel": "3x3", "branches": "asymmetric"})},
        doc="kernel shape of a block's convolutions",
    )
    branches: str = choice(
        *BRANCHES,
        when={"kernel": branched_kernels()},
        same=same_branches(),
        since=1,
        doc="training-time branches of these convolutions, folded for use: part of the training",
    )
    activation: str = choice(
        *ACTIVATIONS, when={"block": blocks_with("activation")}, doc="activation of a block"
    )
    sharing: str = choice(
        *SHARINGS, when=_SEVERAL_BLOCKS, same=same_sharing(MOST_BLOCKS), doc="which CNN blocks share weights"
    )
    aggregation: str = choice(
        *AGGREGATIONS,
        same={"dense": ("plain", {"blocks": (1,)})},
        later=LATER_AGGREGATIONS,
        doc="how the CNN blocks are connected and what leaves them",
    )
    transformers: int = span(0, MOST_TRANSFORMERS, doc="transformer blocks")
    order: str = choice(
        *ORDERS,
        when=_SOME,
        same={"interleaved": ("serial", {"blocks": (1,)})},
        doc="where the transformer blocks stand",
    )
    transformer: str = choice(*TRANSFORMERS, when=_SOME, doc="kind of self-attention")
    heads: int = choice(2, 4, 8, when=_SOME, doc="attention heads")
    mlp_ratio: int = choice(1, 2, when=_SOME, doc="width of the feed-forward part")
    transformer_dense: bool = choice(
        False,
        True,
        when={"transformers": range(2, MOST_TRANSFORMERS + 1), "order": ("serial", "parallel")},
        doc="each transformer takes the mean of all before it (EFRDN, sec. 3.1, with the mean for the sum)",
    )
    tail: str = choice(*TAILS, later=LATER_TAILS, doc="reconstruction")
    shallow_tail: bool = choice(
        False, True, doc="a second reconstruction, of the shallow features, is added (EFRDN, sec. 3.1)"
    )
    skip: str = choice(*SKIPS, doc="interpolated input added to the output")

    def __init_subclass__(cls, **options: Mapping[str, Any]) -> None:
        """Add options to axes: axis -> {option: what builds it}. Raises SpaceError for what cannot be one."""
        super().__init_subclass__()
        if options:
            extend(cls, options)

    def build(self, scale: int) -> nn.Module:
        """The network at x2, x3 or x4, with fresh weights. Raises SpaceError for another scale."""
        return LightweightNetwork(self, scale)

    def parts(self, scale: int) -> tuple[Part, ...]:
        """Stem, CNN block, end of the CNN part, transformers, reconstruction; see :meth:`Genotype.parts`."""
        return tuple(self.parts_by_role(scale).values())

    def parts_by_role(self, scale: int) -> dict[str, Part]:
        """The parts under the names by which the network uses them. Raises SpaceError for another scale."""
        require_scale(scale)
        width, blocks = self.width, self.blocks
        stem = partial(self.tables["stem"][self.stem], width)
        parts = {"stem": Part(("stem", self.stem, width), stem, 3), "block": self._block_part()}
        aggregation = self.tables["aggregation"][self.aggregation]
        if aggregation.end is not None:
            channels = blocks * width if aggregation.collects else width
            key = ("end", self.aggregation, channels, width)
            parts["end"] = Part(key, partial(aggregation.end, blocks, width), channels)
        for role, shifted, count in (
            ("transformer", False, (self.transformers + 1) // 2),
            ("shifted", True, self.transformers // 2),
        ):
            if count:
                parts[role] = self._transformer_part(shifted, count)
        tail = partial(self.tables["tail"][self.tail], width, scale)
        parts["tail"] = Part(("tail", self.tail, width, scale), tail, width)
        if self.shallow_tail:
            parts["shallow_tail"] = parts["tail"]
        return parts

    def weights_of_blocks(self) -> list[int]:
        """Which set of weights each CNN block uses."""
        weights: list[int] = self.tables["sharing"][self.sharing or "none"](self.blocks)
        return weights

    def wiring(self) -> Wiring:
        """How the network joins its parts."""
        aggregation = self.tables["aggregation"][self.aggregation]
        return Wiring(
            dense=aggregation.dense,
            collects=aggregation.collects,
            ends=aggregation.end is not None,
            places=_places(self.blocks, self.transformers),
        )

    def block_settings(self) -> dict[str, Any]:
        """The keywords of a CNN block's constructor; those that are None are not given."""
        settings: dict[str, Any] = {"depth": self.depth, "share": self.share}
        if self.kernel is not None:
            branches = self.tables["branches"][self.branches or "none"]
            settings["conv"] = branches or self.tables["kernel"][self.kernel]
        if self.attention is not None:
            settings["attention"] = self.tables["attention"][self.attention]
        if self.activation is not None:
            settings["activation"] = self.tables["activation"][self.activation]
        return settings

    def _block_part(self) -> Part:
        taken = {name: value for name, value in self.block_settings().items() if value is not None}
        key = ("block", self.width, self.block, self.depth, self.share, self.attention, self.kernel)
        further = tuple(getattr(self, name) for name in _further_axes(type(self)))  # type: ignore[arg-type]
        return Part(
            (*key, self.activation, *further),
            partial(self.tables["block"][self.block], self.width, **taken),
            self.width,
            copies=max(self.weights_of_blocks()) + 1,
            uses=self.blocks,
        )

    def _transformer_part(self, shifted: bool, count: int) -> Part:
        settings = {"heads": self.heads, "mlp_ratio": self.mlp_ratio, "shifted": shifted}
        build = partial(self.tables["transformer"][self.transformer], self.width, **settings)
        key = ("transformer", self.transformer, self.width, self.heads, self.mlp_ratio)
        return Part(key, build, self.width, copies=count, uses=count)


@functools.cache
def _further_axes(genotype: type[Lightweight]) -> tuple[str, ...]:
    """The axes that a subclass declares beside those of the composed space."""
    return tuple(field.name for field in fields(genotype) if field.name not in Lightweight.__annotations__)


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """How the parts are joined: connections of the CNN part, and the block that each transformer follows."""

    dense: bool
    collects: bool
    ends: bool
    places: tuple[int, ...]


class LightweightNetwork(nn.Module):
    """The network that a Lightweight genotype describes, built from its parts."""

    def __init__(self, genotype: Lightweight, scale: int) -> None:
        super().__init__()
        parts = genotype.parts_by_role(scale)
        self.scale = scale
        self.wiring = genotype.wiring()
        self.weights_of_blocks = genotype.weights_of_blocks()
        self.order = genotype.order or "serial"
        self.transformer_dense = bool(genotype.transformer_dense)
        self.stem = parts["stem"].build()
        self.blocks = nn.ModuleList(parts["block"].build() for _ in range(parts["block"].copies))
        self.end = parts["end"].build() if "end" in parts else None
        self.transformers = nn.ModuleList(
            parts["shifted" if position % 2 else "transformer"].build()
            for position in range(genotype.transformers)
        )
        self.tail = parts["tail"].build()
        self.shallow_tail = parts["shallow_tail"].build() if "shallow_tail" in parts else None
        self.skip = genotype.tables["skip"][genotype.skip]
        if self.skip is not None:
            for tail in (self.tail, self.shallow_tail):
                if tail is not None:
                    assert isinstance(tail, Tail)
                    tail.start_silent()

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        shallow = self.stem(x)
        if self.order == "serial":
            deep = self._transform(self._convolve(shallow) + shallow)
        elif self.order == "parallel":
            deep = self._convolve(shallow) + self._transform(shallow) + shallow
        else:
            deep = self._convolve(shallow) + shallow
        image = self.tail(deep)
        if self.shallow_tail is not None:
            image = image + self.shallow_tail(shallow)
        return image if self.skip is None else image + self.skip(x, self.scale)

    def _convolve(self, shallow: Tensor) -> Tensor:
        """The CNN part, with the transformers in it where they are interleaved."""
        features, collected = shallow, [shallow]
        for position, index in enumerate(self.weights_of_blocks):
            features = self.blocks[index](mean_of(collected) if self.wiring.dense else features)
            if self.order == "interleaved":
                for transformer, place in zip(self.transformers, self.wiring.places, strict=True):
                    if place == position:
                        features = transformer(features)
            if self.wiring.dense or self.wiring.collects:
                collected.append(features)
        if self.wiring.dense:
            features = mean_of(collected)
        elif self.wiring.collects:
            features = torch.cat(collected[1:], dim=1)
        return features if self.end is None else self.end(features)

    def _transform(self, features: Tensor) -> Tensor:
        """The transformer part, one after the other or with dense connections."""
        collected = [features]
        for transformer in self.transformers:
            features = transformer(mean_of(collected) if self.transformer_dense else features)
            if self.transformer_dense:
                collected.append(features)
        return mean_of(collected) if self.transformer_dense else features


def _places(blocks: int, transformers: int) -> tuple[int, ...]:
    """After which block (from 0) each interleaved transformer stands: evenly spread."""
    numbers = range(1, transformers + 1)
    return tuple(-(-(number * blocks) // (transformers + 1)) - 1 for number in numbers)

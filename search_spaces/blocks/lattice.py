"""Lattice blocks (LatticeNet) and what EFRDN builds from them, up to its distillation module.

EFRDN is doi 10.1016/j.cviu.2024.104178. Its text leaves widths, groups and normalisation open; what it does
not settle was inferred from the parameters and Multi-Adds of its tables and is a field of
:class:`DistillationVariant`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks.attention import AttentionFactory, EnhancedSpatialAttention
from search_spaces.blocks.calibration import (
    CombinationAttention,
    CombinationCoefficient,
    Fuse,
    SelfCalibratedChannel,
    SelfCalibratedSpatial,
    fitting_groups,
)
from search_spaces.blocks.convolutions import ConvFactory, channels_into, pointwise, square3x3
from search_spaces.blocks.folding import Foldable, convolution3x3

Coefficients = Literal["branches", "lattices", "pairs", "separate", "none"]
Merge = Literal["mixed", "concat", "sum"]
Distilled = Literal["acrb", "3x3", "none"]


@dataclass(frozen=True, kw_only=True)
class DistillationVariant:
    """One reading of EFRDN's distillation module; the defaults are the one whose costs fit the tables.

    ``fflb``, ``gcrb`` (the two on the lattice's branches), ``effb``, ``mscc``: whether the part is there
    (the paper's ablations). ``coefficients``: how the lattice's four combination coefficients are tied:
    "branches" (four, each with one bottleneck for mean and deviation), "lattices" (one A and one B for both
    butterflies), "pairs" (one per butterfly, A = B), "separate" (as LatticeNet, over the printed budget),
    "none" (plain sums). ``merge``: what EFFB's two convolutions see: first a concatenation and then a sum
    ("mixed"), or one of the two twice. ``fuse``: the last convolution of a self-calibrated unit.
    ``distilled``: what the distilled share passes through.
    """

    fflb: bool = True
    gcrb: bool = True
    effb: bool = True
    mscc: bool = True
    coefficients: Coefficients = "branches"
    merge: Merge = "mixed"
    fuse: Fuse = "1x1"
    distilled: Distilled = "acrb"


def _activation() -> nn.Module:
    return nn.LeakyReLU(0.05, inplace=True)


class LatticeBlock(nn.Module):
    """Two butterflies of coefficients around two convolution stacks (LatticeNet, ECCV 2020, sec. 3.2).

    As in the released code: stacks of three 3x3 convolutions with three quarters of the width inside, each
    followed by LeakyReLU 0.05; four coefficients; a 1x1 convolution of both branches; no skip.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = self._stack(width), self._stack(width)
        self.coefficients = nn.ModuleList(CombinationCoefficient(width) for _ in range(4))
        self.fuse = pointwise(2 * width, width)

    @staticmethod
    def _stack(width: int) -> nn.Sequential:
        inner = width - width // 4
        sizes = [(width, inner), (inner, inner), (inner, width)]
        return nn.Sequential(*(part for size in sizes for part in (square3x3(*size), nn.LeakyReLU(0.05))))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        b1, a1, b2, a2 = self.coefficients
        stacked = self.first(x)
        upper = x + b1(stacked) * stacked
        lower = stacked + a1(x) * x
        stacked = self.second(upper)
        upper = stacked + b2(lower) * lower
        lower = lower + a2(stacked) * stacked
        return self.fuse(torch.cat([upper, lower], dim=1))


class GroupResidualBlock(nn.Module):
    """GCRB: grouped 1x1 down to a quarter, depthwise 3x3, grouped 1x1 up, the input added (EFRDN, sec. 3.2).

    Each convolution is followed by normalisation and activation, the last one too ("mirrors the first part").
    Inferred: 2 groups, batch normalisation, no biases, which give the 424 parameters and 328 Multi-Adds per
    pixel at 32 channels that the row "without GCRB" prints, within its rounding. LeakyReLU 0.05 is ours.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(1, width // 4)
        groups = fitting_groups(2, width, inner)
        self.body = nn.Sequential(
            nn.Conv2d(width, inner, 1, groups=groups, bias=False),
            nn.BatchNorm2d(inner),
            _activation(),
            nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            _activation(),
            nn.Conv2d(inner, width, 1, groups=groups, bias=False),
            nn.BatchNorm2d(width),
            _activation(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return x + self.body(x)


class FeatureFusionBlock(nn.Module):
    """EFFB: three GCRB in a chain, fused two and then three through self-calibrated units (EFRDN, sec. 3.2).

    Inferred: the chain, and 3x3 convolutions in 8 groups, the first on the concatenation of the first two
    outputs, the second on the sum with the third (``merge="mixed"``); dense ones cost more than the whole
    block.
    """

    def __init__(self, width: int, *, merge: Merge = "mixed", fuse: Fuse = "1x1") -> None:
        super().__init__()
        self.residuals = nn.ModuleList(GroupResidualBlock(width) for _ in range(3))
        self.concats = (merge != "sum", merge == "concat")
        groups = fitting_groups(8, width)
        self.merges = nn.ModuleList(
            nn.Conv2d((1 + concat) * width, width, 3, padding=1, groups=groups) for concat in self.concats
        )
        self.spatial = SelfCalibratedSpatial(width, fuse=fuse)
        self.channel = SelfCalibratedChannel(width, fuse=fuse)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        first = self.residuals[0](x)
        second = self.residuals[1](first)
        third = self.residuals[2](second)
        fused = self.spatial(self._merge(0, first, second))
        return self.channel(self._merge(1, fused, third))

    def _merge(self, position: int, a: Tensor, b: Tensor) -> Tensor:
        return self.merges[position](torch.cat([a, b], dim=1) if self.concats[position] else a + b)


class _Combination(nn.Module):
    """A(x) or B(x) of the lattice: coefficient times feature, or the feature alone without coefficients."""

    def __init__(self, coefficient: CombinationCoefficient | None) -> None:
        super().__init__()
        self.coefficient = coefficient

    def forward(self, x: Tensor) -> Tensor:
        return x if self.coefficient is None else self.coefficient(x) * x


def _combinations(width: int, tying: Coefficients) -> nn.ModuleList:
    """A and B of the first butterfly, then of the second."""
    if tying not in get_args(Coefficients):
        raise ValueError(f"coefficients {tying!r} (allowed: {', '.join(get_args(Coefficients))})")
    if tying == "none":
        return nn.ModuleList(_Combination(None) for _ in range(4))
    order = {"lattices": [0, 1, 0, 1], "pairs": [0, 0, 1, 1]}.get(tying, [0, 1, 2, 3])
    tied = tying == "branches"
    made = [_Combination(CombinationCoefficient(width, tied=tied)) for _ in range(max(order) + 1)]
    return nn.ModuleList(made[index] for index in order)


class FeatureFusionLatticeBlock(nn.Module):
    """FFLB: a lattice whose branches are GCRB and ESA and whose end is EFFB (EFRDN, eqs. 10-16).

    A(x) and B(x) are read as CC(x) * x, LatticeNet's use, and S1, S2 as learned scalars that start at 1
    (inferred: the group's habit). 21.32 K parameters at 32 channels, of which the coefficients have 648.
    """

    def __init__(self, width: int, reading: DistillationVariant | None = None) -> None:
        super().__init__()
        reading = reading or DistillationVariant()
        self.first, self.second = (
            nn.Sequential(
                GroupResidualBlock(width) if reading.gcrb else nn.Identity(), EnhancedSpatialAttention(width)
            )
            for _ in range(2)
        )
        self.combinations = _combinations(width, reading.coefficients)
        self.scales = nn.Parameter(torch.ones(2))
        self.fusion: nn.Module = nn.Identity()
        if reading.effb:
            self.fusion = FeatureFusionBlock(width, merge=reading.merge, fuse=reading.fuse)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        a1, b1, a2, b2 = self.combinations
        below = self.first(x)
        upper, lower = x + b1(below), below + a1(x)
        above = self.second(upper)
        upper, lower = above + b2(lower), lower + a2(above)
        return x + self.fusion(self.scales[0] * upper + self.scales[1] * lower)


class AsymmetricResidualBlock(Foldable):
    """ACRB: a 3x3, a 1x3 and a 3x1 convolution summed, activated, the input added (EFRDN, sec. 3.2, Fig. 3).

    Inferred: biases and a batch normalisation on each branch, as in ACNet (arXiv 1908.03930, sec. 3), which
    give 1,032 parameters at 8 channels; LeakyReLU 0.05 is ours.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        kernels = ((3, 3), (1, 3), (3, 1))
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, kernel, padding=(kernel[0] // 2, kernel[1] // 2)),
                nn.BatchNorm2d(width),
            )
            for kernel in kernels
        )
        self.activation = _activation()

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        square, horizontal, vertical = self.branches
        return x + self.activation(square(x) + horizontal(x) + vertical(x))

    @torch.no_grad()
    def folded(self) -> FoldedAsymmetricBlock:
        """The block with one 3x3 convolution for the three branches of evaluation mode.

        Exact because a normalisation with fixed statistics is linear; while training it is not.
        """
        weights, biases = [], []
        for branch in self.branches:
            assert isinstance(branch, nn.Sequential)
            part, norm = branch
            assert isinstance(part, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
            assert part.bias is not None and norm.running_mean is not None and norm.running_var is not None
            gain = norm.weight / (norm.running_var + norm.eps).sqrt()
            below, right = (1 - part.weight.shape[2] // 2, 1 - part.weight.shape[3] // 2)
            square = F.pad(part.weight, (right, right, below, below))
            weights.append(square * gain[:, None, None, None])
            biases.append(norm.bias + (part.bias - norm.running_mean) * gain)
        return FoldedAsymmetricBlock(convolution3x3(sum(weights), sum(biases)), self.activation)


class FoldedAsymmetricBlock(nn.Module):
    """ACRB in use: one 3x3 convolution, activated, the input added."""

    def __init__(self, conv: nn.Conv2d, activation: nn.Module) -> None:
        super().__init__()
        self.conv, self.activation = conv, activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return x + self.activation(self.conv(x))


class MultipleSelfCalibration(nn.Module):
    """MSCC: a spatial, then a channel-wise self-calibrated unit, the input added (EFRDN, sec. 3.2, Fig. 3).

    "Ultimately, the output is weighted via SCCA and added" is read as SCCA(SCSA(x)) + x (inferred: the
    printed costs have room for two units, not for three of this size).
    """

    def __init__(self, width: int, *, fuse: Fuse = "1x1") -> None:
        super().__init__()
        self.spatial = SelfCalibratedSpatial(width, fuse=fuse)
        self.channel = SelfCalibratedChannel(width, fuse=fuse)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return x + self.channel(self.spatial(x))


def _distilled_path(width: int, kind: Distilled) -> nn.Module:
    return {"acrb": AsymmetricResidualBlock, "3x3": lambda n: square3x3(n, n), "none": nn.Identity}[kind](
        width
    )


class AsymmetricDistillationBlock(nn.Module):
    """ACDM: lattices refine what remains, asymmetric convolutions what is distilled (EFRDN, eqs. 17-27).

    The paper: depth 3, at 32 channels. Inferred: a quarter is distilled at each split (IMDN's share; with a
    half the budget fails), so that 3x3 convolutions bring 24 channels back to 32 before each lattice, a
    last one goes to 24, and one fuses 48 to 32. 117.8 K parameters at 32 channels. Eq. 27's MSCC takes the
    fused features, as the text says. ``conv`` makes those five plain convolutions; ``attention`` is
    ignored, because the lattices have their own.
    """

    distils: ClassVar[bool] = True
    convolves: ClassVar[bool] = True
    attends: ClassVar[bool] = False

    def __init__(
        self,
        width: int,
        *,
        conv: ConvFactory = square3x3,
        attention: AttentionFactory | None = None,
        depth: int = 3,
        share: float = 0.25,
        reading: DistillationVariant | None = None,
    ) -> None:
        super().__init__()
        reading = reading or DistillationVariant()
        aside = round(width * share)
        self.distilled = nn.ModuleList(_distilled_path(aside, reading.distilled) for _ in range(depth))
        self.restore = nn.ModuleList(conv(width - aside, width) for _ in range(depth))
        self.lattices = nn.ModuleList(
            FeatureFusionLatticeBlock(width, reading) if reading.fflb else nn.Identity() for _ in range(depth)
        )
        self.last = conv(width, width - aside)
        self.fuse = conv(depth * aside + width - aside, width)
        self.calibration = (
            MultipleSelfCalibration(width, fuse=reading.fuse) if reading.mscc else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        kept, rest = [], x
        for distil, restore, lattice in zip(self.distilled, self.restore, self.lattices, strict=True):
            remaining = channels_into(restore)
            aside, rest = rest.split([rest.shape[1] - remaining, remaining], dim=1)
            kept.append(distil(aside))
            rest = lattice(restore(rest))
        kept.append(self.last(rest))
        return x + self.calibration(self.fuse(torch.cat(kept, dim=1)))


__all__ = [
    "AsymmetricDistillationBlock",
    "AsymmetricResidualBlock",
    "CombinationAttention",
    "CombinationCoefficient",
    "DistillationVariant",
    "FeatureFusionBlock",
    "FeatureFusionLatticeBlock",
    "GroupResidualBlock",
    "LatticeBlock",
    "MultipleSelfCalibration",
    "SelfCalibratedChannel",
    "SelfCalibratedSpatial",
]

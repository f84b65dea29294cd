"""Blocks of the CNN part: information distillation, and the plain residual block as the null option.

Every entry of DISTILLERS keeps (B, width, H, W) and is called as ``block(width, ...)`` with the keywords that
it says it takes (see :class:`CnnBlock`). To add one, write the class and put it in the table at the foot.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks.activations import ActivationFactory, leaky_relu
from search_spaces.blocks.attention import AttentionFactory, ConvolvedChannelAttention
from search_spaces.blocks.cnn_block import CnnBlock
from search_spaces.blocks.convolutions import ConvFactory, channels_into, depthwise, pointwise
from search_spaces.blocks.fourier import FastFourierConv
from search_spaces.blocks.lattice import AsymmetricDistillationBlock, LatticeBlock
from search_spaces.blocks.lkdn import LargeKernelDistillationBlock
from search_spaces.blocks.norms import ChannelNorm
from search_spaces.blocks.plainusr import PlainBlock
from search_spaces.blocks.smfanet import FeatureModulationBlock
from search_spaces.blocks.span import SpanBlock
from search_spaces.blocks.vapsr import VastReceptiveBlock


class MultiDistillationBlock(CnnBlock):
    """IMDB: after each convolution a share of the channels is set aside (IMDN, arXiv 1909.11856, sec. 3.2).

    The paper: depth 3, share 1/4, CCA on the concatenation, 3x3 kernels, LeakyReLU 0.05.
    """

    convolves = attends = activates = distils = True

    def __init__(
        self,
        width: int,
        *,
        conv: ConvFactory,
        attention: AttentionFactory,
        depth: int,
        share: float,
        activation: ActivationFactory = leaky_relu,
    ) -> None:
        super().__init__()
        distilled = round(width * share)
        remaining = width - distilled
        sources = [width] + [remaining] * (depth - 1)
        self.steps = nn.ModuleList(nn.Sequential(conv(source, width), activation()) for source in sources)
        self.last = conv(remaining, distilled)
        collected = distilled * (depth + 1)
        self.attention = attention(collected)
        self.fuse = pointwise(collected, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        kept, rest = [], x
        for step, following in zip(self.steps, [*self.steps[1:], self.last], strict=True):
            made, remaining = step(rest), channels_into(following)
            aside, rest = made.split([made.shape[1] - remaining, remaining], dim=1)
            kept.append(aside)
        collected = torch.cat([*kept, self.last(rest)], dim=1)
        return x + self.fuse(self.attention(collected))


class ResidualDistillationBlock(CnnBlock):
    """RFDB: 1x1 convolutions distil beside shallow residual refinement (RFDN, arXiv 2009.11551, sec. 3.2).

    The released code: depth 3, share 1/2, ESA after the fusion, LeakyReLU 0.05, and no skip around the whole
    block.
    """

    convolves = attends = activates = distils = True

    def __init__(
        self,
        width: int,
        *,
        conv: ConvFactory,
        attention: AttentionFactory,
        depth: int,
        share: float,
        activation: ActivationFactory = leaky_relu,
    ) -> None:
        super().__init__()
        distilled = round(width * share)
        self.distillers = nn.ModuleList(pointwise(width, distilled) for _ in range(depth))
        self.refiners = nn.ModuleList(conv(width, width) for _ in range(depth))
        self.last = conv(width, distilled)
        self.activation = activation()
        self.fuse = pointwise(distilled * (depth + 1), width)
        self.attention = attention(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        kept, rest = [], x
        for distil, refine in zip(self.distillers, self.refiners, strict=True):
            kept.append(self.activation(distil(rest)))
            rest = self.activation(refine(rest) + rest)
        kept.append(self.activation(self.last(rest)))
        return self.attention(self.fuse(torch.cat(kept, dim=1)))


class SeparableDistillationBlock(ResidualDistillationBlock):
    """ESDB: RFDB with a skip around the whole block (BSRN, arXiv 2205.05996, released code).

    The paper: depth 3, share 1/2, blueprint kernels, GELU, blueprint ESA and then CCA.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return x + super().forward(x)


class StarDistillationBlock(CnnBlock):
    """SDM: distillation from products of two projections, inspired by SDAN (arXiv 2506.12475; abstract only).

    Only SDAN's abstract is known: distillation in a high-dimensional non-linear space, within a residual
    block that ends in large-kernel attention. Ours: the star operation of StarNet (arXiv 2403.19967) at twice
    the width, both the distilled and the refined features projected from it, residual refinement. Depth 3
    and share 1/2 are those of LCAN's released code, by the same first author.
    """

    convolves = attends = activates = distils = True
    ratio = 2

    def __init__(
        self,
        width: int,
        *,
        conv: ConvFactory,
        attention: AttentionFactory,
        depth: int,
        share: float,
        activation: ActivationFactory = leaky_relu,
    ) -> None:
        super().__init__()
        distilled, high = round(width * share), self.ratio * width
        self.gates = nn.ModuleList(pointwise(width, high) for _ in range(depth))
        self.values = nn.ModuleList(pointwise(width, high) for _ in range(depth))
        self.activation = activation()
        self.distillers = nn.ModuleList(pointwise(high, distilled) for _ in range(depth))
        self.refiners = nn.ModuleList(
            nn.Sequential(pointwise(high, width), conv(width, width)) for _ in range(depth)
        )
        self.last = conv(width, distilled)
        self.fuse = pointwise(distilled * (depth + 1), width)
        self.attention = attention(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        kept, rest = [], x
        steps = zip(self.gates, self.values, self.distillers, self.refiners, strict=True)
        for gate, value, distil, refine in steps:
            star = self.activation(gate(rest)) * value(rest)
            kept.append(distil(star))
            rest = rest + refine(star)
        kept.append(self.last(rest))
        return x + self.attention(self.fuse(torch.cat(kept, dim=1)))


class WeightedDistillationBlock(CnnBlock):
    """WRD: stepwise distillation whose two branches carry learned weights, inspired by LMSWN.

    (Comput. Eng. Sci. 46(8):1433-1443, 2024.) Only its abstract is known: a residual module strengthens the
    square convolution, channels are split and distilled by 1x1 convolutions step by step, two adaptive
    parameters weight the two branches. Ours: split after each convolution, 1x1 on both parts, out =
    a * distilled features + b * input with a = b = 1 at the start, as in AWSRN (arXiv 1904.02358, released
    code). The asymmetric kernel is the nearest to the strengthened square.
    """

    convolves = attends = activates = distils = True

    def __init__(
        self,
        width: int,
        *,
        conv: ConvFactory,
        attention: AttentionFactory,
        depth: int,
        share: float,
        activation: ActivationFactory = leaky_relu,
    ) -> None:
        super().__init__()
        aside = round(width * share)
        self.steps = nn.ModuleList(nn.Sequential(conv(width, width), activation()) for _ in range(depth))
        self.distillers = nn.ModuleList(pointwise(aside, aside) for _ in range(depth))
        self.restore = nn.ModuleList(pointwise(width - aside, width) for _ in range(depth))
        self.last = conv(width, aside)
        self.fuse = pointwise(aside * (depth + 1), width)
        self.attention = attention(width)
        self.scales = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        kept, rest = [], x
        for step, distil, restore in zip(self.steps, self.distillers, self.restore, strict=True):
            parts = [channels_into(distil), channels_into(restore)]
            aside, rest = step(rest).split(parts, dim=1)
            kept.append(distil(aside))
            rest = restore(rest)
        kept.append(self.last(rest))
        return self.scales[0] * self.attention(self.fuse(torch.cat(kept, dim=1))) + self.scales[1] * x


class ResidualLocalBlock(CnnBlock):
    """RLFB: activated convolutions, the input added, 1x1, attention: no distillation left.

    (RLFN, arXiv 2205.07514, released code.) The paper: depth 3, 3x3 kernels, LeakyReLU 0.05, the slim ESA.
    """

    convolves = attends = activates = repeats = True

    def __init__(
        self,
        width: int,
        *,
        conv: ConvFactory,
        attention: AttentionFactory,
        depth: int,
        activation: ActivationFactory = leaky_relu,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(part for _ in range(depth) for part in (conv(width, width), activation()))
        )
        self.fuse = pointwise(width, width)
        self.attention = attention(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return self.attention(self.fuse(x + self.body(x)))


class MultiScaleModulation(nn.Module):
    """SAFM: quarters of the channels seen at 1, 1/2, 1/4 and 1/8 of the size gate the input.

    (SAFMN, arXiv 2302.13800, released code.) Maps are pooled to one pixel at least, and channels left over by
    four stay at full size (both ours).
    """

    levels = 4

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // self.levels
        parts = [channels - (self.levels - 1) * quarter] + [quarter] * (self.levels - 1)
        self.seen = nn.ModuleList(depthwise(part, 3) for part in parts)
        self.fuse = pointwise(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = x.shape[-2:]
        collected = []
        parts = x.split([channels_into(conv) for conv in self.seen], dim=1)
        for level, (part, conv) in enumerate(zip(parts, self.seen, strict=True)):
            if level == 0:
                collected.append(conv(part))
                continue
            small = (max(1, height // 2**level), max(1, width // 2**level))
            pooled = F.adaptive_max_pool2d(part, small)
            collected.append(F.interpolate(conv(pooled), (height, width), mode="nearest"))
        return x * F.gelu(self.fuse(torch.cat(collected, dim=1)))


class ModulationBlock(CnnBlock):
    """SAFM and then CCM, each normalised and added (SAFMN, arXiv 2302.13800, released code).

    CCM is a convolution to twice the width (3x3 in the paper), GELU and 1x1 back.
    """

    convolves = True

    def __init__(self, width: int, *, conv: ConvFactory) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(width, eps=1e-6), ChannelNorm(width, eps=1e-6)
        self.modulation = MultiScaleModulation(width)
        self.mixer = nn.Sequential(conv(width, 2 * width), nn.GELU(), pointwise(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        x = x + self.modulation(self.norm1(x))
        return x + self.mixer(self.norm2(x))


class GradientPooling(nn.Module):
    """GPD: halves of the channels pass to ever smaller maps; all together gate the input.

    (GPDN, released code, as of its final class.) Half stays at full size, a quarter is max pooled to a
    fourth, an eighth to a sixteenth, an eighth to a sixty-fourth, each pooled from the map before; depthwise
    3x3 and nearest enlargement each. The first pooling rounds down, the others up, as released; one pixel is
    the least (ours, the released code fails below 4).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        rest, parts = channels, []
        for _ in range(3):
            parts.append(rest - rest // 2)
            rest //= 2
        self.seen = nn.ModuleList(depthwise(part, 3) for part in [*parts, rest])
        self.fuse = pointwise(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = x.shape[-2:]
        sizes = [
            (max(1, height // 4), max(1, width // 4)),
            (-(-height // 16), -(-width // 16)),
            (-(-height // 64), -(-width // 64)),
        ]
        collected, rest = [], x
        for small, conv in zip(sizes, self.seen, strict=False):
            part = channels_into(conv)
            kept, rest = rest.split([part, rest.shape[1] - part], dim=1)
            collected.append(conv(kept))
            rest = F.adaptive_max_pool2d(rest, small)
        collected.append(self.seen[-1](rest))
        enlarged = [F.interpolate(part, (height, width), mode="nearest") for part in collected[1:]]
        return x * F.gelu(self.fuse(torch.cat([collected[0], *enlarged], dim=1)))


class GradientPoolingBlock(CnnBlock):
    """Gradient pooling and then FCA, each normalised; the block's own input is added both times.

    (GPDN, released code: the feature distillation hybrid unit; no text of its article could be read.)
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(width, eps=1e-6), ChannelNorm(width, eps=1e-6)
        self.pooling = GradientPooling(width)
        self.attention = ConvolvedChannelAttention(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        pooled = x + self.pooling(self.norm1(x))
        return x + self.attention(self.norm2(pooled))


class FourierBlock(CnnBlock):
    """Revised FFC, PReLU, convolution, a tenth of it added (F2SRGAN, Electronics 2023, 12(11), 2544).

    The released code: a depthwise separable kernel. Fourier transforms are in no count of Multi-Adds.
    """

    convolves = True

    def __init__(self, width: int, *, conv: ConvFactory) -> None:
        super().__init__()
        self.body = nn.Sequential(FastFourierConv(width), nn.PReLU(width), conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return x + 0.1 * self.body(x)


class ResidualBlock(CnnBlock):
    """Two convolutions with a skip: the null option (EDSR, arXiv 1707.02921, sec. 3.1; attention is ours)."""

    convolves = attends = activates = True

    def __init__(
        self,
        width: int,
        *,
        conv: ConvFactory,
        attention: AttentionFactory,
        activation: ActivationFactory = leaky_relu,
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(width, width), activation(), conv(width, width), attention(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return x + self.body(x)


DISTILLERS: dict[str, type[nn.Module]] = {
    "imdb": MultiDistillationBlock,
    "rfdb": ResidualDistillationBlock,
    "esdb": SeparableDistillationBlock,
    "acdm": AsymmetricDistillationBlock,
    "gpdb": GradientPoolingBlock,
    "sdm": StarDistillationBlock,
    "wrd": WeightedDistillationBlock,
    "rlfb": ResidualLocalBlock,
    "lattice": LatticeBlock,
    "safm": ModulationBlock,
    "ffc": FourierBlock,
    "residual": ResidualBlock,
    "fmb": FeatureModulationBlock,
    "lkdb": LargeKernelDistillationBlock,
    "vab": VastReceptiveBlock,
    "spab": SpanBlock,
    "plainusr": PlainBlock,
}

LATER_BLOCKS = {"fmb": 2, "lkdb": 2, "vab": 2, "spab": 2, "plainusr": 2}
"""Options that were added -> the version of the space that has them first."""


ABILITIES: dict[str, tuple[str, ...]] = {
    "depth": ("distils", "repeats"),
    "share": ("distils",),
    "attention": ("attends",),
    "kernel": ("convolves",),
    "activation": ("activates",),
}
"""Axis -> the class attributes of CnnBlock, one of which a block needs for the axis to apply."""


def blocks_with(axis: str, table: Mapping[str, type[nn.Module]] = DISTILLERS) -> tuple[str, ...]:
    """The blocks of ``table`` to which an axis of ABILITIES applies."""
    return tuple(
        name
        for name, block in table.items()
        if any(getattr(block, ability, False) for ability in ABILITIES[axis])
    )

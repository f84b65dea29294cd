"""SAFMN++ and its light form: SAFMN with one coarse map, 3x3 convolutions, and neither biases nor norms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.axes import choice, span
from search_spaces.blocks.convolutions import channels_into, depthwise, pointwise
from search_spaces.errors import require_scale
from search_spaces.genotype import Genotype, Part


@dataclass(frozen=True, kw_only=True)
class SafmnPlus(Genotype):
    """SAFMN++ (NTIRE 2024, 36 channels, 6 blocks) and light SAFMN++ (AIS 2024, 32, 2): released code.

    The light form modulates half of the channels instead of a third, and has one skip around all blocks
    instead of one around each and the bilinearly enlarged input.
    """

    width: int = span(8, 96, step=2, doc="channels of the features")
    blocks: int = span(1, 32, doc="blocks")
    light: bool = choice(False, True, doc="the light form's split and skip")

    def build(self, scale: int) -> nn.Module:
        """The network, (B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), with fresh weights.

        Raises SpaceError for another scale than 2, 3 or 4.
        """
        require_scale(scale)
        return SafmnPlusNetwork(self, scale)

    def parts(self, scale: int) -> tuple[Part, ...]:
        """See :meth:`Genotype.parts`. Raises SpaceError for another scale than 2, 3 or 4."""
        require_scale(scale)
        width, part, blocks = self.width, self.modulated, self.blocks
        block = partial(SimpleModulationBlock, width, part, skip=not self.light)
        return (
            Part(("stem", width), partial(_square, 3, width), 3),
            Part(("block", width, part), block, width, copies=blocks, uses=blocks),
            Part(("tail", width, scale), partial(_square, width, 3 * scale**2), width),
        )

    @property
    def modulated(self) -> int:
        """How many channels a block modulates."""
        return self.width // 2 if self.light else self.width // 3


class SimpleModulation(nn.Module):
    """SimpleSAFM: 3x3, the first ``part`` channels gated by their coarse map, GELU, 1x1.

    The coarse map has an eighth of the image's height and width, at least one pixel (ours: the released code
    fails below 8). The gated channels become the last ones, as released.
    """

    factor = 8

    def __init__(self, channels: int, part: int) -> None:
        super().__init__()
        self.enter = _square(channels, channels)
        self.coarse = depthwise(part, 3, bias=False)
        self.leave = pointwise(channels, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        entered = self.enter(x)
        part = channels_into(self.coarse)
        first, rest = entered.split([part, entered.shape[1] - part], dim=1)
        coarse = self.coarse(self._pooled(first))
        gate = F.gelu(F.interpolate(coarse, first.shape[-2:], mode="bilinear", align_corners=False))
        return self.leave(F.gelu(torch.cat([rest, gate * first], dim=1)))

    def _pooled(self, x: Tensor) -> Tensor:
        """The largest value in each of the cells of a coarse map."""
        return F.adaptive_max_pool2d(x, [max(1, side // self.factor) for side in x.shape[-2:]])


class SimpleModulationBlock(nn.Module):
    """SimpleSAFM, then 3x3 to 1.5 times the width, GELU and 1x1 back; with ``skip`` the input is added."""

    def __init__(self, width: int, part: int, *, skip: bool) -> None:
        super().__init__()
        self.modulation = SimpleModulation(width, part)
        inner = 3 * width // 2
        self.mixer = nn.Sequential(_square(width, inner), nn.GELU(), pointwise(inner, width, bias=False))
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        mixed: Tensor = self.mixer(self.modulation(x))
        return x + mixed if self.skip else mixed


class SafmnPlusNetwork(nn.Module):
    """The network that a SafmnPlus describes."""

    def __init__(self, choices: SafmnPlus, scale: int) -> None:
        super().__init__()
        width, self.light, self.scale = choices.width, choices.light, scale
        self.stem = _square(3, width)
        self.blocks = nn.ModuleList(
            SimpleModulationBlock(width, choices.modulated, skip=not self.light)
            for _ in range(choices.blocks)
        )
        self.tail = nn.Sequential(_square(width, 3 * scale**2), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3, scale * H, scale * W), not clipped."""
        shallow = self.stem(x)
        features = shallow
        for block in self.blocks:
            features = block(features)
        if self.light:
            return self.tail(features + shallow)
        size = [self.scale * side for side in x.shape[-2:]]
        return self.tail(features) + F.interpolate(x, size, mode="bilinear", align_corners=False)


def _square(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)

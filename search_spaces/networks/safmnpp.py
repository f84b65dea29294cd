"""SAFMN++ and its light form: SAFMN with one coarse map, 3x3 convolutions, and neither biases nor norms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.axes import choice, span
from search_spaces.blocks.convolutions import channels_into, depthwise, pointwise
from search_spaces.errors import require_scale
from search_spaces.genotype import Genotype


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
        coarse = self.coarse(_largest_of_cells(first, self.factor))
        gate = F.gelu(F.interpolate(coarse, first.shape[-2:], mode="bilinear", align_corners=False))
        return self.leave(F.gelu(torch.cat([rest, gate * first], dim=1)))


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
        part = width // 2 if self.light else width // 3
        self.stem = _square(3, width)
        self.blocks = nn.ModuleList(
            SimpleModulationBlock(width, part, skip=not self.light) for _ in range(choices.blocks)
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


def _largest_of_cells(x: Tensor, factor: int) -> Tensor:
    """Adaptive max pooling to height // factor x width // factor cells, at least one.

    Exporters have no adaptive pooling to a size that is free: for them rows and columns are gathered. Images
    of at least 2 * factor pixels are assumed there.
    """
    if not torch.compiler.is_exporting():
        return F.adaptive_max_pool2d(x, [max(1, side // factor) for side in x.shape[-2:]])
    for dim in (2, 3):
        length = x.shape[dim]
        cells, most = length // factor, 2 * factor + 1
        # Cell i is [floor(i * length / cells), ceil((i + 1) * length / cells)); its last place fills it up.
        place = torch.arange(cells * most, device=x.device)
        cell = place // most
        first, end = cell * length // cells, ((cell + 1) * length + cells - 1) // cells
        index = torch.minimum(first + place % most, end - 1)
        x = x.index_select(dim, index).unflatten(dim, (cells, most)).amax(dim + 1)
    return x

"""What PlainUSR is made of: local importance attention (LIA) and plain convolutions on the first channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks.activations import ActivationFactory, leaky_relu
from search_spaces.blocks.attention import AttentionFactory
from search_spaces.blocks.branches import InvertedConv, Merged
from search_spaces.blocks.cnn_block import CnnBlock
from search_spaces.blocks.convolutions import ConvFactory, channels_into, pointwise


class LocalImportanceAttention(nn.Module):
    """LIA: a coarse map of importance, and the first channel of every pixel, weight the input.

    (PlainUSR, arXiv 2409.13435, released code.) The coarse map: 1x1 to ``hidden`` channels, soft pooling
    (7x7, stride 3), 3x3 with stride 2, 3x3 back, sigmoid, bilinear enlargement. ``hidden`` is 16 in the base
    network, 4 to 16 in the others; a quarter of the channels unless given (ours; the paper's 16 for 64).
    Maps smaller than 7 pixels, where the pooling has no output, are extended by replication before it, and
    the exponents of the soft pooling are kept within +-40, so that they stay finite (both ours).
    """

    smallest = 7
    most = 40.0

    def __init__(self, channels: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or max(1, channels // 4)
        self.squeeze = pointwise(channels, hidden)
        self.stride = nn.Conv2d(hidden, hidden, 3, stride=2, padding=1)
        self.expand = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * self.importance(x) * torch.sigmoid(x[:, :1])

    def importance(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> weights in (0, 1) of the same shape."""
        height, width = x.shape[-2:]
        squeezed = self.squeeze(x)
        below, right = max(0, self.smallest - height), max(0, self.smallest - width)
        small = F.pad(squeezed, (0, right, 0, below), mode="replicate") if below or right else squeezed
        weights = small.clamp(-self.most, self.most).exp()
        pooled = F.avg_pool2d(weights * small, 7, 3) / F.avg_pool2d(weights, 7, 3)
        coarse = torch.sigmoid(self.expand(self.stride(pooled)))
        return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)


class ConvolvedImportanceAttention(nn.Module):
    """The attention of PlainUSR's ultra-light sizes: LIA with one 3x3 in place of the coarse map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.importance = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * torch.sigmoid(self.importance(x)) * torch.sigmoid(x[:, :1])


class GuidedInvertedConv(InvertedConv):
    """RepMBConv before LIA: its first output is a learned 1x1 of all its outputs.

    (PlainUSR, arXiv 2409.13435, released code.) The 1x1 starts as the mean and is folded, too.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels)
        self.guide = pointwise(out_channels, 1)
        nn.init.constant_(self.guide.weight, 1 / out_channels)
        assert self.guide.bias is not None
        nn.init.zeros_(self.guide.bias)

    def by_branches(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        y = super().by_branches(x)
        return torch.cat([self.guide(y), y[:, 1:]], dim=1)

    def weights(self) -> tuple[Tensor, ...]:
        """Those of the inverted convolution, then matrix (1, out) and bias (1,) of the 1x1."""
        assert self.guide.bias is not None
        return *super().weights(), self.guide.weight.flatten(1), self.guide.bias

    def merge(self, *weights: Tensor) -> Merged:
        """The inverted convolution with the kernel of its first output replaced."""
        *inverted, guide, start = weights
        rows, bias = super().merge(*inverted)
        taps = rows.view(*bias.shape, -1)
        first = torch.cat([guide @ taps, taps[:, 1:]], dim=1)
        first_bias = (guide @ bias[:, :, None])[:, :, 0] + start
        return first.view(rows.shape), torch.cat([first_bias, bias[:, 1:]], dim=1)


class PlainBlock(CnnBlock):
    """Convolutions and attention on the first channels; the other channels pass unchanged.

    (PlainUSR, arXiv 2409.13435, released code.) The paper's blocks take ``depth`` 2 (3 in the large size),
    3x3 kernels with the branches ``repmb``, LeakyReLU 0.05 between them and LIA. They leave out 0, 1/4, 1/2,
    1/4 and 0 of the base network's 64 channels one after the other; one ``share`` for all blocks is ours.

    Args:
        width: Channels of the input and of the output.
        conv: Kernel shape.
        attention: What follows the convolutions.
        depth: How many convolutions.
        share: Part of the channels that passes unchanged.
        activation: What stands between the convolutions.
        last: Kernel shape of the last convolution; None is that of the others.
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
        last: ConvFactory | None = None,
    ) -> None:
        super().__init__()
        part = width - round(width * share)
        steps: list[nn.Module] = []
        for _ in range(depth - 1):
            steps += [conv(part, part), activation()]
        self.body = nn.Sequential(*steps, (last or conv)(part, part))
        self.attention = attention(part)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        part = channels_into(self.body)
        taken, rest = x.split([part, x.shape[1] - part], dim=1)
        return torch.cat([self.attention(self.body(taken)), rest], dim=1)

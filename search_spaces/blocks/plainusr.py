"""PlainUSR's block: plain convolutions and local importance attention on the first channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from search_spaces.blocks.activations import ActivationFactory, leaky_relu
from search_spaces.blocks.attention import AttentionFactory
from search_spaces.blocks.branches import InvertedConv, Merged
from search_spaces.blocks.cnn_block import CnnBlock
from search_spaces.blocks.convolutions import ConvFactory, channels_into, pointwise


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
        """Those of the inverted convolution, then of the 1x1."""
        assert self.guide.bias is not None
        return *super().weights(), self.guide.weight, self.guide.bias

    def merge(self, *weights: Tensor) -> Merged:
        """The inverted convolution with the kernel of its first output replaced."""
        *inverted, guide, start = weights
        kernels, bias = super().merge(*inverted)
        matrices = guide.flatten(1, 3)
        first = torch.bmm(matrices, kernels.flatten(2)).view_as(kernels[:, :1])
        first_bias = torch.bmm(matrices, bias.unsqueeze(2)).squeeze(2) + start
        return torch.cat([first, kernels[:, 1:]], dim=1), torch.cat([first_bias, bias[:, 1:]], dim=1)


class PlainBlock(CnnBlock):
    """Convolutions and attention on the first channels; the other channels pass unchanged.

    (PlainUSR, arXiv 2409.13435, released code.)

    The paper's blocks take ``depth`` 2 (3 in the large size),
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

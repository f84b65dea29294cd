"""Kernel shapes: every entry of CONVOLUTIONS is called as ``conv(in_channels, out_channels)``.

To add one, write a module that keeps height and width and put it in the table at the foot. One that equals
a plainer module once it is trained is a :class:`Foldable`, and :func:`fold` replaces it for inference.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from search_spaces.blocks.branches import AsymmetricConv

ConvFactory = Callable[[int, int], nn.Module]


def pointwise(in_channels: int, out_channels: int, *, bias: bool = True) -> nn.Conv2d:
    """A 1x1 convolution."""
    return nn.Conv2d(in_channels, out_channels, 1, bias=bias)


def square3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A plain 3x3 convolution, zero padded."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


def square5x5(in_channels: int, out_channels: int) -> nn.Conv2d:
    """A plain 5x5 convolution, zero padded: the null option at a larger reach."""
    return nn.Conv2d(in_channels, out_channels, 5, padding=2)


class BlueprintConv(nn.Sequential):
    """Blueprint separable convolution: 1x1 without bias, then depthwise 3x3.

    (BSConv-U, arXiv 2003.13549, sec. 3; as used by BSRN, arXiv 2205.05996, released code.)
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            pointwise(in_channels, out_channels, bias=False),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, groups=out_channels),
        )


class DepthwiseConv(nn.Sequential):
    """Depthwise separable convolution: depthwise 3x3, then 1x1, both with biases.

    (MobileNets, arXiv 1704.04861, sec. 3.1, without normalisation; as in F2SRGAN's released code.)
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(depthwise(in_channels, 3), pointwise(in_channels, out_channels))


class StripConv(nn.Sequential):
    """Depthwise 1x11 and 11x1, one after the other, then 1x1: 11x11 pixels for 22 weights a channel.

    (The strips are those of SegNeXt, arXiv 2209.08575; as a kernel shape of its own it is ours.)
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            depthwise(in_channels, (1, 11)),
            depthwise(in_channels, (11, 1)),
            pointwise(in_channels, out_channels),
        )


class DilatedConv(nn.Sequential):
    """Depthwise 7x7 with dilation 3, then 1x1: a reach of 19 pixels.

    (The last two steps of VAN's large kernel, arXiv 2202.09741, sec. 3.1; as a kernel shape of its own it is
    ours.)
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(depthwise(in_channels, 7, dilation=3), pointwise(in_channels, out_channels))


def depthwise(
    channels: int, kernel: int | tuple[int, int], *, dilation: int | tuple[int, int] = 1, bias: bool = True
) -> nn.Conv2d:
    """A depthwise convolution of odd ``kernel`` (rows, columns) that keeps the size, zero padded."""
    rows, columns = (kernel, kernel) if isinstance(kernel, int) else kernel
    down, right = (dilation, dilation) if isinstance(dilation, int) else dilation
    padding = (down * (rows // 2), right * (columns // 2))
    return nn.Conv2d(
        channels,
        channels,
        (rows, columns),
        padding=padding,
        dilation=(down, right),
        groups=channels,
        bias=bias,
    )


def plain(conv: ConvFactory) -> ConvFactory:
    """The kernel shape that ``conv`` is folded to; ``conv`` itself where it has no training-time branches."""
    kernel = getattr(conv, "kernel", None)
    return conv if kernel is None else CONVOLUTIONS[kernel]


def channels_into(layer: nn.Module) -> int:
    """How many channels ``layer`` takes: those of the first convolution in it.

    Blocks that split their features ask this, so that they follow layers which were pruned.
    """
    first = next(part for part in layer.modules() if isinstance(part, nn.Conv2d))
    return first.in_channels


CONVOLUTIONS: dict[str, ConvFactory] = {
    "3x3": square3x3,
    "5x5": square5x5,
    "asymmetric": AsymmetricConv,
    "depthwise": DepthwiseConv,
    "blueprint": BlueprintConv,
    "strip": StripConv,
    "dilated": DilatedConv,
}

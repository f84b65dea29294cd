"""Training-time branches of a convolution: trained as several, used as one.

Every entry of BRANCHES but "none" is called as ``branches(in_channels, out_channels)`` in place of a
convolution of the kernel shape that the class names. To add one, write a subclass of :class:`Branched` or
:class:`BranchedConv` and put it in the table at the foot.

Without batch normalisation a branch is a linear map whose kernel is a function of its weights. So each
training step computes the merged kernel and convolves once: the same function with the same gradients, for
little more than the price of one convolution. In small networks the price is that of launching operations;
:class:`MergeTogether` therefore computes the kernels of all equal parts of a network in one go, and the
gradients of stacking and of the products are written by hand.

The kernels of ``G`` equal parts are stacked as (G, out, height, width, in): that copies least where memory is
channels-last, and each is a matrix of (height * width * out) rows.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from search_spaces.blocks.folding import Foldable, convolution3x3

Merged = tuple[Tensor, ...]


class Branched(Foldable):
    """Branches in place of the convolutions of one kernel shape.

    Attributes:
        kernel: The kernel shape that the branches stand for and are folded to.
        one_by_one: Whether the branches are computed one after the other instead of merged: slower, with the
            same numbers. For counting and for tests.
    """

    kernel: ClassVar[str]
    one_by_one: bool = False
    _ready: Merged | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        if self.one_by_one:
            return self.by_branches(x)
        return self.convolve(x, merged([self])[0] if self._ready is None else self._ready)

    @abstractmethod
    def by_branches(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W), each branch computed for itself."""

    @abstractmethod
    def weights(self) -> tuple[Tensor, ...]:
        """All parameters, in the order of :meth:`merge`."""

    @abstractmethod
    def merge(self, *weights: Tensor) -> Merged:
        """The merged kernels and biases of G parts, stacked, from their stacked :meth:`weights`."""

    @abstractmethod
    def convolve(self, x: Tensor, kernels: Merged) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W), from what :meth:`merge` gives for one part."""


def merged(parts: Sequence[Branched]) -> list[Merged]:
    """Merge parts of one class and size; under autocast in the weights' own precision.

    Returns:
        For each part what its :meth:`Branched.convolve` takes. It can be differentiated once.
    """
    stacked = _Stack.apply(len(parts), *(weight for part in parts for weight in part.weights()))
    device = stacked[0].device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            kernels = parts[0].merge(*stacked)
    else:
        kernels = parts[0].merge(*stacked)
    apart = _Unstack.apply(*kernels)
    return [apart[i :: len(parts)] for i in range(len(parts))]


class MergeTogether:
    """Makes a network compute the merged kernels of equal parts together, at each call.

    The numbers stay the same. :meth:`remove` takes it off.
    """

    def __init__(self, network: nn.Module) -> None:
        groups: dict[Any, list[Branched]] = {}
        for part in network.modules():
            if isinstance(part, Branched):
                key = type(part), tuple(p.shape for p in part.parameters())
                groups.setdefault(key, []).append(part)
        self._groups = [parts for parts in groups.values() if len(parts) > 1]
        self._hooks = []
        if self._groups:
            before = network.register_forward_pre_hook(self._merge)
            self._hooks = [before, network.register_forward_hook(self._forget)]

    def remove(self) -> None:
        """Take the hooks off the network."""
        for hook in self._hooks:
            hook.remove()

    def _merge(self, network: nn.Module, inputs: Any) -> None:
        for parts in self._groups:
            for part, kernels in zip(parts, merged(parts), strict=True):
                part._ready = kernels

    def _forget(self, network: nn.Module, inputs: Any, output: Any) -> None:
        for parts in self._groups:
            for part in parts:
                part._ready = None


class BranchedConv(Branched):
    """Branches that equal one 3x3 convolution; :meth:`merge` gives its kernels and biases."""

    kernel = "3x3"

    def convolve(self, x: Tensor, kernels: Merged) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W), with one convolution."""
        kernel, bias = kernels
        return F.conv2d(x, kernel, bias, padding=1)

    @torch.no_grad()
    def folded(self) -> nn.Conv2d:
        """The one 3x3 convolution that computes the same, with a copy of the weights."""
        [(kernel, bias)] = merged([self])
        return convolution3x3(kernel, bias)


class AsymmetricConv(BranchedConv):
    """The sum of a 3x3, a 1x3 and a 3x1 convolution: a 3x3 with a strengthened skeleton.

    (ACNet, arXiv 1908.03930, sec. 3; the batch normalisation of its branches is left out, as it is throughout
    super-resolution.)
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.square = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.horizontal = nn.Conv2d(in_channels, out_channels, (1, 3), padding=(0, 1), bias=False)
        self.vertical = nn.Conv2d(in_channels, out_channels, (3, 1), padding=(1, 0), bias=False)

    def by_branches(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        y: Tensor = self.square(x) + self.horizontal(x) + self.vertical(x)
        return y

    def weights(self) -> tuple[Tensor, ...]:
        """The three kernels, and the biases."""
        return *_of(self.square), self.horizontal.weight, self.vertical.weight

    def merge(self, *weights: Tensor) -> Merged:
        """The strips added to the middle row and the middle column."""
        square, bias, horizontal, vertical = weights
        return square + F.pad(horizontal, (0, 0, 0, 0, 1, 1)) + F.pad(vertical, (0, 0, 1, 1)), bias


class RepVggConv(BranchedConv):
    """The sum of a 3x3 and a 1x1 convolution, and of the input where as many channels leave as enter.

    (RepVGG, arXiv 2101.03697, sec. 3; without the batch normalisation of its branches, and with one bias.)
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.square = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.point = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def by_branches(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        y: Tensor = self.square(x) + self.point(x)
        return x + y if y.shape[1] == x.shape[1] else y

    def weights(self) -> tuple[Tensor, ...]:
        """Of the 3x3 and of the 1x1."""
        return *_of(self.square), self.point.weight

    def merge(self, *weights: Tensor) -> Merged:
        """The 1x1 and the input added to the centre."""
        square, bias, point = weights
        return _with_centre(square, _plus_input(_matrices(point))), bias


class EdgeConv(BranchedConv):
    """ECB: a 3x3, a 1x1 to twice the channels and 3x3 back, and 1x1 into Sobel and Laplacian filters, summed.

    (ECBSR, ACM MM 2021, released code: the filters' strengths and the biases after them start near 0; the
    block's optional skip is left out, as released.) The 1x1 are padded with their biases, so that the sum
    equals one convolution at the borders, too.
    """

    FILTERS = (
        ((1, 0, -1), (2, 0, -2), (1, 0, -1)),
        ((1, 2, 1), (0, 0, 0), (-1, -2, -1)),
        ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
    )
    """Sobel across columns, Sobel across rows, Laplacian."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        inner, filters = 2 * out_channels, len(self.FILTERS)
        self.square = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.widen = nn.Conv2d(in_channels, inner, 1)
        self.narrow = nn.Conv2d(inner, out_channels, 3)
        self.points = nn.Conv2d(in_channels, filters * out_channels, 1)
        self.strengths = nn.Parameter(1e-3 * torch.randn(filters, out_channels))
        self.filter_bias = nn.Parameter(1e-3 * torch.randn(filters, out_channels))

    def by_branches(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        padded = F.pad(x, (1, 1, 1, 1))
        y: Tensor = self.square(x) + self.narrow(self.widen(padded))
        parts = self.points(padded).chunk(len(self.FILTERS), dim=1)
        filters = x.new_tensor(self.FILTERS)
        for part, taps, strength, bias in zip(parts, filters, self.strengths, self.filter_bias, strict=True):
            kernel = strength[:, None, None, None] * taps
            y = y + F.conv2d(part, kernel, bias, groups=len(strength))
        return y

    def weights(self) -> tuple[Tensor, ...]:
        """Of the 3x3, of the pair, and of the filtered 1x1."""
        filtered = *_of(self.points), self.strengths, self.filter_bias
        return *_of(self.square), *_of(self.narrow), *_of(self.widen), *filtered

    def merge(self, *weights: Tensor) -> Merged:
        """The product of the pair, and each filter times its matrix, added to the 3x3.

        Every filter adds up to 0, so that the biases before them change nothing; they are given a gradient of
        0, since training in several processes needs one for every parameter.
        """
        square, square_bias, *pair, points, _, strengths, filter_bias = weights
        filters = square.new_tensor(self.FILTERS).flatten(1)
        scaled = strengths.flatten(1)[:, :, None] * _matrices(points)
        edges = filters.t() @ scaled.view(len(square), len(filters), -1)
        edges = edges.view(len(square), 3, 3, *square.shape[1::3]).permute(0, 3, 1, 2, 4)
        kernels, bias = _Chain.apply(*pair, None, square + edges)
        return kernels, bias + square_bias + filter_bias.sum(1)


class BesideConv(BranchedConv):
    """A 3x3, a 1x1, and a 1x1 to twice the channels before a 3x3, summed (LKDN-S, arXiv 2407.14340).

    As in the released code the pair's 1x1 is padded with its bias. It is the last convolution of LKDN-S.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.square = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.point = nn.Conv2d(in_channels, out_channels, 1)
        self.widen = nn.Conv2d(in_channels, 2 * in_channels, 1)
        self.narrow = nn.Conv2d(2 * in_channels, out_channels, 3)

    def by_branches(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        y: Tensor = self.square(x) + self.point(x)
        return y + self.narrow(self.widen(F.pad(x, (1, 1, 1, 1))))

    def weights(self) -> tuple[Tensor, ...]:
        """Of the pair, of the 3x3, and of the 1x1."""
        return *_of(self.narrow), *_of(self.widen), *_of(self.square), *_of(self.point)

    def merge(self, *weights: Tensor) -> Merged:
        """The product of the pair and the 3x3, and the 1x1 added to the centre."""
        *pair, square, square_bias, point, point_bias = weights
        kernels, bias = _Chain.apply(*pair, None, _with_centre(square, _matrices(point)))
        return kernels, bias + square_bias + point_bias


class WidenedConv(BranchedConv):
    """Conv3XC: 1x1 to twice the channels, 3x3, 1x1 back, all beside a 1x1.

    (SPAN, arXiv 2311.12770, released code.) The input is padded before the first 1x1, so that the sum equals
    one convolution at the borders, too.
    """

    GAIN = 2

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(in_channels, self.GAIN * in_channels, 1)
        self.square = nn.Conv2d(self.GAIN * in_channels, self.GAIN * out_channels, 3)
        self.narrow = nn.Conv2d(self.GAIN * out_channels, out_channels, 1)
        self.point = nn.Conv2d(in_channels, out_channels, 1)

    def by_branches(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        y: Tensor = self.narrow(self.square(self.widen(F.pad(x, (1, 1, 1, 1)))))
        return y + self.point(x)

    def weights(self) -> tuple[Tensor, ...]:
        """Of the three in the order of their product from the left, and of the 1x1."""
        return *_of(self.square), *_of(self.widen), *_of(self.narrow), *_of(self.point)

    def merge(self, *weights: Tensor) -> Merged:
        """The product of the three, and the 1x1 added to the centre."""
        *pair, narrow, narrow_bias, point, point_bias = weights
        kernels, bias = _Chain.apply(*pair, _matrices(narrow), point)
        return kernels, bias + narrow_bias + point_bias


class InvertedConv(BranchedConv):
    """RepMBConv: 1x1 to twice the channels, a 3x3 whose outputs are weighted and added, 1x1 back, the input.

    (PlainUSR, arXiv 2409.13435, released code.) The weights are a sigmoid of what two matrices make of a
    learned vector; they start at 1, as released. The 3x3 is padded with the 1x1's bias. Where other channels
    leave than enter, the input is not added (ours).
    """

    RATIO, SQUEEZE = 2, 4

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        inner = self.RATIO * in_channels
        squeezed = max(1, inner // self.SQUEEZE)
        self.widen = nn.Conv2d(in_channels, inner, 1)
        self.square = nn.Conv2d(inner, inner, 3)
        self.narrow = nn.Conv2d(inner, out_channels, 1)
        self.seed = nn.Parameter(torch.full((inner,), 0.1))
        self.squeeze = nn.Parameter(torch.ones(squeezed, inner))
        self.excite = nn.Parameter(torch.ones(inner, squeezed))

    def by_branches(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        widened = self.widen(F.pad(x, (1, 1, 1, 1)))
        gate = torch.sigmoid(self.excite @ F.silu(self.squeeze @ self.seed))[:, None, None]
        y: Tensor = self.narrow(gate * self.square(widened) + widened[..., 1:-1, 1:-1])
        return x + y if y.shape[1] == x.shape[1] else y

    def weights(self) -> tuple[Tensor, ...]:
        """Of the three in the order of their product from the left, and of the weights of the 3x3."""
        gate = self.seed, self.squeeze, self.excite
        return *_of(self.square), *_of(self.widen), *_of(self.narrow), *gate

    def merge(self, *weights: Tensor) -> Merged:
        """The product of the three, weighted, and the skips in the centre."""
        *pair, narrow, narrow_bias, seed, squeeze, excite = weights
        gate = torch.sigmoid(_times(excite, F.silu(_times(squeeze, seed))))
        narrow, (_, _, widen, start) = _matrices(narrow), pair
        beside = _plus_input(torch.bmm(narrow, _matrices(widen)))
        kernels, bias = _Chain.apply(*pair, narrow * gate.unsqueeze(1), beside[:, :, None, None])
        return kernels, bias + _times(narrow, start) + narrow_bias


class BranchedBlueprintConv(Branched):
    """A blueprint convolution with the input added to its 1x1, and its input and a 1x1 added to its 3x3.

    (LKDN-S, released code: the 1x1 beside the depthwise 3x3 is depthwise, too.) Where other channels leave
    than enter, the input of the first 1x1 is not added (ours).
    """

    kernel = "blueprint"

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.point = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.depthwise = nn.Conv2d(out_channels, out_channels, 3, padding=1, groups=out_channels)
        self.scale = nn.Conv2d(out_channels, out_channels, 1, groups=out_channels)

    def by_branches(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W)."""
        y: Tensor = self.point(x)
        y = x + y if y.shape[1] == x.shape[1] else y
        return self.depthwise(y) + y + self.scale(y)

    def weights(self) -> tuple[Tensor, ...]:
        """Of the 1x1, of the depthwise 3x3 and of the 1x1 beside it."""
        return self.point.weight, *_of(self.depthwise), *_of(self.scale)

    def merge(self, *weights: Tensor) -> Merged:
        """The 1x1, and the kernels and the biases of the depthwise 3x3."""
        point, depthwise, bias, scale, scale_bias = weights
        first = _plus_input(_matrices(point))[:, :, None, None]
        return first, _with_centre(depthwise, _matrices(scale) + 1), bias + scale_bias

    def convolve(self, x: Tensor, kernels: Merged) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W), with two convolutions."""
        point, depthwise, bias = kernels
        return F.conv2d(F.conv2d(x, point), depthwise, bias, padding=1, groups=len(bias))

    @torch.no_grad()
    def folded(self) -> nn.Sequential:
        """The plain blueprint convolution that computes the same, with a copy of the weights."""
        [(point, depthwise, bias)] = merged([self])
        first = nn.Conv2d(point.shape[1], len(point), 1, bias=False, device="meta")
        first.weight = nn.Parameter(point.clone(memory_format=torch.contiguous_format))
        return nn.Sequential(first, convolution3x3(depthwise, bias, groups=len(bias)))


def _of(conv: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weights and biases."""
    assert conv.bias is not None
    return conv.weight, conv.bias


def _matrices(points: Tensor) -> Tensor:
    """(G, out, 1, 1, in) -> (G, out, in)."""
    return points.flatten(1, 3)


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """(G, out, in), (G, in) -> (G, out)."""
    return torch.bmm(matrices, vectors.unsqueeze(2)).squeeze(2)


def _plus_input(matrices: Tensor) -> Tensor:
    """Matrices (G, out, in) of maps to which the input is added, where as many channels leave as enter."""
    _, out_channels, in_channels = matrices.shape
    if out_channels != in_channels:
        return matrices
    return matrices + torch.eye(in_channels, dtype=matrices.dtype, device=matrices.device)


def _with_centre(kernels: Tensor, matrices: Tensor) -> Tensor:
    """3x3 kernels with (G, out, in) added to the centres."""
    return kernels + F.pad(matrices[:, :, None, None], (0, 0, 1, 1, 1, 1))


class _Stack(torch.autograd.Function):
    """Stacks each weight of ``count`` equal parts, given part by part.

    One node of the graph, where torch's own operations make several for each weight.
    """

    @staticmethod
    def forward(ctx: Any, count: int, *weights: Tensor) -> tuple[Tensor, ...]:
        each = len(weights) // count
        return tuple(_stack(weights[i::each]) for i in range(each))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        apart = [_unstack(grad) for grad in _with_own_memory(grads)]
        return None, *itertools.chain(*zip(*apart, strict=True))


class _Unstack(torch.autograd.Function):
    """The kernels and biases of each part: the first of all parts, the second of all parts, and so on."""

    @staticmethod
    def forward(ctx: Any, *stacked: Tensor) -> tuple[Tensor, ...]:
        ctx.count = len(stacked[0])
        return tuple(itertools.chain(*(_unstack(each.detach()) for each in stacked)))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        return tuple(_stack(grads[i : i + ctx.count]) for i in range(0, len(grads), ctx.count))


def _stack(equal: Sequence[Tensor]) -> Tensor:
    """Vectors and matrices as they are; kernels (out, in, height, width) as (G, out, height, width, in)."""
    if equal[0].dim() == 4:
        equal = [kernel.permute(0, 2, 3, 1) for kernel in equal]
    return torch.stack(equal)  # type: ignore[arg-type]


def _unstack(stacked: Tensor) -> Sequence[Tensor]:
    """What :func:`_stack` was given, as views."""
    return (stacked.permute(0, 1, 4, 2, 3) if stacked.dim() == 5 else stacked).unbind()


def _with_own_memory(grads: Sequence[Tensor]) -> Iterator[Tensor]:
    """Contiguous gradients of which no two share memory, as those of two summands do.

    They become the gradients of parameters, which clipping changes in place. Autograd would copy what is not
    contiguous for each part.
    """
    seen = set()
    for grad in grads:
        dense = grad.contiguous()
        memory = dense.untyped_storage().data_ptr()
        yield dense.clone() if memory in seen else dense
        seen.add(memory)


class _Chain(torch.autograd.Function):
    """Kernels and biases of one convolution that equals 1x1 convolutions before 3x3 ones, and 1x1 after them.

    What the 3x3 sees beyond the border is the bias of the first 1x1: it passes through as one more input
    channel, whose taps are added up. The gradients are written by hand in the fastest forms of the products.

    Args:
        square: Kernels (G, mid, 3, 3, inner) of the 3x3.
        square_bias: Their biases (G, mid).
        widen: Kernels (G, inner, 1, 1, in) of the first 1x1.
        start: Their biases (G, inner).
        narrow: Matrices (G, out, mid) of the last 1x1; None leaves the 3x3 the last.
        beside: Kernels (G, out, 3, 3, in) or (G, out, 1, 1, in) that are added.
    """

    @staticmethod
    def forward(
        ctx: Any,
        square: Tensor,
        square_bias: Tensor,
        widen: Tensor,
        start: Tensor,
        narrow: Tensor | None,
        beside: Tensor,
    ) -> tuple[Tensor, Tensor]:
        count, mid, _, _, inner = square.shape
        first = torch.cat([widen.flatten(1, 3), start.unsqueeze(2)], dim=2)
        product = after_first = torch.bmm(square.view(count, -1, inner), first).view(count, mid, 3, 3, -1)
        after_first[:, :, 1, 1, -1] += square_bias
        if narrow is not None:
            product = torch.bmm(narrow, after_first.flatten(2)).view(count, -1, 3, 3, first.shape[2])
        ctx.save_for_backward(square, first, after_first, narrow)
        ctx.side = beside.shape[2]
        kernels = product[..., :-1].contiguous()
        _middle(kernels, ctx.side).add_(beside)
        return kernels, product[..., -1].sum((2, 3))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_kernels: Tensor, of_bias: Tensor) -> tuple[Tensor | None, ...]:
        square, first, after_first, narrow = ctx.saved_tensors
        count, inner = len(square), square.shape[4]
        grad = of_kernels.new_empty(*of_kernels.shape[:4], first.shape[2])
        grad[..., :-1] = of_kernels
        grad[..., -1] = of_bias[:, :, None, None]
        of_narrow = None
        if narrow is not None:
            taps = grad.flatten(2)
            of_narrow = torch.bmm(after_first.flatten(2), taps.mT).mT  # faster than its transpose
            grad = torch.bmm(narrow.mT, taps).view(after_first.shape)
        rows = grad.view(count, -1, first.shape[2])
        of_square = torch.bmm(rows, first.mT).view(square.shape)
        of_first = torch.bmm(rows.mT, square.view(count, -1, inner)).mT
        of_widen = of_first[:, :, None, None, :-1]
        of_square_bias = grad[:, :, 1, 1, -1]
        return (
            of_square,
            of_square_bias,
            of_widen,
            of_first[..., -1],
            of_narrow,
            _middle(of_kernels, ctx.side),
        )


def _middle(kernels: Tensor, side: int) -> Tensor:
    """The middle of 3x3 kernels, ``side`` taps a side."""
    return kernels if side == 3 else kernels[:, :, 1:2, 1:2]


BRANCHES: dict[str, type[Branched] | None] = {
    "none": None,
    "asymmetric": AsymmetricConv,
    "repvgg": RepVggConv,
    "ecb": EdgeConv,
    "conv3xc": WidenedConv,
    "repmb": InvertedConv,
    "blueprint-rep": BranchedBlueprintConv,
}


def branched_kernels(table: Mapping[str, type[Branched] | None] = BRANCHES) -> tuple[str, ...]:
    """The kernel shapes that have branches."""
    return tuple(dict.fromkeys(branches.kernel for branches in table.values() if branches))


def same_branches(
    table: Mapping[str, type[Branched] | None] = BRANCHES,
) -> dict[str, tuple[str, dict[str, tuple[str, ...]]]]:
    """Branches are "none" on the other kernel shapes that have branches: name -> ("none", on which)."""
    kernels = branched_kernels(table)
    others = {
        name: tuple(kernel for kernel in kernels if kernel != branches.kernel)
        for name, branches in table.items()
        if branches is not None
    }
    return {name: ("none", {"kernel": kernels}) for name, kernels in others.items() if kernels}

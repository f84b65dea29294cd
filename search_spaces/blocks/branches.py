"""Training-time branches of a convolution: trained as several, used as one.

Every entry of BRANCHES but "none" is called as ``branches(in_channels, out_channels)`` in place of a
convolution of the kernel shape that the class names. To add one, write a subclass of :class:`Branched` or
:class:`BranchedConv` and put it in the table at the foot.

Without batch normalisation a branch is a linear map whose kernel is a function of its weights. So each
training step computes the merged kernel and convolves once: the same function with the same gradients, for
little more than the price of one convolution. In small networks the price is that of launching operations;
:class:`MergeTogether` therefore computes the kernels of all equal parts of a network in one go.

Kernels are matrices of rows here: (out, in, 3, 3) as (9 * out, in), which is a view in channels-last memory.
``G`` parts of equal size are stacked along the first dimension.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        """All parameters, as :meth:`merge` takes them."""

    @abstractmethod
    def merge(self, *weights: Tensor) -> Merged:
        """The merged kernels of G parts, from their stacked :meth:`weights`."""

    @abstractmethod
    def convolve(self, x: Tensor, kernels: Merged) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W), from what :meth:`merge` gives for one part."""


def merged(parts: Sequence[Branched]) -> list[Merged]:
    """The merged kernels of parts of one class and one size, in the weights' own precision under autocast."""
    weights = list(zip(*(part.weights() for part in parts), strict=True))
    stacked = [torch.stack(each) if len(each) > 1 else each[0][None] for each in weights]
    device = stacked[0].device.type
    if device != "meta" and torch.is_autocast_enabled(device):
        with torch.autocast(device, enabled=False):
            kernels = parts[0].merge(*stacked)
    else:
        kernels = parts[0].merge(*stacked)
    return list(zip(*(kernel.unbind() for kernel in kernels), strict=True))


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
    """Branches that equal one 3x3 convolution; :meth:`merge` gives its rows and biases."""

    kernel = "3x3"

    def convolve(self, x: Tensor, kernels: Merged) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W), with one convolution."""
        rows, bias = kernels
        return F.conv2d(x, _kernel(rows), bias, padding=1)

    @torch.no_grad()
    def folded(self) -> nn.Conv2d:
        """The one 3x3 convolution that computes the same, with a copy of the weights."""
        [(rows, bias)] = merged([self])
        return convolution3x3(_kernel(rows), bias)


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
        """Kernels (out, 3, 3, in), (out, 1, 3, in) and (out, 3, 1, in), and the biases."""
        convs = self.square, self.horizontal, self.vertical
        return *(conv.weight.permute(0, 2, 3, 1) for conv in convs), _bias(self.square)

    def merge(self, *weights: Tensor) -> Merged:
        """The strips added to the middle row and the middle column."""
        square, horizontal, vertical, bias = weights
        rows = square + F.pad(horizontal, (0, 0, 0, 0, 1, 1)) + F.pad(vertical, (0, 0, 1, 1))
        return rows.flatten(1, 3), bias


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
        """Rows, matrix, biases."""
        return _rows(self.square), _matrix(self.point), _bias(self.square)

    def merge(self, *weights: Tensor) -> Merged:
        """The 1x1 and the input added to the centre."""
        rows, matrix, bias = weights
        return _with_centre(rows, _plus_input(matrix)), bias


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
        pair = _rows(self.narrow), _bias(self.narrow), _matrix(self.widen), _bias(self.widen)
        filtered = _matrix(self.points), _bias(self.points), self.strengths, self.filter_bias
        return _rows(self.square), _bias(self.square), *pair, *filtered

    def merge(self, *weights: Tensor) -> Merged:
        """The product of the pair, and each filter times its matrix, added to the 3x3.

        Every filter adds up to 0, so that the biases before them change nothing; they are given a gradient of
        0, since training in several processes needs one for every parameter.
        """
        square, square_bias, *pair, points, unused, strengths, filter_bias = weights
        rows, bias = _product(pair)
        filters = rows.new_tensor(self.FILTERS).flatten(1)
        scaled = strengths.flatten(1)[:, :, None] * points
        edges = filters.t() @ scaled.view(len(rows), len(filters), -1)
        edges = edges.view(len(rows), 9, *strengths.shape[2:], -1).transpose(1, 2).reshape(rows.shape)
        return rows + square + edges, bias + square_bias + filter_bias.sum(1) + 0 * unused.sum()


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
        pair = _rows(self.narrow), _bias(self.narrow), _matrix(self.widen), _bias(self.widen)
        return *pair, _rows(self.square), _bias(self.square), _matrix(self.point), _bias(self.point)

    def merge(self, *weights: Tensor) -> Merged:
        """The product of the pair and the 3x3, and the 1x1 added to the centre."""
        *pair, square, square_bias, point, point_bias = weights
        rows, bias = _product(pair)
        return _with_centre(rows + square, point), bias + square_bias + point_bias


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
        pair = _rows(self.square), _bias(self.square), _matrix(self.widen), _bias(self.widen)
        return *pair, _matrix(self.narrow), _bias(self.narrow), _matrix(self.point), _bias(self.point)

    def merge(self, *weights: Tensor) -> Merged:
        """The product of the three, and the 1x1 added to the centre."""
        *pair, narrow, narrow_bias, point, point_bias = weights
        rows, bias = _product(pair, narrow)
        return _with_centre(rows, point), bias + narrow_bias + point_bias


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
        pair = _rows(self.square), _bias(self.square), _matrix(self.widen), _bias(self.widen)
        gate = self.seed, self.squeeze, self.excite
        return *pair, _matrix(self.narrow), _bias(self.narrow), *gate

    def merge(self, *weights: Tensor) -> Merged:
        """The product of the three, weighted, and the skips in the centre."""
        *pair, narrow, narrow_bias, seed, squeeze, excite = weights
        gate = torch.sigmoid(_times(excite, F.silu(_times(squeeze, seed))))
        rows, bias = _product(pair, narrow * gate[:, None])
        widen, start = pair[2:]
        rows = _with_centre(rows, _plus_input(narrow @ widen))
        return rows, bias + _times(narrow, start) + narrow_bias


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
        depthwise = _rows(self.depthwise), _bias(self.depthwise)
        return _matrix(self.point), *depthwise, _matrix(self.scale), _bias(self.scale)

    def merge(self, *weights: Tensor) -> Merged:
        """The matrix (out, in), and the rows and the biases of the depthwise 3x3."""
        point, rows, bias, scale, scale_bias = weights
        return _plus_input(point), _with_centre(rows, scale + 1), bias + scale_bias

    def convolve(self, x: Tensor, kernels: Merged) -> Tensor:
        """(B, in, H, W) -> (B, out, H, W), with two convolutions."""
        point, rows, bias = kernels
        y = F.conv2d(x, point[:, :, None, None])
        return F.conv2d(y, _kernel(rows), bias, padding=1, groups=len(bias))

    @torch.no_grad()
    def folded(self) -> nn.Sequential:
        """The plain blueprint convolution that computes the same, with a copy of the weights."""
        [(point, rows, bias)] = merged([self])
        first = nn.Conv2d(point.shape[1], len(point), 1, bias=False, device="meta")
        first.weight = nn.Parameter(point[:, :, None, None].clone())
        return nn.Sequential(first, convolution3x3(_kernel(rows), bias, groups=len(bias)))


def _rows(conv: nn.Conv2d) -> Tensor:
    """(9 * out, in): the weights of a 3x3 convolution."""
    return conv.weight.permute(0, 2, 3, 1).reshape(-1, conv.weight.shape[1])


def _kernel(rows: Tensor) -> Tensor:
    """(9 * out, in) -> (out, in, 3, 3)."""
    return rows.view(-1, 3, 3, rows.shape[1]).permute(0, 3, 1, 2)


def _matrix(point: nn.Conv2d) -> Tensor:
    """(out, in): the weights of a 1x1 convolution."""
    return point.weight.flatten(1)


def _bias(conv: nn.Conv2d) -> Tensor:
    """(out,)."""
    assert conv.bias is not None
    return conv.bias


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """(G, out, in), (G, in) -> (G, out)."""
    return (matrices @ vectors[:, :, None])[:, :, 0]


def _plus_input(matrices: Tensor) -> Tensor:
    """Matrices (G, out, in) of maps to which the input is added, where as many channels leave as enter."""
    _, out_channels, in_channels = matrices.shape
    if out_channels != in_channels:
        return matrices
    return matrices + torch.eye(in_channels, dtype=matrices.dtype, device=matrices.device)


def _with_centre(rows: Tensor, matrices: Tensor) -> Tensor:
    """Rows (G, 9 * out, in) with (G, out, in) added to the centres of the kernels."""
    return rows + F.pad(matrices[:, :, None], (0, 0, 4, 4)).flatten(1, 2)


def _product(pair: Sequence[Tensor], after: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """3x3 convolutions after 1x1 convolutions, and before the matrices ``after`` (G, out, inner).

    Those of one convolution, if what the 3x3 sees beyond the border is the bias of the 1x1. That bias passes
    through as one more input channel, whose taps are added up. ``pair``: rows and biases of the 3x3, matrices
    and biases of the 1x1.
    """
    rows, bias, matrices, start = pair
    product = rows @ torch.cat([matrices, start[:, :, None]], dim=2)
    if after is not None:
        columns = product.shape[2]
        product = (after @ product.view(*bias.shape, -1)).view(len(rows), -1, columns)
        bias = _times(after, bias)
    return product[..., :-1], product[..., -1].view(*bias.shape, 9).sum(2) + bias


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

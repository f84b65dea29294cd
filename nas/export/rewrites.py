"""The same networks in operations that can be exported with any height and width.

A tracer follows one path through a Python condition, cuts a map into as many parts as it saw, and has no
Fourier transform whose size is free. A part that does any of this has a line in REWRITES: a class with the
same weights that computes the same. To add one, write a subclass whose ``forward`` has no such thing.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks.convolutions import channels_into
from search_spaces.blocks.distillation import GradientPooling, MultiScaleModulation
from search_spaces.blocks.esrt import ChunkedAttention
from search_spaces.blocks.folding import fold
from search_spaces.blocks.fourier import FourierUnit, SpectralTransform
from search_spaces.blocks.smfanet import SelfModulation
from search_spaces.networks.safmnpp import SimpleModulation


def exportable(module: nn.Module, *, fourier_as_matrices: bool = True) -> nn.Module:
    """A copy of ``module`` in eval mode and float32 on the CPU: folded, and in operations that export.

    ``fourier_as_matrices``: transforms become matrix products, which every runtime has. A module of unknown
    parts is copied as it is.
    """
    network = copy.deepcopy(module).cpu().float().eval()
    network.requires_grad_(False)
    network = fold(network)
    for part in network.modules():
        rewritten = REWRITES.get(type(part))
        if rewritten is not None and (fourier_as_matrices or rewritten is not MatrixFourierUnit):
            part.__class__ = rewritten  # the same weights under the same names
    return network


class MatrixFourierUnit(FourierUnit):
    """A Fourier unit whose transforms are products with matrices of cosines and sines.

    Of the order of H + W multiplications a value where a fast transform needs log2(H * W).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = x.shape[-2:]
        half = width // 2 + 1
        cos_HH, sin_HH = _waves(height, height, x)
        cos_WF, sin_WF = _waves(width, half, x)
        norm = (torch.ones_like(x[0, 0]).sum()) ** -0.5  # 1 / sqrt(H * W), without asking for the size
        across_real, across_imag = x @ cos_WF, -(x @ sin_WF)
        real = (cos_HH @ across_real + sin_HH @ across_imag) * norm
        imaginary = (cos_HH @ across_imag - sin_HH @ across_real) * norm
        weight = torch.cat(
            [torch.cat([self.real, -self.imaginary], dim=1), torch.cat([self.imaginary, self.real], dim=1)]
        )
        real, imaginary = F.conv2d(torch.cat([real, imaginary], dim=1), weight).chunk(2, dim=1)
        down_real = cos_HH @ real - sin_HH @ imaginary
        down_imag = cos_HH @ imaginary + sin_HH @ real
        # A real image's spectrum is symmetric: every column but the first, and the last of an even width,
        # stands for two.
        column = torch.arange(half, device=x.device)
        twice = 1.0 + ((column > 0) & (2 * column != width)).to(x.dtype)
        return ((down_real * twice) @ cos_WF.T - (down_imag * twice) @ sin_WF.T) * norm


def _waves(length: int, frequencies: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """(length, frequencies): cosine and sine of 2 pi n k / length; the product is reduced as an integer."""
    place = torch.arange(length, device=like.device)
    turns = torch.outer(place, torch.arange(frequencies, device=like.device))
    turns = turns - turns // length * length  # % has no translation to ONNX for a length that is free
    angle = turns.to(like.dtype) * (2 * math.pi) / length
    return angle.cos(), angle.sin()


class SlicedSpectralTransform(SpectralTransform):
    """A spectral transform that cuts its quadrants by slices."""

    def _quadrants(self, x: Tensor) -> Tensor:
        channels, height, width = x.shape[-3:]
        quarter = F.pad(x[:, : -(-channels // 4)], (0, width % 2, 0, height % 2), mode="replicate")
        rows, columns = (height + 1) // 2, (width + 1) // 2
        stacked = torch.cat([quarter[:, :, :rows], quarter[:, :, rows:]], dim=1)
        patches = torch.cat([stacked[..., :columns], stacked[..., columns:]], dim=1)[:, :channels]
        local = self.local(patches)
        tiled = torch.cat([local, local], dim=2)
        return torch.cat([tiled, tiled], dim=3)[:, :, :height, :width]


class MaskedChunkedAttention(ChunkedAttention):
    """Chunked attention in which the shorter last chunk is always computed, and cut off where there is none.

    That chunk has fewer tokens than there are chunks: of the last ``chunks - 1`` tokens those of whole chunks
    are masked. All rows of a chunk are attended at once.
    """

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        """(B, N, dim) -> (B, N, dim)."""
        mixed = self.qkv(self.reduce(tokens_BNC))
        tokens = mixed.shape[1]
        length = tokens // self.chunks
        whole = tokens // length * length
        left = tokens - whole
        last = self.chunks - 1
        batch = mixed.shape[0]
        head = mixed.shape[2] // 3 // self.heads
        chunks = mixed[:, :whole].reshape(batch, whole // length, length, 3, self.heads, head)
        query, key, value = chunks.permute(3, 0, 1, 4, 2, 5).unbind(0)
        scores = query * self.scale @ key.transpose(-2, -1)
        attended = scores.softmax(-1) @ value
        inside = attended.transpose(2, 3).reshape(batch, whole, self.heads * head)
        ends = mixed[:, tokens - last :].reshape(batch, last, 3, self.heads, head)
        query, key, value = ends.permute(2, 0, 3, 1, 4).unbind(0)
        scores = query * self.scale @ key.transpose(-2, -1)
        foreign = torch.arange(last, device=mixed.device) < last - left
        weights = scores.masked_fill(foreign, -1e9).softmax(-1)
        outside = (weights @ value).transpose(1, 2).reshape(batch, last, self.heads * head)
        return self.project(torch.cat([inside, outside[:, last - left :]], dim=1))


class GatheredModulation(MultiScaleModulation):
    """SAFM whose adaptive pooling and nearest enlargement gather rows and columns."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = x.shape[-2:]
        collected = []
        parts = x.split([channels_into(conv) for conv in self.seen], dim=1)
        for level, (part, conv) in enumerate(zip(parts, self.seen, strict=True)):
            if level == 0:
                collected.append(conv(part))
                continue
            small = (height // 2**level, width // 2**level)
            collected.append(_nearest(conv(_max_pooled(part, small, 2**level)), (height, width)))
        return x * F.gelu(self.fuse(torch.cat(collected, dim=1)))


class GatheredGradientPooling(GradientPooling):
    """GPD whose adaptive pooling and nearest enlargement gather rows and columns."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = x.shape[-2:]
        sizes = [
            (height // 4, width // 4),
            ((height + 15) // 16, (width + 15) // 16),
            ((height + 63) // 64, (width + 63) // 64),
        ]
        collected, rest = [], x
        for small, conv in zip(sizes, self.seen, strict=False):
            part = channels_into(conv)
            kept, rest = rest.split([part, rest.shape[1] - part], dim=1)
            collected.append(conv(kept))
            rest = _max_pooled(rest, small, 4)
        collected.append(self.seen[-1](rest))
        enlarged = [_nearest(part, (height, width)) for part in collected[1:]]
        return x * F.gelu(self.fuse(torch.cat([collected[0], *enlarged], dim=1)))


class GatheredSelfModulation(SelfModulation):
    """SMFA whose adaptive pooling and nearest enlargement gather rows and columns."""

    def _pooled(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return _max_pooled(x, (height // self.factor, width // self.factor), self.factor)

    def _enlarged(self, coarse: Tensor, like: Tensor) -> Tensor:
        height, width = like.shape[-2:]
        return _nearest(coarse, (height, width))


class GatheredSimpleModulation(SimpleModulation):
    """SimpleSAFM whose adaptive pooling gathers rows and columns."""

    def _pooled(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        return _max_pooled(x, (height // self.factor, width // self.factor), self.factor)


def _max_pooled(x: Tensor, size: tuple[int, int], factor: int) -> Tensor:
    """Adaptive max pooling to ``size``, which is at least a part of 2 * ``factor`` of each side."""
    for dim, out in ((2, size[0]), (3, size[1])):
        length, most = x.shape[dim], 2 * factor + 1
        # Window i is [floor(i * length / out), ceil((i + 1) * length / out)); its last place fills it up.
        place = torch.arange(out * most, device=x.device)
        window = place // most
        first, end = window * length // out, ((window + 1) * length + out - 1) // out
        index = torch.minimum(first + place % most, end - 1)
        x = x.index_select(dim, index).unflatten(dim, (out, most)).amax(dim + 1)
    return x


def _nearest(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest enlargement with the rounding of ``F.interpolate``: in single precision."""
    for dim, out in ((2, size[0]), (3, size[1])):
        length = x.shape[dim]
        place = torch.arange(out, device=x.device).float()
        factor = (torch.ones_like(place) * length) / out
        index = (place * factor).floor().long().clamp(max=length - 1)
        x = x.index_select(dim, index)
    return x


REWRITES: dict[type[nn.Module], type[nn.Module]] = {
    FourierUnit: MatrixFourierUnit,
    SpectralTransform: SlicedSpectralTransform,
    ChunkedAttention: MaskedChunkedAttention,
    MultiScaleModulation: GatheredModulation,
    GradientPooling: GatheredGradientPooling,
    SelfModulation: GatheredSelfModulation,
    SimpleModulation: GatheredSimpleModulation,
}

"""Transformer blocks: TRANSFORMERS are called as ``block(width, heads=..., mlp_ratio=..., shifted=...)``.

To add one, write a module that keeps (B, width, H, W) and put it in the table at the foot. ``shifted``
is True for every second block of a stack; one that has no windows leaves it unused.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces.blocks.convolutions import pointwise
from search_spaces.blocks.esrt import EfficientTransformer
from search_spaces.blocks.norms import ChannelNorm

TransformerFactory = Callable[..., nn.Module]


class WindowAttention(nn.Module):
    """Self-attention inside windows with a learned bias per relative position (SwinIR, arXiv 2108.10257).

    ``shifted`` moves the windows by half their size, with the wrapped parts masked. Sizes that windows do not
    divide are padded by replication and cut again; SwinIR mirrors instead. Where ``heads`` do not divide the
    width, attention works on the next smaller width that they divide (ours).
    """

    def __init__(self, width: int, heads: int, *, shifted: bool, window: int = 8) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.shift = window // 2 if shifted else 0
        inner = width // heads * heads
        self.scale = (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * inner)
        self.project = nn.Linear(inner, width)
        self.bias = nn.Parameter(torch.zeros(heads, (2 * window - 1) ** 2))
        nn.init.trunc_normal_(self.bias, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = x.shape[-2:]
        window = self.window
        x = F.pad(x, (0, -width % window, 0, -height % window), mode="replicate")
        if self.shift:
            x = x.roll((-self.shift, -self.shift), dims=(2, 3))
        tokens_BGNC = self._to_windows(x)
        parts = self.qkv(tokens_BGNC).chunk(3, -1)
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(2, 3) for part in parts)
        scores = query * self.scale @ key.transpose(-2, -1) + self._position_bias()
        if self.shift:
            scores = scores.masked_fill(self._wrapped(x), float("-inf"))
        mixed = (scores.softmax(-1) @ value).transpose(2, 3).flatten(-2)
        x = self._from_windows(self.project(mixed), x)
        if self.shift:
            x = x.roll((self.shift, self.shift), dims=(2, 3))
        return x[..., :height, :width]

    def _to_windows(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, windows, pixels of one window, C)."""
        split = x.unflatten(3, (-1, self.window)).unflatten(2, (-1, self.window))
        return split.permute(0, 2, 4, 3, 5, 1).flatten(3, 4).flatten(1, 2)

    def _from_windows(self, tokens_BGNC: Tensor, like: Tensor) -> Tensor:
        rows, columns = like.shape[2] // self.window, like.shape[3] // self.window
        split = tokens_BGNC.unflatten(2, (self.window, self.window)).unflatten(1, (rows, columns))
        return split.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)

    def _position_bias(self) -> Tensor:
        """(heads, N, N): one learned number for each offset between two pixels of a window."""
        line = torch.arange(self.window, device=self.bias.device)
        offset = line[:, None] - line[None, :] + self.window - 1
        rows = offset[:, None, :, None].expand(-1, self.window, -1, self.window)
        columns = offset[None, :, None, :].expand(self.window, -1, self.window, -1)
        index = (rows * (2 * self.window - 1) + columns).reshape(self.window**2, self.window**2)
        return self.bias[:, index]

    def _wrapped(self, x: Tensor) -> Tensor:
        """(1, windows, 1, N, N): True where two pixels met only because the roll wrapped around."""
        areas = torch.zeros(1, 1, *x.shape[-2:], device=x.device)
        areas[:, :, -self.shift :, :] += 1
        areas[:, :, :, -self.shift :] += 2
        area_of = self._to_windows(areas).squeeze(-1)
        return (area_of[:, :, :, None] != area_of[:, :, None, :]).unsqueeze(2)


class ChannelAttention(nn.Module):
    """MDTA: self-attention between channels, linear in the pixels (Restormer, arXiv 2111.09881, sec. 3.1).

    Where ``heads`` do not divide the width, attention works on the next smaller width that they divide
    (ours).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        inner = width // heads * heads
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Sequential(
            pointwise(width, 3 * inner, bias=False),
            nn.Conv2d(3 * inner, 3 * inner, 3, padding=1, groups=3 * inner, bias=False),
        )
        self.project = pointwise(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        query, key, value = (
            part.flatten(2).unflatten(1, (self.heads, -1)) for part in self.qkv(x).chunk(3, dim=1)
        )
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        weights = (query @ key.transpose(-2, -1) * self.temperature).softmax(-1)
        return self.project((weights @ value).flatten(1, 2).unflatten(2, x.shape[2:]))


class GatedFeedForward(nn.Module):
    """GDFN: two depthwise branches of which one gates the other (Restormer, arXiv 2111.09881, sec. 3.2)."""

    def __init__(self, width: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.expand = pointwise(width, 2 * hidden, bias=False)
        self.mix = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project = pointwise(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        gate, value = self.mix(self.expand(x)).chunk(2, dim=1)
        return self.project(F.gelu(gate) * value)


class WindowTransformer(nn.Module):
    """Window attention, then a two-layer perceptron per pixel (SwinIR's STL, arXiv 2108.10257, sec. 3.2)."""

    def __init__(self, width: int, *, heads: int, mlp_ratio: float, shifted: bool) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.norm1, self.norm2 = ChannelNorm(width), ChannelNorm(width)
        self.attention = WindowAttention(width, heads, shifted=shifted)
        self.mlp = nn.Sequential(pointwise(width, hidden), nn.GELU(), pointwise(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ChannelTransformer(nn.Module):
    """MDTA, then GDFN (Restormer's block, arXiv 2111.09881, sec. 3). It has no windows to shift."""

    def __init__(self, width: int, *, heads: int, mlp_ratio: float, shifted: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(width), ChannelNorm(width)
        self.attention = ChannelAttention(width, heads)
        self.feed_forward = GatedFeedForward(width, mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        x = x + self.attention(self.norm1(x))
        return x + self.feed_forward(self.norm2(x))


TRANSFORMERS: dict[str, TransformerFactory] = {
    "window": WindowTransformer,
    "channel": ChannelTransformer,
    "esrt": EfficientTransformer,
}

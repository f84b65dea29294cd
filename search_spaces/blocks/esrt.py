"""ESRT's efficient transformer: 3x3 neighbourhoods as tokens, full attention inside chunks of the raster.

(ESRT, arXiv 2108.11084, sec. 3.3, and its released code; EFRDN and LBNet use the same block.) The result
depends on the size of the image, since the raster is cut into a fixed number of chunks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_SCORES = 2**28
"""Attention scores that exist at one time at most: queries are taken in blocks of rows that respect it.

(Ours: it bounds the memory of inference, 1 GiB in single precision, and changes no product.)
"""


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H * W, 9 * C): every pixel's zero-padded 3x3 neighbourhood, by channel."""
    return F.unfold(x, kernel_size=3, padding=1).transpose(1, 2)


def from_tokens(tokens_BNC: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, H * W, 9 * C) -> (B, C, H, W): overlapping neighbourhoods are summed, as released, not averaged."""
    return F.fold(tokens_BNC.transpose(1, 2), size, kernel_size=3, padding=1)


def attend_in_rows(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Softmax attention of (B, heads, N, D) over all N keys, never with more than MAX_SCORES scores at once.

    A single row of queries is the least that is taken. While gradients are recorded, whether the scores of
    all rows are kept depends on torch's choice of kernel.
    """
    rows = max(1, MAX_SCORES // (query.shape[0] * query.shape[1] * key.shape[2]))
    blocks = [F.scaled_dot_product_attention(part, key, value, scale=scale) for part in query.split(rows, 2)]
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=2)


class ChunkedAttention(nn.Module):
    """EMHA: multi-head attention at half the token's size, inside chunks of tokens (ESRT, sec. 3.3).

    Raster order is cut every floor(N / chunks) tokens; a remainder makes one more, shorter chunk, as in the
    released code. The scores are scaled by (dim / heads)^-0.5 with the size *before* the reduction (1/6 for
    288 and 8 heads), the released code's habit and not the head's own size. The reduced size is rounded down
    to a multiple of ``heads``, and fewer than ``chunks`` tokens make chunks of one (both ours).
    """

    def __init__(self, dim: int, *, heads: int, chunks: int) -> None:
        super().__init__()
        reduced = dim // 2 // heads * heads
        self.heads, self.chunks = heads, chunks
        self.scale = (dim // heads) ** -0.5
        self.reduce = nn.Linear(dim, reduced, bias=False)
        self.qkv = nn.Linear(reduced, 3 * reduced, bias=False)
        self.project = nn.Linear(reduced, dim)

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        """(B, N, dim) -> (B, N, dim)."""
        mixed = self.qkv(self.reduce(tokens_BNC))
        length = max(1, mixed.shape[1] // self.chunks)
        whole = mixed.shape[1] // length * length
        parts = [self._attend(mixed[:, :whole], length)]
        if whole < mixed.shape[1]:
            parts.append(self._attend(mixed[:, whole:], mixed.shape[1] - whole))
        return self.project(torch.cat(parts, dim=1))

    def _attend(self, mixed_BNC: Tensor, length: int) -> Tensor:
        """Inside each chunk: (B, chunks * length, 3 * reduced) -> (B, chunks * length, reduced)."""
        batch, tokens, _ = mixed_BNC.shape
        chunks = mixed_BNC.reshape(batch * (tokens // length), length, 3, self.heads, -1)
        query, key, value = chunks.permute(2, 0, 3, 1, 4).unbind(0)
        attended = attend_in_rows(query, key, value, self.scale)
        return attended.transpose(1, 2).reshape(batch, tokens, -1)


class TokenTransformer(nn.Module):
    """One block on tokens: normalised attention, then a normalised perceptron, each added (ESRT, sec. 3.3).

    ``hidden`` is the perceptron's width: a quarter of ``dim`` in ESRT's and LBNet's released code.
    """

    def __init__(self, dim: int, *, heads: int, hidden: int, chunks: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = ChunkedAttention(dim, heads=heads, chunks=chunks)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim))

    def forward(self, tokens_BNC: Tensor) -> Tensor:
        """(B, N, dim) -> (B, N, dim)."""
        tokens_BNC = tokens_BNC + self.attention(self.norm1(tokens_BNC))
        return tokens_BNC + self.mlp(self.norm2(tokens_BNC))


class TokenStage(nn.Module):
    """Unfold, the same block ``repeats`` times, fold, 3x3 convolution; nothing is added around it.

    ESRT and EFRDN apply the block once, LBNet three times (LBNet, IJCAI 2022, sec. 3.3: recursive
    transformer).
    """

    def __init__(
        self, width: int, *, heads: int = 8, hidden: int | None = None, chunks: int = 4, repeats: int = 1
    ) -> None:
        super().__init__()
        dim = 9 * width
        self.repeats = repeats
        self.block = TokenTransformer(dim, heads=heads, hidden=hidden or dim // 4, chunks=chunks)
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        tokens_BNC = to_tokens(x)
        for _ in range(self.repeats):
            tokens_BNC = self.block(tokens_BNC)
        return self.conv(from_tokens(tokens_BNC, (x.shape[2], x.shape[3])))


class EfficientTransformer(nn.Module):
    """ESRT's transformer as a block of a stack: x + conv(fold(block(unfold(x)))), in 4 chunks.

    (ESRT, arXiv 2108.11084, sec. 3.3; the addition as in EFRDN, eq. 5.) ``mlp_ratio`` counts in the
    perceptron's published width, a quarter of the token: 1 is ESRT's, 2 the one inferred for EFRDN. It has no
    windows to shift. Its cost is quadratic in the pixels.
    """

    def __init__(self, width: int, *, heads: int, mlp_ratio: float, shifted: bool = False) -> None:
        super().__init__()
        self.stage = TokenStage(width, heads=heads, hidden=int(9 * width * mlp_ratio / 4))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        return x + self.stage(x)

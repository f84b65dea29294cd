"""Sizes of outputs: those of torch's own kernels, for every operation of every network."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from every_option import SPREAD, spread
from levels import mostly_thorough
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from nas.cost.counting import largest_layer, on_meta
from nas.cost.output_sizes import output_of
from search_spaces.published import PUBLISHED


class Compare(TorchDispatchMode):
    """Runs torch's own kernel, and holds what the rules say against it."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        expected = func(*args, **(kwargs or {}))
        reported = None if kwargs else output_of(func, args)
        if reported is not None:
            self.answered[str(func)] += 1
            pairs = [(reported, expected)] if isinstance(expected, Tensor) else [(reported[0], expected[0])]
            for ours, theirs in pairs:
                assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), func
        return expected


def compare(build: Callable[[], nn.Module]) -> Counter[str]:
    module, x = on_meta(build, (1, 3, 45, 80))
    with torch.no_grad(), Compare() as mode:
        module(x)
    return mode.answered


@pytest.mark.parametrize("name", mostly_thorough(PUBLISHED, {"imdn", "gpdn", "f2srgan"}))
def test_published_networks(name: str) -> None:
    answered = compare(lambda: PUBLISHED[name].build(4))
    assert answered["aten.convolution.default"] > 5


@pytest.mark.parametrize("number", mostly_thorough(SPREAD, SPREAD[::3]))
def test_every_option_of_the_space(number: int) -> None:
    assert compare(lambda: spread(number).build(2))


class Odd(nn.Module):
    """Broadcasts, strides, groups and reductions at the edges of the rules."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(0, 2), dilation=(2, 1), bias=False)
        self.up = nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(self.conv(x))
        row, column = y.mean(dim=2, keepdim=True), y.mean(dim=-1, keepdim=True)
        outer = row + column  # larger than both
        scaled = 2 - outer * y.mean(dim=(0, 1)) + (y > 0)
        return torch.cat([scaled, y.mean(dim=(1,), keepdim=True)], 1).double() + scaled.mean()


def test_what_the_rules_do_not_cover_is_left_to_torch() -> None:
    answered = compare(Odd)
    assert answered["aten.convolution.default"] == 1, "the transposed one is torch's"
    assert answered["aten.mean.dim"] == 4


def test_the_largest_layer_counts_every_use() -> None:
    shared = nn.Conv2d(3, 3, 3, padding=1)
    name, multi_adds = largest_layer(lambda: nn.Sequential(shared, nn.Conv2d(3, 3, 3, padding=1), shared), 1)
    assert (name, multi_adds) == ("0", 2 * 720 * 1280 * 81)


def test_counting_does_not_import_torchs_compiler() -> None:
    code = (
        "import sys; from nas.cost.counting import measure; from search_spaces.published import PUBLISHED; "
        "measure(lambda: PUBLISHED['imdn'].build(4), 4); print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

"""The benchmark that counts what a training step does, against counts made by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from nas.cost import measure
from search_spaces.published import PUBLISHED

FOLDER = Path(__file__).parent / "benchmarks"


@pytest.fixture
def roofline(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark as a module, with those it imports beside it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import roofline

    return roofline  # type: ignore[no-any-return]


def test_each_operation_counts_what_it_reads_and_writes(roofline: ModuleType) -> None:
    x, y = torch.ones(4, 8), torch.ones(8)
    with roofline.Counted() as counted:
        x + y
        x.view(8, 4).transpose(0, 1)  # another look at the same memory
        x.add_(y)
        x @ x.T
        torch.zeros(())  # writes one number
        torch.empty(1000)
    names = [name for name, _, _ in counted.seen]
    assert names[:3] == ["add.Tensor", "add_.Tensor", "mm"] or names[:3] == ["add", "add_", "mm"]
    assert [moved for _, _, moved in counted.seen][:3] == [4.0 * (32 + 8 + 32)] * 2 + [4.0 * (32 + 32 + 16)]
    assert [flops for _, flops, _ in counted.seen][:3] == [0.0, 0.0, 2.0 * 4 * 8 * 4]
    assert not {"view", "transpose", "empty", "empty.memory_format"} & set(names)


@pytest.mark.parametrize("name", ["imdn", "rfdn", "bsrn"])
def test_the_arithmetic_of_a_step_is_three_times_that_of_the_network(roofline: ModuleType, name: str) -> None:
    """Gradients of a layer's weights and of its input cost as much as its output; the image needs none."""
    entry, side = PUBLISHED[name], 16
    lr = torch.rand(2, 3, side, side)
    peak = roofline.Ceilings(flops=1e9, bytes=1e9, launch=0.0)
    work = roofline.work_of(entry.genotype, lr, torch.rand(2, 3, 4 * side, 4 * side), "fp32", peak)
    once = 2 * 2 * measure(lambda: entry.build(4), 4, output=(4 * side, 4 * side)).multi_adds
    assert work["convolution"].flops == once
    whole = sum(one.flops for one in work.values())
    assert 0.97 < whole / (3 * once) <= 1
    params = sum(p.numel() for p in entry.build(4).parameters())
    assert work["update (Adam)"].bytes == 28 * params
    for one in work.values():  # never faster than either ceiling
        assert one.seconds >= max(one.flops, one.bytes) / 1e9 * (1 - 1e-9)


@pytest.mark.thorough
def test_the_benchmark_tells_floors_paces_and_where_the_time_goes() -> None:
    sizes = ["--patch", "16", "--batch", "2", "--steps", "3", "--skip", "3", "--rounds", "1", "--images", "3"]
    done = subprocess.run(
        [sys.executable, FOLDER / "roofline.py", "--networks", "small", *sizes, "--profile", "--top", "3"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    for said in ("ceilings: ", "floors: arithmetic", "the engine", "candidates an hour", "profiled: "):
        assert said in done.stdout, said
    assert "convolution_backward" in done.stdout

"""The benchmark that counts what a training step does, against counts made by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from levels import mostly_thorough
from PIL import Image

from nas.cost.counting import measure
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
    assert names[:3] == ["add", "add_", "mm"]
    assert [moved for _, _, moved in counted.seen][:3] == [4.0 * (32 + 8 + 32)] * 2 + [4.0 * (32 + 32 + 16)]
    assert [flops for _, flops, _ in counted.seen][:3] == [0.0, 0.0, 2.0 * 4 * 8 * 4]
    assert not {"view", "transpose", "empty"} & set(names)


@pytest.mark.parametrize("name", mostly_thorough(["imdn", "rfdn", "bsrn"], {"imdn"}))
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


@pytest.mark.nightly
def test_the_script_for_a_gpu_runs_every_benchmark_and_says_which_failed(tmp_path: Path) -> None:
    """At the smallest size on a CPU, where nothing is learnt: the comparison with bicubic has to fail."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    for name in ("train/1", "train/2", "sets/Set5/a"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(pixels, ord(name[-1]), 1)).resize((128, 96)).save(tmp_path / f"{name}.png")
    arguments = [f"folder:{tmp_path / 'train'}", tmp_path / "sets", tmp_path / "out"]
    settings = {"DEVICE": "cpu", "PRECISION": "fp32", "SMALL": "1", "LOADERS": "1", "PYTHON": sys.executable}
    done = subprocess.run(
        ["sh", FOLDER / "gpu.sh", *arguments],
        env={**os.environ, **settings, "PARTS": "roofline training throughput set5"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert (done.returncode, done.stderr) == (1, "failed: set5\n"), done.stdout
    told = {path.stem: path.read_text() for path in (tmp_path / "out").glob("*.txt")}
    assert set(told) == {"roofline", "training", "throughput", "set5"}
    for said in ("ceilings: ", "floors: arithmetic", "the engine", "candidates an hour", "profiled: "):
        assert said in told["roofline"], said
    assert "convolution_backward" in told["roofline"]
    assert "usual loop and loader" in told["training"] and "repaid" in told["training"]
    assert "2 at once" in told["throughput"]
    assert "dB over bicubic, and 1.5 are needed" in told["set5"]

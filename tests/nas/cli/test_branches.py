"""A search over training-time branches: front, file and card have the cost of the folded network."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from leaderboard.store import Store
from nas.cost.counting import cost_of, measure
from search_spaces.blocks.branches import BRANCHES
from search_spaces.lightweight import Lightweight

Nas = Callable[..., subprocess.CompletedProcess[str]]

RECIPE = """
name = "branched"
scale = 2
data = "folder:{images}"
trials = 6
device = "cpu"
sampler = "random"
[space.only]
width = [16]
stem = ["3x3"]
blocks = [1, 2]
block = ["residual"]
attention = ["none"]
kernel = ["3x3", "blueprint"]
branches = ["asymmetric", "repvgg", "ecb", "conv3xc", "repmb", "blueprint-rep"]
transformers = [0]
[budget]
params = "12k"
[proxy]
plan = "quick"
steps = 4
batch = 2
lr_patch = 12
"""


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_front_file_and_card_have_the_cost_of_the_folded_network(
    nas: Nas, tmp_path: Path, images: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    (tmp_path / "branched.toml").write_text(RECIPE.format(images=images))
    searched = nas("search", "branched.toml")
    assert searched.returncode == 0, searched.stderr
    rows = json.loads(nas("front", "branched", "--format", "json").stdout)
    with Store.at(tmp_path / "runs" / "results.db", read_only=True) as store:
        frame = store.frame("branched")
    genotypes = {row["genotype"]: Lightweight.from_dict(row["choices"]) for _, row in frame.iterrows()}
    assert any(genotype.branches in BRANCHES for genotype in genotypes.values())
    for row in rows:
        genotype = genotypes[row["genotype"]]
        assert row["params"] == cost_of(genotype, 2).params <= 12_000
        if genotype.branches != "none":
            assert measure(lambda g=genotype: g.build(2), 2, in_training=True).params > row["params"]
    best = next(row for row in rows if genotypes[row["genotype"]].branches not in ("none", None))
    made = nas("export", best["genotype"], "--format", "onnx", "--out", "made.onnx")
    assert made.returncode == 0, made.stderr
    [card] = tmp_path.rglob("made*.json")
    told = json.loads(card.read_text())["cost"]
    assert (told["params"], told["multi_adds"]) == (best["params"], best["multi_adds"])
    graph = onnx.load(str(tmp_path / "made.onnx")).graph
    convolved = {name for node in graph.node if node.op_type == "Conv" for name in node.input[1:]}
    weights = [np.prod(tensor.dims) for tensor in graph.initializer if tensor.name in convolved]
    assert sum(weights) == best["params"]

"""The script of docs that goes from a budget to a published network, at the smallest size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leaderboard.store import Store
from nas.networks.loading import load_network

RECIPE = """
scale = 2
data = "photos"
trials = 3
device = "cpu"
[space.only]
width = [16, 24]
blocks = [1, 2]
transformers = [0]
skip = ["bicubic"]
[budget]
params = "40k"
multi_adds = "9G"
[proxy]
plan = "steady"
steps = 3
batch = 2
lr_patch = 12
[retrain]
plan = "full"
steps = 5
batch = 2
lr_patch = 12
"""


@pytest.mark.thorough
def test_a_campaign_ends_with_a_network_its_controls_a_table_and_the_history(
    run_script: Callable[..., str], tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    for name in ("train/A/1", "train/A/2", "train/B/3", "train/B/4", "sets/Set5/a", "sets/B100/b"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(pixels, len(name) + ord(name[-1]), 1)).resize((128, 96)).save(path)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    arguments = ("campaign.sh", "tiny.toml", "folder:train/A+folder:train/B", "sets")
    said = run_script(*arguments, TOP="2", WORKERS="2", LICENCE="CC-BY-4.0")

    with Store.at(tmp_path / "published" / "results.db", read_only=True) as store:
        [study] = store.studies()
        search, longer = (store.trials(study.id, stage) for stage in ("search", "retrain"))
        measured = store.benchmarks()
        names = store.frame("tiny").set_index("genotype")["name"].dropna().to_dict()
    assert all(
        trial.cost["params"] <= 40e3 and trial.cost["multi_adds"] <= 9e9 for trial in [*search, *longer]
    )
    assert sorted(names.values()) == ["imdn-like", "rfdn-like"]
    assert len(longer) == 2 + len({trial.genotype_id for trial in longer if trial.genotype_id not in names})
    assert {trial.evaluation.protocol_id for trial in longer if trial.evaluation} == {longer[0].protocol_id}
    trained = {trial.genotype_id for trial in longer}
    for benchmark in ("Set5", "B100"):
        assert trained <= set(measured.loc[measured["benchmark"] == benchmark, "genotype"])

    # The file that is published holds the best of the search, with the numbers that its card and table tell.
    [weights] = (tmp_path / "published").glob("*.safetensors")
    network = load_network(str(weights), scale=2, weights=None, runs=tmp_path, open_store=None)
    assert network.genotype is not None
    searched = {trial.genotype_id for trial in search}
    best = max(
        (trial for trial in longer if trial.genotype_id in searched),
        key=lambda trial: trial.evaluation.psnr_db if trial.evaluation else 0,
    )
    assert network.genotype.id == best.genotype_id
    table = (tmp_path / "published" / "table.md").read_text()
    card = weights.with_suffix(".safetensors.md")
    [row] = measured[(measured["genotype"] == best.genotype_id) & (measured["benchmark"] == "Set5")].to_dict(
        "records"
    )
    assert f"| Set5 | y_float | {row['psnr_db']:.3f} |" in card.read_text()
    for method in ("imdn-like", "rfdn-like", "MoreMNAS-C", "SMFANet", "FALSR-B", "ESRN-V", "bicubic"):
        assert f"| {method} |" in table
    assert "| FALSR-A |" not in table  # 25 times the parameters: far from what the budget allows
    assert "searched for " in said

    # Once more: nothing is trained again, and the database that is published stays as it is.
    again = run_script(*arguments, TOP="2", WORKERS="2")
    assert again.count("known already") >= 4
    with Store.at(tmp_path / "published" / "results.db", read_only=True) as store:
        assert len(store.frame("tiny")) == len(search) + len(longer)

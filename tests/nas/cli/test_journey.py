"""The script of docs that goes from a search to enlarged photographs, and whether its products agree."""

from __future__ import annotations

import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio as psnr

from leaderboard.store import Store
from nas.networks.loading import load_network

Script = Callable[..., str]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path), dtype=np.float64)


@pytest.mark.thorough
def test_every_product_on_the_way_agrees_with_the_network_it_came_from(
    run_script: Script, tmp_path: Path
) -> None:
    photo = Image.fromarray(skimage.data.astronaut()[100:196, 180:300])
    photo.save(tmp_path / "photo.png")
    (tmp_path / "sets" / "Set5").mkdir(parents=True)
    photo.save(tmp_path / "sets" / "Set5" / "a.png")
    said = run_script("journey.sh", "photo.png", "sets", TRIALS="2", STEPS="20", LONGER="30", DROP="3")

    with Store.at(tmp_path / "runs" / "results.db", read_only=True) as store:
        stages = store.trials(store.study("journey-small").id)
        [long] = store.trials(store.study("journey").id, "retrain")
        measured = store.benchmarks()
        runtimes = store.runtimes()
    assert [trial.evaluation is not None for trial in stages] == [True] * 3
    original, pruned, _ = stages
    assert original.genotype_id == long.genotype_id
    assert pruned.cost["multi_adds"] <= 0.67 * original.cost["multi_adds"]
    assert len({trial.genotype_id for trial in stages}) == 3
    assert {trial.genotype_id for trial in stages} <= set(measured["genotype"])
    assert set(runtimes["genotype"]) >= {original.genotype_id, pruned.genotype_id}

    # The re-trained network's row of the papers' table is what its weights reach when measured once more.
    assert long.evaluation is not None
    assert long.evaluation.checkpoint is not None
    [row] = [line for line in said.splitlines() if line.startswith(f"{long.genotype_id}  measured")]
    told = measured[measured["genotype"] == long.genotype_id]["psnr_db"]
    assert f"{told.iloc[0]:.2f}/" in row

    # What a compression is not: a search, or a training that can be made once more by itself.
    for command in (["retrain", "journey-small"], ["rerun", "journey-small", pruned.genotype_id]):
        refused = subprocess.run(
            [tmp_path / "bin" / "nas", *command], cwd=tmp_path, capture_output=True, text=True
        )
        assert refused.returncode == 2
        assert "nas compress command" in refused.stderr

    # One network, three files, one image.
    [weights] = (tmp_path / "runs" / "journey-small" / "stages").glob("*pruned/weights.safetensors")
    network = load_network(str(weights), scale=None, weights=None, runs=tmp_path, open_store=None)
    assert network.genotype is not None
    assert network.genotype.id == pruned.genotype_id
    x = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        sr = network.module.eval()(x)
        alone = runpy.run_path(str(tmp_path / "products" / "network.py"))["network"]()(x)
    assert (alone - sr).abs().max() < 1e-5
    products = tmp_path / "products"
    by_network, by_onnx, by_int8 = (
        pixels(products / f"by-{name}.png") for name in ("network", "onnx", "int8")
    )
    image = sr[0].permute(1, 2, 0).mul(255).round().clamp(0, 255).numpy()
    assert np.abs(by_network - image).max() <= 1
    assert np.abs(by_network - by_onnx).max() <= 1
    assert by_network.shape == (4 * photo.height, 4 * photo.width, 3)
    assert psnr(by_network, by_int8, data_range=255) > 30, (
        "another network, further trained, in integers: near, not equal"
    )
    assert not np.array_equal(by_int8, by_network)

"""The weights that come with the package: whose they are, and whether their cards tell the truth."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from levels import mostly_thorough, nightly
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio as psnr

from leaderboard.store import Store
from nas.cost.counting import cost_of
from nas.data.benchmarks import choose_benchmarks, read_benchmark
from nas.errors import RecipeError
from nas.evaluation.benchmark_sets import measure_bicubic, measure_network
from nas.networks.loading import Network, load_network
from nas.networks.pretrained import DEFAULT, WEIGHTS, shipped_weights
from search_spaces.published import PUBLISHED

FILES = sorted(WEIGHTS.glob("*.safetensors"))


def loaded(path: Path) -> tuple[Network, dict[str, Any]]:
    """A shipped network, by the name that its file has, and its card."""
    name, _, scale = path.stem.rpartition("-x")
    network = load_network(name, scale=int(scale), weights=None, runs=Path("none"), open_store=None)
    return network, json.loads(path.with_suffix(".safetensors.json").read_text())


def test_the_network_that_enlarges_where_none_is_named_is_there() -> None:
    assert shipped_weights(DEFAULT)
    assert shipped_weights("imdn") == {}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_weights_are_those_of_a_published_architecture_and_of_their_card(path: Path) -> None:
    network, card = loaded(path)
    published = PUBLISHED[network.name]
    assert network.genotype is not None
    assert network.genotype == published.genotype
    assert card["network"] == network.name
    assert card["weights"]["digest"] == network.weights
    cost = cost_of(network.genotype, network.scale)
    assert {key: card["cost"][key] for key in cost.to_dict()} == cost.to_dict()
    assert published.counted[network.scale].params == cost.params
    assert card["training"]["protocol"]["data"] and card["licence"] != "not stated"
    assert path.stat().st_size < 3_000_000
    told = path.with_suffix(".safetensors.md").read_text()
    for row in card["results"]:
        assert f"| {row['benchmark']} | {row['metric']} | {row['psnr_db']:.3f} |" in told
    assert {row["benchmark"] for row in card["results"]} == {"Set5", "Set14", "B100"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "benchmark",
    ["Set5", *mostly_thorough(["Set14"], ()), *nightly(["B100"])],
)
def test_the_card_tells_what_is_measured_again(path: Path, benchmark: str, shared: Path) -> None:
    network, card = loaded(path)
    [row] = [one for one in card["results"] if one["benchmark"] == benchmark]
    [images] = choose_benchmarks(shared / "data" / "test", [benchmark])
    found = measure_network(
        network, read_benchmark(images, network.scale), row["metric"], torch.device("cpu")
    )
    assert found.psnr_db == pytest.approx(row["psnr_db"], abs=2e-3)
    assert found.ssim == pytest.approx(row["ssim"], abs=1e-4)
    bicubic = measure_bicubic(read_benchmark(images, network.scale), network.scale, row["metric"])
    assert found.psnr_db > bicubic.psnr_db + 1


def test_a_photo_is_enlarged_at_once_and_better_than_bicubically(
    nas: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    whole = skimage.data.astronaut()[64:256, 128:352]
    small = Image.fromarray(whole).resize((112, 96), Image.Resampling.BICUBIC)
    small.save(tmp_path / "photo.png")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "results.db").write_bytes(b"no database, and none is needed")
    done = nas("upscale", "photo.png")
    assert done.returncode == 0, done.stderr
    assert f"by {DEFAULT}, x2, which comes with ParetoSR" in done.stdout
    large = np.asarray(Image.open(tmp_path / "photo_x2.png"))
    bicubic = np.asarray(small.resize((224, 192), Image.Resampling.BICUBIC))
    assert large.shape == whole.shape
    assert psnr(whole, large) > psnr(whole, bicubic) + 1


def test_what_is_not_shipped_is_told(
    nas: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "photo.png")
    for words, said in (
        (
            ("--scale", "4"),
            f"{DEFAULT}: its weights are here for x2, not for x4; --weights FILE gives others",
        ),
        (("--weights", "w.pth"), "--weights w.pth: say with --model which network they belong to"),
        (("--model", "imdn"), "imdn is published, but its weights are not here: give --weights FILE"),
    ):
        done = nas("upscale", "photo.png", *words)
        assert done.returncode == 2
        assert said in done.stderr
    assert not (tmp_path / "photo_x2.png").exists()
    with pytest.raises(RecipeError, match="not for x3"):
        load_network(DEFAULT, scale=3, weights=None, runs=tmp_path, open_store=None)


def test_the_history_behind_the_published_network_comes_with_the_project() -> None:
    """Every trial of its searches, and the numbers that its card tells."""
    path = Path(__file__).parents[3] / "runs" / "published" / "results.db"
    assert path.stat().st_size < 1_000_000
    network, card = loaded(shipped_weights(DEFAULT)[2])
    assert network.genotype is not None
    run = card["training"]["run"]
    with Store.at(path, read_only=True) as store:
        recipe = store.study(run).recipe
        trials = store.trials(store.study(run).id)
        measured = store.benchmarks()
    assert all(trial.evaluation or trial.stage == "retrain" for trial in trials)
    limits = recipe["budget"]
    assert (limits["params"], limits["multi_adds"]) == (326_000, 74_700_000_000)
    assert all(trial.cost["params"] <= 326_000 for trial in trials)
    searched = [trial for trial in trials if trial.stage == "search" and trial.rung == 1]
    best = max(searched, key=lambda trial: trial.evaluation.psnr_db if trial.evaluation else 0)
    assert best.genotype_id == network.genotype.id, "what is published is the best of its search"
    own = measured[measured["weights"] == network.weights].set_index("benchmark")["psnr_db"]
    assert own.to_dict() == {row["benchmark"]: row["psnr_db"] for row in card["results"]}

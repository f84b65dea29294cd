"""Calibrations: real ones on photographs, stopped and gone on with, and what made-up results must say."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from forked import Forker

from leaderboard.store import Store
from nas.calibration.calibration import CalibrationPlan
from nas.calibration.calibration_report import Report, analyse, calibration_of
from nas.calibration.fidelities import Fidelity
from nas.calibration.sweep import COLUMNS
from nas.calibration.zero_cost import ZERO_COST
from nas.cli import main
from nas.errors import RecipeError
from nas.recipes.recipe import Recipe, make_recipe
from nas.training import Plan

Nas = Callable[..., tuple[int, str, str]]

RECIPE = """
scale = 4
budget = { params = "60k", multi_adds = "3G" }

[space.only]
skip = ["bicubic"]
width = [16, 24]
blocks = [1, 2]
block = ["imdb", "gpdb"]
attention = ["none"]
kernel = ["3x3", "blueprint"]
activation = ["relu"]
transformers = [0]
sharing = ["none"]
aggregation = ["plain"]

[proxy]
plan = "steady"
batch = 2
lr_patch = 16

[retrain]
plan = "longer"
steps = 8
batch = 2
lr_patch = 16
"""

SMALL = ("--architectures", "5", "--rungs", "2,4", "--seeds", "2")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Nas:
    """Runs a command in this process: its exit status, what it said, and what it said beside that."""

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["nas", *words, "--runs", str(tmp_path / "runs")])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def events(tmp_path: Path, study: str = "tiny-calibration") -> dict[str, int]:
    with Store.at(tmp_path / "runs" / "results.db", read_only=True) as store:
        counts: dict[str, int] = store.events(study)["kind"].value_counts().to_dict()
        return counts


@pytest.mark.thorough
def test_a_calibration_from_its_recipe_to_the_line_beside_the_front(
    recipe: Path, run: Nas, tmp_path: Path
) -> None:
    status, said, _ = run("calibrate", str(recipe), *SMALL, "--ablate", "ema")
    assert status == 0
    for words in ("5 architectures of", "Reference: longer, 8 steps", "steady, 2 steps", "steady, 4 steps"):
        assert words in said
    for name in (*ZERO_COST, "params", "multi_adds"):
        assert f"\n{name} " in said
    for words in ("other patches for each", "the same seed for all", "steady, ema", "mean over 2 seeds"):
        assert words in said
    assert "validated on 3 images" in said
    assert events(tmp_path)["finished"] == 5 * (2 + 1 + 1 + 2)
    status, said, _ = run("front", "tiny-calibration", "--protocol", "steady, ema")
    assert status == 0 and "proxy resolves " in said
    status, said, beside = run("front", "tiny-calibration", "--format", "csv")
    assert status == 0 and "proxy" not in said and "proxy tau " in beside
    # Again: nothing is trained, and the same is said.
    first = run("calibrate", str(recipe), *SMALL, "--json")[1]
    assert run("calibrate", str(recipe), *SMALL, "--json")[1] == first
    report = json.loads(first)
    assert events(tmp_path)["finished"] == 30
    assert [rung["steps"] for rung in report["rungs"]] == [2, 4]
    assert report["rungs"][1]["resolves_db"] is None  # a single seed
    assert {one["name"] for one in report["baselines"]} >= {"params", "synflow", "naswot", "zico"}
    with Store.at(tmp_path / "runs" / "results.db", read_only=True) as store:
        assert store.calibration_reports()["tiny-calibration"] == report


@pytest.mark.thorough
def test_a_search_with_that_proxy_has_the_line_too_and_trains_nothing_of_it_again(
    recipe: Path, run: Nas, tmp_path: Path
) -> None:
    assert run("calibrate", str(recipe), *SMALL)[0] == 0
    status, *_ = run(*("search", str(recipe), "--steps", "4", "--trials", "2", "--sampler", "random"))
    assert status == 0
    status, said, _ = run("front", "tiny")
    assert status == 0 and "proxy tau " in said
    status, _, _ = run("board", "tiny", "--site", str(tmp_path / "site"))
    text = "".join(page.read_text() for page in (tmp_path / "site").rglob("*.html"))
    assert status == 0 and "Proxy tau " in text and "in run tiny-calibration" in text
    scripts = "".join(script.read_text() for script in (tmp_path / "site").glob("figures-*.js"))
    assert "proxy tau " in scripts


@pytest.mark.thorough
def test_a_killed_calibration_goes_on_and_finds_what_one_without_a_stop_finds(
    recipe: Path, run: Nas, forker: Forker, tmp_path: Path
) -> None:
    process = forker.nas("calibrate", str(recipe), *SMALL, "--runs", str(tmp_path / "runs"), cwd=tmp_path)
    for line in process.stdout:
        if line.startswith("[ 7/"):
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait(timeout=60)
    process.close()
    assert events(tmp_path)["finished"] in (7, 8, 9)
    status, killed, _ = run("calibrate", str(recipe), *SMALL, "--json")
    assert status == 0
    assert events(tmp_path)["finished"] == 20
    status, whole, _ = run("calibrate", str(recipe), *SMALL, "--json", "--name", "whole")
    once = dict.fromkeys(("search_started", "search_ended", "calibrated"), 1)
    assert events(tmp_path, "whole") == {**once, "repeated": 20}
    assert {**json.loads(whole), "study": "tiny-calibration"} == json.loads(killed)


@pytest.mark.thorough
def test_an_interruption_leaves_a_message_and_the_exit_status_of_the_signal(
    recipe: Path, forker: Forker, tmp_path: Path
) -> None:
    process = forker.nas("calibrate", str(recipe), *SMALL, "--rungs", "400,900", cwd=tmp_path)
    assert "architectures, each trained" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "the same command goes on from there" in errors and "Traceback" not in errors


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--architectures", "2"), "architectures = 2: at least 3"),
        (("--rungs", "4,2"), "rungs = 4, 2: growing"),
        (("--rungs", "many"), "--rungs 'many'"),
        (("--seeds", "0"), "--seeds '0': '0' is no count above zero"),
        (("--seeds", "2,2,2"), "seeds for 3 rungs, and there are 2"),
        (("--reference", "longr"), "did you mean 'longer'?"),
        (("--reference", "3"), "reference = 3 steps: more than the longest rung's 4"),
        (("--wanted-tau", "1.5"), "wanted_tau = 1.5"),
        (("--ablate", "emma"), "unknown ablation 'emma'; did you mean 'ema'?"),
        (("--set", "lr=fast"), "plan: lr = 'fast'"),
        (("--plan", "quik"), "did you mean 'quick'?"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    recipe: Path, run: Nas, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    status, _, errors = run("calibrate", str(recipe), *SMALL, *words)
    assert status == 2 and message in errors and errors.count("\n") == 1
    if (tmp_path / "runs" / "results.db").exists():
        with Store.at(tmp_path / "runs" / "results.db", read_only=True) as store:
            assert store.studies() == []


@pytest.mark.thorough
def test_every_command_of_the_page_works(
    nas: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "calibrating.md").read_text(encoding="utf-8")
    [table] = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    [block] = re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)
    (tmp_path / "tiny.toml").write_text(table)
    printed = []
    for line in block.splitlines():
        done = nas(*shlex.split(line)[1:], timeout=300)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout)
    assert "steady, ema" in printed[1] and "\n[ 1/10] " in printed[1]  # only the variant is trained
    assert json.loads(printed[2])["reference_steps"] == 60
    assert "\nproxy " in printed[3]


@pytest.mark.thorough
def test_another_proxy_needs_another_name(recipe: Path, run: Nas) -> None:
    words = ("calibrate", str(recipe), "--architectures", "3", "--rungs", "1", "--seeds", "1")
    assert run(*words)[0] == 0
    status, _, errors = run(*words, "--set", "batch=3")
    assert status == 2 and "use another --name" in errors


# What made-up results must say


def made_up(noise_db: float, *, seeds: int = 3, architectures: int = 16, seed: int = 0) -> pd.DataFrame:
    """A ladder's frame: quality rises with cost; a rung of 200 steps with this noise, and a reference."""
    draw = np.random.default_rng(seed)
    truth = np.linspace(28, 29, architectures)[draw.permutation(architectures)]
    rows = []
    for number, psnr in enumerate(truth):
        costs = dict.fromkeys(("params", "multi_adds", "conv_multi_adds", "activations"), int(psnr * 1e6))
        common = {"genotype_id": f"g{number:02}", "space": "lightweight", "choices": {}, "scale": 4, **costs}
        common |= {"ssim": 0.8, "device": "made up", "torch_version": "0", "code_version": "0", "name": None}
        for at in range(seeds):
            # Four images with errors of their own; their mean has the noise that was asked for.
            images = psnr - 1 + draw.normal(0, 2 * noise_db, 4)
            per_image = {f"i{place}": [float(value), 0.8] for place, value in enumerate(images)}
            short = {"protocol": "short", "plan": "quick", "steps": 200, "seed": at, "train_seconds": 2.0}
            value = {"psnr_db": float(images.mean()), "per_image": per_image, "reference": False}
            rows.append(common | short | value)
        long = {"protocol": "long", "plan": "longer", "steps": 600, "seed": 0, "train_seconds": 6.0}
        rows.append(common | long | {"psnr_db": float(psnr), "per_image": {}, "reference": True})
    return pd.DataFrame(rows, columns=[*COLUMNS, "per_image"])


def looked_at(frame: pd.DataFrame, *, seeds: int = 3, wanted: float = 0.7) -> Report:
    levels = [
        (Fidelity(plan=Plan(steps=200), name="quick", seeds=seeds), "short"),
        (Fidelity(plan=Plan(steps=600), name="longer", kind="reference"), "long"),
    ]
    scores = {name: {"synflow": -float(at)} for at, name in enumerate(sorted(set(frame["genotype_id"])))}
    return analyse(frame, levels, scores, study="s", data="photos", first_seed=0, wanted_tau=wanted)


def test_a_proxy_without_noise_is_trusted() -> None:
    report = looked_at(made_up(1e-6))
    [rung] = report.rungs
    assert (rung.tau.value, rung.rho.value, rung.half_tau.value) == (1, pytest.approx(1), 1)
    assert rung.seconds == 2.0 and rung.architectures == 16 and report.shortest == rung
    by_name = {one.name: one for one in report.baselines}
    assert by_name["params"].tau.value == 1
    assert by_name["synflow"].known == 16 and by_name["naswot"].known == 0
    words = calibration_of(report, rung).words
    assert words.startswith("proxy resolves 2.") and words.endswith("e-06 dB, tau 1.00 [1.00, 1.00]")


def test_a_proxy_that_is_pure_noise_is_called_so() -> None:
    report = looked_at(made_up(50.0, seed=2))
    [rung] = report.rungs
    assert rung.tau.by_chance and report.shortest is None
    assert calibration_of(report, rung).words.endswith(": no better than chance")


def test_the_noise_that_was_put_in_is_found() -> None:
    report = looked_at(made_up(0.1, architectures=200))
    noise = report.rungs[0].noise
    assert noise.sigma_db == pytest.approx(0.1, rel=0.1) and noise.degrees == 400
    assert noise.shared_sigma_db == pytest.approx(0.1, rel=0.1)
    assert report.rungs[0].resolves_db == pytest.approx(0.277, rel=0.1)
    assert [count for count, _ in report.by_seeds] == [1, 2, 3]
    counts, sigmas, taus = zip(*report.by_images, strict=True)
    assert counts == (1, 2, 4)
    assert sigmas[0] / sigmas[2] == pytest.approx(2, rel=0.1) and taus[0] < taus[2]


def test_an_architecture_without_the_reference_is_left_out_and_counted() -> None:
    frame = made_up(0.1)
    gone = (frame["genotype_id"] == "g03") & frame["reference"]
    report = looked_at(frame[~gone])
    assert report.architectures == 15 and report.failed == 1
    with pytest.raises(RecipeError, match="0 architectures have a result of the reference"):
        looked_at(frame[~frame["reference"]])


def test_the_report_is_plain_json_without_what_is_no_number() -> None:
    told = json.dumps(looked_at(made_up(0.1, seeds=1), seeds=1).to_dict(), allow_nan=False)
    assert json.loads(told)["rungs"][0]["noise"]["sigma_db"] is None


def test_levels_are_rungs_then_the_reference_then_variants(small_recipe: Callable[..., Recipe]) -> None:
    recipe = small_recipe()
    asked = CalibrationPlan(rungs=(2, 3), reference="6", ablate=("ema",))
    levels = asked.fidelities(recipe)
    told: list[tuple[Any, ...]] = [(level.kind, level.plan.steps, level.seeds) for level in levels]
    assert told == [("rung", 2, 3), ("rung", 3, 1), ("reference", 6, 1), ("variant", 2, 3)]
    assert levels[3].plan.ema == 0.999
    steady = make_recipe({**recipe.model_dump(exclude_none=True), "proxy": {"plan": "steady"}})
    assert asked.fidelities(steady)[3].plan.ema == 0

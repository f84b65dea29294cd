"""Training with the group lasso before channels are pruned: what it makes small, and what that is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_networks import SMALL

from leaderboard.store import Store
from nas.compression.compression import Compression
from nas.compression.pipeline import Pipeline
from nas.compression.source import CompressionSource
from nas.compression.stages import Stage
from nas.data import load_data
from nas.errors import Interrupted, RecipeError
from nas.evaluation.benchmark_sets import load_network
from nas.pruning.importance import IMPORTANCES, GroupLasso
from nas.pruning.structured import Target, prunable_groups, prune
from nas.training import Job, Progress, named_plan, train, validate
from nas.training.checkpoint import WEIGHTS, load_described, load_weights
from nas.training.initialisation import check
from nas.training.validation import mean_scores
from search_spaces.lightweight import Lightweight

PLAN = named_plan("quick", steps=8, batch=2, lr_patch=12)


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    job = Job(genotype=SMALL, scale=2, plan=replace(PLAN, steps=150), data=f"folder:{images}", folder=folder)
    outcome = train(job)
    assert outcome.weights is not None
    return outcome.weights


def job_of(images: Path, begin: Path, folder: Path, **changes: Any) -> Job:
    plan, data = replace(PLAN, **changes), f"folder:{images}"
    return Job(genotype=SMALL, scale=2, plan=plan, data=data, folder=folder, begin_weights=begin)


def test_it_is_the_sum_of_the_norms_of_all_weights_that_go_with_a_unit() -> None:
    """By brute force: a unit's weights are those that its removal takes away."""
    torch.manual_seed(1)
    network = Lightweight(width=16, blocks=1, block="imdb", attention="cca", transformers=0).build(2)
    groups, total = prunable_groups(network, 2), 0.0
    layers = dict(network.named_modules())
    for group in groups:
        for unit in group.units:
            squares, count = 0.0, 0
            for (name, side), channels in unit.items():
                layer = layers[name]
                if isinstance(layer, torch.nn.PReLU):
                    continue
                weight = layer.weight.detach().double()
                assert getattr(layer, "groups", 1) == 1
                taken = weight[channels] if side == "out" else weight[:, channels]
                squares, count = squares + taken.square().sum().item(), count + taken.numel()
            total += (squares * count) ** 0.5
    lasso = GroupLasso(network, groups)
    assert lasso().item() == pytest.approx(total, rel=1e-4)
    before = [p.grad for p in network.parameters()]
    assert not any(grad is not None for grad in before)
    lasso().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    with torch.no_grad():  # it looks at the weights as they are
        for parameter in network.parameters():
            parameter.mul_(2)
    assert lasso().item() == pytest.approx(2 * total, rel=1e-4)


@pytest.mark.thorough
def test_units_become_small_and_pruning_them_costs_less(images: Path, trained: Path, tmp_path: Path) -> None:
    valid, cpu = load_data(f"folder:{images}", 2, 12).valid, torch.device("cpu")

    def found(weight: float) -> tuple[float, float, float]:
        """The least unit's score, and how far pruned to 60 % and to 15 % it is below, in dB, untrained."""
        folder = tmp_path / str(weight)
        outcome = train(job_of(images, trained, folder, steps=150, lr=2e-3, group_lasso=weight))
        network = load_described(folder / WEIGHTS)[2]
        score = IMPORTANCES["group-lasso"].score
        scores = [score(network, group, torch.Generator()).detach() for group in prunable_groups(network, 2)]
        drops = []
        for share in (0.6, 0.15):
            smaller = prune(network, 2, Target(params=share), importance="group-lasso").eval()
            drops.append(outcome.psnr_db - mean_scores(validate(smaller, valid, 2, "y_float", cpu))[0])
        return torch.cat(scores).min().item(), drops[0], drops[1]

    dense, sparse = found(0.0), found(3e-5)  # measured: 0.89, 1.3 and 1.5 dB; 0.36, 0.0 and 0.9 dB
    assert dense[0] > 0.8
    assert sparse[0] < 0.6
    assert sparse[1] < 0.5 * dense[1]
    assert sparse[2] < 0.9 * dense[2]


def test_a_training_with_it_that_was_cut_off_ends_with_the_same_bits(
    images: Path, trained: Path, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise Interrupted("enough")

    whole = train(job_of(images, trained, tmp_path / "whole", group_lasso=1e-5))
    with pytest.raises(Interrupted):
        train(job_of(images, trained, tmp_path / "cut", group_lasso=1e-5), stop)
    again = train(job_of(images, trained, tmp_path / "cut", group_lasso=1e-5))
    assert (again.curve, again.psnr_db) == (whole.curve, whole.psnr_db)
    a, b = (load_weights(tmp_path / name / WEIGHTS)[0] for name in ("whole", "cut"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def order(images: Path, **changes: Any) -> Compression:
    usual: dict[str, Any] = {
        "plan": PLAN,
        "finetune_steps": 4,
        "data": f"folder:{images}",
        "prune": 0.6,
        "rounds": 2,
        "importance": "group-lasso",
        "sparsity": 1e-5,
        "max_drop_db": 20.0,
        "output": (96, 96),
    }
    return Compression(**usual | changes)


@pytest.mark.thorough
def test_a_pipeline_trains_with_it_once_before_the_first_round_and_goes_on_from_anywhere(
    images: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    network = load_network(str(trained), scale=None, weights=None, runs=tmp_path, open_store=None)
    jobs: list[tuple[str, float, int, str]] = []

    def seen(job: Job, report: Callable[[Progress], None]) -> Any:
        assert job.folder is not None
        assert job.begin_weights is not None
        folder = job.folder.relative_to(tmp_path / "runs" / "thin" / "stages").as_posix()
        jobs.append((folder, job.plan.group_lasso, job.plan.steps, job.begin_weights.parent.name))
        return train(job, report)

    def stop(name: str, progress: Progress) -> None:
        if name == "pruned 1/2: sparsity" and progress.step == 2:
            raise Interrupted("enough")

    def tell(stage: Stage) -> None:
        """Nothing."""

    monkeypatch.setattr("nas.compression.pipeline.train", seen)
    with Store.at(tmp_path / "runs" / "results.db") as store:

        def made() -> Pipeline:
            asked = order(images, sparsity_steps=5)
            source = CompressionSource.of(network, trained=True)
            return Pipeline("thin", asked, source, None, store=store, runs=tmp_path / "runs")

        with pytest.raises(Interrupted):
            made().run(stop, tell)
        result = made().run(lambda name, progress: None, tell)
        assert list(store.frame("thin")["state"]) == ["finished"] * 3
    assert [stage.name for stage in result.stages] == ["original", "pruned 1/2", "pruned 2/2"]
    assert jobs == [
        *[("1-pruned-1-of-2/sparse", 1e-5, 5, "0-original")] * 2,
        ("1-pruned-1-of-2", 0.0, 4, "1-pruned-1-of-2"),
        ("2-pruned-2-of-2", 0.0, 4, "2-pruned-2-of-2"),
    ]


def test_what_does_not_go_together_is_said(images: Path, trained: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"sparsity = 1e-05 makes channels zero that pruning with the imp"):
        order(images, importance="lamp")
    with pytest.raises(RecipeError, match=r"sparsity = 1e-05 makes channels zero"):
        order(images, prune=None, quantise="int8")
    with pytest.raises(RecipeError, match=r"sparsity = 0: a weight above 0"):
        order(images, sparsity=0)
    with pytest.raises(RecipeError, match=r"group_lasso = 2; a number from 0 to 1"):
        order(images, sparsity=2)
    with pytest.raises(RecipeError, match=r"sparsity_steps = 5 without sparsity"):
        order(images, sparsity=None, sparsity_steps=5)
    with pytest.raises(RecipeError, match=r"group_lasso = 0\.1 is for one process"):
        check(job_of(images, trained, tmp_path, group_lasso=0.1), processes=2)
    assert not any("sparsity" in name for name in order(images, sparsity=None).to_dict())

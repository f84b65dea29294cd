"""Training against a critic: its losses by hand, what learns from what, and files of VGG19 of every kind.

The weights of VGG19 in these tests are random: the real ones are nobody's to pass on here. Their file has the
layout of torchvision's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_networks import TINY as SMALL
from torch import Tensor, nn

from nas.errors import CheckpointError, DivergedError, Interrupted, RecipeError
from nas.training import Job, Outcome, Plan, Progress, train
from nas.training.adversarial import ADVERSARIALS, LEVELS, Adversary, Critic, total_variation
from nas.training.checkpoint import STATE, WEIGHTS, load_weights
from nas.training.curve import LossCurve
from nas.training.features import MEAN, STD, VGG19, read_features
from nas.training.initialisation import begin, check

PLAN = Plan(steps=6, batch=2, lr_patch=8, lr=1e-3, adversarial="ragan", optimizer="adamw")


def job_of(images: Path, features: Path | None, folder: Path | None = None, **changes: Any) -> Job:
    plan = replace(PLAN, **changes)
    return Job(genotype=SMALL, scale=2, plan=plan, data=f"folder:{images}", features=features, folder=folder)


def shapes_of_torchvision() -> dict[str, tuple[int, ...]]:
    """Of ``vgg19().features``, written down independently: the numbers of the layers and what they map."""
    channels = [3, 64, 64, 128, 128, *[256] * 4, *[512] * 8]
    numbers = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
    found: dict[str, tuple[int, ...]] = {}
    for number, before, after in zip(numbers, channels[:-1], channels[1:], strict=True):
        found[f"features.{number}.weight"] = (after, before, 3, 3)
        found[f"features.{number}.bias"] = (after,)
    return found


# The losses


def numpy_losses(kind: str, real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """The papers' formulas with a sigmoid and a logarithm, as they are printed."""

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    if kind == "rgan":
        return -np.log(sigmoid(real - fake)).mean(), -np.log(sigmoid(fake - real)).mean()
    of_real, of_fake = sigmoid(real - fake.mean()), sigmoid(fake - real.mean())
    critic = -np.log(of_real).mean() - np.log(1 - of_fake).mean()
    generator = -np.log(1 - of_real).mean() - np.log(of_fake).mean()
    return critic / 2, generator / 2


@pytest.mark.parametrize("kind", ADVERSARIALS)
def test_the_losses_are_those_of_the_papers_formulas(kind: str) -> None:
    random = np.random.default_rng(3)
    for _ in range(20):
        real, fake = random.normal(1, 2, (5, 1)), random.normal(-1, 3, (5, 1))
        found = ADVERSARIALS[kind](torch.from_numpy(real), torch.from_numpy(fake))
        assert (found.critic.item(), found.generator.item()) == pytest.approx(numpy_losses(kind, real, fake))
    same = torch.full((4, 1), 7.0)
    assert ADVERSARIALS[kind](same, same).critic.item() == pytest.approx(np.log(2))
    assert ADVERSARIALS[kind](same, same).generator.item() == pytest.approx(np.log(2))
    # answers far apart stay numbers, where a sigmoid before a logarithm would not
    sure = ADVERSARIALS[kind](torch.full((2, 1), 500.0), torch.full((2, 1), -500.0))
    assert (sure.critic.item(), sure.generator.item()) == (0.0, pytest.approx(1000))


def test_total_variation_counts_levels_between_neighbours() -> None:
    image = torch.tensor([[0, 10, 30], [5, 5, 0]]) / LEVELS
    x = torch.stack([image, torch.zeros(2, 3)])[:, None].expand(2, 3, 2, 3)
    # across: 10 + 20 + 0 + 5; down: 5 + 5 + 30; in three equal colours
    assert total_variation(x).tolist() == pytest.approx([3 * 75, 0])


class Halves(nn.Module):
    """Features that are known: half of the image."""

    def forward(self, x: Tensor) -> Tensor:
        return x / 2


def test_the_generators_loss_is_the_weighted_sum_of_its_parts() -> None:
    torch.manual_seed(0)
    sr, hr = torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16)
    weights = {"weight": 0.6, "feature_weight": 3.0, "tv_weight": 2e-8}
    adversary = Adversary("ragan", Halves(), **weights, batch=4)
    with torch.no_grad():
        real, fake = adversary.critic(hr).numpy(), adversary.critic(sr).numpy()
    levels = sr.double().numpy() * 255
    variation = np.abs(np.diff(levels, axis=2)).sum() + np.abs(np.diff(levels, axis=3)).sum()
    wanted = 3 * ((sr - hr) / 2).square().mean().item() + 0.6 * numpy_losses("ragan", real, fake)[1]
    assert adversary.generator_loss(sr, hr).item() == pytest.approx(wanted + 2e-8 * variation, rel=1e-5)
    assert adversary.critic_loss(sr, hr).item() == pytest.approx(
        numpy_losses("ragan", real, fake)[0], rel=1e-5
    )


def test_gradients_reach_the_critic_and_the_generator_apart() -> None:
    torch.manual_seed(0)
    generator, hr = nn.Conv2d(3, 3, 1), torch.rand(2, 3, 16, 16)
    adversary = Adversary("ragan", Halves(), weight=0.6, feature_weight=1, tv_weight=0, batch=2)
    parameters = list(adversary.critic.parameters())
    adversary.critic_loss(generator(hr), hr).backward()
    assert generator.weight.grad is None
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in parameters)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters)
    for parameter in parameters:
        parameter.grad = None
    adversary.generator_loss(generator(hr), hr).backward()
    assert generator.weight.grad is not None
    assert generator.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in parameters)
    # without features and variation what is left comes through the critic alone
    generator.zero_grad()
    alone = Adversary("ragan", Halves(), weight=1, feature_weight=0, tv_weight=0, batch=2)
    alone.generator_loss(generator(hr), hr).backward()
    assert generator.weight.grad is not None
    assert generator.weight.grad.abs().sum() > 0


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["ragan", "rgan"])
def test_a_critic_learns_to_tell_blurred_images_from_sharp_ones(kind: str) -> None:
    torch.manual_seed(0)
    adversary = Adversary(kind, Halves(), weight=1, feature_weight=1, tv_weight=0, batch=4)
    optimizer = torch.optim.AdamW(adversary.critic.parameters(), lr=1e-4)
    losses = []
    for _ in range(25):
        hr = torch.rand(4, 3, 24, 24)
        loss = adversary.critic_loss(nn.functional.avg_pool2d(hr, 3, 1, 1), hr)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(np.log(2), abs=0.1)
    assert np.mean(losses[-5:]) < 0.1


def test_the_critic_has_the_size_of_the_released_one() -> None:
    """Counted from its description: separable convolutions, normalisation, two linear layers."""
    widths = [3, 64, 64, 128, 128, 256, 256, 512, 512]
    pairs = list(pairwise(widths))
    convolutions = sum(10 * before + before * after + after for before, after in pairs)
    normalised = sum(2 * after for _, after in pairs[1:])
    linear = 512 * 36 * 1024 + 1024 + 1024 + 1
    assert sum(p.numel() for p in Critic().parameters()) == convolutions + normalised + linear
    assert Critic()(torch.rand(2, 3, 16, 40)).shape == (2, 1)


# VGG19


def test_the_feature_network_has_torchvisions_names_and_shapes() -> None:
    wanted = shapes_of_torchvision()
    assert {name: tuple(value.shape) for name, value in VGG19().state_dict().items()} == wanted
    # known: 20,024,384 parameters of vgg19 are in its features
    assert sum(value.numel() for value in VGG19().state_dict().values()) == 20_024_384


def test_features_are_the_fifth_groups_fourth_convolution_before_its_activation(features: Path) -> None:
    network, weights = read_features(features), torch.load(features, weights_only=True)
    x = torch.rand(2, 3, 33, 48)
    y = (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    for number in range(35):
        if f"features.{number}.weight" in weights:
            y = nn.functional.conv2d(
                y, weights[f"features.{number}.weight"], weights[f"features.{number}.bias"], padding=1
            )
        elif number in (4, 9, 18, 27):
            y = nn.functional.max_pool2d(y, 2, 2)
        else:
            y = y.relu()
    found = network(x)
    assert found.shape == (2, 512, 2, 3)
    torch.testing.assert_close(found, y, rtol=1e-5, atol=1e-6)
    assert (found < 0).any()
    assert not any(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("way", ["zip", "old", "safetensors", "half"])
def test_every_usual_file_of_the_weights_is_read(features: Path, tmp_path: Path, way: str) -> None:
    weights = torch.load(features, weights_only=True)
    path = tmp_path / ("v.safetensors" if way == "safetensors" else "v.pth")
    if way == "safetensors":
        save_file(weights, path)
    else:  # torchvision's own file is of the old kind
        torch.save(
            {name: value.half() for name, value in weights.items()} if way == "half" else weights,
            path,
            _use_new_zipfile_serialization=way != "old",
        )
    read = read_features(path)
    close = {"rtol": 1e-2, "atol": 1e-3} if way == "half" else {"rtol": 0, "atol": 0}
    for name, value in read.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, weights[name], **close)


class Evil:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (Path("touched"),)


def test_a_file_of_something_else_is_said_in_one_line_and_runs_nothing(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    weights = torch.load(features, weights_only=True)
    last = "features.34.weight"
    for held, says in (
        ({**weights, last: torch.zeros(512, 512, 1, 1)}, r"34.weight has the shape \(512, 512, 1, 1\), not"),
        ({name: w for name, w in weights.items() if name != last}, "34.weight is missing"),
        ({**weights, last: weights[last].int()}, "34.weight is torch.int32; floating"),
        ({**weights, last: [1, 2]}, "34.weight is no tensor"),
        (
            {**weights, last: torch.full_like(weights[last], torch.nan)},
            "34.weight has values that are no num",
        ),
        ([1, 2], "holds no weights by name"),
        ({"features.0.weight": Evil()}, "no readable weights of VGG19"),
        (Evil(), "no readable weights of VGG19"),
    ):
        torch.save(held, "bad.pth")
        with pytest.raises(CheckpointError, match=says) as caught:
            read_features(Path("bad.pth"))
        assert "\n" not in str(caught.value)
    assert not Path("touched").exists()
    save_file({"a": torch.zeros(1)}, "bad.safetensors")
    with pytest.raises(
        CheckpointError, match=r"no VGG19 in torchvision's layout: features.0.weight is missing"
    ):
        read_features(Path("bad.safetensors"))


@pytest.mark.parametrize("old", [False, True])
def test_a_truncated_file_is_said_wherever_it_was_cut(tmp_path: Path, old: bool) -> None:
    """A small file of the same kinds, cut everywhere in its head and now and then in its rest."""
    held = {name: torch.zeros(3) for name in shapes_of_torchvision()}
    torch.save(held, tmp_path / "whole.pth", _use_new_zipfile_serialization=not old)
    content = (tmp_path / "whole.pth").read_bytes()
    for length in (*range(0, 120), *range(120, len(content), 997)):
        (tmp_path / "cut.pth").write_bytes(content[:length])
        with pytest.raises(CheckpointError) as caught:
            read_features(tmp_path / "cut.pth")
        assert "\n" not in str(caught.value)


# Training


@pytest.mark.thorough
def test_a_training_against_a_critic_ends_and_repeats_itself(images: Path, features: Path) -> None:
    found = [train(job_of(images, features)) for _ in range(2)]
    assert found[0].curve == found[1].curve
    assert found[0].psnr_db == found[1].psnr_db
    other = train(job_of(images, features, adversarial="rgan"))
    assert other.curve != found[0].curve


@pytest.mark.parametrize(
    "changes",
    [{"ema": 0.9, "pixel_weight": 0.01}, {}, {"adversarial": "rgan"}],
)
@pytest.mark.thorough
def test_one_that_was_cut_off_ends_with_the_same_bits(
    images: Path, features: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise Interrupted("enough")

    def ended(name: str) -> tuple[Outcome, dict[str, Tensor]]:
        outcome = train(job_of(images, features, tmp_path / name, **changes))
        return outcome, load_weights(tmp_path / name / WEIGHTS)[0]

    whole, weights = ended("whole")
    with pytest.raises(Interrupted):
        train(job_of(images, features, tmp_path / "cut", **changes), stop)
    state = torch.load(tmp_path / "cut" / STATE, weights_only=True)["work"]
    assert state["critic_optimizer"]["state"][0]["step"] == 3
    assert not any("features" in name for name in state["critic"])  # 80 MB that are on the disk already
    again, same = ended("cut")
    assert (again.curve, again.psnr_db) == (whole.curve, whole.psnr_db)
    assert all(torch.equal(same[name], weights[name]) for name in weights)


@pytest.mark.thorough
def test_a_state_belongs_to_its_feature_network(images: Path, features: Path, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        raise Interrupted("enough")

    with pytest.raises(Interrupted):
        train(job_of(images, features, tmp_path / "run"), stop)
    weights = torch.load(features, weights_only=True)
    torch.save({name: value * 1.1 for name, value in weights.items()}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"belongs to another training \(features was"):
        train(job_of(images, tmp_path / "other.pth", tmp_path / "run"))
    # the same bytes in another place are the same network
    (tmp_path / "moved.pth").write_bytes(features.read_bytes())
    train(job_of(images, tmp_path / "moved.pth", tmp_path / "run"))


@pytest.mark.thorough
def test_steps_are_those_of_two_optimisers_taken_by_hand(images: Path, features: Path) -> None:
    """Three steps of the loop against the same written out, from the same beginning and the same patches."""
    from nas.training.loop import _Run

    job = job_of(images, features, schedule="constant", weight_decay=0.01, batch=3, lr_patch=24)
    run, twin = _Run(job, 1), _Run(job, 1)
    mine, again = (begin(job, torch.device("cpu")) for _ in range(2))
    network, adversary = mine.network, mine.adversary
    assert adversary is not None
    assert again.adversary is not None
    settings: dict[str, Any] = {"lr": 1e-3, "betas": (0.9, 0.999), "weight_decay": 0.01}
    own = torch.optim.AdamW(network.parameters(), **settings)
    its = torch.optim.AdamW(adversary.critic.parameters(), **settings)
    for number in range(3):
        run.work.set(number)
        run.feed.advance()
        run.work.take()
        twin.feed.advance()
        lr, hr = twin.feed.batch()
        its.zero_grad()
        adversary.critic_loss(network(lr), hr).backward()
        its.step()
        own.zero_grad()
        adversary.generator_loss(network(lr), hr).backward()
        own.step()
    assert run.work.adversary is not None
    for theirs, by_hand, before in (
        (run.network, network, again.network),
        (run.work.adversary.critic, adversary.critic, again.adversary.critic),
    ):
        flat = [torch.cat([p.detach().flatten() for p in m.parameters()]) for m in (theirs, by_hand, before)]
        moved, apart = (flat[1] - flat[2]).abs().mean(), (flat[1] - flat[0]).abs().mean()
        assert moved > 5e-4
        assert (
            apart < 0.02 * moved
        )  # Adam's first steps are of one size, whichever sign a gradient near 0 has


@pytest.mark.parametrize(
    "changes",
    [
        {"quantise_bits": 8},
        pytest.param({"precision": "bf16"}, marks=pytest.mark.thorough),
        pytest.param({"precision": "fp16", "clip_norm": 0.1}, marks=pytest.mark.thorough),
    ],
)
def test_other_ways_of_training_go_with_it(images: Path, features: Path, changes: dict[str, Any]) -> None:
    assert train(job_of(images, features, steps=2, **changes)).psnr_db > 0


@pytest.mark.thorough
def test_a_batch_in_parts_trains_too(images: Path, features: Path) -> None:
    from nas.training.loop import _attempt

    found = _attempt(job_of(images, features, steps=2, batch=4), None, accumulate=2)
    assert (found.accumulate, found.psnr_db > 0) == (2, True)


def test_a_loss_that_grows_ends_a_training_but_not_a_game() -> None:
    for falls in (True, False):
        total = torch.zeros(())
        curve = LossCurve(total, falls=falls)
        for step, loss in ((25, 1.0), (50, 20.0)):
            total += 25 * loss
            if falls and step == 50:
                with pytest.raises(DivergedError, match="the loss grew from 1 to 20"):
                    curve.close(step)
            else:
                curve.close(step)
    total += torch.inf
    with pytest.raises(DivergedError, match="the loss became inf"):
        curve.close(75)


def test_what_does_not_go_together_is_said_before_anything_is_trained(images: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone.pth"
    with pytest.raises(
        RecipeError, match=r"needs VGG19's weights .*no file of them was given .nas compress --features FILE"
    ):
        train(job_of(images, None))
    with pytest.raises(
        RecipeError, match=r"gone.pth: there is no such file, and an adversarial training needs"
    ):
        train(job_of(images, gone))
    with pytest.raises(RecipeError, match=r"are of no use to a plan without adversarial"):
        train(job_of(images, gone, adversarial="none"))
    with pytest.raises(RecipeError, match=r"batch = 1 with adversarial = 'ragan'; it compares images"):
        replace(PLAN, batch=1)
    with pytest.raises(RecipeError, match="unknown adversarial 'ragn'; did you mean 'ragan'"):
        replace(PLAN, adversarial="ragn")
    gone.touch()
    with pytest.raises(RecipeError, match="adversarial = 'ragan' keeps values that several processes do not"):
        check(job_of(images, gone), processes=2)


def test_fields_of_the_critic_leave_older_plans_alone() -> None:
    assert Plan(steps=3).identity() == {"steps": 3}
    assert Plan(steps=3, adversarial="ragan", tv_weight=0).identity() == {
        **{"steps": 3, "adversarial": "ragan", "tv_weight": 0}
    }


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_repeats_critic_and_generator_as_one_graph(
    images: Path, features: Path, precision: str
) -> None:
    job = job_of(images, features, steps=30, batch=4, ema=0.9, precision=precision, lr=1e-4)
    cpu, gpu = (
        train(replace(job, plan=replace(job.plan, precision="fp32"))),
        train(replace(job, device="cuda")),
    )
    assert gpu.engine == "graph"
    assert gpu.psnr_db == pytest.approx(cpu.psnr_db, abs=0.3)

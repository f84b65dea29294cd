"""Pruning: what goes together goes together, what is zero may go unseen, and a target is kept or refused."""

from __future__ import annotations

import copy
import functools
import json
import sys
from pathlib import Path

import pytest
import torch
from dice import Dice
from levels import mostly_thorough, nightly
from torch import Tensor, nn

pytest.importorskip("torch_pruning")

from leaderboard.tables.front import words
from nas.cost.counting import cost_of, measure
from nas.cost.cross_check import second_opinions
from nas.errors import CompressError, NasError
from nas.evaluation.benchmark_sets import load_network
from nas.networks.resolving import find_architecture
from nas.pruning.dependencies import Group, Unit, groups_of, is_depthwise
from nas.pruning.importance import IMPORTANCES, group_lasso, lamp
from nas.pruning.structured import Target, describe, prunable_groups, prune, reachable, without
from nas.training.checkpoint import save_weights
from search_spaces import Genotype
from search_spaces.blocks.attention import ATTENTIONS
from search_spaces.blocks.convolutions import CONVOLUTIONS
from search_spaces.blocks.distillation import DISTILLERS
from search_spaces.blocks.folding import deployed, fold, folds
from search_spaces.blocks.sharing import SHARINGS
from search_spaces.blocks.smfanet import SelfModulation
from search_spaces.blocks.transformers import TRANSFORMERS
from search_spaces.lightweight import Lightweight
from search_spaces.named import Named, genotype_of
from search_spaces.published import PUBLISHED


def small(**choices: object) -> Lightweight:
    """A point of the space with few channels; what does not apply is dropped."""
    return Lightweight(**{"width": 24, "blocks": 2, "depth": 2, "attention": "cca", **choices})  # type: ignore[arg-type]


SMALL: dict[str, Genotype] = {
    **{f"block {name}": small(block=name) for name in DISTILLERS if name != "acdm"},
    "block acdm": small(block="acdm", blocks=1, depth=1),
    **{f"attention {name}": small(block="rfdb", attention=name, blocks=1) for name in ATTENTIONS},
    **{f"kernel {name}": small(kernel=name) for name in CONVOLUTIONS},
    **{f"sharing {name}": small(sharing=name, blocks=4) for name in SHARINGS},
    **{
        f"transformer {name}": small(transformers=2, transformer=name, heads=2, blocks=1)
        for name in TRANSFORMERS
    },
    "dense, interleaved": small(
        aggregation="dense", transformers=1, order="interleaved", transformer="channel"
    ),
    "fused, two tails": small(aggregation="fuse", shallow_tail=True, skip="bicubic", stem="pyramid"),
    "blueprint all over": small(
        aggregation="fuse-blueprint", stem="blueprint", kernel="blueprint", block="esdb", attention="esa-cca"
    ),
}


@functools.cache
def network_of(name: str, scale: int = 4) -> nn.Module:
    """A folded network in evaluation mode whose weights and statistics are all far from zero."""
    return deployed(trained(name, scale))


def trained(name: str, scale: int = 4) -> nn.Module:
    """The same with the branches of its training."""
    torch.manual_seed(5)
    found = SMALL[name] if name in SMALL else genotype_of(name, PUBLISHED[name], scale)
    network = found.build(scale).eval()
    for tensor in [*network.parameters(), *network.buffers()]:
        if tensor.is_floating_point() and tensor.ndim > 0 and tensor.shape != (1, 3, 1, 1):
            tensor.data += 0.05 * torch.rand_like(tensor) - 0.015
    return network


def mixed_across_channels(group: Group, network: nn.Module) -> bool:
    """Whether something looks at all channels of a group at once without weights: then none is ever unseen.

    These are the normalisation of each pixel, with weights of its own or in SMFANet's block, a map of the
    channels' mean and maximum, and attention between channels.
    """
    layers = dict(network.named_modules())
    for name, _ in group.sides:
        above = [type(layers[name.rpartition(".")[0]]).__name__]
        above.append(type(layers[name.rpartition(".")[0].rpartition(".")[0]]).__name__)
        if isinstance(layers[name], nn.LayerNorm) or above[0] == "ChannelAttention":
            return True
        if {"SelfCalibratedSpatial", "DualAttentionBlock"} & set(above[:1]):
            return True
        if above[1] == "FeatureModulationBlock" and name.endswith(".enter"):
            return True
    return False


def silenced(network: nn.Module, units: list[Unit]) -> nn.Module:
    """A copy in which nothing listens to the channels of ``units``: the weights that take them are zero."""
    deaf = copy.deepcopy(network)
    layers = dict(deaf.named_modules())
    for unit in units:
        for (name, side), indices in unit.items():
            layer = layers[name]
            if side == "out" and name.endswith("attention.qkv"):  # queries meet keys without any weights
                layer.weight.data[indices] = 0
                if layer.bias is not None:
                    layer.bias.data[indices] = 0
            if side != "in":
                continue
            for index in indices:
                if isinstance(layer, nn.Conv2d) and layer.groups > 1:
                    assert not is_depthwise(layer)
                    share, rows = layer.in_channels // layer.groups, layer.out_channels // layer.groups
                    first = index // share * rows
                    layer.weight.data[first : first + rows, index % share] = 0
                else:
                    assert isinstance(layer, nn.Conv2d | nn.Linear)
                    layer.weight.data[:, index] = 0
    return deaf


def outputs(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        made: Tensor = network(x)
    return made


def assert_unseen(name: str) -> None:
    """What nothing listens to can go, some units of every group at once, and the image stays the same."""
    network = network_of(name)
    groups = [group for group in prunable_groups(network, 4) if not mixed_across_channels(group, network)]
    units = [unit for group in groups for unit in group.units[1 : 1 + max(1, len(group.units) // 3)]]
    network = copy.deepcopy(network).double()  # in single precision depth alone makes 1e-5 of difference
    x = torch.rand(1, 3, 21, 18, dtype=torch.float64)
    expected = outputs(silenced(network, units), x)
    assert not torch.allclose(expected, outputs(network, x), atol=1e-4)  # they were heard before
    difference = (expected - outputs(without(network, units), x)).abs().max()
    assert difference <= 1e-9 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("name", mostly_thorough(SMALL, {"block imdb", "transformer window", "sharing all"}))
def test_channels_that_nothing_listens_to_leave_the_image_as_it_is(name: str) -> None:
    assert_unseen(name)


@pytest.mark.parametrize(
    "name", mostly_thorough(["f2srgan", "swinir-light", "lbnet", "esrt", "latticenet"], {"f2srgan"})
)
def test_so_they_do_in_published_networks(name: str) -> None:
    assert_unseen(name)


@pytest.mark.parametrize(
    "name",
    mostly_thorough(
        [*SMALL, "f2srgan-student", "lbnet"], {"block imdb", "transformer window", "f2srgan-student"}
    ),
)
def test_half_the_parameters_can_go_and_the_genotype_builds_the_same_network(name: str) -> None:
    genotype = SMALL[name] if name in SMALL else genotype_of(name, PUBLISHED[name], 4)
    network = network_of(name)
    before = copy.deepcopy(network.state_dict())
    pruned = prune(network, 4, Target(params=0.5))
    compressed = describe(pruned, genotype, 4)
    built = type(compressed).from_dict(json.loads(json.dumps(compressed.to_dict()))).build(4).eval()
    built.load_state_dict(pruned.state_dict())
    x = torch.rand(2, 3, 17, 23)
    assert torch.equal(outputs(built, x), outputs(pruned, x))
    cost, whole = cost_of(compressed, 4), cost_of(genotype, 4)
    assert 0.4 * whole.params < cost.params <= 0.5 * whole.params
    assert cost == measure(lambda: copy.deepcopy(pruned).to("meta"), 4)
    assert cost.params == sum(parameter.numel() for parameter in pruned.parameters())
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("importance", ["magnitude", "group-lasso", "lamp"])
@pytest.mark.parametrize(
    "name",
    mostly_thorough(
        ["block imdb", "block residual", "sharing interval", "kernel asymmetric"], {"block imdb"}
    ),
)
def test_dead_channels_go_first_and_nobody_notices(name: str, importance: str) -> None:
    network = copy.deepcopy(network_of(name)).double()
    groups = prunable_groups(network, 4)
    dead = [unit for group in groups for unit in group.units[::3][: len(group.units) - 1]]
    layers = dict(network.named_modules())
    for unit in dead:
        for (layer, side), indices in unit.items():
            for tensor in layers[layer].parameters():
                if side == "out":
                    tensor.data[indices] = 0
                elif tensor.ndim > 1:
                    tensor.data[:, indices] = 0
    size = measure(lambda: without(network, dead).float().to("meta"), 4).params
    share = size / sum(parameter.numel() for parameter in network.parameters())
    pruned = prune(network, 4, Target(params=share), importance=importance)
    assert sum(parameter.numel() for parameter in pruned.parameters()) == size
    x = torch.rand(1, 3, 15, 22, dtype=torch.float64)
    assert torch.allclose(outputs(pruned, x), outputs(network, x), rtol=0, atol=1e-9)


@pytest.mark.thorough
def test_blocks_that_share_weights_still_share_them() -> None:
    pruned = prune(network_of("sharing all"), 4, Target(params=0.4))
    assert [name for name, _ in pruned.named_parameters()] == [
        name for name, _ in network_of("sharing all").named_parameters()
    ]
    tied = network_of("efrdn", 2)
    assert tied.tail is tied.shallow_tail
    smaller = without(tied, [group.units[0] for group in groups_of(tied)])
    assert smaller.tail is smaller.shallow_tail
    assert smaller(torch.rand(1, 3, 9, 11)).shape == (1, 3, 18, 22)


@pytest.mark.parametrize("name", ["kernel asymmetric", "block acdm"])
def test_training_time_branches_are_folded_before_pruning_and_the_genotype_says_so(name: str) -> None:
    network, target = trained(name), Target(params=0.5)
    assert folds(network)
    pruned, compressed = prune(network, 4, target), describe(network, SMALL[name], 4)
    assert folds(network) and not folds(pruned) and not compressed.folded
    x = torch.rand(1, 3, 12, 13)
    assert torch.equal(outputs(pruned, x), outputs(prune(fold(copy.deepcopy(network)), 4, target), x))
    for genotype in (SMALL[name], compressed):
        smaller = describe(pruned, genotype, 4)
        assert smaller.folded and smaller.to_dict()["folded"] is True
        built = type(smaller).from_dict(json.loads(json.dumps(smaller.to_dict()))).build(4).eval()
        built.load_state_dict(pruned.state_dict())
        assert torch.equal(outputs(built, x), outputs(pruned, x))


def test_attention_keeps_its_heads_and_its_own_scale() -> None:
    network = network_of("transformer window")
    pruned = prune(network, 4, Target(params=0.4))
    for whole, cut in zip(network.transformers, pruned.transformers, strict=True):  # type: ignore[arg-type]
        attention, before = cut.attention, whole.attention
        assert attention.heads == before.heads and attention.scale == before.scale
        assert attention.qkv.out_features == 3 * attention.project.in_features
        assert 0 < attention.project.in_features < before.project.in_features
        assert attention.project.in_features % attention.heads == 0


def test_grouped_convolutions_keep_equally_many_channels_in_every_group() -> None:
    pruned = prune(network_of("block acdm"), 4, Target(params=0.4))
    grouped = [m for m in pruned.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert any(not is_depthwise(layer) for layer in grouped)
    for layer in grouped:
        assert layer.in_channels % layer.groups == layer.out_channels % layer.groups == 0
        assert layer.weight.shape[:2] == (layer.out_channels, layer.in_channels // layer.groups)


def test_what_comes_out_of_a_pixel_shuffle_goes_with_its_whole_square() -> None:
    network = PUBLISHED["f2srgan-student"].build(4)
    group = next(g for g in groups_of(network) if ("tail.0.0.1", "out") in g.sides)
    assert all(len(unit["tail.0.0.1", "out"]) == 4 * len(unit["tail.0.2", "out"]) for unit in group.units)
    first = group.units[0]["tail.0.0.1", "out"]
    assert first == list(range(first[0], first[0] + 4)) and first[0] % 4 == 0


def test_lamp_is_torch_prunings_and_the_largest_of_a_layer_scores_one() -> None:
    from torch_pruning.pruner.importance import LAMPImportance

    squares = torch.rand(200)
    expected = LAMPImportance()._lamp(squares.clone())
    assert torch.allclose(lamp(squares), expected, rtol=1e-4)
    assert lamp(torch.tensor([1.0, 4.0, 5.0])).tolist() == pytest.approx([0.1, 4 / 9, 1.0])
    assert lamp(torch.zeros(3)).tolist() == [0, 0, 0]


def test_magnitude_is_the_l1_norm_of_filters_and_lasso_the_norm_of_all_that_goes() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 2, 1, bias=False), nn.Conv2d(2, 12, 1, bias=False), nn.PixelShuffle(2)
    )
    network[0].weight.data = torch.tensor([[1.0, -2.0, 0.0], [0.0, 2.0, 0.0]]).view(2, 3, 1, 1)  # type: ignore[assignment]
    network[1].weight.data = torch.ones(12, 2, 1, 1) * torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)  # type: ignore[assignment]
    (group,) = groups_of(network)
    dice = torch.Generator()
    assert IMPORTANCES["magnitude"].score(network, group, dice).tolist() == [3, 2]
    norms = torch.tensor([5 + 12.0, 4 + 48.0]).sqrt()
    assert torch.allclose(IMPORTANCES["group-lasso"].score(network, group, dice), norms / norms.mean())
    assert float(group_lasso(network, [group]).detach()) == pytest.approx(
        float(norms.sum()) * 15**0.5, rel=1e-6
    )


def test_training_with_the_group_lasso_parts_the_units_that_matter_from_those_that_do_not() -> None:
    network = copy.deepcopy(network_of("block residual"))
    groups = prunable_groups(network, 4)

    def spread() -> Tensor:
        scores = (IMPORTANCES["group-lasso"].score(network, g, torch.Generator()) for g in groups)
        return torch.stack([score.detach().std() for score in scores])

    before = spread()
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3)
    for _ in range(15):
        optimiser.zero_grad()
        group_lasso(network, groups).backward()
        optimiser.step()
    assert (spread() > 1.5 * before).all()
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())


def test_the_seed_decides_what_random_takes_and_nothing_else_does() -> None:
    network, target = network_of("block imdb"), Target(params=0.5)
    first, again, other = (prune(network, 4, target, importance="random", seed=s) for s in (1, 1, 2))
    assert describe(first, SMALL["block imdb"], 4) == describe(again, SMALL["block imdb"], 4)
    weights = [list(made.parameters()) for made in (first, again, other)]
    assert all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))
    magnitude = [prune(network, 4, target, seed=seed) for seed in (1, 2)]
    pairs = zip(magnitude[0].parameters(), magnitude[1].parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("importance", IMPORTANCES)
def test_every_importance_keeps_both_limits_also_in_several_rounds(importance: str) -> None:
    network, genotype = network_of("block rfdb"), SMALL["block rfdb"]
    target = Target(params=0.6, multi_adds=0.45)
    pruned = prune(network, 4, target, importance=importance, rounds=3)
    cost, whole = cost_of(describe(pruned, genotype, 4), 4), cost_of(genotype, 4)
    assert cost.params <= 0.6 * whole.params and cost.multi_adds <= 0.45 * whole.multi_adds
    assert cost.multi_adds >= 0.35 * whole.multi_adds
    untouched = prune(network, 4, Target(params=1.0), importance=importance)
    assert describe(untouched, genotype, 4).shapes == {}


def test_what_was_pruned_can_be_pruned_again_and_is_of_the_same_original() -> None:
    genotype = SMALL["block imdb"]
    once = prune(network_of("block imdb"), 4, Target(params=0.7))
    first = describe(once, genotype, 4)
    second = describe(prune(once, 4, Target(params=0.5)), first, 4)
    assert (second.of, second.choices) == ("lightweight", genotype.to_dict())
    assert cost_of(second, 4).params <= 0.5 * cost_of(first, 4).params


@pytest.mark.parametrize("target", [Target(params=0.0005), Target(multi_adds=1e-4)])
def test_a_target_below_one_channel_a_layer_names_the_least_that_can_be_left(target: Target) -> None:
    network = network_of("block imdb")
    least = reachable(network, 4)
    name = next(iter(target.shares()))
    with pytest.raises(CompressError, match=f"whole layers: the least .* is {least[name]:.1%}") as error:
        prune(network, 4, target)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0, -1, 1.1, float("nan")])
def test_a_share_that_cannot_be_meant_is_refused(share: float) -> None:
    with pytest.raises(CompressError, match="above 0, at most 1"):
        Target(params=share)


def test_other_mistakes_are_one_line_each() -> None:
    network = network_of("block imdb")
    with pytest.raises(CompressError, match="needs a share"):
        Target()
    with pytest.raises(NasError, match="unknown importance 'magnitud'; did you mean 'magnitude'"):
        prune(network, 4, Target(params=0.5), importance="magnitud")
    with pytest.raises(CompressError, match="rounds = 0"):
        prune(network, 4, Target(params=0.5), rounds=0)
    with pytest.raises(CompressError, match="does not give x3"):
        prune(network, 3, Target(params=0.5))
    with pytest.raises(CompressError, match="no layer"):
        prune(nn.Sequential(nn.Conv2d(3, 12, 3, padding=1), nn.PixelShuffle(2)), 2, Target(params=0.5))


class Stubborn(nn.Module):
    """A network whose second half works on a fixed number of channels, as anybody's may."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(torch.relu(self.first(x)))
        x = x.reshape(x.shape[0], 2, 4, *x.shape[2:]).flip(1).reshape(x.shape[0], 8, *x.shape[2:])
        return nn.functional.pixel_shuffle(self.last(x), 2)


def test_a_layer_that_cannot_follow_is_left_alone() -> None:
    network = Stubborn()
    pruned = prune(network, 2, Target(params=0.6))
    assert (pruned.second.out_channels, pruned.last.in_channels) == (8, 8)  # type: ignore[union-attr]
    assert pruned.first.out_channels == pruned.second.in_channels < 16  # type: ignore[union-attr]
    assert network.first.out_channels == 16
    with pytest.raises(CompressError, match="whole layers"):
        prune(network, 2, Target(params=0.3))


def test_a_pruned_network_is_loaded_from_its_file_without_torch_pruning(tmp_path: Path) -> None:
    genotype = Named(network="f2srgan-student")
    pruned = prune(network_of("f2srgan-student"), 4, Target(multi_adds=0.5), importance="group-lasso")
    compressed = describe(pruned, genotype, 4)
    path = tmp_path / "small.safetensors"
    about = {"space": compressed.space, "choices": compressed.to_dict(), "scale": 4}
    save_weights(path, pruned.state_dict(), about)
    loaded = load_network(str(path), scale=None, weights=None, runs=tmp_path, open_store=None)
    assert loaded.genotype == compressed and loaded.name == compressed.id
    x = torch.rand(1, 3, 13, 16)
    assert torch.equal(outputs(loaded.module.eval(), x), outputs(pruned, x))
    assert all("torch_pruning" not in type(module).__module__ for module in loaded.module.modules())
    plain = tmp_path / "small.json"
    plain.write_text(json.dumps({"space": "compressed", **compressed.to_dict()}))
    found = find_architecture(str(plain))
    assert found.genotype == compressed and found.cost(4) == cost_of(compressed, 4)
    assert "shapes of" in words(compressed.to_dict()) and len(words(compressed.to_dict())) < 200


def test_other_counters_count_the_pruned_network_too() -> None:
    genotype = SMALL["block residual"]
    pruned = prune(network_of("block residual"), 4, Target(params=0.5))
    compressed = describe(pruned, genotype, 4)
    ours = cost_of(compressed, 4, (160, 240)).multi_adds
    opinions = second_opinions(lambda: compressed.build(4), 4, ours, (160, 240))
    assert [opinion.unexplained for opinion in opinions] == [0, 0, 0]
    weights = [layer.weight for layer in pruned.modules() if isinstance(layer, nn.Conv2d)]
    full_size = [weight.numel() * 40 * 60 for weight in weights if weight.shape[2:] == (3, 3)]
    assert sum(full_size) < ours < cost_of(genotype, 4, (160, 240)).multi_adds / 1.8


def test_where_torch_pruning_is_absent_its_install_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    monkeypatch.setitem(sys.modules, "torch_pruning.dependency", None)
    with pytest.raises(CompressError, match=r"pip install 'paretosr\[compress\]'"):
        prune(network_of("block imdb"), 4, Target(params=0.5))


@pytest.mark.parametrize("seed", [*mostly_thorough(range(12), {0}), *nightly(range(12, 60))])
def test_any_architecture_of_the_space_can_lose_half_and_no_layer_of_it_is_left_alone(seed: int) -> None:
    genotype = Lightweight.suggest(Dice(seed, most=32))
    torch.manual_seed(seed)
    network = deployed(genotype.build(2).eval())
    prunable, layers = prunable_groups(network, 2), dict(network.named_modules())
    for group in groups_of(network):  # SMFA's depthwise convolution to twice the channels stays as it is
        parts = [layers[name.partition(".local")[0]] for name, _ in group.sides]
        assert group in prunable or any(isinstance(part, SelfModulation) for part in parts)
    name = sorted(IMPORTANCES)[seed % len(IMPORTANCES)]
    pruned = prune(network, 2, Target(params=0.5), importance=name, seed=seed)
    built = describe(pruned, genotype, 2).build(2).eval()
    built.load_state_dict(pruned.state_dict())
    x = torch.rand(1, 3, 18, 13)
    assert torch.equal(outputs(built, x), outputs(pruned, x))


@pytest.mark.thorough
@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_network_can_lose_half_of_its_multi_adds(name: str) -> None:
    genotype = genotype_of(name, PUBLISHED[name], 4)
    network = PUBLISHED[name].build(4)
    pruned = prune(network, 4, Target(multi_adds=0.5))
    compressed = describe(pruned, genotype, 4)
    assert 0.4 < cost_of(compressed, 4).multi_adds / cost_of(genotype, 4).multi_adds <= 0.5

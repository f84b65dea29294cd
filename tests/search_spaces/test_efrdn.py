"""EFRDN: its parts have the costs that the paper's tables leave for them, and so has every ablation."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import cache

import pytest
import torch
from levels import mostly_thorough
from torch import Tensor, nn

from nas.cost.budget import Cost
from nas.cost.counting import measure
from search_spaces import SpaceError, load_space
from search_spaces.blocks.attention import EnhancedSpatialAttention
from search_spaces.blocks.branches import AsymmetricConv
from search_spaces.blocks.calibration import (
    CombinationAttention,
    CombinationCoefficient,
    SelfCalibratedChannel,
    SelfCalibratedSpatial,
    fitting_groups,
)
from search_spaces.blocks.lattice import (
    AsymmetricDistillationBlock,
    AsymmetricResidualBlock,
    DistillationVariant,
    FeatureFusionBlock,
    FeatureFusionLatticeBlock,
    GroupResidualBlock,
    MultipleSelfCalibration,
)
from search_spaces.networks.efrdn import Efrdn, EfrdnNetwork

KEEPERS = {
    "gcrb": GroupResidualBlock,
    "effb": FeatureFusionBlock,
    "fflb": FeatureFusionLatticeBlock,
    "acrb": AsymmetricResidualBlock,
    "mscc": MultipleSelfCalibration,
    "acdm": AsymmetricDistillationBlock,
    "scsa": SelfCalibratedSpatial,
    "scca": SelfCalibratedChannel,
    "cc": CombinationAttention,
}

# Parameters, convolutions' Multi-Adds at x4 and a 1280x720 output, as printed (Tables 1, 3 and 4).
ROWS = {
    "full": (Efrdn(), 767.9e3, 27.9e9, 0.02),
    "without FFLB": (Efrdn(fflb=False), 640e3, 17.0e9, 0.03),
    "without EFFB": (Efrdn(effb=False), 684.5e3, 18.58e9, 0.03),
    "without GCRB": (Efrdn(gcrb=False), 762.84e3, 27.45e9, 0.03),
    "without CC": (Efrdn(coefficients="none"), 764.0e3, 27.9e9, 0.03),
    "without MSCC": (Efrdn(mscc=False), 750e3, 25.8e9, 0.03),
    "without ACRB": (Efrdn(distilled="none"), 761e3, 27.0e9, 0.03),
    "ACRB replaced by 3x3": (Efrdn(distilled="3x3"), 761e3, 27.0e9, 0.03),
    "RFDB": (Efrdn(module="rfdb"), 688e3, 13.0e9, 0.03),
    "one ACDM": (Efrdn(unique=1), 650e3, 27.9e9, 0.03),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Maps this small take longer on several threads than on one, much longer where the cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def cost_at_x4(genotype: Efrdn) -> Cost:
    return measure(lambda: genotype.build(4), 4, in_training=True)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def perturbed(module: nn.Module) -> nn.Module:
    """With normalisation statistics and affine weights that are not the trivial ones."""
    generator = torch.Generator().manual_seed(3)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert part.running_mean is not None and part.running_var is not None
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(part.weight, 0.5, 2, generator=generator)
            nn.init.normal_(part.bias, generator=generator)
    return module.eval()


def test_the_parts_at_32_channels_have_the_parameters_that_the_tables_leave_for_them() -> None:
    assert parameters(GroupResidualBlock(32)) == 424
    assert parameters(EnhancedSpatialAttention(32)) == 2960
    assert parameters(FeatureFusionLatticeBlock(32)) == pytest.approx(21.32e3, abs=5)
    assert parameters(AsymmetricDistillationBlock(32)) == pytest.approx(117.8e3, abs=50)


@pytest.mark.parametrize("tying", ["branches", "lattices", "pairs"])
def test_each_tying_of_the_coefficients_costs_a_lattice_648_parameters(tying: str) -> None:
    tied = FeatureFusionLatticeBlock(32, DistillationVariant(coefficients=tying))  # type: ignore[arg-type]
    plain = FeatureFusionLatticeBlock(32, DistillationVariant(coefficients="none"))
    assert parameters(tied) - parameters(plain) == 648


def test_a_coefficient_is_the_mean_of_two_gates_on_mean_and_unbiased_deviation() -> None:
    coefficient, x = CombinationCoefficient(16), torch.randn(2, 16, 5, 7)
    mean, deviation = x.mean((2, 3), keepdim=True), x.flatten(2).std(2)[..., None, None]
    expected = (coefficient.mean(mean) + coefficient.deviation(deviation)) / 2
    torch.testing.assert_close(coefficient(x), expected)


def test_coefficients_are_finite_on_a_constant_map_and_on_a_single_pixel() -> None:
    for x in (torch.ones(1, 16, 4, 4), torch.ones(1, 16, 1, 1)):
        x.requires_grad_()
        CombinationAttention(16)(x).sum().backward()
        assert x.grad is not None and x.grad.isfinite().all()


@pytest.mark.parametrize(("wanted", "channels", "groups"), [(8, (64, 32), 8), (8, (36, 18), 6), (2, (5,), 1)])
def test_groups_are_the_most_that_divide_all_channels(
    wanted: int, channels: tuple[int, ...], groups: int
) -> None:
    assert fitting_groups(wanted, *channels) == groups


def test_asymmetric_branches_fold_into_one_convolution_in_evaluation_mode() -> None:
    block = perturbed(AsymmetricResidualBlock(8))
    assert isinstance(block, AsymmetricResidualBlock)
    x = torch.randn(2, 8, 6, 9)
    with torch.no_grad():
        torch.testing.assert_close(block.folded()(x), block(x))


@pytest.mark.parametrize("width", mostly_thorough([16, 18, 22, 32, 38, 64], {18, 32}))
@pytest.mark.parametrize("name", KEEPERS)
def test_a_block_keeps_the_shape_at_any_even_width(name: str, width: int) -> None:
    block = KEEPERS[name](width).eval()
    for height, columns in ((8, 8), (1, 64), (31, 47)) if width == 18 else ((9, 8),):
        x = torch.randn(1, width, height, columns)
        with torch.no_grad():
            y = block(x)
        assert y.shape == x.shape and y.isfinite().all()


@pytest.mark.parametrize("name", KEEPERS)
def test_every_parameter_of_a_block_has_a_finite_gradient(name: str) -> None:
    block = KEEPERS[name](16)
    block(torch.randn(2, 16, 16, 17)).square().mean().backward()
    for key, parameter in block.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_module_takes_the_depth_share_and_kernel_of_the_composed_space(depth: int, share: float) -> None:
    block = AsymmetricDistillationBlock(
        24, conv=AsymmetricConv, attention=CombinationAttention, depth=depth, share=share
    )
    assert block(torch.randn(2, 24, 16, 16)).shape == (2, 24, 16, 16)


def test_an_unknown_tying_is_refused() -> None:
    with pytest.raises(ValueError, match="coefficients 'half'"):
        FeatureFusionLatticeBlock(16, DistillationVariant(coefficients="half"))  # type: ignore[arg-type]


@pytest.mark.parametrize("row", mostly_thorough(ROWS, {"full"}))
def test_a_printed_row_is_reproduced(row: str) -> None:
    genotype, params, multi_adds, tolerance = ROWS[row]
    cost = cost_at_x4(genotype)
    assert cost.params == pytest.approx(params, rel=tolerance)
    assert cost.conv_multi_adds == pytest.approx(multi_adds, rel=tolerance)


def test_removing_the_residual_blocks_of_the_branches_saves_what_is_printed() -> None:
    whole, without = cost_at_x4(Efrdn()), cost_at_x4(Efrdn(gcrb=False))
    assert round((whole.params - without.params) / 1e3, 2) == 5.09  # printed: 767.9 - 762.84 = 5.06
    assert round((whole.conv_multi_adds - without.conv_multi_adds) / 1e9, 2) == 0.45


def test_everything_that_multiplies_is_nineteen_times_what_the_paper_counts() -> None:
    cost = cost_at_x4(Efrdn())
    attention = 2 * 2 * 14_400 * 144 * 57_600
    linear = 2 * 57_600 * (288 * 144 + 144 * 432 + 144 * 288 + 2 * 288 * 144)
    assert cost.multi_adds == cost.conv_multi_adds + attention + linear


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_network_enlarges_odd_images(scale: int) -> None:
    network = Efrdn(width=16).build(scale).eval()
    x = torch.rand(1, 3, 7, 9)
    with torch.no_grad():
        y = network(x)
        assert y.shape == (1, 3, 7 * scale, 9 * scale)
        assert torch.equal(network(x), y)
        copy = pickle.loads(pickle.dumps(network))
        assert torch.equal(copy(x), y)


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"cnn_links": "literal", "transformer_links": "none", "reconstruction": "separate"},
        {"cnn_links": "none", "fuse": "3x3", "merge": "concat", "unique": 4},
        {"module": "imdb"},
        {"module": "rfdb"},
        {"fflb": False, "mscc": False, "distilled": "none"},
        {"effb": False, "gcrb": False, "coefficients": "none"},
    ],
)
def test_every_reading_trains(choices: dict[str, str | bool | int]) -> None:
    network = Efrdn(**choices).build(2)  # type: ignore[arg-type]
    network(torch.rand(2, 3, 10, 12)).square().mean().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key


def test_the_links_of_the_two_parts_change_the_result_and_not_the_cost() -> None:
    genotypes = [
        Efrdn(),
        Efrdn(cnn_links="literal"),
        Efrdn(cnn_links="none"),
        Efrdn(transformer_links="none"),
    ]
    x, outputs, sizes = torch.rand(1, 3, 8, 8), [], set()
    for genotype in genotypes:
        torch.manual_seed(0)
        network = genotype.build(2).eval()
        sizes.add(parameters(network))
        with torch.no_grad():
            outputs.append(network(x))
    assert len(sizes) == 1
    for other in outputs[1:]:
        assert not torch.allclose(outputs[0], other)


def test_dense_links_add_all_previous_outputs_and_the_shallow_features() -> None:
    """Equations 2 and 3 with modules that double and convolutions that do nothing."""

    class Double(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    network = EfrdnNetwork(Efrdn(width=16), 2)
    network.distillers = nn.ModuleList(Double() for _ in range(2))
    network.convs = nn.ModuleList(nn.Identity() for _ in range(4))
    shallow = torch.ones(1, 16, 2, 2)
    outputs = [3.0]
    for _ in range(3):
        outputs.append(2 * outputs[-1] + sum(outputs) + 1)
    assert torch.equal(network._convolutional(shallow), (sum(outputs) + 1) * shallow)


def test_efrdn_is_a_space_of_its_own() -> None:
    assert load_space("search_spaces.networks.efrdn") is Efrdn
    without = Efrdn(module="imdb", merge="sum")
    assert without.merge is None and without.id == Efrdn(module="imdb").id
    assert Efrdn.from_dict(Efrdn(mlp_ratio=1).to_dict()) == Efrdn(mlp_ratio=1)
    with pytest.raises(SpaceError, match="mlp_ratio"):
        Efrdn(mlp_ratio=3)

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas.imaging.tiling import enlarge, plan_tiling, receptive_radius


def convolutions(layers: int, kernel: int = 3, dilation: int = 1) -> nn.Module:
    torch.manual_seed(0)
    pad = dilation * (kernel // 2)
    body: list[nn.Module] = []
    for index in range(layers):
        body += [
            nn.Conv2d(3 if index == 0 else 8, 8, kernel, padding=pad, dilation=dilation),
            nn.LeakyReLU(0.1),
        ]
    return nn.Sequential(*body, nn.Conv2d(8, 12, 1), nn.PixelShuffle(2)).eval()


class Pooling(nn.Module):
    """Weighs its input by the mean of the whole image."""

    def __init__(self) -> None:
        super().__init__()
        self.body = convolutions(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x * x.mean((2, 3), keepdim=True))


@pytest.mark.parametrize(
    ("layers", "kernel", "dilation"), [(1, 3, 1), (4, 3, 1), (2, 5, 2), (30, 3, 1), (3, 1, 1)]
)
def test_the_receptive_field_of_convolutions_is_the_sum_of_their_kernels(
    layers: int, kernel: int, dilation: int
) -> None:
    assert receptive_radius(convolutions(layers, kernel, dilation)) == layers * (kernel // 2) * dilation


def test_what_pools_over_the_image_depends_on_all_of_it() -> None:
    assert receptive_radius(Pooling()) is None


@pytest.mark.parametrize("size", [(100, 130), (49, 200), (48, 48), (30, 25)])
def test_tiles_of_a_convolutional_network_are_the_whole_image(size: tuple[int, int]) -> None:
    network = convolutions(6)
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = network(x)
    tiled = enlarge(network, x, 2, tile=48, overlap=6)
    assert (tiled - whole).abs().max() <= 1e-5
    if max(size) > 48:
        missing = enlarge(network, x, 2, tile=48, overlap=0)
        assert (missing - whole).abs().max() > 1e-4


def test_a_plan_says_whether_tiles_are_exact() -> None:
    cpu = torch.device("cpu")
    exact = plan_tiling(convolutions(3), 2, 48, cpu)
    assert (exact.radius, exact.overlap) == (3, 3)
    assert exact.difference <= 1e-5
    assert ": as the whole image" in exact.told()
    pooled = plan_tiling(Pooling(), 2, 48, cpu)
    assert pooled.radius is None
    assert pooled.difference > 1e-4
    assert "NOT as the whole image" in pooled.told()

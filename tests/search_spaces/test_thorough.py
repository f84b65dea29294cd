"""Random architectures and their costs by the hundred, and nightly by the thousand.

The quick tests show the same of a few dozen.
"""

from __future__ import annotations

import json
import tomllib

import pytest
import tomli_w
import torch
from levels import mostly_thorough, nightly

from nas.cost.counting import cost_of, measure
from nas.cost.cross_check import second_opinions
from nas.samplers import RandomChooser
from search_spaces.lightweight import Lightweight

SIZES = [(31, 47), (8, 8), (1, 64)]
CHUNKS = [*mostly_thorough([0], ()), *nightly(range(1, 20))]


def random_genotypes(chunk: int, count: int) -> list[Lightweight]:
    chooser = RandomChooser(1000 + chunk)
    return [Lightweight.suggest(chooser) for _ in range(count)]


@pytest.mark.parametrize("chunk", CHUNKS)
def test_random_architectures_run_and_survive_their_files(chunk: int) -> None:
    for number, genotype in enumerate(random_genotypes(chunk, 50)):
        scale = (2, 3, 4)[number % 3]
        for copy in (
            json.loads(json.dumps(genotype.to_dict())),
            tomllib.loads(tomli_w.dumps(genotype.to_dict())),
        ):
            assert Lightweight.from_dict(copy).id == genotype.id
        network = genotype.build(scale)
        for size in SIZES:
            network.zero_grad()
            image = network(torch.rand(1, 3, *size))
            assert image.shape == (1, 3, scale * size[0], scale * size[1]), genotype
            if genotype.block == "acdm" and genotype.blocks > 8:
                continue  # without a skip around them so many lattices overflow before they are trained
            assert torch.isfinite(image).all(), genotype
            image.square().mean().backward()
            for name, parameter in network.named_parameters():
                assert parameter.grad is None or torch.isfinite(parameter.grad).all(), (genotype, name)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_the_sum_of_the_parts_is_the_cost_of_the_built_network(chunk: int) -> None:
    for number, genotype in enumerate(random_genotypes(100 + chunk, 100)):
        scale = (2, 3, 4)[number % 3]
        assert cost_of(genotype, scale) == measure(lambda g=genotype, s=scale: g.build(s), scale), genotype


@pytest.mark.parametrize("chunk", CHUNKS)
def test_other_counters_differ_only_by_what_is_known(chunk: int) -> None:
    for number, genotype in enumerate(random_genotypes(chunk, 25)):
        scale = (2, 3, 4)[number % 3]
        output = (24 * scale, 32 * scale)
        ours = cost_of(genotype, scale, output).multi_adds
        for opinion in second_opinions(lambda g=genotype, s=scale: g.build(s), scale, ours, output):
            assert opinion.unexplained == 0, (genotype, opinion)

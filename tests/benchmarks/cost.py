"""How long a cost takes: by parts, by counting the built network, by fvcore and by ptflops, in one run.

python tests/benchmarks/cost.py [--genotypes 300]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import nn

from nas.cost.counting import cost_of, input_size, measure
from nas.samplers import RandomChooser
from search_spaces import Space
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED

SCALE = 4


def timed(call: Callable[[], object], times: int) -> float:
    """The median seconds of ``times`` calls."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def by_fvcore(build: Callable[[], nn.Module]) -> object:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(build().eval(), torch.zeros(1, 3, *input_size(SCALE)))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return analysis.tracer_warnings("none").total()


def by_ptflops(build: Callable[[], nn.Module]) -> object:
    from ptflops import get_model_complexity_info

    return get_model_complexity_info(
        build().eval(), (3, *input_size(SCALE)), as_strings=False, print_per_layer_stat=False, backend="aten"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--genotypes", type=int, default=300)
    number = parser.parse_args().genotypes
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    print(f"{platform.machine()}, torch {torch.__version__}, 1 thread, x{SCALE}, output 1280x720")

    genotype = PUBLISHED["imdn"].genotype
    assert genotype is not None
    ours = timed(lambda: measure(lambda: genotype.build(SCALE), SCALE), 15)
    cost_of(genotype, SCALE)
    rows = {
        "by parts, warm": timed(lambda: cost_of(genotype, SCALE), 500),
        "built, on the meta device": ours,
        "fvcore, on the CPU": timed(lambda: by_fvcore(lambda: genotype.build(SCALE)), 3),
        "ptflops (aten), on the CPU": timed(lambda: by_ptflops(lambda: genotype.build(SCALE)), 3),
    }
    print("IMDN, median of one count")
    for name, seconds in rows.items():
        print(f"  {name:<28}{seconds * 1e3:>12.3f} ms   {seconds / ours:>10.3f} x the built count")

    space, chooser = Space(Lightweight), RandomChooser(0)
    genotypes = [space.suggest(chooser) for _ in range(number)]
    start = time.perf_counter()
    for one in genotypes:
        cost_of(one, SCALE)
    cold = (time.perf_counter() - start) / number
    warm = [timed(lambda g=one: cost_of(g, SCALE), 3) for one in genotypes]
    built = [timed(lambda g=one: measure(lambda: g.build(SCALE), SCALE), 1) for one in genotypes[:30]]
    print(f"{number} random genotypes")
    print(f"  by parts, first time        {cold * 1e3:>12.3f} ms each")
    print(f"  by parts, warm              {statistics.median(warm) * 1e3:>12.3f} ms (median)")
    print(f"  built, on the meta device   {statistics.median(built) * 1e3:>12.3f} ms (median of 30)")

    again, start = RandomChooser(0), time.perf_counter()
    for _ in range(number):
        one = space.suggest(again)
        cost_of(Lightweight.from_dict(one.to_dict()), SCALE)
    seconds = time.perf_counter() - start
    print(f"  sampled, validated, costed  {number / seconds:>12.0f} a second (warm)")


if __name__ == "__main__":
    main()

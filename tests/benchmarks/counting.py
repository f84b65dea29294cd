"""Time of counting costs: with the rules for sizes of outputs, and with torch's own kernels alone.

``python tests/benchmarks/counting.py [--networks 100]``; both sides in turns, each in fresh processes,
without the costs kept on disk. Seconds of the processor.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

PROGRAM = """
import sys, time
import torch
from nas.cost import counting
from nas.samplers import RandomChooser
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED

counting._on_disk.get = lambda key: None
counting._on_disk.put = lambda *_, **__: None
if sys.argv[1] == "torch":
    counting.output_of = lambda func, args: None
    counting._Counter.__torch_dispatch__ = torch._disable_dynamo(counting._Counter.__torch_dispatch__)
began = time.process_time()
cost = counting.measure(lambda: PUBLISHED["imdn"].build(4), 4)
first = time.process_time() - began
chooser = RandomChooser(0)
networks = [Lightweight.suggest(chooser) for _ in range(int(sys.argv[2]))]
began = time.process_time()
total = cost.multi_adds + sum(counting.cost_of(network, 4).multi_adds for network in networks)
print(first, time.process_time() - began, total)
"""


def main() -> None:
    """Run both sides in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    seconds: dict[str, list[tuple[float, float]]] = {"torch": [], "ours": []}
    totals = set()
    for _ in range(options.repeats):
        for side, times in seconds.items():
            command = [sys.executable, "-c", PROGRAM, side, str(options.networks)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            first, others, total = done.stdout.split()
            times.append((float(first), float(others)))
            totals.add(total)
    assert len(totals) == 1, "both sides count the same"
    for number, what in enumerate(
        ("the first network of a process (IMDN)", f"{options.networks} random ones")
    ):
        torch, ours = (statistics.median(each[number] for each in seconds[side]) for side in seconds)
        print(f"{what}: torch {torch:.2f} s, ours {ours:.2f} s, {torch / ours:.1f} x")


if __name__ == "__main__":
    main()

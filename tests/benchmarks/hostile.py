"""How the program takes hostile files and values: what it refuses, accepts, and fails at, as a table.

Every kind of damage to every kind of file (tests/importable/hostile_entries.py), mutated databases, a corpus
of files that once hung or exploded, and impossible numbers for all options. Each kind of file is read in a
process of its own, each command is one. "Accepted" means that the result equals an independent reading.

python tests/benchmarks/hostile.py [--examples 5] [--databases 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections import Counter
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "importable"))
sys.path.insert(0, str(Path(__file__).parents[2]))  # before tests, which has a folder of this name, too

from forked import Forker
from hostile_entries import ENTRIES
from hostile_runs import GOOD, corpus, prepared, run, wrong_options
from hostile_values import DAMAGES

IMPORTABLE = str(Path(__file__).parents[1] / "importable")
_READ = """
import json, sys, tempfile, warnings
from pathlib import Path
warnings.simplefilter("ignore")
sys.path[:0] = [str(Path(sys.argv[3]).parents[1]), sys.argv[3], str(Path(sys.argv[3]).parent)]
from hostile_runs import damaged_files, mutated_databases, peak_mib
began = peak_mib()
with tempfile.TemporaryDirectory() as folder:
    if sys.argv[1] == "databases":
        found = [("database", *each) for each in mutated_databases(Path(folder), range(int(sys.argv[2])))]
    else:
        found = list(damaged_files(sys.argv[1], Path(folder), int(sys.argv[2])))
print(json.dumps([found, peak_mib() - began]))
"""


def row(name: str, said: list[str], grown: float | None) -> None:
    counts = Counter(said)
    other = [each for each in said if each not in GOOD]
    memory = "-" if grown is None else f"{grown:.0f}"
    print(f"| {name} | {len(said)} | {counts['refused']} | {counts['accepted']} | {len(other)} | {memory} |")
    for each in other[:5]:
        print(f"  {each}", file=sys.stderr)
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--examples", type=int, default=5, help="Damaged files of each kind.")
    parser.add_argument("--databases", type=int, default=1000)
    options = parser.parse_args()
    print(f"{platform.machine()}, Python {platform.python_version()}, {date.today()}; ", end="")
    print(f"{len(ENTRIES)} kinds of files, {len(DAMAGES)} kinds of damage, {options.examples} of each\n")
    print("| what | tried | refused in one line | accepted | anything else | peak memory, MiB above import |")
    print("| --- | --- | --- | --- | --- | --- |")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process with threads cannot be forked
    with tempfile.TemporaryDirectory() as temporary, Forker() as forker:
        os.environ["NAS_CACHE"] = str(Path(temporary) / "cache")
        Path(temporary, "cache").mkdir()
        folder = prepared(Path(temporary) / "work")
        total: list[str] = []
        for name in (*ENTRIES, "databases"):
            count = options.databases if name == "databases" else options.examples
            process = forker.python(_READ, name, str(count), IMPORTABLE, cwd=folder)
            stdout, stderr = process.communicate(1200)
            assert process.wait() == 0, stderr
            found, grown = json.loads(stdout.strip().splitlines()[-1])
            said = [each[2] for each in found if each[0] != "none"]
            row("mutated databases" if name == "databases" else name, said, grown)
            total += said
        os.environ["PYTHONPATH"] = IMPORTABLE
        for name, commands in (("corpus", corpus(folder).values()), ("options", list(wrong_options()))):
            runs = [run(forker, folder, *words) for words in commands]
            said = [each.problem or "refused" for each in runs]
            row(f"{name}, as commands", said, max(each.grown_mib for each in runs))
            total += said
    row("all", total, None)


if __name__ == "__main__":
    main()

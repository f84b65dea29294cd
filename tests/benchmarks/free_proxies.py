"""What costs nothing against what trainings cost, over a whole table: tau with its longest rung.

    python tests/benchmarks/free_proxies.py --table nas-bench-sr --data folder:my_images

Of every architecture of the table: its costs, the zero-cost proxies (on patches of --data), its shorter
rungs, and the means of the ranks of each zero-cost proxy and each shorter rung. Scores are kept in --out and
not computed again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from tqdm import tqdm

from nas.calibration.rank_correlation import RankCorrelation, tau_of
from nas.calibration.zero_cost import ZERO_COST, look_at, zero_cost
from nas.simulation.replays import shipped_tables
from nas.simulation.table import Table, read_table
from nas.simulation.validate_table import COSTS


def main() -> None:
    """Print a row for each number."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--table", default="nas-bench-sr")
    parser.add_argument("--data", default="photos")
    parser.add_argument("--out", type=Path, default=Path("free_proxies.json"))
    options = parser.parse_args()
    table = read_table(shipped_tables().get(options.table, Path(options.table)))
    scores = pd.DataFrame(scored(table, options.data, options.out)).T
    frame = table.frame
    top = frame["rung"].max()
    longest = frame[frame["rung"] == top].groupby("genotype_id")["psnr_db"].mean()
    firsts = frame.drop_duplicates("genotype_id").set_index("genotype_id").loc[longest.index]
    free = scores.loc[longest.index]
    numbers = {name: firsts[name].to_numpy(dtype=float) for name in COSTS}
    numbers |= {name: free[name].to_numpy(dtype=float) for name in ZERO_COST}
    for rung in range(top):
        trained = frame[(frame["rung"] == rung) & (frame["seed"] == 0)].set_index("genotype_id")["psnr_db"]
        steps = f"{table.rungs[rung]['steps']} steps"
        numbers[steps] = trained.loc[longest.index].to_numpy()
        for name in ZERO_COST:
            known = np.nan_to_num(numbers[name], nan=-np.inf)
            numbers[f"{name} and {steps}"] = rankdata(known) + rankdata(numbers[steps])
    truth = longest.to_numpy()
    better = truth >= np.median(truth)
    print(
        f"{len(truth)} architectures, tau with {table.rungs[top]['steps']} steps [95 %]; of the better half"
    )
    for name, values in numbers.items():
        known = np.isfinite(values)
        told = [_told(tau_of(values[some], truth[some])) for some in (known, known & better)]
        print(f"| {name} | {told[0]} | {told[1]} | {known.sum()} |")


def scored(table: Table, data: str, path: Path) -> dict[str, dict[str, float]]:
    """Each architecture's zero-cost proxies, by id."""
    found: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.exists() else {}
    sight = look_at(data, int(table.card["scale"]), 24, 0)
    for identity, genotype in tqdm(sorted(table.genotypes.items())):
        if identity not in found:
            found[identity] = zero_cost(genotype, sight, 0)
            path.write_text(json.dumps(found))
    return found


def _told(tau: RankCorrelation) -> str:
    return f"{tau.value:.2f} [{tau.low:.2f}, {tau.high:.2f}]"


if __name__ == "__main__":
    main()

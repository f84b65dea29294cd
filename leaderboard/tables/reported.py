"""What papers print of lightweight networks: PSNR, SSIM and costs, with the place and with what looks wrong.

The numbers lie in `data/reported_results.csv`; another paper's table is more rows there. They are as printed,
misprints included; the networks have the names that their own papers give them (EFRDN's table prints LBNNet
for LBNet, GLDSR as well as GLADSR, ECBSR and SwinIR without the variant). Sources:

- EFRDN, "An efficient feature reuse distillation network for lightweight image super-resolution" (Computer
  Vision and Image Understanding 2024, doi 10.1016/j.cviu.2024.104178), tables 1 and 6;
- networks found by search, at x2: FALSR (arXiv 1901.07261) with MoreMNAS, as its released code prints the
  table, and ESRN (arXiv 1909.11409);
- networks of 2021 to 2025, as the repositories of these papers show their tables: VapSR, LKDN, MAN, SAFMN,
  SMFANet, PLKSR, ESC, Omni-SR, SRFormer, ATD, HiT-SR, MambaIRv2. `page` names repository, file and commit;
- RFDN (arXiv 2009.11551), whose released x4 weights have no printed number: measured by us.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

RESULTS = Path(__file__).parents[1] / "data" / "reported_results.csv"
OWN, OTHER, OURS = "own paper", "other paper", "our measurement"
"""Where a number comes from: its network's paper, another one, or the authors' weights, measured by us."""

_COSTS = ("params", "multi_adds")


def reported() -> pd.DataFrame:
    """One row a network, scale, benchmark set and table that prints it; by scale in the papers' order.

    | column | meaning |
    | --- | --- |
    | network, cites | the name its own paper gives it; that paper |
    | scale | 2, 3 or 4 |
    | params, multi_adds | as printed, in thousands and 0.1 G mostly; NaN where not printed |
    | dataset | Set5, Set14, B100, Urban100 or Manga109 |
    | psnr_db, ssim | of the luma channel: dB; 0 to 1, NaN where not known |
    | trained_on | DIV2K, DF2K (DIV2K and Flickr2K) or DFLIP (as ESC calls it); None: not stated |
    | kind | `OWN`, `OTHER` or `OURS`: the network's own paper prints it, another does, or we measured it |
    | reported_in, page | the table; its section, or the file of the released repository that shows it |
    | suspect | None, or which columns are not to be trusted, a colon, and why; several with `; ` between |

    What is suspect is a misprint, out of line with the network's other scales, or printed differently
    elsewhere. Multi-Adds of networks with transformers leave most of these out (`docs/protocol.md`).
    """
    import pandas as pd

    texts = dict.fromkeys(("network", "cites", "dataset", "reported_in", "page"), "object")
    texts |= dict.fromkeys(("trained_on", "kind", "suspect"), "object")
    numbers = {"scale": "int64"}
    numbers |= dict.fromkeys((*_COSTS, "psnr_db", "ssim"), "float64")
    frame = pd.read_csv(RESULTS, dtype={**texts, **numbers})
    for column in ("trained_on", "suspect"):
        frame[column] = frame[column].astype("object").where(frame[column].notna(), None)
    return frame


def distinct(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of `reported`, each number once, with the further column `table`.

    Several tables may print one training of a network. They count as the same training where they share a
    benchmark set, agree in every PSNR that they share, and do not state different training data. Of these
    tables one leads: that of the network's own paper, then one without suspect numbers, then the first in the
    file. The others add the sets and the training data that it does not have; a cost that it lacks comes from
    any table with the network at that scale, in the same order. `table` is the leading table, and
    `reported_in` stays where the number itself is printed.
    """
    import pandas as pd

    doubted = frame.groupby(["network", "scale", "reported_in"])["suspect"].transform("count")
    rank = (frame["kind"] != OWN).astype(int) * 2 + doubted.gt(0)
    ordered = frame.assign(rank=rank, place=range(len(frame)))
    tables = frame.groupby(["network", "scale"])["reported_in"].transform("nunique")
    alone = ordered[tables == 1].assign(table=lambda rows: rows["reported_in"])
    shared = ordered[tables > 1].sort_values(["rank", "place"])
    parts = [alone, *(_once(rows) for _, rows in shared.groupby(["network", "scale"]))]
    return pd.concat(parts).sort_values("place", ignore_index=True)[[*frame.columns, "table"]]


def _once(rows: pd.DataFrame) -> pd.DataFrame:
    """The numbers of one network at one scale, each once; `rows` in the order in which tables lead."""
    import pandas as pd

    trainings: list[pd.DataFrame] = []
    for _, table in rows.groupby(["reported_in", rows["trained_on"].fillna("")], sort=False):
        for number, known in enumerate(trainings):
            if _same_training(known, table):
                added = table[~table["dataset"].isin(known["dataset"])]
                merged = pd.concat([known, added.assign(table=known["table"].iloc[0])])
                data = [*known["trained_on"].dropna(), *table["trained_on"].dropna(), None][0]
                trainings[number] = merged.assign(trained_on=pd.Series(data, merged.index, dtype="object"))
                break
        else:
            trainings.append(table.assign(table=table["reported_in"]))
    whole = pd.concat(trainings)
    for cost in _COSTS:
        for printed in rows[cost].dropna().head(1):
            whole[cost] = whole[cost].fillna(printed)
        whole[cost] = whole.groupby(["table", whole["trained_on"].fillna("")])[cost].transform("first")
    return whole


def _same_training(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two tables print the same training of a network."""
    data = {*one["trained_on"].dropna(), *other["trained_on"].dropna()}
    numbers = [rows.set_index("dataset")["psnr_db"] for rows in (one, other)]
    both = numbers[0].index.intersection(numbers[1].index)
    return len(data) <= 1 and len(both) > 0 and bool((numbers[0][both] == numbers[1][both]).all())

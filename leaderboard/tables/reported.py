"""What papers print of lightweight networks: PSNR, SSIM and costs, with the place and with what looks wrong.

The numbers lie in `data/reported_results.csv`; another paper's table is more rows there. They are as printed,
misprints included; the networks have the names that their own papers give them (the source prints LBNNet for
LBNet, and GLDSR as well as GLADSR). Sources: "An efficient feature reuse distillation network for lightweight
image super-resolution" (Computer Vision and Image Understanding 2024, doi 10.1016/j.cviu.2024.104178),
tables 1 and 6; and networks that were found by search, at x2: FALSR (arXiv 1901.07261) as its released code
prints the table, with MoreMNAS in it, and ESRN (arXiv 1909.11409).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

RESULTS = Path(__file__).parents[1] / "data" / "reported_results.csv"


def reported() -> pd.DataFrame:
    """One row a network, scale and benchmark set, as a paper prints it; by scale in the paper's order.

    | column | meaning |
    | --- | --- |
    | network, cites | the name its own paper gives it; that paper |
    | scale | 2, 3 or 4 |
    | params, multi_adds | as printed, in thousands and 0.1 G mostly; Multi-Adds NaN where not printed |
    | dataset | Set5, Set14, B100, Urban100 or Manga109 |
    | psnr_db, ssim | of the luma channel: dB; 0 to 1 |
    | reported_in, page | the table; the section it stands in, which has no page number in the copy read |
    | suspect | None, or which columns are not to be trusted, a colon, and why; several with `; ` between |

    What is suspect is a misprint, out of line with the network's other scales, or printed differently
    elsewhere. Multi-Adds of networks with transformers leave most of these out (`docs/protocol.md`).
    """
    import pandas as pd

    texts = dict.fromkeys(("network", "cites", "dataset", "reported_in", "page", "suspect"), "object")
    numbers = {"scale": "int64", "params": "int64"}
    numbers |= dict.fromkeys(("multi_adds", "psnr_db", "ssim"), "float64")
    frame = pd.read_csv(RESULTS, dtype={**texts, **numbers})
    frame["suspect"] = frame["suspect"].astype("object").where(frame["suspect"].notna(), None)
    return frame

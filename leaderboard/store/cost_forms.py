"""Which form of a network a cost was counted on: as it is trained, or as it is used.

Parts that help a training are folded into plainer ones for use: a kernel of three branches becomes one
convolution. Costs were counted with these parts up to schema 0004, and without them from 0005 on.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

CostForm = Literal["training", "use"]
COST_FORMS: tuple[CostForm, ...] = ("training", "use")
"""`training`: as counted up to schema 0004. `use`: without parts that are folded before a network is used."""


def form_of_unmarked(space: str, choices: Mapping[str, Any]) -> CostForm:
    """The form that the cost of a network may count as where nothing says it.

    `use` where both forms have the same cost. It describes what versions up to schema 0004 counted, and so
    never changes.
    """
    if space == "published":
        return "use"
    folds = choices.get("kernel") == "asymmetric" or choices.get("block") == "acdm"
    return "use" if space == "lightweight" and not folds else "training"


def recount_command(where: str) -> str:
    """The command that counts the costs of a database again, from how messages name the database."""
    if "://" in where:
        return shlex.join(["nas", "recount", "--db", where])
    path = Path(where)
    if path.name == "results.db":
        return shlex.join(["nas", "recount", "--runs", str(path.parent)])
    return shlex.join(["nas", "recount", "--db", f"sqlite:///{path}"])

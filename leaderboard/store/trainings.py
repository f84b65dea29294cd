"""The store's look into single networks: their loss curves, their results on single images, their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from leaderboard.errors import OldCostsError
from leaderboard.store.recounting import old_network_costs
from leaderboard.store.rows import NUMBER, STAGE_ORDER, TEXT, WHOLE, find_study, framed
from leaderboard.store.schema import COSTS, CostRow, EvaluationRow, TrialRow
from leaderboard.store.transactions import Database

if TYPE_CHECKING:
    import pandas as pd

Genotypes = str | Sequence[str] | None


class Trainings(Database):
    """What the store says of the inside of trainings and networks."""

    def curves(self, study: str, protocol: str | None = None, genotype: Genotypes = None) -> pd.DataFrame:
        """One row a noted step of each training of a study, in the order of its trials, then of steps.

        Of one protocol (an id) or all, of one network, several or all. A training that several trials show
        is there once. Raises `UnknownStudyError`.

        | column | meaning |
        | --- | --- |
        | genotype, seed | id of the network; random seed |
        | stage, rung | of the first trial that shows it |
        | protocol | id |
        | step | steps done |
        | loss | training loss, NaN where it was not finite |
        | psnr_db | what the network reached on the protocol's validation images, dB; NaN where not measured |
        """
        found = self._read(lambda session: _details(session, EvaluationRow.curve, study, protocol, genotype))
        rows = [
            (row.genotype_id, row.seed, row.stage, row.rung, row.protocol_id, *entry)
            for row in found
            for entry in row.curve
        ]
        return framed(rows, _CURVES)

    def images(self, study: str, protocol: str | None = None, genotype: Genotypes = None) -> pd.DataFrame:
        """One row a validation image of each training of a study; chosen and ordered as in `curves`.

        | column | meaning |
        | --- | --- |
        | genotype, seed, protocol | id of the network; random seed; id of the protocol |
        | image | its name |
        | psnr_db, ssim | dB; 0 to 1; NaN where not finite |
        """
        found = self._read(
            lambda session: _details(session, EvaluationRow.per_image, study, protocol, genotype)
        )
        rows = [
            (row.genotype_id, row.seed, row.protocol_id, image, *both)
            for row in found
            for image, both in row.per_image.items()
        ]
        return framed(rows, _IMAGES)

    def parts(self, genotype: str, scale: int) -> pd.DataFrame:
        """One row a part of a network, in the order of its forward pass; none where no parts are kept.

        | column | meaning |
        | --- | --- |
        | part | its name |
        | copies, uses | sets of weights; times the network runs it |
        | params, multi_adds, conv_multi_adds, activations | of all copies and uses together |

        Raises `OldCostsError` where they are parts of the network as trained.
        """
        query = select(CostRow.parts, CostRow.form)
        query = query.where(CostRow.genotype_id == genotype, CostRow.scale == scale)
        row = self._read(lambda session: session.execute(query).one_or_none())
        if row is not None and row.form == "training":
            raise OldCostsError(old_network_costs(self._where, [genotype]))
        kept = (None if row is None else row.parts) or []
        return framed([[part[name] for name in _PARTS] for part in kept], _PARTS)


_CURVES = {
    **{"genotype": TEXT, "seed": WHOLE, "stage": TEXT, "rung": WHOLE, "protocol": TEXT},
    **{"step": WHOLE, "loss": NUMBER, "psnr_db": NUMBER},
}
_IMAGES = {
    **{"genotype": TEXT, "seed": WHOLE, "protocol": TEXT, "image": TEXT},
    **{"psnr_db": NUMBER, "ssim": NUMBER},
}
_PARTS = {"part": TEXT, **dict.fromkeys(("copies", "uses", *COSTS), WHOLE)}


def _details(
    session: Session,
    wanted: InstrumentedAttribute[Any],
    study: str,
    protocol: str | None,
    genotype: Genotypes,
) -> list[Any]:
    """One row a training: of which network, seed, stage, rung and protocol, and what is `wanted` of it."""
    run = EvaluationRow
    query = (
        select(run.id, run.genotype_id, run.seed, TrialRow.stage, TrialRow.rung, run.protocol_id, wanted)
        .join(TrialRow, TrialRow.evaluation_id == run.id)
        .where(TrialRow.study_id == find_study(session, study).id)
        .order_by(STAGE_ORDER, TrialRow.number)
    )
    if protocol is not None:
        query = query.where(run.protocol_id == protocol)
    if genotype is not None:
        query = query.where(run.genotype_id.in_([genotype] if isinstance(genotype, str) else list(genotype)))
    first: dict[int, Any] = {}
    for row in session.execute(query):
        first.setdefault(row.id, row)
    return list(first.values())

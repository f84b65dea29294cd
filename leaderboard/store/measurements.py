"""The store's measurements on benchmark sets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import Session

from leaderboard.errors import OldCostsError, StoreError
from leaderboard.store.records import Measurement
from leaderboard.store.recounting import has_old, old_network_costs
from leaderboard.store.rows import (
    NUMBER,
    STAMP,
    TEXT,
    WHOLE,
    fields,
    framed,
    keep_genotype,
    plain,
    require_sha256,
)
from leaderboard.store.schema import (
    CostRow,
    EvaluationRow,
    GenotypeRow,
    MeasurementRow,
    ProtocolRow,
    TrialRow,
)
from leaderboard.store.transactions import Database, insert, moment

if TYPE_CHECKING:
    import pandas as pd

SAME_MEASUREMENT = ("network", "weights", "scale", "data_digest", "metric")

MARK = "+"
"""Behind the network's name and the digest of its weights where a self-ensemble was measured (EDSR+)."""

WAYS = 8
"""How often a network runs in a self-ensemble: its Multi-Adds are so many times the network's own."""


class Measurements(Database):
    """What the store says of networks on benchmark sets."""

    def record_measurement(
        self,
        measurement: Measurement,
        *,
        space: str = "",
        choices: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        """Keeps a measurement; one of the same network, weights, scale, images and metric is replaced.

        `space` and `choices` are those of its genotype, which is kept, too, when it is new, and `name` is
        what a paper calls it. Raises `StoreError` for a PSNR that is NaN and for a digest that is none.
        """
        require_sha256(measurement.checkpoint_sha256, measurement.network)
        if math.isnan(measurement.psnr_db):
            raise StoreError(f"{measurement.network} on {measurement.benchmark}: psnr_db is NaN, no result")
        values = {key: plain(value) for key, value in vars(measurement).items()}
        # Equal images: databases know no infinity, and no other pair comes near this.
        values["psnr_db"] = min(measurement.psnr_db, 1000.0)

        def work(session: Session) -> None:
            if measurement.genotype_id is not None:
                keep_genotype(session, measurement.genotype_id, space, choices or {}, name)
            new = values | {"created_at": moment(session)}
            made = insert(session, MeasurementRow).values(new)
            session.execute(made.on_conflict_do_update(index_elements=SAME_MEASUREMENT, set_=new))

        self._write(work)

    def measurements(self, network: str | None = None) -> list[Measurement]:
        """All measurements, or those of one network by its name or genotype id; oldest first."""
        query = select(MeasurementRow).order_by(MeasurementRow.id)
        if network is not None:
            query = query.where(_named(network))
        return self._read(
            lambda session: [Measurement(**fields(row, Measurement)) for row in session.scalars(query)]
        )

    def benchmarks(self, network: str | None = None) -> pd.DataFrame:
        """One row a measurement, oldest first: all, or those of one network by its name or genotype id.

        | column | meaning |
        | --- | --- |
        | network, genotype, name | what was measured by name; id of its genotype; what a paper calls it |
        | weights | digest of the weights, with a + for a self-ensemble; empty for bicubic |
        | scale, benchmark, metric | factor of the super-resolution; name of the set; how it was compared |
        | low_resolution, data_digest | read, made or unrounded; digest of the images |
        | psnr_db, ssim | means over the set: dB; 0 to 1, NaN where the images are too small |
        | params, multi_adds, conv_multi_adds | of its genotype at this scale, NaN where that is not known |
        | stage, plan | how the weights were trained, where their file is that of a recorded training |
        | trained_on | the training data of that training, as its protocol names them |
        | device, created_at | where it was measured; when, aware, UTC |

        A self-ensemble has `+` behind its name, and eight times the Multi-Adds of its genotype. Raises
        `OldCostsError` where one of these costs is that of a network as trained.
        """

        def work(session: Session) -> list[tuple[Any, ...]]:
            if has_old(session) and (old := session.scalars(_old_networks(network)).all()):
                raise OldCostsError(old_network_costs(self._where, old))
            trained = _trainings(session)
            rows = session.execute(_benchmark_query(network)).all()
            return [(*row[1:], *trained.get(row[0], (None, None, None))) for row in rows]

        frame = framed(self._read(work), _BENCHMARKS | dict.fromkeys(("stage", "plan", "trained_on"), TEXT))
        averaged = frame["weights"].str.endswith(MARK).astype(bool)
        frame.loc[averaged, ["multi_adds", "conv_multi_adds"]] *= WAYS
        frame.loc[averaged & frame["name"].notna(), "name"] += MARK
        ends = ["device", "created_at"]
        return frame[[*(name for name in frame.columns if name not in ends), *ends]]


_BENCHMARKS = {
    **dict.fromkeys(("network", "genotype", "name", "weights"), TEXT),
    **{"scale": WHOLE, "benchmark": TEXT, "metric": TEXT, "low_resolution": TEXT, "data_digest": TEXT},
    **dict.fromkeys(("psnr_db", "ssim", "params", "multi_adds", "conv_multi_adds"), NUMBER),
    **{"device": TEXT, "created_at": STAMP},
}


def _benchmark_query(network: str | None) -> Select[*tuple[Any, ...]]:
    """The digest of the weights' file, then columns in the order of `_BENCHMARKS`."""
    row, cost = MeasurementRow, CostRow
    query = (
        select(
            *(row.checkpoint_sha256, row.network, row.genotype_id, GenotypeRow.name, row.weights),
            *(row.scale, row.benchmark, row.metric, row.low_resolution, row.data_digest),
            *(row.psnr_db, row.ssim, cost.params, cost.multi_adds, cost.conv_multi_adds),
            *(row.device, row.created_at),
        )
        .outerjoin(GenotypeRow, GenotypeRow.id == row.genotype_id)
        .outerjoin(cost, (cost.genotype_id == row.genotype_id) & (cost.scale == row.scale))
        .order_by(row.id)
    )
    return query if network is None else query.where(_named(network))


def _old_networks(network: str | None) -> Select[str]:
    """The measured networks whose cost is that of the network as trained."""
    row, cost = MeasurementRow, CostRow
    query = (
        select(row.network)
        .join(cost, (cost.genotype_id == row.genotype_id) & (cost.scale == row.scale))
        .where(cost.form == "training")
        .distinct()
        .order_by(row.network)
    )
    return query if network is None else query.where(_named(network))


def _trainings(session: Session) -> dict[str, tuple[str, str, str]]:
    """Of every file of weights that was measured: stage, plan and data of the training that wrote it."""
    query = (
        select(EvaluationRow.checkpoint_sha256, TrialRow.stage, ProtocolRow.plan_name, ProtocolRow.data)
        .join(TrialRow, TrialRow.evaluation_id == EvaluationRow.id)
        .join(ProtocolRow, ProtocolRow.id == EvaluationRow.protocol_id)
        .where(TrialRow.state == "finished")
        .where(EvaluationRow.checkpoint_sha256.in_(select(MeasurementRow.checkpoint_sha256)))
        .order_by(TrialRow.id.desc())  # of equal files the first one written counts
    )
    return {row[0]: (row[1], row[2], row[3]) for row in session.execute(query) if row[0]}


def _named(network: str) -> ColumnElement[bool]:
    return (MeasurementRow.network == network) | (MeasurementRow.genotype_id == network)

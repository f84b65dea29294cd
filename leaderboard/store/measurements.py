"""The store's measurements on benchmark sets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from leaderboard.errors import StoreError
from leaderboard.records import Measurement
from leaderboard.schema import MeasurementRow
from leaderboard.store.rows import fields, keep_genotype, plain
from leaderboard.store.transactions import Database, insert, moment

_SAME = ("network", "weights", "scale", "data_digest", "metric")


class Measurements(Database):
    """What the store says of networks on benchmark sets."""

    def record_measurement(
        self, measurement: Measurement, *, space: str = "", choices: Mapping[str, Any] | None = None
    ) -> None:
        """Keeps a measurement; one of the same network, weights, scale, images and metric is replaced.

        `space` and `choices` are those of its genotype, which is kept, too, when it is new. Raises
        `StoreError` for a PSNR that is NaN.
        """
        if math.isnan(measurement.psnr_db):
            raise StoreError(f"{measurement.network} on {measurement.benchmark}: psnr_db is NaN, no result")
        values = {key: plain(value) for key, value in vars(measurement).items()}
        # Equal images: databases know no infinity, and no other pair comes near this.
        values["psnr_db"] = min(measurement.psnr_db, 1000.0)

        def work(session: Session) -> None:
            if measurement.genotype_id is not None:
                keep_genotype(session, measurement.genotype_id, space, choices or {})
            new = values | {"created_at": moment(session)}
            made = insert(session, MeasurementRow).values(new)
            session.execute(made.on_conflict_do_update(index_elements=_SAME, set_=new))

        self._write(work)

    def measurements(self, network: str | None = None) -> list[Measurement]:
        """All measurements, or those of one network by its name or genotype id; oldest first."""
        query = select(MeasurementRow).order_by(MeasurementRow.id)
        if network is not None:
            query = query.where((MeasurementRow.network == network) | (MeasurementRow.genotype_id == network))
        return self._read(
            lambda session: [Measurement(**fields(row, Measurement)) for row in session.scalars(query)]
        )

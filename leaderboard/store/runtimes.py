"""The store's runtimes: how long an inference takes, and how much memory, on which device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from leaderboard.errors import StoreError, unknown_name
from leaderboard.store.records import Runtime
from leaderboard.store.rows import NUMBER, STAMP, TEXT, WHOLE, framed, keep_genotype
from leaderboard.store.schema import ENGINES, PRECISIONS, RUNTIME_SETTING, GenotypeRow, RuntimeRow
from leaderboard.store.transactions import Database, insert, moment

if TYPE_CHECKING:
    import pandas as pd


class Runtimes(Database):
    """What the store says of runtimes."""

    def record_runtime(
        self,
        runtime: Runtime,
        *,
        space: str = "",
        choices: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        """Keeps a runtime; an older one of the same network, scale, size, batch, device, ... is replaced.

        `space` and `choices` are those of its genotype, which is kept, too, when it is new, and `name` is
        what a paper calls it. Raises `StoreError` for an unknown precision or engine, for sizes that are not
        positive, and for times that are not, or not in order.
        """
        _check(runtime)

        def work(session: Session) -> None:
            if runtime.genotype_id is not None:
                keep_genotype(session, runtime.genotype_id, space, choices or {}, name)
            new = vars(runtime) | {"created_at": moment(session)}
            made = insert(session, RuntimeRow).values(new)
            session.execute(made.on_conflict_do_update(index_elements=RUNTIME_SETTING, set_=new))

        self._write(work)

    def runtimes(self, genotype: str | None = None) -> pd.DataFrame:
        """One row a runtime, oldest first: all, or those of one genotype's id.

        | column | meaning |
        | --- | --- |
        | network, genotype, name | what was measured by name; id of its genotype; what a paper calls it |
        | scale, height, width | factor of the super-resolution; size of the output, pixels |
        | batch | images at once |
        | device, threads | where; threads on a CPU, 0 elsewhere |
        | precision, engine | of `schema.PRECISIONS`; of `schema.ENGINES` |
        | median_ms, p5_ms, p95_ms | of one inference: median, 5th and 95th percentile, ms |
        | peak_memory_bytes | the most the device held at once, bytes; NaN where not measured |
        | torch_version, created_at | of the program that measured it; when, aware, UTC |
        """
        row = RuntimeRow
        query = (
            select(
                *(row.network, row.genotype_id, GenotypeRow.name, row.scale, row.height, row.width),
                *(row.batch, row.device, row.threads, row.precision, row.engine, row.median_ms),
                *(row.p5_ms, row.p95_ms, row.peak_memory_bytes, row.torch_version, row.created_at),
            )
            .outerjoin(GenotypeRow, GenotypeRow.id == row.genotype_id)
            .order_by(row.id)
        )
        if genotype is not None:
            query = query.where(row.genotype_id == genotype)
        return framed(self._read(lambda session: session.execute(query).all()), _RUNTIMES)


_RUNTIMES = {
    **dict.fromkeys(("network", "genotype", "name"), TEXT),
    **dict.fromkeys(("scale", "height", "width", "batch"), WHOLE),
    **{"device": TEXT, "threads": WHOLE, "precision": TEXT, "engine": TEXT},
    **dict.fromkeys(("median_ms", "p5_ms", "p95_ms", "peak_memory_bytes"), NUMBER),
    **{"torch_version": TEXT, "created_at": STAMP},
}


def _check(runtime: Runtime) -> None:
    if runtime.precision not in PRECISIONS:
        raise StoreError(unknown_name("precision", runtime.precision, PRECISIONS))
    if runtime.engine not in ENGINES:
        raise StoreError(unknown_name("engine", runtime.engine, ENGINES))
    sizes = {key: getattr(runtime, key) for key in ("scale", "height", "width", "batch")}
    for key, size in (sizes | {"threads": runtime.threads + 1}).items():
        if size < 1:
            raise StoreError(f"runtime of {runtime.network}: {key} is {getattr(runtime, key)}, too small")
    times = runtime.p5_ms, runtime.median_ms, runtime.p95_ms
    if not (0 < times[0] <= times[1] <= times[2] < math.inf):
        raise StoreError(
            f"runtime of {runtime.network}: {times[0]} ms, {times[1]} ms, {times[2]} ms "
            "are no 5th percentile, median and 95th percentile"
        )

"""The store's calibrations: how far the numbers of a protocol can be trusted.

Each is an event of the study that found it, so that it goes wherever the study goes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Text, cast, func, select
from sqlalchemy.orm import Session

from leaderboard.store.records import Calibration
from leaderboard.store.rows import tell
from leaderboard.store.schema import EventRow, StudyRow
from leaderboard.store.transactions import Database, moment

KIND = "calibrated"
SWEEP = "ladder"
"""The key of a recipe whose study calibrates: only their events are looked at."""


class Calibrations(Database):
    """What the store says of calibrations."""

    def record_calibrations(
        self, study_id: int, found: Sequence[Calibration], report: Mapping[str, Any]
    ) -> None:
        """Keeps what a study `found`, of several protocols at once, and all of its `report` (plain values).

        The newest word on a protocol is the one that counts.
        """
        details = {"calibrations": [vars(one) for one in found], "report": dict(report)}

        def work(session: Session) -> None:
            tell(session, KIND, moment(session), study_id=study_id, details=details)

        self._write(work)

    def calibrations(self) -> dict[str, Calibration]:
        """The newest calibration of each protocol, by its id; what cannot be read is left out."""

        def work(session: Session) -> dict[str, Calibration]:
            found: dict[str, Calibration] = {}
            for study, details in _told(session):
                entries = details.get("calibrations")
                for entry in entries if isinstance(entries, list) else []:
                    one = _read(entry, study)
                    if one is not None:
                        found[one.protocol_id] = one
            return found

        return self._read(work)

    def last_calibration(self) -> int:
        """The id of the newest event of a calibration, 0 without any."""

        def work(session: Session) -> int:
            studies = _ladders(session)
            if not studies:
                return 0
            mine = EventRow.study_id.in_(studies), EventRow.kind == KIND
            return session.scalar(select(func.max(EventRow.id)).where(*mine)) or 0

        return self._read(work)

    def calibration_reports(self) -> dict[str, dict[str, Any]]:
        """All that the newest calibration of each study found, by the study's name."""

        def work(session: Session) -> dict[str, dict[str, Any]]:
            newest = {study: details.get("report") for study, details in _told(session)}
            return {study: report for study, report in newest.items() if isinstance(report, dict)}

        return self._read(work)


def _told(session: Session) -> list[tuple[str, Mapping[str, Any]]]:
    """The study and the details of every calibration, oldest first."""
    studies = _ladders(session)
    if not studies:
        return []
    query = select(EventRow.study_id, EventRow.details).where(
        EventRow.study_id.in_(studies), EventRow.kind == KIND
    )
    rows = session.execute(query.order_by(EventRow.at, EventRow.id))
    return [(studies[study_id], details) for study_id, details in rows]


def _ladders(session: Session) -> dict[int, str]:
    """The names of the studies that calibrate, by their ids."""
    calibrates = cast(StudyRow.recipe, Text).contains(f'"{SWEEP}"')  # most recipes need not be decoded
    rows = session.execute(select(StudyRow.id, StudyRow.name, StudyRow.recipe).where(calibrates))
    return {row.id: row.name for row in rows if SWEEP in row.recipe}


_NUMBERS = ("tau", "tau_low", "tau_high", "resolves_db")


def _read(entry: Any, study: str) -> Calibration | None:
    """An entry that may come from anybody's database; None where it is none."""
    if not isinstance(entry, dict):
        return None
    numbers = {name: entry.get(name) for name in _NUMBERS}
    for value in numbers.values():
        if value is not None and (not isinstance(value, int | float) or not math.isfinite(value)):
            return None
    texts, count = (entry.get("protocol_id"), entry.get("reference_id")), entry.get("architectures")
    if not all(isinstance(text, str) for text in texts) or not isinstance(count, int):
        return None
    return Calibration(
        protocol_id=str(texts[0]), reference_id=str(texts[1]), architectures=count, study=study, **numbers
    )
